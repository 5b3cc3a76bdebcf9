"""The gate of copies, on real answers of AWS (moto's)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from migration.clients import Clients
from migration.contracts.gates import MachinesCopied, PoolCopied, scaled_texts
from migration.gates import Live, look
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent
from migration.settings.model import CustomMetric, ScalingPolicy, ScheduledAction
from migration.stages import STAGES
from migration.workers import snapshot
from migration.workers.scaled import scaled_by
from tests.samples import settings

CPU = ScalingPolicy(name="cpu", target=60.0, predefined="ASGAverageCPUUtilization")
NIGHT = ScheduledAction(name="night", recurrence="0 20 * * *", min=0, max=3, desired=1)


class World:
    """One group with a template, and the gate's question about it."""

    def __init__(self) -> None:
        clients = Clients(region="eu-central-1", kubeconfig=None)
        self.aws = clients.aws
        self.context = Context(log=lambda _: None, deadline=Deadline(1), clients=clients)
        ec2: Any = self.aws.ec2
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnet = ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        self.nodes = ec2.create_security_group(GroupName="n", Description="n", VpcId=self.vpc)["GroupId"]
        self.group("a")

    def group(self, name: str, **data: Any) -> None:
        told: Any = {"ImageId": "ami-12c6146b", "InstanceType": "m5.large", "SecurityGroupIds": [self.nodes], **data}
        self.aws.ec2.create_launch_template(LaunchTemplateName=f"of-{name}", LaunchTemplateData=told)
        self.aws.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=0,
            MaxSize=3,
            DesiredCapacity=0,
            VPCZoneIdentifier=self.subnet,
            LaunchTemplate={"LaunchTemplateName": f"of-{name}", "Version": "$Latest"},
        )

    def steps(self) -> None:
        self.aws.autoscaling.put_scaling_policy(
            AutoScalingGroupName="a", PolicyName="steps", PolicyType="StepScaling", AdjustmentType="ChangeInCapacity"
        )

    def policy(self, **said: Any) -> None:
        told: Any = {
            "PolicyName": "cpu",
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingConfiguration": {
                "TargetValue": 60.0,
                "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
            },
            **said,
        }
        self.aws.autoscaling.put_scaling_policy(AutoScalingGroupName="a", **told)

    def ask(
        self,
        *,
        without: tuple[str, ...] = (),
        control_plane: tuple[str, ...] = (),
        scaling: tuple[ScalingPolicy, ...] = (),
        schedules: tuple[ScheduledAction, ...] = (),
    ) -> str:
        question = MachinesCopied(
            pools=(PoolCopied(pool="a", group="a", scaled=scaled_texts(scaling, schedules)),),
            control_plane=control_plane,
            security_groups=dict.fromkeys(("a", *control_plane), (self.nodes,)),
            without=without,
        )
        return look(question, Live("pet", self.context))

    def refusal(self, **question: Any) -> str:
        with pytest.raises(Permanent) as refused:
            self.ask(**question)
        return str(refused.value)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        made = World()
        # moto knows no notifications.
        told: dict[str, Any] = {"NotificationConfigurations": []}
        monkeypatch.setattr(made.aws.autoscaling, "describe_notification_configurations", lambda **_: told)
        yield made


def test_a_plain_group_can_be_copied(world: World) -> None:
    assert world.ask() == "1 groups can be copied whole, with 0 policies and schedules"


def test_a_longest_lifetime_of_old_machines_is_warned_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    described = world.aws.groups(["a"])
    monkeypatch.setattr(
        world.aws, "groups", lambda names: {name: {**described[name], "MaxInstanceLifetime": 86400} for name in names}
    )
    assert "warning: machines of a have a longest lifetime" in world.ask()


def test_the_question_names_every_old_group_and_what_the_configuration_says_of_it() -> None:
    question = MachinesCopied.of(settings(0, copies={"without": ["monitoring"]}), STAGES[0])
    sample = settings(0).configuration
    assert [one.group for one in question.pools] == [one.group for one in sample.pools]
    assert question.control_plane == tuple(one.group for one in sample.members)
    assert question.security_groups["nodes-m5-a.pet"] == ("sg-nodes",)
    assert question.security_groups["master-a.pet"] == ("sg-masters",)
    assert question.without == ("monitoring",)


