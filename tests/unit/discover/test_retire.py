"""The clean-up of the legacy cluster, on an AWS that refuses what AWS refuses."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from migration.clients import Clients
from migration.clients.aws import Aws
from migration.contracts.gates import Item, RetiredAndKept
from migration.contracts.retirement import RetirementInputs, RetirementResult
from migration.gates import Live
from migration.gates.cleanup import retired
from migration.operations import retire as operation
from migration.retire.delete import DELETIONS, ORDER, delete, ordered
from migration.retire.profiles import profiles_in_use
from migration.retire.there import LOOK, there
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, OutOfTime, Permanent
from migration.settings.model import Retired
from tests.samples import COMMON


class Volumes:
    """A cluster whose PersistentVolumes stand for these EBS volumes."""

    def __init__(self, *ids: str) -> None:
        self.ids = ids

    def list(self, _kind: Any) -> list[dict[str, Any]]:
        return [{"spec": {"csi": {"volumeHandle": one}}} for one in self.ids]


def context(seconds: float = 60, *volumes: str) -> tuple[Context, list[str]]:
    told: list[str] = []
    clients = Clients(region="eu-central-1", kubeconfig=None)
    fake: Any = Volumes(*volumes)
    clients.kubernetes = fake
    return Context(log=told.append, deadline=Deadline(seconds), clients=clients), told


def emptied(legacy: Any) -> dict[str, Any]:
    found = legacy.discover()
    for item in found["retire"]:
        if item["type"] == "autoscaling-group":
            legacy.cloud.autoscaling.update_auto_scaling_group(
                AutoScalingGroupName=item["id"], MinSize=0, MaxSize=0, DesiredCapacity=0
            )
    names = [item["id"] for item in found["retire"] if item["type"] == "autoscaling-group"]
    Deadline(30).until_true(lambda: not legacy.aws.instances_of_groups(names), "empty groups")
    return found


def inputs(found: dict[str, Any]) -> RetirementInputs:
    items = tuple(Retired.model_validate(item) for item in found["retire"])
    return RetirementInputs(**COMMON, items=items, keep=tuple(item["id"] for item in found["keep"]))


def test_exactly_the_list_goes_and_a_second_run_changes_nothing(fresh: Any) -> None:
    legacy = fresh()
    found = emptied(legacy)
    ctx, told = context()
    done = operation.run(inputs(found), None, ctx)
    assert len(done.deleted) == len(found["retire"]) == 39
    kept = tuple(Item(type=item["type"], id=item["id"]) for item in found["keep"])
    detail = retired(RetiredAndKept(retire=inputs(found).items, keep=kept), Live("pet", ctx))
    assert detail == f"39 objects are gone, {len(found['keep'])} were left alone"
    before = len(told)
    assert operation.run(inputs(found), done, ctx) == done
    assert len(told) == before


def asked(aws: Aws) -> Counter[str]:
    """Counts this client's calls from now on, by what they ask."""
    counted: Counter[str] = Counter()
    for client in (aws.autoscaling, aws.ec2):
        client.meta.events.register("before-call", lambda model, **_: counted.update([model.name]))
    return counted


def test_groups_and_templates_are_looked_at_together_however_many_there_are(fresh: Any) -> None:
    legacy = fresh()
    found = emptied(legacy)
    many = sum(item["type"] == "launch-template" for item in found["retire"])
    assert many > 10
    gone = found["retire"][0]
    assert gone["type"] == "autoscaling-group"
    legacy.cloud.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=gone["id"])
    ctx, _ = context()
    counted = asked(ctx.clients.aws)
    done = operation.run(inputs(found), None, ctx)
    assert {item["id"] for item in found["retire"]} - set(done.deleted) == {gone["id"]}
    retired(RetiredAndKept(retire=inputs(found).items, keep=()), Live("pet", ctx))
    assert counted["DeleteLaunchTemplate"] == counted["DeleteAutoScalingGroup"] + 1 == many
    assert counted["DescribeLaunchTemplates"] == 2
    assert counted["DescribeAutoScalingGroups"] <= 4


def test_what_goes_while_it_is_deleted_was_gone(fresh: Any) -> None:
    legacy = fresh()
    found = emptied(legacy)
    items = {item.type: item for item in inputs(found).items if item.type in ("autoscaling-group", "launch-template")}
    assert [delete(legacy.aws, item) for item in items.values()] == [True, True]
    assert [delete(legacy.aws, item) for item in items.values()] == [False, False]
    assert there(legacy.aws, items.values()) == []


def test_a_group_that_still_runs_machines_is_not_deleted(fresh: Any) -> None:
    found = fresh().discover()
    ctx, _ = context(1)
    with pytest.raises(OutOfTime, match="still has instances"):
        operation.run(inputs(found), None, ctx)
    assert len(there(ctx.clients.aws, inputs(found).items)) == len(found["retire"])


def test_a_group_that_somebody_who_stays_names_is_refused_before_anything_goes(fresh: Any) -> None:
    legacy = fresh()
    found = emptied(legacy)
    nodes = found["sides"]["legacy"]["securityGroups"]["nodes"]
    theirs = next(item["id"] for item in found["keep"] if item["type"] == "security-group")
    permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": nodes}]}
    legacy.cloud.ec2.authorize_security_group_ingress(GroupId=theirs, IpPermissions=[permission])
    ctx, told = context()
    with pytest.raises(Permanent, match=rf"{theirs} \(payments-db\) names {nodes}"):
        operation.run(inputs(found), None, ctx)
    assert told == []


