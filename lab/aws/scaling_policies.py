"""Scaling policies and scheduled actions are a group's own: moto keeps one of a name for a whole account.

Source: EC2 Auto Scaling API reference, PutScalingPolicy and PutScheduledUpdateGroupAction: names are unique in a group.
"""

from __future__ import annotations

from typing import Any

from moto.autoscaling.models import AutoScalingBackend, FakeScalingPolicy, FakeScheduledAction
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import EmptyResult

from lab.aws.hooks import Refused, instead
from lab.aws.scaling_api import the_group


def _key(group: str, name: str) -> str:
    return f"{group}/{name}"


@instead(AutoScalingBackend, "put_scaling_policy")
def put_policy(original: Any, backend: AutoScalingBackend, name: str, *args: Any, **said: Any) -> FakeScalingPolicy:
    """PutScalingPolicy, on a group that exists."""
    group = the_group(said["as_name"])
    others = dict(backend.policies)
    policy: FakeScalingPolicy = original(backend, name, *args, **said)
    backend.policies = {**others, _key(group.name, name): policy}
    return policy


@instead(AutoScalingResponse, "delete_policy")
def delete_policy(_original: Any, response: AutoScalingResponse) -> EmptyResult:
    """DeletePolicy, of the group that is named."""
    key = _key(response._get_param("AutoScalingGroupName"), response._get_param("PolicyName"))
    if response.autoscaling_backend.policies.pop(key, None) is None:
        raise Refused("ValidationError", f"Policy {response._get_param('PolicyName')} does not exist")
    return EmptyResult()


@instead(AutoScalingBackend, "put_scheduled_update_group_action")
def put_action(original: Any, backend: AutoScalingBackend, **said: Any) -> FakeScheduledAction:
    """PutScheduledUpdateGroupAction, on a group that exists."""
    group = the_group(said["name"])
    others = dict(backend.scheduled_actions)
    action: FakeScheduledAction = original(backend, **said)
    backend.scheduled_actions = {**others, _key(group.name, action.scheduled_action_name): action}
    return action


@instead(AutoScalingResponse, "delete_scheduled_action")
def delete_action(_original: Any, response: AutoScalingResponse) -> EmptyResult:
    """DeleteScheduledAction, of the group that is named."""
    name = response._get_param("ScheduledActionName")
    key = _key(response._get_param("AutoScalingGroupName"), name)
    if response.autoscaling_backend.scheduled_actions.pop(key, None) is None:
        raise Refused("ValidationError", f"Scheduled action {name} not found")
    return EmptyResult()