def test_copied_security_groups_are_those_of_the_pools_that_they_name() -> None:
    groups = [
        {"name": "scrape", "id": "sg-1", "pools": ["m5-a"]},
        {"name": "bastion", "id": "sg-2", "controlPlane": True},
    ]
    question = MachinesCopied.of(settings(0, securityGroups=groups), STAGES[0])
    assert question.security_groups["nodes-m5-a.pet"] == ("sg-nodes", "sg-1")
    assert question.security_groups["nodes-m5-b.pet"] == ("sg-nodes",)
    assert question.security_groups["master-a.pet"] == ("sg-masters", "sg-2")


def test_everything_that_can_not_be_copied_is_named_at_once(world: World) -> None:
    world.steps()
    world.policy()
    other = world.aws.ec2.create_security_group(GroupName="o", Description="o", VpcId=world.vpc)["GroupId"]
    interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": True, "Groups": [world.nodes, other]}
    world.group("master", SecurityGroupIds=[], NetworkInterfaces=[interface])
    told = world.refusal(control_plane=("master",))
    assert "a: scalingPolicies.steps is of type StepScaling" in told
    assert "a: scalingPolicies.cpu isn't in migration:pools[a].scaling" in told
    assert "master: networkInterfaces.associatePublicIpAddress (True)" in told
    assert f"master: its machines are in security group {other}, too" in told


def test_what_is_listed_or_done_without_is_no_objection(world: World) -> None:
    world.steps()
    world.policy()
    said = world.ask(without=("scalingPolicies.steps",), scaling=(CPU,))
    assert said == "1 groups can be copied whole, with 1 policies and schedules, without scalingPolicies.steps"


def test_a_policy_or_schedule_that_is_other_by_now_is_told_with_what_it_is(world: World) -> None:
    world.policy()
    world.aws.autoscaling.put_scheduled_update_group_action(
        AutoScalingGroupName="a",
        ScheduledActionName="night",
        Recurrence="0 20 * * *",
        MinSize=0,
        MaxSize=3,
        DesiredCapacity=1,
    )
    assert "with 2 policies" in world.ask(scaling=(CPU,), schedules=(NIGHT,))
    told = world.refusal(
        scaling=(CPU.model_copy(update={"target": 50.0}),), schedules=(NIGHT.model_copy(update={"desired": 2}),)
    )
    assert 'a: scalingPolicies.cpu is {"name":"cpu","target":60.0' in told
    assert 'a: scheduledActions.night is {"name":"night"' in told and '"desired":1' in told


def test_a_group_that_is_gone_is_no_empty_group(world: World) -> None:
    assert "gone don't exist" in world.refusal(control_plane=("gone",))


def test_a_template_without_security_groups_is_refused(world: World) -> None:
    world.group("b", SecurityGroupIds=[])
    assert "b: its launch template names no security group" in world.refusal(control_plane=("b",))


def test_a_group_in_a_mixed_policy_with_weights_is_refused_whatever_is_listed(world: World) -> None:
    described = {
        "AutoScalingGroupName": "a",
        "LaunchTemplate": None,
        "MixedInstancesPolicy": {
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {
                    "LaunchTemplateId": world.aws.groups(["a"])["a"]["LaunchTemplate"]["LaunchTemplateId"],
                    "Version": "$Latest",
                },
                "Overrides": [{"InstanceType": "m5.large", "WeightedCapacity": "2"}],
            }
        },
        **dict.fromkeys(("MinSize", "MaxSize", "DesiredCapacity"), 1),
    }
    path = "mixedInstancesPolicy.overrides.weightedCapacity"
    [told] = snapshot.refusals(world.aws, {"a": described}, [path])
    assert path in told and "set every weight to 1" in told


def test_dimensions_that_name_the_old_group_name_the_new_one() -> None:
    def policy(**more: Any) -> dict[str, Any]:
        custom = {
            "Namespace": "Own",
            "MetricName": "Load",
            "Statistic": "Average",
            "Dimensions": [{"Name": "AutoScalingGroupName", "Value": "a"}, {"Name": "x", "Value": "y"}],
            **more,
        }
        tracking = {"TargetValue": 1, "CustomizedMetricSpecification": custom}
        return {"PolicyName": "p", "PolicyType": "TargetTrackingScaling", "TargetTrackingConfiguration": tracking}

    [found] = scaled_by("a", [policy()], []).policies
    dimensions = {"AutoScalingGroupName": "{group}", "x": "y"}
    assert found.metric == CustomMetric(namespace="Own", name="Load", statistic="Average", dimensions=dimensions)
    assert scaled_by("a", [policy(Metrics=[{"Id": "m"}])], []).left[0][0] == "scalingPolicies.p"
