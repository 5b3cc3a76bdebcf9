"""A stack that an earlier version brought to stage 5, previewed by today's program: everything in it stays itself.

`upgrade/` holds what that version left of a whole lab: the exported state, its configuration, and here its record.
Nothing else of the lab is there: a preview must not need it.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto.route53.models import route53_backends

from lab.addresses import REGION
from lab.environment import LAB_PASSPHRASE
from tests.lab.plugins.driving import Engine, bare_engine, environment
from tests.lab.plugins.leaks import leaks

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[3]
KEPT = Path(__file__).parent / "upgrade"
RECORD = {"owner": "migration/default", "from": "legacy", "to": "main", "reached": 5, "tried": 5}

Key = tuple[str, str]

RECORDS = {
    ("aws:route53/record:Record", f"{side}-{name}.pet.lab.internal")
    for side in ("legacy", "main")
    for name in ("api", "*.apps")
}
MIGRATION = ("migration:migration:Migration", "migration")


def operation(kind: str, name: str) -> Key:
    return f"pulumi-python:dynamic/migration:{kind}", name


GUARDS = {operation("StackGuard", "guard"), operation("WorkerGuard", "main-workers-guard")}

# What lower stages declare for the way back.
TAKES_BACK = {
    ("migration:workers:End", "legacy-workers-end"),
    operation("WorkerScale", "legacy-workers"),
    operation("Taint", "main-taint"),
    *(operation("Drain", f"{side}-drain{tier}") for side in ("legacy", "main") for tier in ("", "-ingress")),
}

# What was copied is called after the side that has the copies, so that it keeps its name when that one is left.
ONCE_CALLED, NOTE = operation("GroupNote", "legacy-worker-groups"), operation("GroupNote", "main-copied-workers")

# Gates got questions, the pair got words for what it is, and the hold is told what each group shall have.
ASKED_ANEW = {
    operation("Gate", "gate-before"),
    operation("Gate", "gate-after"),
    operation("DnsCut", "names"),
    # Members were addresses; now they are machines of groups.
    operation("ApiTargets", "api-targets"),
    operation("AutoscalerHold", "legacy-autoscaler"),
    # The record gets its cluster's and its stack's identity.
    operation("StageRecord", "begin"),
    operation("StageRecord", "reached"),
    # The operator looks at Ingresses whose hosts external-dns makes records of.
    ("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "operator"),
}


def key(urn: str) -> Key:
    """A resource's own type and its name."""
    _, _, kinds, name = urn.split("::", 3)
    return kinds.rpartition("$")[2], name


def side_of_stage_5(client: Callable[[str], Any]) -> None:
    """As much of the new side as the record's stage is believed by: its VPC, its balancers, its workers' groups."""
    ec2, elb, scaling = client("ec2"), client("elbv2"), client("autoscaling")
    tags = {"migration:cluster": "pet", "migration:side": "main", "migration:role": "vpc"}
    vpc = ec2.create_vpc(CidrBlock="127.30.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="127.30.1.0/24")["Subnet"]["SubnetId"]
    for role in ("ingress", "api"):
        elb.create_load_balancer(Name=f"pet-{role}-main", Type="network", Scheme="internal", Subnets=[subnet])
    data = {"ImageId": "ami-12c6146b", "InstanceType": "m5.large"}
    template = ec2.create_launch_template(LaunchTemplateName="any", LaunchTemplateData=data)["LaunchTemplate"]
    configuration = yaml.safe_load((KEPT / "Pulumi.stage-5.yaml").read_text())["config"]
    made = client("route53").create_hosted_zone(Name="pet.lab.internal", CallerReference="upgrade")["HostedZone"]["Id"]
    # No request gives a zone an id, and the state has one.
    [zones] = [one.zones for account in route53_backends.values() for one in account.values() if one.zones]
    zones[configuration["migration:traffic"]["zoneId"]] = zones.pop(made.rpartition("/")[2])
    for pool in configuration["migration:pools"]:
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=f"{pool['group']}-main",
            MinSize=0,
            MaxSize=0,
            VPCZoneIdentifier=subnet,
            LaunchTemplate={"LaunchTemplateId": template["LaunchTemplateId"], "Version": "1"},
        )


