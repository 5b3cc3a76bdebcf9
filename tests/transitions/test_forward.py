"""Every forward transition on recording mocks: which side's resources appear, change and go."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import pytest

from migration.settings import load
from migration.stages import STAGES
from tests.samples import ZONES, configuration, flat, settings
from tests.transitions.recorder import OLD_CLOUD_CONFIG, Key, at, declare


def appeared(stage: int) -> set[Key]:
    return set(at(stage)) - set(at(stage - 1))


def gone(stage: int) -> set[Key]:
    return set(at(stage - 1)) - set(at(stage))


def changed(stage: int) -> set[Key]:
    before, after = at(stage - 1), at(stage)
    return {key for key in before.keys() & after.keys() if before[key].inputs != after[key].inputs}


def types(keys: Iterable[Key]) -> set[str]:
    return {kind for kind, _ in keys}


# What every step changes: the gates look at another stage, the record and the ConfigMap say another number.
ALWAYS = {("Gate", "gate-before"), ("Gate", "gate-after"), ("StageRecord", "begin"), ("StageRecord", "reached"),
          ("ConfigMap", "status")}  # fmt: skip


def test_stage_0_declares_nothing_of_either_side_but_the_reference() -> None:
    assert {key for key in at(0) if key[0] not in ("kubernetes", "Objects", "ClusterRole")} == ALWAYS | {
        ("Migration", "migration"),
        ("Referenced", "legacy"),
        ("StackGuard", "guard"),
    }


def test_1_makes_the_new_network_and_changes_nothing() -> None:
    new = appeared(1)
    assert {("Subnet", f"main-private-{zone}") for zone in ZONES} <= new
    assert {("Route", f"legacy-{table}-to-main") for table in ("rtb-1", "rtb-2")} <= new
    assert {("Route", f"main-{zone}-to-legacy") for zone in ZONES} <= new
    assert {("VpcPeeringConnection", "main-legacy"), ("VpcPeeringConnection", "main-corp")} <= new
    assert {("Route", "corp-rtb-corp-to-main"), ("ZoneAssociation", "main-Z1")} <= new
    assert not types(new) & {"SecurityGroup", "LoadBalancer", "Group"}
    assert gone(1) == set()
    assert at(1)[("DnsCut", "names")].asked["form"] == "original"
    assert changed(1) == ALWAYS


def test_2_makes_the_shared_parts_and_the_rules_across() -> None:
    new = appeared(2)
    assert {("LoadBalancer", "main-ingress"), ("LoadBalancer", "main-api")} <= new
    assert {("SecurityGroup", "main-nodes"), ("SecurityGroup", "main-control-plane")} <= new
    across = {name for kind, name in new if kind == "SecurityGroupIngressRule"}
    assert {"legacy-nodes-from-main-nodes", "main-nodes-from-legacy-nodes"} <= across
    assert {
        f"{here}-etcd-from-{there}-control-plane-for-{purpose}"
        for here, there in (("legacy", "main"), ("main", "legacy"))
        for purpose in ("clients", "peers")
    } <= across
    assert ("ApiTargets", "api-targets") in new
    assert at(2)[("DnsCut", "names")].asked["form"] == "pair"
    # Declared for the way back: of the old side nothing is asked, and of the new there is nothing yet.
    takes_back = {key for key in new if key[0] in ("Taint", "Drain", "WorkerScale", "AutoscalerHold", "IngressPolicy")}
    assert {name: at(2)[(kind, name)].asked["wanted"] for kind, name in takes_back} == {
        "legacy-taint": "clear",
        "main-taint": "tainted",
        "main-drain-ingress": "drained",
        "main-drain": "drained",
        "legacy-workers": "complete",
        "legacy-autoscaler": "released",
        "ingress-policy": "recorded",
    }
    assert {name for kind, name in new if kind == "Record"} == set(RECORDS)
    assert weights(2) == {"legacy": 100, "main": 0}
    assert gone(2) == set()
    assert changed(2) == ALWAYS | {("DnsCut", "names")}


RECORDS = ("legacy-api.pet.example", "main-api.pet.example", "legacy-*.apps.pet.example", "main-*.apps.pet.example")


def weights(stage: int) -> dict[str, int]:
    """What share each side's records have: all of a side's the same, or this fails."""
    found: dict[str, int] = {}
    for name in RECORDS:
        inputs = at(stage)[("Record", name)].inputs
        side, weight = inputs["setIdentifier"], int(inputs["weightedRoutingPolicies"][0]["weight"])
        assert name.startswith(f"{side}-")
        assert found.setdefault(side, weight) == weight
    return found


def test_a_record_is_the_one_that_the_batch_made_and_only_leaves_the_stack() -> None:
    balancers = {
        "legacy-api.pet.example": "api-pet.elb.example",
        "main-api.pet.example": "main-api.elb",
        "legacy-*.apps.pet.example": "ingress-pet.elb.example",
        "main-*.apps.pet.example": "main-ingress.elb",
    }
    for name, balancer in balancers.items():
        record = at(2)[("Record", name)]
        assert record.inputs["records"] == [balancer]
        assert (record.inputs["zoneId"], record.inputs["type"], record.inputs["ttl"]) == ("Z1", "CNAME", 5)
        assert record.inputs["allowOverwrite"] is True
        assert record.retained
        if name.startswith("main-"):
            assert ("DnsCut", "names") in record.after


@pytest.mark.parametrize("stage", [2, 4, 5])
def test_the_new_sides_records_change_before_the_old_sides(stage: int) -> None:
    new = {("Record", name) for name in RECORDS if name.startswith("main-")}
    for name in RECORDS:
        after = at(stage)[("Record", name)].after
        assert after & {("Record", other) for other in RECORDS} == (new if name.startswith("legacy-") else set())


def test_3_makes_the_workers_and_keeps_pods_off_the_old_nodes() -> None:
    new = appeared(3)
    assert {("Group", f"main-m5-{zone[-1]}") for zone in ZONES} <= new
    assert {("GroupNote", "main-copied-workers"), ("WorkerGuard", "main-workers-guard")} <= new
    assert at(3)[("IngressPolicy", "ingress-policy")].asked["wanted"] == "Cluster"
    assert at(3)[("AutoscalerHold", "legacy-autoscaler")].asked["wanted"] == "held"
    assert {one.asked["wanted"] for key, one in at(3).items() if key[0] == "Drain"} == {"present"}
    assert at(3)[("WorkerScale", "legacy-workers")].asked["wanted"] == "recorded"
    assert not types(new) & {"WorkerScale", "MemberSwap"}
    assert gone(3) == set()
    assert changed(3) == ALWAYS | {
        ("AutoscalerHold", "legacy-autoscaler"),
        ("WorkerScale", "legacy-workers"),
        ("IngressPolicy", "ingress-policy"),
        ("Taint", "legacy-taint"),
        ("Taint", "main-taint"),
        ("Drain", "main-drain-ingress"),
        ("Drain", "main-drain"),
    }


@pytest.mark.parametrize(("stage", "old", "new"), [(4, 50, 50), (5, 0, 100)])
def test_4_and_5_change_weights_and_nothing_else(stage: int, old: int, new: int) -> None:
    assert appeared(stage) == set()
    assert gone(stage) == set()
    # What a pair would begin with changes as well, which runs nothing.
    assert changed(stage) == ALWAYS | {("DnsCut", "names")} | {("Record", name) for name in RECORDS}
    assert weights(stage) == {"legacy": old, "main": new}
    assert differing("DnsCut", "names", stage) == {"newWeight"}
    for name in RECORDS:
        assert differing("Record", name, stage) == {"weightedRoutingPolicies"}


def differing(kind: str, name: str, stage: int) -> set[str]:
    """Names of the inputs that a stage changes; of an operation, of what it is given."""
    before, after = (at(number)[(kind, name)].inputs for number in (stage - 1, stage))
    before, after = before.get("inputs", before), after.get("inputs", after)
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def test_6_drains_and_gives_the_policy_back() -> None:
    assert appeared(6) == {
        # The gate before the swaps asks etcd itself, so its way is opened one stage ahead.
        ("Swap", "swap-access"),
        ("SecurityGroupIngressRule", "legacy-etcd-from-operator-10.50.0.0/16"),
        ("SecurityGroupIngressRule", "main-etcd-from-operator-10.50.0.0/16"),
        # And the swaps have nothing to do yet: it is for the way back that they are here.
        ("Members", "main-members"),
        *(("MemberSwap", f"swap-{name}") for name in "abc"),
    }
    assert gone(6) == set()
    assert changed(6) == ALWAYS | {
        ("IngressPolicy", "ingress-policy"),
        ("Drain", "legacy-drain-ingress"),
        ("Drain", "legacy-drain"),
        ("WorkerScale", "legacy-workers"),
    }
    assert at(6)[("IngressPolicy", "ingress-policy")].asked["wanted"] == "recorded"
    assert at(6)[("WorkerScale", "legacy-workers")].asked["wanted"] == "zero"


def test_7_makes_each_member_its_own_volume_and_swaps_it() -> None:
    new = appeared(7)
    for member in "abc":
        assert ("Volume", f"main-member-{member}") in new
        assert ("Group", f"main-member-{member}") in new
        assert at(7)[("MemberSwap", f"swap-{member}")].asked["wanted"] == "new"
    assert ("Listener", "main-api-check") in new
    assert gone(7) == set()
    swaps = {("MemberSwap", f"swap-{name}") for name in "abc"}
    assert changed(7) == ALWAYS | {("AutoscalerHold", "legacy-autoscaler"), *swaps}


def test_7_can_pause_between_members() -> None:
    paused = declare(settings(7, controlPlaneMoved=1))
    wanted = [paused[("MemberSwap", f"swap-{member}")].asked["wanted"] for member in "abc"]
    assert wanted == ["new", "old", "old"]


def test_8_retires_the_list_and_takes_the_peering_away() -> None:
    assert ("Retirement", "retirement") in appeared(8)
    assert ("VpcPeeringConnection", "main-legacy") in gone(8)
    assert {("Route", "legacy-rtb-1-to-main"), ("Listener", "main-api-check")} <= gone(8)
    assert "legacy-nodes-from-main-nodes" in {name for _, name in gone(8)}
    assert not types(gone(8)) & {"Vpc", "Subnet", "Group", "LaunchTemplate", "Volume", "LoadBalancer", "GroupNote"}
    assert at(8)[("Retirement", "retirement")].asked["items"] == [{"type": "security-group", "id": "sg-nodes"}]
    assert at(8)[("DnsCut", "names")].asked["form"] == "final"
    # Dissolving the pair is the batch's; its records are only let go.
    assert {("Record", name) for name in RECORDS} <= gone(8)
    assert all(at(7)[("Record", name)].retained for name in RECORDS)
    assert {("DnsCut", "names"), ("Listener", "main-api")} <= changed(8)


def test_8_may_keep_the_peering() -> None:
    kept = declare(settings(8, retainPeering=True))
    assert ("VpcPeeringConnection", "main-legacy") in kept


MOVING = {"AutoscalerHold", "Taint", "IngressPolicy", "Drain", "WorkerScale", "MemberSwap"}
"""Operations that move something off the old side."""


def test_an_operation_once_declared_stays_declared_through_7_and_what_moved_something_leaves_at_8() -> None:
    lasting = {"GroupNote", "DnsCut", "ApiTargets", "StageRecord", "Gate"}
    for stage in range(1, len(STAGES)):
        finished = STAGES[stage].finished
        assert not {key for key in gone(stage) if key[0] in (lasting if finished else lasting | MOVING)}
    assert not types(at(8)) & MOVING
    assert types(appeared(8)) & {"Roll", "MemberRoll"} == {"Roll", "MemberRoll"}


@pytest.mark.parametrize("stage", [row.number for row in STAGES])
def test_what_stood_at_the_root_of_earlier_stacks_is_found_there(stage: int) -> None:
    for item in at(stage).values():
        if item.type == "migration:migration:Migration":
            assert "::pulumi:pulumi:Stack::" in item.parent
            assert item.aliases == ()
        elif item.parent.endswith("$migration:migration:Migration::migration"):
            assert item.aliases == ("root",)
        else:
            assert "root" not in item.aliases


def test_no_name_carries_a_role_so_nothing_is_renamed_when_sides_exchange() -> None:
    for stage in STAGES:
        for _, name in at(stage.number):
            assert "old" not in name.split("-"), name
            assert "new" not in name.split("-"), name


def test_physical_names_never_contain_the_stack() -> None:
    for stage in STAGES:
        for item in at(stage.number).values():
            assert "stage-" not in str(item.inputs.get("name", "")), item


def test_a_new_workers_template_is_the_old_ones_copy() -> None:
    inputs = at(3)[("LaunchTemplate", "main-m5-a")].inputs
    assert inputs["imageId"] == "ami-1"
    assert base64.b64decode(inputs["userData"]).decode() == OLD_CLOUD_CONFIG
    assert inputs["metadataOptions"] == {"httpTokens": "optional", "instanceMetadataTags": "enabled"}
    assert inputs["vpcSecurityGroupIds"] == ["id-main-nodes"]
    group = at(3)[("Group", "main-m5-a")].inputs
    # At the least as many as it wants: it is held from the beginning.
    assert (group["minSize"], group["maxSize"], group["desiredCapacity"]) == (2, 3, 2)
    assert group["vpcZoneIdentifiers"] == ["id-main-private-eu-central-1a"]


def test_nothing_is_open_to_the_world_and_every_volume_is_encrypted() -> None:
    for item in at(7).values():
        assert "0.0.0.0/0" not in str(item.inputs), item
    assert all(item.inputs["encrypted"] for item in at(7).values() if item.type.endswith(":Volume"))


def test_user_data_is_a_secret_and_sizes_are_not() -> None:
    templates = [item for (kind, _), item in at(7).items() if kind == "LaunchTemplate"]
    assert len(templates) == 6
    assert [item.secret for item in templates] == [{"userData"}] * 6
    groups = [item for (kind, _), item in at(7).items() if kind == "Group"]
    assert [item.secret for item in groups] == [frozenset()] * 6
    notes = [item for (kind, _), item in at(7).items() if kind == "GroupNote"]
    assert [item.secret_outputs for item in notes] == [{"inputs", "connection", "result"}] * 2


def test_a_kubeconfig_is_a_secret_and_a_path_to_one_is_not() -> None:
    key = ("kubernetes", "cluster")
    assert declare(settings(0, kubeconfig="a/path"))[key].secret == frozenset()
    whole = "apiVersion: v1\nusers: []\n"
    values = {**flat(configuration(kubeconfig="-")), "migration:kubeconfig": whole}
    declared = declare(load(values, "stage-0", {"migration:kubeconfig"}))
    assert declared[key].secret == {"kubeconfig"}
    holders = {item.name: item.secret for item in declared.values() if whole in item.inputs.values()}
    assert holders == {"cluster": {"kubeconfig"}}
    operations = {item.name: item.secret for item in declared.values() if "connection" in item.inputs.get("inputs", {})}
    assert operations == {name: {"inputs"} for name in ("begin", "guard", "reached", "gate-before", "gate-after")}
