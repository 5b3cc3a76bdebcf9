"""Terraform states of both forms, and exactly what the old code must forget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from migration.__main__ import main
from migration.handover.forget import forgotten, ids_by_address, text
from migration.handover.state import parsed, read, without_key, without_module
from migration.runtime.deadline import Permanent
from tests.samples import configuration, settings


def stack_file(folder: Path, values: dict[str, Any]) -> Path:
    """A stack's file with these keys under `migration:`."""
    path = folder / "Pulumi.stage-8.yaml"
    keys = {f"migration:{key}": value for key, value in values.items()}
    path.write_text(yaml.safe_dump({"config": {"aws:region": "eu-central-1", **keys}}))
    return path


def group(name: str) -> dict[str, Any]:
    return {"id": name, "name": name}


RECORD = {"zone_id": "Z1", "name": "api.pet.example"}


def resource(kind: str, name: str, *instances: tuple[Any, dict[str, Any]], **more: Any) -> dict[str, Any]:
    found = [{"attributes": values} | ({} if key is None else {"index_key": key}) for key, values in instances]
    return {"mode": "managed", "type": kind, "name": name, "instances": found, **more}


RAW: dict[str, Any] = {
    "version": 4,
    "resources": [
        resource("aws_vpc", "main", (None, {"id": "vpc-old", "arn": "arn:vpc"})),
        resource("aws_security_group", "nodes", (None, {"id": "sg-nodes"})),
        resource("aws_autoscaling_group", "nodes", *((z, group(f"nodes-m5-{z}.pet")) for z in "abc")),
        resource("aws_autoscaling_group", "others", ("ours", {"id": "master-a.pet"}), ("theirs", {"id": "shop"})),
        resource("aws_route53_record", "api", (None, {"id": "Z1_api", **RECORD}), module="module.dns"),
        resource("aws_vpc", "looked_up", (None, {"id": "vpc-corp"}), mode="data"),
    ],
}  # fmt: skip

SHOWN: dict[str, Any] = {
    "format_version": "1.0",
    "values": {
        "root_module": {
            "resources": [
                {"address": "aws_security_group.nodes", "mode": "managed", "type": "aws_security_group",
                 "values": {"id": "sg-nodes"}},
                {"address": "data.aws_vpc.x", "mode": "data", "type": "aws_vpc", "values": {"id": "vpc-corp"}},
            ],
            "child_modules": [
                {"resources": [
                    {"address": "module.dns.aws_route53_record.api", "mode": "managed", "type": "aws_route53_record",
                     "values": {"id": "x", **RECORD}},
                ]},
            ],
        }
    },
}  # fmt: skip


def test_exactly_what_moved_or_is_retired_is_forgotten() -> None:
    found = forgotten(settings(8).configuration, list(parsed(RAW)))
    assert found.removed == (
        "aws_autoscaling_group.nodes",
        "aws_security_group.nodes",
        "module.dns.aws_route53_record.api",
    )
    assert found.instances == ('aws_autoscaling_group.others["ours"]',)
    assert found.stays == ('aws_autoscaling_group.others["theirs"]', "aws_vpc.main")


def test_both_forms_say_the_same() -> None:
    found = forgotten(settings(8).configuration, list(parsed(SHOWN)))
    assert found.removed == ("aws_security_group.nodes", "module.dns.aws_route53_record.api")


def test_blocks_name_resources_and_destroy_nothing_and_single_instances_are_commands() -> None:
    said = text(forgotten(settings(8).configuration, list(parsed(RAW))))
    assert "removed {\n  from = aws_security_group.nodes\n\n  lifecycle {\n    destroy = false\n  }\n}\n" in said
    assert """#   terraform state rm 'aws_autoscaling_group.others["ours"]'\n""" in said
    assert "theirs" not in said
    assert said.count("removed {") == 3


def test_what_stays_is_in_no_block() -> None:
    only = {"version": 4, "resources": RAW["resources"][:1]}
    assert "removed {" not in text(forgotten(settings(8).configuration, list(parsed(only))))


@pytest.mark.parametrize(
    ("address", "resource"),
    [
        ("aws_vpc.main", "aws_vpc.main"),
        ("aws_vpc.main[0]", "aws_vpc.main"),
        ('aws_vpc.main["a[1].b"]', "aws_vpc.main"),
        ('module.x["a"].aws_vpc.main', 'module.x["a"].aws_vpc.main'),
    ],
)
def test_an_address_without_its_key(address: str, resource: str) -> None:
    assert without_key(address) == resource


def test_an_address_without_its_modules() -> None:
    assert without_module('module.a["x"].module.b.aws_vpc.main') == "aws_vpc.main"


def test_ids_are_known_by_address_and_arns_come_last() -> None:
    known = ids_by_address(parsed(RAW))
    assert known["aws_vpc.main"] == "vpc-old"
    assert known['aws_autoscaling_group.nodes["b"]'] == "nodes-m5-b.pet"


@pytest.mark.parametrize(
    ("content", "said"),
    [("no json", "can't be read"), ("[]", "is no JSON object"), ('{"version": 3}', "holds no managed resource")],
)
def test_what_is_no_state_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(Permanent, match=said):
        read(path)


def test_the_command_prints_the_blocks_and_refuses_another_clusters_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack, state = stack_file(tmp_path, configuration()), tmp_path / "state.json"
    state.write_text(json.dumps(RAW))
    assert main(["handover", "--from", "terraform", str(state), "--file", str(stack)]) == 0
    assert "from = aws_autoscaling_group.nodes\n" in capsys.readouterr().out
    state.write_text(json.dumps({"version": 4, "resources": [resource("aws_vpc", "x", (None, {"id": "vpc-9"}))]}))
    assert main(["handover", "--from", "terraform", str(state), "--file", str(stack)]) == 2
    assert "nothing in" in capsys.readouterr().err
    assert main(["handover", "--from", "pulumi", str(state), "--file", str(stack)]) == 2
    assert "only terraform is known" in capsys.readouterr().err


def test_discovery_takes_an_address_of_the_state_for_an_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state.json"
    state.write_text(json.dumps(RAW))
    asked = ["discover", "--cluster", "pet", "--region", "eu-central-1", "--terraform", str(state)]
    assert main([*asked, "--vpc", "aws_vpc.other"]) == 2
    assert f"{state} has nothing at aws_vpc.other; of aws_vpc it has aws_vpc.main" in capsys.readouterr().err