def test_with_apply_the_rules_that_name_what_goes_are_taken_out_and_no_others(fresh: Any) -> None:
    legacy = fresh()
    found = emptied(legacy)
    nodes = found["sides"]["legacy"]["securityGroups"]["nodes"]
    theirs = next(item["id"] for item in found["keep"] if item["type"] == "security-group")
    permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": nodes}]}
    ec2 = legacy.cloud.ec2
    wanted = [{"Name": "group-id", "Values": [theirs]}]
    before = {r["SecurityGroupRuleId"] for r in ec2.describe_security_group_rules(Filters=wanted)["SecurityGroupRules"]}
    ec2.authorize_security_group_ingress(GroupId=theirs, IpPermissions=[permission])
    ec2.authorize_security_group_egress(GroupId=theirs, IpPermissions=[permission])
    ctx, told = context()
    done = operation.run(inputs(found).model_copy(update={"references": "apply"}), None, ctx)
    assert nodes in done.deleted
    assert len([line for line in told if line.startswith("took out rule sgr-") and theirs in line]) == 2
    left = {r["SecurityGroupRuleId"] for r in ec2.describe_security_group_rules(Filters=wanted)["SecurityGroupRules"]}
    assert left == before


def test_a_volume_that_holds_a_clusters_data_is_never_retired(fresh: Any) -> None:
    legacy = fresh()
    owned = [{"Key": "kubernetes.io/cluster/pet", "Value": "owned"}, {"Key": "CSIVolumeName", "Value": "pvc-1"}]
    volume = legacy.cloud.ec2.create_volume(
        AvailabilityZone="eu-central-1a", Size=1, TagSpecifications=[{"ResourceType": "volume", "Tags": owned}]
    )["VolumeId"]
    found = legacy.discover()
    assert {"type": "volume", "id": volume} in found["keep"]
    assert {"type": "volume", "id": volume} not in found["retire"]
    ctx, told = context(60, f"aws://eu-central-1a/{volume}")
    by_hand = {"retire": [{"type": "volume", "id": volume}], "keep": []}
    with pytest.raises(Permanent, match=f"{volume} in migration:retire hold the data of PersistentVolumes"):
        operation.run(inputs(by_hand), None, ctx)
    assert told == []


def test_an_instance_profile_that_something_uses_is_refused_before_anything_goes(fresh: Any) -> None:
    legacy = fresh()
    found = emptied(legacy)
    found["retire"].append({"type": "instance-profile", "id": "nodes.pet"})
    staying = legacy.cloud.ec2.create_launch_template(
        LaunchTemplateName="nodes-main",
        LaunchTemplateData={"ImageId": "ami-12c6146b", "IamInstanceProfile": {"Name": "nodes.pet"}},
    )["LaunchTemplate"]["LaunchTemplateId"]
    ctx, told = context()
    with pytest.raises(Permanent, match=r"are in use: launch template nodes-main uses nodes\.pet\. Move those"):
        operation.run(inputs(found), None, ctx)
    assert told == []
    assert len(there(ctx.clients.aws, inputs(found).items)) == len(found["retire"])
    # The old templates use it as well, but they go along.
    legacy.cloud.ec2.delete_launch_template(LaunchTemplateId=staying)
    assert "nodes.pet" in operation.run(inputs(found), None, ctx).deleted


def test_an_instance_profile_under_a_machine_that_stays_is_refused(fresh: Any) -> None:
    legacy = fresh()
    going = legacy.aws.iam.get_instance_profile(InstanceProfileName="nodes.pet")["InstanceProfile"]["Arn"]
    subnet = legacy.cloud.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    machine = legacy.cloud.ec2.run_instances(
        ImageId="ami-12c6146b", MinCount=1, MaxCount=1, SubnetId=subnet, IamInstanceProfile={"Arn": going}
    )["Instances"][0]["InstanceId"]
    found = legacy.discover()
    items = [Retired(type="instance-profile", id="nodes.pet")]
    items += [Retired.model_validate(item) for item in found["retire"]]
    assert profiles_in_use(legacy.aws, items) == [f"instance {machine} uses nodes.pet"]
    assert profiles_in_use(legacy.aws, items[1:]) == []


def test_what_earlier_runs_deleted_stays_named_when_nothing_is_left_to_delete(environment: str) -> None:
    ctx, told = context()
    before = RetirementResult(deleted=("x",))
    assert operation.run(inputs({"retire": [], "keep": []}), before, ctx) == before
    assert told == []


def test_what_stands_in_both_lists_is_refused() -> None:
    both = {"retire": [{"type": "volume", "id": "vol-1"}], "keep": [{"type": "volume", "id": "vol-1"}]}
    with pytest.raises(Permanent, match="vol-1 stands in"):
        operation.run(inputs(both), None, context()[0])


def test_things_go_in_the_order_in_which_they_hold_each_other() -> None:
    items = [Retired.model_validate({"type": kind, "id": kind}) for kind in reversed(ORDER)]
    assert [item.type for item in ordered(items)] == list(ORDER)


def test_a_type_that_can_be_listed_is_one_that_can_be_ordered_looked_at_and_deleted() -> None:
    assert set(get_args(Retired.model_fields["type"].annotation)) == set(ORDER) == set(LOOK) == set(DELETIONS)
    with pytest.raises(ValidationError, match="autoscaling-group"):
        Retired.model_validate({"type": "nat-gateway", "id": "x"})
