"""Hooks, policies, schedules, notifications and limits: what is said of a group comes back, and is its own."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

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
