"""Auto Scaling as a loop: what a group has is brought towards what it wants, unless a process is suspended.

moto launches and terminates inside the API call; AWS does it afterwards. `reconcile` is called by the ticker after
every change and is the only place that launches or terminates for a group.
Source: EC2 Auto Scaling user guide, "Suspend and resume Amazon EC2 Auto Scaling processes".
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from moto.autoscaling.models import ASG_NAME_TAG, FakeAutoScalingGroup, InstanceState
from moto.core.exceptions import ServiceException

from lab.aws.world import WORLD, World

log = logging.getLogger(__name__)

LAUNCH_RETRY_S = 5.0
"""After a failed launch. AWS backs off longer and longer; the lab waits a fixed, short time."""

IN_GROUP = ("Pending", "InService")


def reconcile(world: World) -> None:
    """One pass over every group. Called under the lock; launches and terminations bump the revision."""
    for group in list(world.autoscaling.autoscaling_groups.values()):
        try:
            _reconcile_group(world, group)
        except Exception:
            # The loop is the only thing that launches: one group's trouble must not end it for all the others.
            log.exception("group %s", group.name)
            world.after(LAUNCH_RETRY_S, world.bump)


def begin_termination(group: FakeAutoScalingGroup, state: InstanceState, cause: str) -> dict[str, Any]:
    """Takes an instance out of service: deregistered now, terminated when its targets have drained.

    Source: EC2 Auto Scaling user guide, "Attach a load balancer": it waits for in-flight requests before terminating.
    """
    state.lifecycle_state = "Terminating"
    for arn in group.target_group_arns:
        target_group = WORLD.elbv2.target_groups.get(arn)
        if target_group is not None:
            target_group.deregister(
                [
                    {"Id": t["Id"], "Port": t["Port"]}
                    for t in list(target_group.targets.values())
                    if t["Id"] == state.instance.id
                ]
            )
    activity = record(group, f"Terminating EC2 instance: {state.instance.id}", cause, status="InProgress")
    state.lab_activity = activity  # type: ignore[attr-defined]  # kept with the membership until it ends
    WORLD.bump()
    return activity


def record(
    group: FakeAutoScalingGroup, description: str, cause: str, *, status: str, message: str = ""
) -> dict[str, Any]:
    """A scaling activity, as DescribeScalingActivities lists it."""
    now = datetime.fromtimestamp(WORLD.clock(), tz=UTC)
    activity: dict[str, Any] = {
        "ActivityId": str(uuid.uuid4()),
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "Description": description,
        "Cause": cause,
        "StartTime": now,
        "StatusCode": status,
        "Progress": 0 if status == "InProgress" else 100,
        "Details": "{}",
    }
    if message:
        activity["StatusMessage"] = message
    if status != "InProgress":
        activity["EndTime"] = now
    WORLD.activities.setdefault(group.name, []).insert(0, activity)
    return activity


def suspended(group: FakeAutoScalingGroup) -> set[str]:
    return set(group._suspended_processes)


def in_group(group: FakeAutoScalingGroup) -> list[InstanceState]:
    """Those that count against the desired capacity."""
    return [s for s in group.instance_states if s.lifecycle_state in IN_GROUP]


def _reconcile_group(world: World, group: FakeAutoScalingGroup) -> None:
    off = suspended(group)
    _finish_terminations(world, group)
    if getattr(group, "status", None) == "Delete in progress":
        if not group.instance_states:
            world.autoscaling.autoscaling_groups.pop(group.name, None)
            world.bump()
        return
    if "HealthCheck" not in off:
        _check_health(group)
    if not {"ReplaceUnhealthy", "Terminate"} & off:
        for state in in_group(group):
            if state.health_status == "Unhealthy":
                begin_termination(
                    group,
                    state,
                    f"At {_now()} an instance was taken out of service in response to an EC2 health"
                    " check indicating it has been terminated or stopped.",
                )
        _finish_terminations(world, group)
    members = in_group(group)
    wanted = group.desired_capacity or 0
    if len(members) < wanted:
        if "Launch" not in off:
            _launch(world, group, wanted - len(members))
    elif len(members) > wanted:
        if "Terminate" not in off:
            _scale_in(group, members, len(members) - wanted)
    elif not {"AZRebalance", "Launch", "Terminate"} & off and _unbalanced(group, members):
        # One more where there are fewest; the pass after it takes one away where there are most.
        _launch(world, group, 1)


def _check_health(group: FakeAutoScalingGroup) -> None:
    for state in in_group(group):
        if state.instance.state != "running" and state.health_status != "Unhealthy":
            state.health_status = "Unhealthy"
            WORLD.bump()


def _finish_terminations(world: World, group: FakeAutoScalingGroup) -> None:
    for state in [s for s in group.instance_states if s.lifecycle_state == "Terminating"]:
        draining = any(
            target["Id"] == state.instance.id
            for arn in group.target_group_arns
            if (target_group := world.elbv2.target_groups.get(arn)) is not None
            for target in target_group.deregistered_targets.values()
        )
        # A machine that is dead already has nothing to drain.
        if draining and state.instance.state == "running":
            continue
        if state.instance.state != "terminated":
            world.ec2.terminate_instances([state.instance.id])
        world.elbv2.notify_terminate_instances([state.instance.id])
        group.instance_states = [s for s in group.instance_states if s is not state]
        activity = getattr(state, "lab_activity", None)
        if activity is not None:
            activity.update(StatusCode="Successful", Progress=100)
            activity["EndTime"] = datetime.fromtimestamp(world.clock(), tz=UTC)
        world.bump()


def _unbalanced(group: FakeAutoScalingGroup, members: list[InstanceState]) -> bool:
    zones = dict.fromkeys(group.availability_zones, 0)
    for state in members:
        if state.availability_zone in zones:
            zones[state.availability_zone] += 1
    return len(zones) > 1 and max(zones.values()) - min(zones.values()) > 1


def _scale_in(group: FakeAutoScalingGroup, members: list[InstanceState], count: int) -> None:
    """The default termination policy: from the zone with most instances, the oldest first; protected ones stay."""
    remaining = list(members)
    for _ in range(count):
        free = [s for s in remaining if not s.protected_from_scale_in]
        if not free:
            return
        crowd = Counter(s.availability_zone for s in remaining)
        chosen = min(free, key=lambda s: (-crowd[s.availability_zone], s.instance.launch_time, s.instance.id))
        remaining.remove(chosen)
        begin_termination(
            group,
            chosen,
            f"At {_now()} a difference between desired and actual capacity changed the desired capacity,"
            f" shrinking the capacity from {len(remaining) + 1} to {len(remaining)}.",
        )


def _launch(world: World, group: FakeAutoScalingGroup, count: int) -> None:
    if world.clock() < getattr(group, "lab_retry_at", 0.0):
        return
    for _ in range(count):
        subnet = _emptiest_subnet(world, group)
        try:
            instance = _run_one(world, group, subnet)
        except ServiceException as error:
            record(
                group,
                f"Launching a new EC2 instance.  Status Reason: {error.message}",
                f"At {_now()} an instance was started in response to a difference between desired and actual capacity.",
                status="Failed",
                message=f"{error.message} Launching EC2 instance failed.",
            )
            group.lab_retry_at = world.clock() + LAUNCH_RETRY_S  # type: ignore[attr-defined]
            world.after(LAUNCH_RETRY_S + 0.01, world.bump)
            return
        state = InstanceState(
            instance, protected_from_scale_in=group.new_instances_protected_from_scale_in, autoscaling_group=group
        )
        state.lab_launch_template = _template_reference(group)  # type: ignore[attr-defined]
        group.instance_states.append(state)
        record(
            group,
            f"Launching a new EC2 instance: {instance.id}",
            f"At {_now()} an instance was started in response to a difference between desired and actual capacity.",
            status="Successful",
        )
        # Decided once, at launch: AWS doesn't add later what was launched while AddToLoadBalancer was suspended.
        if "AddToLoadBalancer" not in suspended(group):
            for arn in group.target_group_arns:
                target_group = world.elbv2.target_groups.get(arn)
                if target_group is not None:
                    target_group.register([{"Id": instance.id, "Port": target_group.port}])
    world.bump()


def _emptiest_subnet(world: World, group: FakeAutoScalingGroup) -> str | None:
    if not group.vpc_zone_identifier:
        return None
    subnets = [world.ec2.get_subnet(s.strip()) for s in group.vpc_zone_identifier.split(",")]
    in_zone = Counter(s.availability_zone for s in in_group(group))
    in_subnet = Counter(s.instance.subnet_id for s in in_group(group))
    return min(subnets, key=lambda s: (in_zone[s.availability_zone], in_subnet[s.id], subnets.index(s))).id


def _template_reference(group: FakeAutoScalingGroup) -> dict[str, Any] | None:
    template = group.ec2_launch_template
    if template is None:
        return None
    version = template.get_version(group.launch_template_version).number
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(version)}


def _run_one(world: World, group: FakeAutoScalingGroup, subnet: str | None) -> Any:
    tags = {**group.instance_tags, **group.get_propagated_tags(), ASG_NAME_TAG: group.name}
    options: dict[str, Any] = {
        "instance_type": group.instance_type or "m1.small",
        "is_instance_type_default": False,
        "region_name": world.ec2.region_name,
        "subnet_id": subnet,
        "tags": {"instance": tags},
    }
    if subnet is None:
        options["placement"] = group.availability_zones[0]
    names: list[str] = []
    template = _template_reference(group)
    if template is not None:
        options["launch_template"] = {k: template[k] for k in ("LaunchTemplateId", "Version")}
        options |= _overrides(group)
    else:
        configuration = group.launch_config
        names = list(configuration.security_groups)
        options["launch_config"] = configuration
        options["associate_public_ip"] = configuration.associate_public_ip_address
        if configuration.iam_instance_profile:
            options["iam_instance_profile_name"] = configuration.iam_instance_profile
        if configuration.spot_price:
            options["instance_market_options"] = "spot"
    reservation = world.ec2.run_instances(group.image_id, 1, group.user_data, names, **options)
    instance = reservation.instances[0]
    if template is None and options.get("iam_instance_profile_name"):
        world.ec2.associate_iam_instance_profile(
            instance.id, iam_instance_profile_name=options["iam_instance_profile_name"]
        )
    instance.autoscaling_group = group  # type: ignore[attr-defined]  # moto sets it there too
    return instance


def _overrides(group: FakeAutoScalingGroup) -> dict[str, Any]:
    """Type and market of the next instance of a mixed group: the first override, on-demand base first."""
    policy = group.mixed_instances_policy
    if not policy:
        return {}
    chosen: dict[str, Any] = {}
    overrides = policy.get("LaunchTemplate", {}).get("Overrides") or []
    if overrides and overrides[0].get("InstanceType"):
        chosen["instance_type"] = overrides[0]["InstanceType"]
    distribution = policy.get("InstancesDistribution", {})
    base = int(distribution.get("OnDemandBaseCapacity") or 0)
    above = distribution.get("OnDemandPercentageAboveBaseCapacity")
    percent = 100 if above is None else int(above)
    wanted = group.desired_capacity or 0
    on_demand = base + -(-max(0, wanted - base) * percent // 100)
    have = sum(1 for s in in_group(group) if s.instance.lifecycle != "spot")
    if have >= on_demand:
        chosen["instance_market_options"] = "spot"
    return chosen


def _now() -> str:
    return datetime.fromtimestamp(WORLD.clock(), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
