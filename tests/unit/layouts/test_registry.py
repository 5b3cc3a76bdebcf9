"""Which form a cluster's control plane has: one answer, or a refusal that says what each adapter saw."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from migration.layouts import registry
from migration.layouts.contract import Recognition
from migration.layouts.contradiction import contradictions
from migration.layouts.registry import LAYOUTS, layout_of, recognise
from migration.layouts.running import COMMAND, lines
from migration.runtime.deadline import Permanent
from migration.settings.model import LayoutName, MemberFiles, Units
from tests.unit.layouts.clusters import OTHER_ETCD, UNITS, cloud_config, evidence, group, other_files

MEMBER = group("m", cloud_config(other_files()))
NAMES = {
    "units": Units(etcd="etcd-member", api_server="apiserver", controller_manager="controllers", scheduler="scheduler"),
    "files": MemberFiles(
        etcd_ca="/etc/pki/etcd/ca.pem",
        etcd_certificate="/etc/pki/k8s/etcd.pem",
        etcd_key="/etc/pki/k8s/etcd-key.pem",
        snapshots="/srv/etcd/snapshots",
    ),
}
TAGGED = {"k8s.io/role/master": "1"}


class Twin:
    """Somebody else's adapter, which takes everything for its own."""

    name = "kubeadm"

    def recognise(self, evidence: object) -> Recognition:
        return Recognition(layout="kubeadm", members=("m",), because=("it looks like mine",))


def test_adapters_are_called_as_the_configuration_calls_them() -> None:
    assert {name: one.name for name, one in LAYOUTS.items()} == {name: name for name in get_args(LayoutName)}


def test_a_layout_without_an_adapter_is_refused_with_those_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "LAYOUTS", {name: one for name, one in LAYOUTS.items() if name != "kubeadm"})
    there = ", ".join(registry.LAYOUTS)
    with pytest.raises(Permanent, match=rf"layout is 'kubeadm'.*no adapter for it; there are {there}: set one"):
        layout_of("kubeadm")


def test_the_one_that_fits_is_the_answer() -> None:
    assert recognise(evidence(MEMBER, group("w", "#!/bin/sh\n"))).layout == "cloud-config"


def test_custom_is_nobodys_answer_but_an_operators() -> None:
    tagged = evidence(group("m", "#!/bin/sh\n", tags=TAGGED))
    with pytest.raises(Permanent, match=r"starts etcd and kube-apiserver .* --layout custom"):
        recognise(tagged)
    assert recognise(tagged, "custom").members == ("m",)
    with pytest.raises(Permanent, match="looks like a member of a control plane of layout custom"):
        recognise(evidence(MEMBER), "custom")


def test_a_cluster_that_several_know_is_refused_and_an_operator_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "LAYOUTS", {**LAYOUTS, "kubeadm": Twin()})
    with pytest.raises(
        Permanent, match=r"looks like several layouts \(cloud-config: .*; kubeadm: it looks like mine\)"
    ):
        recognise(evidence(MEMBER))
    assert recognise(evidence(MEMBER), "cloud-config").layout == "cloud-config"


def test_one_that_has_something_against_it_gives_way_to_one_that_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = group("m", cloud_config({f"{UNITS}/etcd.service": OTHER_ETCD, f"{UNITS}/kube-apiserver.service": "x"}))
    assert recognise(evidence(broken)).against
    monkeypatch.setattr(registry, "LAYOUTS", {**LAYOUTS, "kubeadm": Twin()})
    assert recognise(evidence(broken)).layout == "kubeadm"


def test_nothing_contradicts_what_is_as_it_is_said() -> None:
    assert contradictions(evidence(MEMBER), "cloud-config", **NAMES) == []


def test_names_that_the_configuration_does_not_share_are_told_by_key() -> None:
    told = contradictions(evidence(MEMBER), "cloud-config", Units(), NAMES["files"])
    assert told[0] == "migration:controlPlane.units.etcd is 'etcd', the user data has 'etcd-member'"
    assert len(told) == 4
    told = contradictions(evidence(MEMBER), "cloud-config", NAMES["units"], MemberFiles())
    assert "migration:controlPlane.files.snapshots is '/var/lib/etcd/snapshots', the user data has" in told[-1]


def test_custom_contradicts_no_form_but_the_old_machines_units_are_still_stopped_by_name() -> None:
    assert contradictions(evidence(MEMBER), "custom", **NAMES) == []
    told = contradictions(evidence(MEMBER), "custom", Units(), NAMES["files"])
    assert told[0] == "migration:controlPlane.units.etcd is 'etcd', the user data has 'etcd-member'"
    assert contradictions(evidence(group("m", "#!/bin/sh\n")), "custom", Units(), MemberFiles()) == []


def test_a_form_that_nothing_shows_is_told_with_the_groups() -> None:
    told = contradictions(evidence(group("a", "#!/bin/sh\n"), group("b")), "cloud-config", Units(), MemberFiles())
    assert told[0].startswith(
        "migration:controlPlane.layout is 'cloud-config', and nothing in the user data of a, b shows it "
        "(b have no user data that is text)"
    )


def test_another_form_that_shows_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from migration.layouts import contradiction

    monkeypatch.setattr(contradiction, "LAYOUTS", {**LAYOUTS, "kubeadm": Twin()})
    told = contradictions(evidence(group("m", "#!/bin/sh\n")), "cloud-config", Units(), MemberFiles())
    assert "the user data shows another form (kubeadm: it looks like mine); set it to kubeadm, or correct m" in told[0]


def test_on_a_machine_that_runs_much_what_tells_a_form_is_within_what_a_command_may_print(tmp_path: Path) -> None:
    (tmp_path / "ps").write_text(
        "#!/bin/sh\nfor i in $(seq 3000); do echo /usr/bin/something-else $i; done\n"
        f"echo kube-apiserver {'x' * 9000}\necho etcd --name a\n"
    )
    (tmp_path / "ls").write_text("#!/bin/sh\necho /etc/kubernetes/manifests/etcd.yaml\n")
    for program in tmp_path.iterdir():
        program.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ran = subprocess.run(["sh", "-c", COMMAND], capture_output=True, text=True, env=path, check=True, timeout=60)
    assert len(ran.stdout) < 24000
    told = lines(ran.stdout)
    assert (told[0], told[1][:16], told[2]) == (
        "/etc/kubernetes/manifests/etcd.yaml",
        "kube-apiserver x",
        "etcd --name a",
    )


def test_of_what_runs_only_lines_that_tell_a_form_are_kept() -> None:
    output = "/sbin/init\n /opt/bin/etcd --name a \n/usr/sbin/sshd\n/opt/bin/etcd --name a\n"
    output += "/etc/kubernetes/manifests/x.yaml\n"
    assert lines(output) == ("/opt/bin/etcd --name a", "/etc/kubernetes/manifests/x.yaml")
