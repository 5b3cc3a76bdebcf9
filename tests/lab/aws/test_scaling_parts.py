"""Hooks, policies, schedules, notifications and limits: what is said of a group comes back, and is its own."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.aws.hooks import without

TRACKING: dict[str, Any] = {
    "TargetValue": 50.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
}
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


def test_hooks_given_with_a_group_are_there_with_all_that_was_said(aws: Any, old: Any) -> None:
    told = {"NotificationTargetARN": "arn:aws:sqs:eu-central-1:1:q", "RoleARN": "arn:aws:iam::1:role/r"}
    hook = {"LifecycleHookName": "drain", "LifecycleTransition": TERMINATING, "HeartbeatTimeout": 60, **told}
    old.new_group("a", 0, LifecycleHookSpecificationList=[hook])
    [found] = aws.asg.describe_lifecycle_hooks(AutoScalingGroupName="a")["LifecycleHooks"]
    assert {key: found[key] for key in hook} == hook
    assert found["DefaultResult"] == "ABANDON"


def test_a_hook_without_a_target_tells_nobody(aws: Any, old: Any) -> None:
    old.new_group("a", 0)
    aws.asg.put_lifecycle_hook(AutoScalingGroupName="a", LifecycleHookName="plain", LifecycleTransition=TERMINATING)
    [found] = aws.asg.describe_lifecycle_hooks(AutoScalingGroupName="a")["LifecycleHooks"]
    assert "NotificationTargetARN" not in found and found["HeartbeatTimeout"] == 3600


def test_policies_of_one_name_are_each_groups_own(aws: Any, old: Any) -> None:
    client = aws.asg
    for name, target in (("a", 50.0), ("b", 60.0)):
        old.new_group(name, 0)
        client.put_scaling_policy(
            AutoScalingGroupName=name,
            PolicyName="cpu",
            PolicyType="TargetTrackingScaling",
            TargetTrackingConfiguration={**TRACKING, "TargetValue": target},
        )
    client.delete_policy(AutoScalingGroupName="b", PolicyName="cpu")
    [kept] = client.describe_policies()["ScalingPolicies"]
    assert (kept["AutoScalingGroupName"], kept["TargetTrackingConfiguration"]["TargetValue"]) == ("a", 50.0)
    with pytest.raises(ClientError, match="cpu does not exist"):
        client.delete_policy(AutoScalingGroupName="b", PolicyName="cpu")


def test_scheduled_actions_of_one_name_are_each_groups_own(aws: Any, old: Any) -> None:
    client = aws.asg
    for name in ("a", "b"):
        old.new_group(name, 0)
        client.put_scheduled_update_group_action(
            AutoScalingGroupName=name, ScheduledActionName="night", Recurrence="0 20 * * *", MinSize=0
        )
    client.delete_scheduled_action(AutoScalingGroupName="b", ScheduledActionName="night")
    [kept] = client.describe_scheduled_actions()["ScheduledUpdateGroupActions"]
    assert kept["AutoScalingGroupName"] == "a"
    with pytest.raises(ClientError, match="night not found"):
        client.delete_scheduled_action(AutoScalingGroupName="b", ScheduledActionName="night")


def test_what_a_group_that_is_not_there_is_scaled_by_is_refused(aws: Any) -> None:
    with pytest.raises(ClientError, match="not found"):
        aws.asg.put_scheduled_update_group_action(AutoScalingGroupName="x", ScheduledActionName="n")
    with pytest.raises(ClientError, match="not found"):
        aws.asg.put_lifecycle_hook(AutoScalingGroupName="x", LifecycleHookName="h", LifecycleTransition=TERMINATING)


def test_notifications_are_listed(aws: Any, old: Any) -> None:
    old.new_group("a", 0)
    client = aws.asg
    assert client.describe_notification_configurations(AutoScalingGroupNames=["a"])["NotificationConfigurations"] == []
    kinds = ["autoscaling:EC2_INSTANCE_LAUNCH", "autoscaling:EC2_INSTANCE_TERMINATE"]
    client.put_notification_configuration(AutoScalingGroupName="a", TopicARN="arn:topic", NotificationTypes=kinds)
    found = client.describe_notification_configurations(AutoScalingGroupNames=["a"])["NotificationConfigurations"]
    assert [one["NotificationType"] for one in found] == kinds


def test_the_accounts_key_and_limits_are_awss_own(aws: Any) -> None:
    assert aws.ec2.get_ebs_default_kms_key_id()["KmsKeyId"] == "alias/aws/ebs"
    limits = {one["Name"]: one["Max"] for one in aws.elb.describe_account_limits()["Limits"]}
    assert limits["targets-per-network-load-balancer"] == "3000"


def refused(old: Any, reason: str, **data: Any) -> None:
    template = old.new_template("awkward", **data)
    with pytest.raises(ClientError, match=reason):
        old.new_group("awkward", 0, LaunchTemplate={"LaunchTemplateId": template, "Version": "1"})


def test_security_groups_stand_with_the_interface_or_with_the_instance(old: Any) -> None:
    interface = {"DeviceIndex": 0, "Groups": [old.group]}
    refused(old, "may not be specified on the same request", NetworkInterfaces=[interface])
    with without("groups_beside_an_interface"):
        old.new_group("made", 0, LaunchTemplate={"LaunchTemplateName": "awkward", "Version": "1"})


def test_a_mixed_group_takes_no_template_that_asks_for_spot(old: Any) -> None:
    template = old.new_template("spot", InstanceMarketOptions={"MarketType": "spot"})
    policy = {"LaunchTemplate": {"LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"}}}
    mixed = {"LaunchTemplate": None, "MixedInstancesPolicy": policy}
    with pytest.raises(ClientError, match="can't be used with a mixed instances policy"):
        old.aws.asg.create_auto_scaling_group(**group_of(old, mixed))
    with without("spot_template_in_a_mixed_group"):
        old.aws.asg.create_auto_scaling_group(**group_of(old, mixed))


def group_of(old: Any, more: dict[str, Any]) -> dict[str, Any]:
    said = {"AutoScalingGroupName": "mixed", "MinSize": 0, "MaxSize": 1, "DesiredCapacity": 0}
    every = {**said, "VPCZoneIdentifier": ",".join(old.subnets), **more}
    return {key: value for key, value in every.items() if value is not None}


def test_a_template_says_a_type_or_what_it_must_have(old: Any) -> None:
    requirements = {"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 4096}}
    refused(old, "InstanceType and InstanceRequirements", InstanceRequirements=requirements)
    with without("type_and_requirements"):
        old.new_group("made", 0, LaunchTemplate={"LaunchTemplateName": "awkward", "Version": "1"})