@pytest.fixture
def engine(tmp_path: Path, aws_url: str) -> Iterator[Engine]:
    session: Any = boto3.Session("lab", "lab", region_name=REGION)
    ssm = session.client("ssm", endpoint_url=aws_url)
    side_of_stage_5(lambda service: session.client(service, endpoint_url=aws_url))
    ssm.put_parameter(Name="/pet/migration/record", Type="String", Value=json.dumps(RECORD))
    extra = {"KUBECONFIG": "kubeconfig", "PULUMI_CONFIG_PASSPHRASE": LAB_PASSPHRASE}
    made = bare_engine(tmp_path, {**environment(aws_url), **extra})
    for part in ("Pulumi.yaml", "__main__.py", "components", "migration", "providers", ".venv"):
        (made.folder / part).symlink_to(ROOT / part)
    (made.folder / "stacks").mkdir()
    shutil.copy(KEPT / "Pulumi.stage-5.yaml", made.folder / "stacks")
    state = tmp_path / "state.json"
    state.write_bytes(gzip.decompress((KEPT / "stage-5.state.json.gz").read_bytes()))
    made.run("stack", "init", "stage-5")
    made.run("stack", "import", "-s", "stage-5", "--file", str(state))
    yield made
    ssm.delete_parameter(Name="/pet/migration/record")


def held() -> list[Key]:
    """What the stack holds, besides the providers that the engine makes by itself."""
    state = json.loads(gzip.decompress((KEPT / "stage-5.state.json.gz").read_bytes()))
    every = [key(resource["urn"]) for resource in state["deployment"]["resources"]]
    return [one for one in every if not (one[0].startswith("pulumi:providers:") and one[1].startswith("default"))]


def steps(engine: Engine, stage: int) -> dict[Key, str]:
    """What a preview would do with each resource."""
    said = engine.run("preview", "-s", f"stage-{stage}", "--json", "--show-sames")
    plan: list[dict[str, Any]] = json.loads(said[said.index("{") : said.rindex("}") + 1])["steps"]
    found = {key(step["urn"]): step["op"] for step in plan}
    assert len(found) == len(plan), "two steps of one type and name"
    return found


def test_a_stack_of_stage_5_keeps_every_resource_and_goes_on_to_6(engine: Engine) -> None:
    before = held()
    assert len(before) == len(set(before)) == 119

    same = steps(engine, 5)
    assert {one for one, op in same.items() if op == "create"} == {MIGRATION, *RECORDS, *GUARDS, *TAKES_BACK}
    assert {one for one, op in same.items() if op == "update"} == ASKED_ANEW
    assert Counter(same.values()) == {"same": 111, "create": 14, "update": 8}
    # By aliases: nothing that stood at the root is taken for another because it has a parent now.
    assert set(same) == {*before, MIGRATION, *RECORDS, *GUARDS, *TAKES_BACK, NOTE} - {ONCE_CALLED}

    engine.run("stack", "rename", "stage-6", "-s", "stage-5")
    further = steps(engine, 6)
    assert set(further.values()) == {"same", "create", "update"}
    assert {one for one, op in further.items() if op == "create"} == {
        MIGRATION,
        *RECORDS,
        *GUARDS,
        *TAKES_BACK,
        ("migration:control_plane:Members", "main-members"),
        *(operation("MemberSwap", f"swap-master-{name}") for name in "abc"),
        ("migration:security_groups:Swap", "swap-access"),
        ("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "legacy-etcd-from-operator-127.53.0.0/16"),
        ("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "main-etcd-from-operator-127.53.0.0/16"),
    }
    assert {one for one, op in further.items() if op == "update"} == {
        *ASKED_ANEW,
        operation("IngressPolicy", "ingress-policy"),
        ("kubernetes:core/v1:ConfigMap", "status"),
    }
    stack = ("pulumi:pulumi:Stack", "migration-stage-5")
    assert {*before} - {*further} == {stack, ONCE_CALLED}, "renamed with the stack, by an alias, and nothing else"


def plain(engine: Engine) -> set[Key]:
    """The resources whose user data an export shows."""
    state = json.loads(engine.run("stack", "export", "-s", "stage-5"))["deployment"]["resources"]
    places = {resource["urn"]: json.dumps(resource).encode() for resource in state}
    found = leaks(places, {"user data": "EnvironmentFile=/etc/kubernetes/kubelet.env"})
    return {key(one.removeprefix("user data: ")) for one in found}


def test_what_that_version_kept_in_plain_is_secret_after_the_next_up(engine: Engine) -> None:
    holders = {one for one in held() if one[0] == "aws:ec2/launchTemplate:LaunchTemplate"}
    holders.add(ONCE_CALLED)
    assert len(holders) == 13
    # Operations that were given the whole note aren't any more, so they run anew and leave nothing of it.
    rerun = {operation("AutoscalerHold", "legacy-autoscaler")}
    assert rerun <= ASKED_ANEW
    assert plain(engine) == holders | rerun
    # Nothing of the others changes. The rest of the up would need the lab that is gone.
    only = ("**migration:GroupNote::*", "**LaunchTemplate::*", "**Migration::migration")
    # What isn't targeted goes on depending on the note by its old name, which a whole up would mend.
    unchecked = "--disable-integrity-checking"
    said = engine.run("up", "--yes", "--skip-preview", unchecked, "-s", "stage-5", *(f"--target={one}" for one in only))
    assert "+ 1 created" in said
    assert "updated" not in said
    assert plain(engine) == rerun
