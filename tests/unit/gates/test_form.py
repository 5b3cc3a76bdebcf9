"""The gate of stage 0: could each new member be made from what is there today?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.legacy import userdata as legacy
from migration.contracts.gates import ControlPlaneForm
from migration.contracts.members import MemberForm
from migration.gates import Live
from migration.gates.form import control_plane_form
from migration.layouts import registry
from migration.layouts.registry import LAYOUTS
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent
from migration.settings.model import Units
from migration.stages import STAGES
from tests.samples import sets, settings
from tests.unit.layouts.clusters import UNITS, cloud_config, encoded, other_files

QUESTION = ControlPlaneForm.of(settings(0), STAGES[0])
USUAL = cloud_config(
    {
        f"{UNITS}/{unit}.service": "[Service]\nExecStart=/x\n"
        for unit in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    }
)


class Groups:
    """As much of `Aws` as is used: groups by name, each with its plain user data (None: its template has none)."""

    region = "eu-central-1"

    def __init__(self, user_data: dict[str, str | None]) -> None:
        self.user_data = user_data

    def groups(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {
            name: {
                "AutoScalingGroupName": name,
                "LaunchTemplate": {"LaunchTemplateId": name},
                **dict.fromkeys(("MinSize", "MaxSize", "DesiredCapacity"), 1),
            }
            for name in names
            if name in self.user_data
        }

    @property
    def ec2(self) -> Groups:
        return self

    def describe_launch_template_versions(self, LaunchTemplateId: str, Versions: list[str]) -> dict[str, Any]:
        text = self.user_data[LaunchTemplateId]
        data = {"ImageId": "ami-1", **({"UserData": encoded(text)} if text is not None else {})}
        return {"LaunchTemplateVersions": [{"LaunchTemplateData": data}]}


def look(question: ControlPlaneForm, text: str | None = USUAL, **by_group: str | None) -> str:
    aws = Groups({**dict.fromkeys((*question.groups, *question.servers), text), **by_group})
    clients: Any = type("Clients", (), {"aws": aws})()
    context = Context(log=lambda _: None, deadline=Deadline(1), clients=clients)
    return control_plane_form(question, Live("pet", context))


def refusal(question: ControlPlaneForm, text: str | None = USUAL, **by_group: str | None) -> str:
    with pytest.raises(Permanent) as refused:
        look(question, text, **by_group)
    return str(refused.value)


def form(**changes: Any) -> ControlPlaneForm:
    return QUESTION.model_copy(update={"form": MemberForm(**changes)})


def test_what_is_as_configured_holds() -> None:
    assert look(QUESTION) == "cloud-config: 3 members' user data is as the configuration has it, and can be made anew"


def test_a_group_that_is_not_there_is_named() -> None:
    question = QUESTION.model_copy(update={"groups": (*QUESTION.groups, "gone.pet")})
    clients: Any = type("Clients", (), {"aws": Groups(dict.fromkeys(QUESTION.groups, USUAL))})()
    with pytest.raises(Permanent, match=r"Auto Scaling groups gone\.pet don't exist"):
        control_plane_form(question, Live("pet", Context(log=print, deadline=Deadline(1), clients=clients)))


def test_other_names_and_other_ports_are_told_at_once() -> None:
    said = refusal(QUESTION, cloud_config(other_files()))
    assert "migration:controlPlane.units.etcd is 'etcd', the user data has 'etcd-member'" in said
    assert "migration:controlPlane.files.etcdCa is '/etc/kubernetes/pki/etcd/ca.crt', the user data has" in said
    assert "migration:api.serverPort is 6443, the unit says 8443" in said
    assert said.endswith("docs/control-plane.md says what each form needs")


@pytest.mark.parametrize("text", ["#!/bin/sh\n", None, cloud_config({"/etc/x": "y"})])
def test_one_member_that_shows_no_such_form_is_enough(text: str | None) -> None:
    [first, *_] = QUESTION.groups
    said = refusal(QUESTION, **{first: text})
    assert f"nothing in the user data of {first} shows it" in said
    assert QUESTION.groups[1] not in said


def test_what_is_against_a_member_is_told_once() -> None:
    [first, *_] = QUESTION.groups
    lacking = USUAL.replace("kube-scheduler.service", "somebody-elses.service")
    said = refusal(QUESTION, **{first: lacking})
    assert said.count("kube-scheduler") == 1
    assert f"{first}: its user data has no unit that starts kube-scheduler" in said


def test_a_layout_without_an_adapter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "LAYOUTS", {name: one for name, one in LAYOUTS.items() if name != "kubeadm"})
    assert "layout is 'kubeadm', and this version has no adapter for it; there are" in refusal(form(layout="kubeadm"))


def test_another_layout_than_the_user_data_shows_is_refused() -> None:
    told = refusal(form(layout="kubeadm"))
    assert "migration:controlPlane.layout is 'kubeadm', and the user data shows another form (cloud-config: " in told


SETS = ControlPlaneForm.of(settings(0, **sets()), STAGES[0])
ETCD = legacy.etcd(cluster="pet", member="etcd-a", initial_cluster="etcd-a=https://10.0.0.10:2380")
API = legacy.master(cluster="pet", pod_cidr="100.64.0.0/16", api_names=["api"], etcd_servers=["https://10.0.0.10:2379"])


def of_sets(**by_group: str | None) -> dict[str, str | None]:
    return {**dict.fromkeys(SETS.groups, ETCD), **dict.fromkeys(SETS.servers, API), **by_group}


def test_both_kinds_of_a_sets_machines_are_looked_at() -> None:
    assert look(SETS, **of_sets()).startswith("separate-etcd: 3 members' and 3 API machines' user data is as")
    said = refusal(SETS, **of_sets(**{"api-b.pet": API.replace(":2379", ":4001")}))
    assert "api-b.pet: no new machine can be made" in said
    assert "migration:etcd.clientPort is 2379, the user data says 4001" in said


def test_machines_that_are_listed_as_the_other_kind_are_told() -> None:
    said = refusal(SETS, **of_sets(**{"api-b.pet": ETCD, "etcd-c.pet": API}))
    assert "api-b.pet starts etcd and stands in migration:members[].apiServers" in said
    assert "etcd-c.pet starts an API server and no etcd, and is a member's group" in said


def test_a_cluster_of_units_is_no_set_and_a_set_no_cluster_of_units() -> None:
    assert "the user data shows another form (cloud-config: " in refusal(
        SETS, **of_sets(**dict.fromkeys(SETS.groups, USUAL))
    )
    assert "nothing in the user data of" in refusal(QUESTION, **dict.fromkeys(QUESTION.groups, ETCD))


def test_an_operators_own_file_is_rendered_before_anything_moves(tmp_path: Path) -> None:
    own = tmp_path / "own.sh"
    question = form(layout="custom", user_data_file=str(own))
    assert "own.sh can't be read" in refusal(question, "#!/bin/sh\n")
    own.write_text("{{ member }} {{ ticket_parameter }}")
    assert look(question, "#!/bin/sh\n").startswith("custom: 3 members")
    assert look(question, None).startswith("custom: 3 members")
    own.write_text("{{ membr }} {{ ticket_parameter }}")
    assert "has the placeholder {{ membr }}, which isn't known" in refusal(question)


def test_with_an_own_file_the_old_machines_are_still_stopped_by_their_units_names(tmp_path: Path) -> None:
    own = tmp_path / "own.sh"
    own.write_text("{{ identity }}")
    question = form(layout="custom", user_data_file=str(own), units=Units(etcd="etcd-main"))
    assert "units.etcd is 'etcd-main', the user data has 'etcd'" in refusal(question)
