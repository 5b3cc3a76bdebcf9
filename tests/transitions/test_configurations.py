"""What configurations make of what is declared: clashes, which settings refuse, partitions, ports, times, names."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from migration.etcd.userdata import IDENTITY
from migration.settings import ConfigurationError, Settings, load
from tests.samples import configuration, flat, settings
from tests.transitions.recorder import declare


def member_at(name: str, c: dict[str, Any]) -> None:
    c["pools"][0]["name"] = name


def network(name: str, c: dict[str, Any]) -> None:
    c["connectedNetworks"].append({"name": name, "cidr": "10.60.0.0/16", "vpcId": "vpc-x", "routeTables": ["rtb-x"]})


def side_nodes(c: dict[str, Any]) -> None:
    c["sides"]["nodes"] = c["sides"].pop("legacy")
    c["from"] = "nodes"


def record_names(c: dict[str, Any]) -> None:
    c["sides"]["main-b"] = c["sides"].pop("legacy")
    c["from"] = "main-b"
    apps = c["traffic"]["records"][1]
    c["traffic"]["records"] += [{**apps, "name": "b-x.pet.example"}, {**apps, "name": "x.pet.example"}]


def policies(c: dict[str, Any]) -> None:
    c["pools"][0]["scaling"] = [{"name": "cpu", "target": 1, "predefined": "ASGAverageCPUUtilization"}] * 2


def schedules(c: dict[str, Any]) -> None:
    c["pools"][0]["schedules"] = [{"name": "night", "recurrence": "0 20 * * *", "min": 1}] * 2


CLASHES: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("a pool like a member", lambda c: member_at("member-a", c)),
    ("a network like the nodes", lambda c: network("nodes", c)),
    ("a network like a side", lambda c: network("legacy", c)),
    ("two networks of one name", lambda c: network("corp", c)),
    ("a side like the nodes", side_nodes),
    ("names that meet", record_names),
    ("a name twice", lambda c: c["traffic"]["records"].append(dict(c["traffic"]["records"][0]))),
    ("a pool twice", lambda c: c["pools"].append({**c["pools"][0], "group": "other"})),
    ("a policy twice", policies),
    ("a schedule twice", schedules),
    ("a table twice", lambda c: c["connectedNetworks"][0]["routeTables"].append("rtb-corp")),
    ("an operators' range twice", lambda c: c["operatorNetworks"].append("10.50.0.0/16")),
]


@pytest.mark.parametrize("change", [one[1] for one in CLASHES], ids=[one[0] for one in CLASHES])
def test_what_is_refused_as_a_clash_would_be_two_resources_of_one_name(
    change: Callable[[dict[str, Any]], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = configuration()
    change(values)
    with pytest.raises(ConfigurationError):
        load(flat(values), "stage-7")
    monkeypatch.setattr("migration.settings.rules.rules", lambda _: ())
    with pytest.raises(AssertionError, match="two resources of one type and name"):
        declare(load(flat(values), "stage-7"))


def test_a_network_named_like_a_side_would_take_that_sides_rules_away(monkeypatch: pytest.MonkeyPatch) -> None:
    values = configuration()
    values["connectedNetworks"].append({"name": "legacy", "cidr": "10.60.0.0/16"})
    monkeypatch.setattr("migration.settings.rules.rules", lambda _: ())
    found = declare(load(flat(values), "stage-2"))
    rule = found[("SecurityGroupIngressRule", "main-ingress-from-legacy")]
    assert rule.inputs["cidrIpv4"] == "10.60.0.0/16" != values["sides"]["legacy"]["cidr"]


def elsewhere(region: str, stage: int) -> Settings:
    text = json.dumps(configuration()).replace("eu-central-1", region)
    return load({**flat(json.loads(text)), "aws:region": region}, f"stage-{stage}")


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_arns_and_the_gateway_endpoint_are_those_of_the_regions_partition(region: str, partition: str) -> None:
    found = declare(elsewhere(region, 2))
    policy = json.loads(found[("RolePolicy", "main-member")].inputs["policy"])
    ssm = next(one for one in policy["Statement"] if one["Action"] == ["ssm:GetParameter"])
    assert ssm["Resource"] == f"arn:{partition}:ssm:{region}:*:parameter/pet/members/*"
    # The gateway endpoint of S3 is called the same in China, too; cn.com.amazonaws is for interfaces.
    assert found[("VpcEndpoint", "main-s3")].inputs["serviceName"] == f"com.amazonaws.{region}.s3"


def test_no_partition_is_written_out() -> None:
    root = Path(__file__).resolve().parents[2]
    for room in ("components", "migration", "providers"):
        for file in (root / room).rglob("*.py"):
            assert '"arn:aws' not in file.read_text(), file


def test_the_cut_of_names_may_take_a_gates_time_and_the_longest_old_ttl() -> None:
    records = configuration()["traffic"]["records"]
    records[1]["ttl"] = 86_400
    traffic = {**configuration()["traffic"], "records": records}
    assert declare(settings(2, traffic=traffic))[("DnsCut", "names")].asked["timeoutSeconds"] == 900 + 86_400
    # What it may take is no reason to do it again.
    before, after = (declare(settings(2, limits={"gateSeconds": s}))[("DnsCut", "names")] for s in (900, 1800))
    assert before.asked["timeoutSeconds"] != after.asked["timeoutSeconds"]
    assert before.inputs["names"] == after.inputs["names"]


def test_a_new_member_is_told_the_ports_that_are_configured() -> None:
    etcd = {**configuration()["etcd"], "clientPort": 4001, "peerPort": 7001}
    template = declare(settings(7, etcd=etcd))[("LaunchTemplate", "main-member-a")]
    text = gzip.decompress(base64.b64decode(template.inputs["userData"])).decode()
    files = {entry["path"]: entry["content"] for entry in yaml.safe_load(text)["write_files"]}
    assert json.loads(files[IDENTITY])["ports"] == {"api": 6443, "clients": 4001, "peers": 7001}


def test_a_dotted_clusters_balancers_get_names_that_aws_takes_and_tags_that_say_whose_they_are() -> None:
    found = declare(settings(7, cluster="pet.k8s.example.com"))
    named = [one for one in found.values() if one.type.rsplit(":", 1)[-1] in ("LoadBalancer", "TargetGroup")]
    names = {one.inputs["name"] for one in named}
    assert len(named) == 5
    assert names == {
        "pet-k8s-exam-947180-ingress-main",
        "pet-k8s-example-947180-api-main",
        "pet-k8s-e-947180-apimembers-main",
    }
    assert {one.inputs["tags"]["migration:cluster"] for one in named} == {"pet.k8s.example.com"}
