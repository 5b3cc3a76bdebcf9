"""States that earlier versions wrote, with an operation's inputs side by side: what they mean to today's contracts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from migration.contracts.base import Inputs, Result
from migration.contracts.gates import CheckResult, GateInputs, GateResult, IngressQuiet, SideRef
from migration.contracts.members import MemberSwapResult, OldMember, SnapshotTaken
from migration.contracts.record import Record, StageRecordInputs, StageRecordResult
from migration.contracts.retirement import RetirementResult
from migration.contracts.traffic import (
    ApiTargetsInputs,
    ApiTargetsResult,
    DnsCutInputs,
    DnsCutResult,
    IngressPolicyInputs,
    IngressPolicyResult,
    SideBalancers,
)
from migration.contracts.workers import (
    AutoscalerHoldInputs,
    AutoscalerHoldResult,
    BlockDevice,
    DrainInputs,
    DrainResult,
    Ebs,
    Group,
    GroupNoteInputs,
    GroupNoteResult,
    HeldBefore,
    InstanceProfile,
    MetadataOptions,
    Size,
    TaintInputs,
    TaintResult,
    Template,
    WorkerScaleResult,
)
from migration.settings.model import AcceptedFlows, DnsRecord
from providers import operations
from tests.samples import COMMON, DRAIN_RULES

# A state's numbers are floats. What none of these was is left as it is.
FLAT: dict[str, Any] = {
    "__provider": "pickled",
    "cluster": "pet",
    "connection": {"region": "eu-central-1"},
    "timeoutSeconds": 180.0,
}
EBS = {"deleteOnTermination": True, "encrypted": True, "volumeSize": 64.0, "volumeType": "gp3"}
GROUP: dict[str, Any] = {
    "desired": 1.0,
    "group": "nodes-a.pet",
    "max": 10.0,
    "min": 0.0,
    "tags": {"k8s.io/role/node": "1"},
    "template": {
        "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": EBS}],
        "iamInstanceProfile": {"name": "nodes.pet"},
        "imageId": "ami-1",
        "instanceType": "m5.large",
        "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required"},
        "userData": "I2Nsb3VkLWNvbmZpZw==",
        "monitoring": {"enabled": True},
        "creditSpecification": {"cpuCredits": "standard"},
        "tagSpecifications": [],
    },
}
RECORD = {"name": "api.pet", "serves": "api", "ttl": 5.0, "value": "api-old.elb"}
SIDES: dict[str, Any] = {
    "old": SideBalancers(side="legacy", api="api-old.elb", ingress="in-old.elb"),
    "new": SideBalancers(side="main", api="api-new.elb", ingress="in-new.elb"),
}

# Resource, what the state holds besides FLAT, what today's program asks for, whether that is to be run.
STATES: list[tuple[str, dict[str, Any], Inputs, bool]] = [
    (
        "GroupNote",
        {"groups": {"a": "nodes-a.pet"}, "label": "legacy", "result": {"groups": {"a": GROUP}}},
        GroupNoteInputs(**COMMON, side="legacy", groups={"a": "nodes-a.pet"}),
        False,
    ),
    (
        "Taint",
        {"groups": ["nodes-a.pet"], "wanted": "tainted"},
        TaintInputs(**COMMON, wanted="tainted", groups=("nodes-a.pet",), side="legacy", join_seconds=120),
        False,
    ),
    (
        "IngressPolicy",
        {
            "groups": ["nodes-a.pet-main"],
            "namespace": "ingress",
            "nodePort": 30080.0,
            "recorded": "Local",
            "service": "ingress",
            "targetGroups": ["arn:1"],
            "wanted": "Cluster",
        },
        IngressPolicyInputs(
            **COMMON,
            wanted="Cluster",
            namespace="ingress",
            service="ingress",
            recorded="Local",
            target_groups=("arn:1",),
            groups=("nodes-a.pet-main",),
        ),
        False,
    ),
    (
        "ApiTargets",
        {"members": [{"address": "10.0.0.7", "name": "a"}], "port": 6443.0, "targetGroup": "arn:1"},
        ApiTargetsInputs(
            **COMMON,
            target_group="arn:1",
            port=6443,
            members=(OldMember(name="a", group="master-a.pet", address="10.0.0.7"),),
        ),
        # Whose machine is where is looked up, for which the group is needed.
        True,
    ),
    (
        "StageRecord",
        {
            "command": "pulumi up -s stage-{stage}",
            "from": "legacy",
            "to": "main",
            "owner": "migration/default",
            "phase": "begin",
            "stage": 5.0,
        },
        StageRecordInputs(
            **COMMON,
            phase="begin",
            stage=5,
            from_side="legacy",
            to_side="main",
            owner="migration/default",
            fixed="packed",
            command="pulumi up -s other.stage-{stage}",
        ),
        # Which cluster and which stack this is, and what must not change, wasn't recorded yet.
        True,
    ),
    (
        "Drain",
        {"wanted": "drained", "tier": "rest", "groups": ["nodes-a.pet"], "maxEvictionsPerSecond": 5.0, "vpcId": "v"},
        DrainInputs(
            **COMMON,
            wanted="drained",
            tier="rest",
            groups=("nodes-a.pet",),
            side="legacy",
            vpc_id="v",
            rules=DRAIN_RULES,
        ),
        False,
    ),
    (
        "DnsCut",
        {
            "wanted": "new",
            "newPercent": 50.0,
            "oldName": "legacy",
            "newName": "main",
            "old": {"api": "api-old.elb", "ingress": "in-old.elb"},
            "new": {"api": "api-new.elb", "ingress": "in-new.elb"},
            "records": [RECORD],
            "ttl": 2.0,
            "zoneId": "Z1",
        },
        DnsCutInputs(
            **COMMON,
            **SIDES,
            form="pair",
            zone_id="Z1",
            records=(DnsRecord(name="api.pet", serves="api", ttl=5, value="api-old.elb"),),
            ttl=2,
            new_weight=100,
        ),
        True,
    ),
    (
        "Gate",
        {
            "checks": ["ingress-quiet"],
            "facts": {"ttl": 2.0},
            "label": "after stage 5",
            "position": "after",
            "stage": 5.0,
        },
        GateInputs(
            **COMMON,
            stage=5,
            position="after",
            questions=(
                IngressQuiet(
                    side=SideRef(name="legacy", suffix="", cidr="10.0.0.0/16"),
                    ttl=2,
                    metric_period_seconds=60,
                    quiet_periods=3,
                    accepted=AcceptedFlows(),
                ),
            ),
        ),
        True,
    ),
    (
        "AutoscalerHold",
        {
            "newGroups": {"nodes-a.pet-main": "a"},
            "oldGroups": ["nodes-a.pet"],
            "sizes": {"a": GROUP},
            "wanted": "held",
        },
        AutoscalerHoldInputs(
            **COMMON,
            wanted="held",
            old_groups=("nodes-a.pet",),
            new_groups={"nodes-a.pet-main": Size(min=0, desired=1)},
        ),
        True,
    ),
]


@pytest.mark.parametrize(("resource", "kept", "asked", "runs"), STATES, ids=[state[0] for state in STATES])
def test_only_what_asks_for_more_than_it_did_runs_again(
    resource: str, kept: dict[str, Any], asked: Inputs, runs: bool
) -> None:
    provider = getattr(operations, resource).provider_class()
    news = {"__provider": "pickled", asked.shown: asked.say(), "inputs": asked.model_dump(mode="json", by_alias=True)}
    found = provider.diff("id", {**FLAT, **kept}, news)
    assert (found.changes, found.replaces) == (runs, [])


@pytest.mark.parametrize(
    ("resource", "change"),
    [
        ("GroupNote", {"groups": {"a": "nodes-b.pet"}}),
        ("Taint", {"wanted": "clear"}),
        ("IngressPolicy", {"recorded": "Cluster"}),
        ("ApiTargets", {"port": 443.0}),
        ("StageRecord", {"stage": 4.0}),
        ("Drain", {"tier": "ingress"}),
    ],
)
def test_what_was_wanted_otherwise_is_a_change(resource: str, change: dict[str, Any]) -> None:
    _, kept, asked, _ = next(state for state in STATES if state[0] == resource)
    provider = getattr(operations, resource).provider_class()
    news = {"inputs": asked.model_dump(mode="json", by_alias=True)}
    assert provider.diff("id", {**FLAT, **kept, **change}, news).changes is True


RESULTS: list[tuple[dict[str, Any], Result]] = [
    (
        {"record": {"from": "legacy", "owner": "migration/default", "reached": 4.0, "to": "main", "tried": 5.0}},
        StageRecordResult(
            record=Record(owner="migration/default", from_side="legacy", to_side="main", reached=4, tried=5)
        ),
    ),
    (
        {
            "position": "after",
            "results": [{"check": "ingress-quiet", "detail": "no new flow", "ok": True}],
            "stage": 5.0,
        },
        GateResult(
            stage=5,
            position="after",
            results=(CheckResult(check="ingress-quiet", ok=True, detail="no new flow"),),
        ),
    ),
    ({"addresses": ["10.0.0.7"]}, ApiTargetsResult(addresses=("10.0.0.7",))),
    (
        {"groups": {"a": GROUP}},
        GroupNoteResult(
            groups={
                "a": Group(
                    group="nodes-a.pet",
                    min=0,
                    max=10,
                    desired=1,
                    tags={"k8s.io/role/node": "1"},
                    template=Template(
                        image_id="ami-1",
                        instance_type="m5.large",
                        iam_instance_profile=InstanceProfile(name="nodes.pet"),
                        metadata_options=MetadataOptions(http_endpoint="enabled", http_tokens="required"),
                        block_device_mappings=(
                            BlockDevice(
                                device_name="/dev/xvda",
                                ebs=Ebs(volume_size=64, volume_type="gp3", encrypted=True, delete_on_termination=True),
                            ),
                        ),
                        user_data=SecretStr("I2Nsb3VkLWNvbmZpZw=="),
                    ),
                )
            }
        ),
    ),
    (
        {"changed": ["api.pet"], "ttl": 2.0, "wanted": "new", "weights": {"legacy": 0.0, "main": 100.0}},
        DnsCutResult(form=None, ttl=2, changed=("api.pet",)),
    ),
    (
        {"new": {"nodes-a.pet-main": 1.0}, "old": {"nodes-a.pet": {"max": 10.0, "suspended": []}}, "wanted": "held"},
        AutoscalerHoldResult(
            wanted="held", old={"nodes-a.pet": HeldBefore(max=10, suspended=())}, new={"nodes-a.pet-main": 1}
        ),
    ),
    (
        {"policy": "Cluster", "previous": "Local", "steps": ["flip"], "wanted": "Cluster"},
        IngressPolicyResult(wanted="Cluster", policy="Cluster", previous="Local", steps=("flip",)),
    ),
    (
        {"changed": 12.0, "missing": [], "nodes": ["ip-1"], "wanted": "tainted"},
        TaintResult(wanted="tainted", nodes=("ip-1",), changed=12, missing=()),
    ),
    (
        {
            "wanted": "drained",
            "tier": "rest",
            "nodes": 12.0,
            "pods": 40.0,
            "evictions": 38.0,
            "restarts": 2.0,
            "rejected429": 7.0,
            "seconds": 31.4,
            "blocked": [],
        },
        DrainResult(
            wanted="drained",
            tier="rest",
            nodes=12,
            pods=40,
            evictions=38,
            restarts=2,
            rejected429=7,
            seconds=31.4,
            blocked=(),
        ),
    ),
    (
        {"wanted": "zero", "groups": {"nodes-a.pet": 0.0}, "ended": 2.0},
        WorkerScaleResult(wanted="zero", groups={"nodes-a.pet": 0}, ended=2),
    ),
    (
        {
            "state": "new",
            "name": "a-main",
            "memberId": "1234567890123456789",
            "members": ["a-main", "b", "c"],
            "leaderChanges": 1.0,
            "snapshot": {"path": "x.db", "bytes": 20480.0, "sha256": "00", "raftIndex": 1200.0},
        },
        MemberSwapResult(
            state="new",
            name="a-main",
            member_id="1234567890123456789",
            members=("a-main", "b", "c"),
            leader_changes=1,
            snapshot=SnapshotTaken(path="x.db", bytes=20480, sha256="00", raft_index=1200),
        ),
    ),
    ({"state": "old"}, MemberSwapResult(state="old")),
    ({"deleted": ["vol-1"]}, RetirementResult(deleted=("vol-1",))),
]


@pytest.mark.parametrize(("kept", "result"), RESULTS, ids=[type(result).__name__ for _, result in RESULTS])
def test_what_an_operation_gave_back_is_handed_to_its_next_run(kept: dict[str, Any], result: Result) -> None:
    assert type(result).model_validate(kept) == result
