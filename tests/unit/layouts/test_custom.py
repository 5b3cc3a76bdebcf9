"""The layout custom: the operator's own user data, with placeholders."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from migration.etcd.userdata import boot_script
from migration.layouts.contract import MAX_BYTES, GroupSeen, NewMachine
from migration.layouts.contradiction import contradictions
from migration.layouts.custom import PLACEHOLDERS
from migration.layouts.registry import LAYOUTS, template_text
from migration.runtime.deadline import Permanent
from migration.settings.model import MemberFiles, Pki, Units
from tests.unit.layouts.clusters import IDENTITY, UNITS, evidence, group, other_files, plain

CUSTOM = LAYOUTS["custom"]
NEW = replace(IDENTITY, api_names=("api.pet", "kubernetes"))
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "control-plane.md"


def rendered(template: str | None, pki: Pki | None = None) -> str:
    machine = NewMachine(original=None, identity=NEW, pki=pki or Pki(), template=template)
    return plain(CUSTOM.user_data(machine))


MEANT = "{{ member }} {{ticket_parameter}}"


def test_every_placeholder_is_filled_in() -> None:
    text = rendered(
        "{{ cluster }} {{ region }} {{ member }} {{ ticket_parameter }} {{ api_port }} {{ client_port }} "
        "{{ peer_port }} {{ api_names }} {{ certificates }}"
    )
    assert text == "pet eu-central-1 master-a-main /pet/t 6443 2379 2380 api.pet,kubernetes ssm:/pet/pki"


def test_spaces_inside_of_the_braces_do_not_matter() -> None:
    assert rendered("{{member}}{{   ticket_parameter   }}") == "master-a-main/pet/t"


def test_the_programs_own_boot_may_be_used_with_its_identity() -> None:
    identity, _, boot = rendered("{{ identity }}\n{{ boot }}", Pki(source="s3", bucket="keys")).partition("\n")
    assert gzip.decompress(base64.b64decode(boot)).decode() == boot_script()
    assert json.loads(identity) == {
        "api_names": ["api.pet", "kubernetes"],
        "cluster": "pet",
        "member": "master-a-main",
        "pki": {"source": "s3", "prefix": "pet/pki", "bucket": "keys"},
        "ports": {"api": 6443, "clients": 2379, "peers": 2380},
        "region": "eu-central-1",
        "ticket_parameter": "/pet/t",
        "volume_tags": {"migration:cluster": "pet", "migration:member": "master-a-main"},
    }


def test_what_shell_and_others_mean_by_braces_stays() -> None:
    meant = "${#list[@]} {% x %} {# y #} ${HOME} {{.State.Status}} {{ .Names }} }} {"
    assert rendered(MEANT + meant).endswith(meant)
    assert rendered(MEANT + "{{ open }}range .Items}}").endswith("{{range .Items}}")


@pytest.mark.parametrize("name", ["tiket_parameter", "member | upper", "ticket-parameter", "MEMBER"])
def test_an_unknown_placeholder_is_refused_by_name_with_the_known_ones(name: str) -> None:
    with pytest.raises(Permanent) as refused:
        rendered(f"{MEANT} {{{{ {name} }}}}")
    said = str(refused.value)
    assert f"has the placeholder {{{{ {name} }}}}, which isn't known; known are cluster, region, member" in said
    assert all(known in said for known in PLACEHOLDERS)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(Permanent) as refused:
        rendered("{{ a }} {{ b }}")
    said = str(refused.value)
    assert [part in said for part in ("{{ a }}, which", "{{ b }}, which")] == [True, True]
    assert "would wait for no ticket" in said
    assert "all members would have one name" in said


def test_what_is_too_large_is_refused_with_both_sizes_and_never_packed() -> None:
    with pytest.raises(Permanent, match=rf"would be {MAX_BYTES + 20} bytes; EC2 takes {MAX_BYTES}"):
        rendered(MEANT + "x" * MAX_BYTES)
    fits = NewMachine(original=None, identity=NEW, template=MEANT + "x" * (MAX_BYTES - 20))
    assert base64.b64decode(CUSTOM.user_data(fits)).startswith(b"master-a-main /pet/t")


def test_without_a_file_nothing_is_made() -> None:
    with pytest.raises(Permanent, match="names no userDataFile"):
        rendered(None)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert template_text(None) is None
    (tmp_path / "own.sh").write_text("x")
    assert template_text(str(tmp_path / "own.sh")) == "x"
    with pytest.raises(Permanent, match=r"userDataFile .*/gone\.sh can't be read: .*; correct the path"):
        template_text(str(tmp_path / "gone.sh"))
    (tmp_path / "packed").write_bytes(gzip.compress(b"x"))
    with pytest.raises(Permanent, match="can't be read"):
        template_text(str(tmp_path / "packed"))


def test_members_are_known_by_tags_alone() -> None:
    kops, mine = {"k8s.io/role/control-plane": "1"}, {"sigs.k8s.io/cluster-api-provider-aws/role": "control-plane"}
    others = {"k8s.io/role/node": "1"}, {"sigs.k8s.io/cluster-api-provider-aws/role": "node"}
    seen = CUSTOM.recognise(
        evidence(*(group(name, tags=tags) for name, tags in zip("abcd", (kops, mine, *others), strict=True)))
    )
    assert seen.members == ("a", "b")
    assert seen.because[0] == "a has the tag k8s.io/role/control-plane=1"
    assert "migration:controlPlane.units" in seen.unseen[0]
    assert CUSTOM.recognise(evidence(group("w", tags=others[0]))).members == ()


def script(**changed: str) -> str:
    """User data that writes its units by here-documents."""
    files = {**other_files(), **changed}
    return "#!/bin/sh\n" + "".join(f"cat > {path} <<'END'\n{text}END\n" for path, text in files.items())


def member(name: str, user_data: str) -> GroupSeen:
    return group(name, user_data, tags={"k8s.io/role/master": "1"})


def test_units_that_a_script_writes_are_read_there() -> None:
    seen = CUSTOM.recognise(evidence(member("a", script()), member("b", script())))
    assert seen.because[-1] == (
        "a's user data writes etcd-member.service, apiserver.service, controllers.service, scheduler.service"
    )
    assert seen.unseen == ()
    assert seen.keys["units"] == {
        "etcd": "etcd-member",
        "apiServer": "apiserver",
        "controllerManager": "controllers",
        "scheduler": "scheduler",
    }
    assert seen.keys["files"] == {
        "etcdCa": "/etc/pki/etcd/ca.pem",
        "etcdCertificate": "/etc/pki/k8s/etcd.pem",
        "etcdKey": "/etc/pki/k8s/etcd-key.pem",
        "snapshots": "/srv/etcd/snapshots",
    }


@pytest.mark.parametrize("path", [f"{UNITS}/etcd-member.service", f"{UNITS}/scheduler.service"])
def test_where_one_is_missing_or_members_differ_nothing_is_taken_for_seen(path: str) -> None:
    lacking = CUSTOM.recognise(evidence(member("a", script(**{path: ""}))))
    differing = CUSTOM.recognise(evidence(member("a", script()), member("b", script(**{path: ""}))))
    for seen in (lacking, differing):
        assert seen.keys == {}
        assert "migration:controlPlane.units" in seen.unseen[0]


def test_names_that_a_script_shows_are_held_against_the_configuration() -> None:
    seen = evidence(member("a", script()))
    keys = CUSTOM.recognise(seen).keys
    units, files = Units.model_validate(keys["units"]), MemberFiles.model_validate(keys["files"])
    assert contradictions(seen, "custom", units, files) == []
    assert contradictions(seen, "custom", units.model_copy(update={"etcd": "etcd"}), files) == [
        "migration:controlPlane.units.etcd is 'etcd', the user data has 'etcd-member'"
    ]
    # What isn't seen contradicts nothing.
    assert contradictions(evidence(member("a", "#!/bin/sh\n")), "custom", Units(etcd="x"), files) == []


def test_its_commands_are_for_the_units_that_the_configuration_names() -> None:
    assert CUSTOM.commands(Units(etcd="etcd-main.service")).stop_etcd == "systemctl disable --now etcd-main"


def test_the_document_has_a_line_for_each_placeholder_and_for_no_other() -> None:
    rows = re.findall(r"^\| `\{\{ (\w+) \}\}` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(PLACEHOLDERS)
