"""The Auto Scaling API over the loop of `scaling`: calls record what is wanted; AWS's refusals in front of them."""

from __future__ import annotations

from typing import Any

from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, InstanceState
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

from lab.aws import scaling
from lab.aws.hooks import Refused, active, define, inner_rule, instead, rule
from lab.aws.quotas import most
from lab.aws.world import WORLD

API = "EC2 Auto Scaling API reference, "
ALL_PROCESSES = (
    "Launch",
    "Terminate",
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
)


def the_group(name: str) -> FakeAutoScalingGroup:
    """The group of that name. Raises Refused (ValidationError) as AWS does for one it doesn't know."""
    group = WORLD.autoscaling.autoscaling_groups.get(name)
    if group is None:
        raise Refused("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    return group


@instead(FakeAutoScalingGroup, "set_desired_capacity")
def desire(_original: Any, group: FakeAutoScalingGroup, new_capacity: int | None) -> None:
    """Records the wish; the loop launches and terminates."""
    group.desired_capacity = group.min_size if new_capacity is None else new_capacity
    WORLD.bump()


@instead(AutoScalingBackend, "update_attached_target_groups")
def registered_at_launch(_original: Any, _backend: AutoScalingBackend, _group_name: str) -> None:
    """moto registers every instance again on every change; AWS registers once, at launch or when attached."""


@instead(AutoScalingBackend, "notify_terminate_instances")
def noticed_by_the_loop(_original: Any, _backend: AutoScalingBackend, _instance_ids: list[str]) -> None:
    """An instance that died is found by the health check, as on AWS, not replaced inside TerminateInstances."""
    WORLD.bump()


@rule(AutoScalingBackend, "create_auto_scaling_group", source=API + "CreateAutoScalingGroup: AlreadyExists")
def group_name_taken(backend: AutoScalingBackend, arguments: dict[str, Any]) -> None:
    name = arguments["name"]
    if name in backend.autoscaling_groups:
        raise Refused(
            "AlreadyExists",
            f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
        )


@rule(
    AutoScalingBackend,
    "create_auto_scaling_group",
    source=API + "CreateAutoScalingGroup, DesiredCapacity: between the minimum and the maximum size",
)
def capacity_outside_bounds(_backend: AutoScalingBackend, arguments: dict[str, Any]) -> None:
    low, high = int(arguments["min_size"] or 0), int(arguments["max_size"] or 0)
    desired = arguments["desired_capacity"]
    if low > high:
        raise Refused("ValidationError", f"Max bound, {high}, must be greater than or equal to min bound, {low}")
    if desired is not None and not low <= int(desired) <= high:
        raise Refused(
            "ValidationError",
            f"Desired capacity:{desired} must be between the specified min size:{low} and max size:{high}",
        )


def _vpcs_of_subnets(identifier: str | None) -> set[str]:
    if not identifier:
        return set()
    return {WORLD.ec2.get_subnet(s.strip()).vpc_id for s in identifier.split(",")}


def _check_target_groups(arns: list[str], vpcs: set[str]) -> None:
    for arn in arns:
        target_group = WORLD.elbv2.target_groups.get(arn)
        if target_group is None:
            if active("target_group_of_another_vpc"):
                raise Refused(
                    "ValidationError",
                    "Provided Target Groups may not be valid. Please ensure they exist and try again.",
                )
            continue
        if target_group.target_type != "instance" and active("ip_target_group_on_a_group"):
            raise Refused(
                "ValidationError",
                f"Provided Target Group '{arn}' has invalid target type. Please ensure all provided Target Groups have"
                " target type of instance.",
            )
        if vpcs and target_group.vpc_id not in vpcs and active("target_group_of_another_vpc"):
            raise Refused(
                "ValidationError",
                f"Provided Target Group '{arn}' is in VPC {target_group.vpc_id}, the Auto Scaling group in"
                f" {', '.join(sorted(vpcs))}. Please ensure they are in the same VPC and try again.",
            )


inner_rule(
    "ip_target_group_on_a_group",
    "EC2 Auto Scaling user guide, Prepare to attach a load balancer: the target type must be instance",
)
inner_rule(
    "target_group_of_another_vpc",
    "EC2 Auto Scaling user guide, Prepare to attach a load balancer: target group and group in the same VPC",
)


@instead(AutoScalingBackend, "create_auto_scaling_group")
def create(original: Any, backend: AutoScalingBackend, **arguments: Any) -> FakeAutoScalingGroup:
    """CreateAutoScalingGroup, once its target groups have been looked at."""
    _check_target_groups(arguments["target_group_arns"], _vpcs_of_subnets(arguments["vpc_zone_identifier"]))
    return original(backend, **arguments)


@rule(
    AutoScalingBackend,
    "create_auto_scaling_group",
    "update_auto_scaling_group",
    source="EC2 Auto Scaling user guide, Troubleshoot: security groups must be of the group's VPC",
)
def template_groups_of_another_vpc(backend: AutoScalingBackend, arguments: dict[str, Any]) -> None:
    reference = arguments["launch_template"] or {}
    mixed = arguments.get("mixed_instances_policy") or {}
    reference = reference or mixed.get("LaunchTemplate", {}).get("LaunchTemplateSpecification", {})
    subnets = arguments["vpc_zone_identifier"]
    if not subnets and (existing := backend.autoscaling_groups.get(arguments["name"])):
        subnets = existing.vpc_zone_identifier
    vpcs = _vpcs_of_subnets(subnets)
    if not reference or not vpcs:
        return
    data = backend.ec2_backend._get_template_from_args(
        {**reference, "Version": reference.get("Version") or "$Default"}
    ).data
    ids = list(data.get("SecurityGroupIds", []))
    for interface in data.get("NetworkInterfaces", []):
        ids.extend(interface.get("Groups", []))
    groups = [backend.ec2_backend.get_security_group_from_id(i) for i in ids]
    if any(g is not None and g.vpc_id not in vpcs for g in groups):
        raise Refused(
            "ValidationError",
            "One or more security groups in the launch template are not linked to the VPCs configured in the Auto"
            " Scaling group",
        )


@instead(AutoScalingBackend, "update_auto_scaling_group")
def update(original: Any, backend: AutoScalingBackend, name: str, **wanted: Any) -> FakeAutoScalingGroup:
    """UpdateAutoScalingGroup: bounds move the desired capacity only where it falls outside; 0 is a capacity.

    Source: API reference, UpdateAutoScalingGroup: "if a new value for MinSize … is larger than the current size".
    """
    group = the_group(name)
    low = wanted["min_size"] if wanted.get("min_size") is not None else group.min_size or 0
    high = wanted["max_size"] if wanted.get("max_size") is not None else group.max_size or 0
    if low > high:
        raise Refused("ValidationError", f"Max bound, {high}, must be greater than or equal to min bound, {low}")
    desired = wanted.get("desired_capacity")
    if desired is None:
        desired = min(max(group.desired_capacity or 0, low), high)
    elif not low <= desired <= high:
        raise Refused(
            "ValidationError",
            f"Desired capacity:{desired} must be between the specified min size:{low} and max size:{high}",
        )
    wanted["desired_capacity"] = desired
    policy = group.mixed_instances_policy
    original(backend, name=name, **wanted)
    if not wanted.get("mixed_instances_policy") and not wanted.get("launch_template"):
        group.mixed_instances_policy = policy
    return group


@rule(AutoScalingBackend, "set_desired_capacity", source=API + "SetDesiredCapacity")
def desired_outside_bounds(backend: AutoScalingBackend, arguments: dict[str, Any]) -> None:
    group = the_group(arguments["group_name"])
    desired = arguments["desired_capacity"]
    if desired is None:
        return
    if desired > (group.max_size or 0):
        raise Refused(
            "ValidationError",
            f"New SetDesiredCapacity value {desired} is above max value {group.max_size} for the AutoScalingGroup.",
        )
    if desired < (group.min_size or 0):
        raise Refused(
            "ValidationError",
            f"New SetDesiredCapacity value {desired} is below min value {group.min_size} for the AutoScalingGroup.",
        )


inner_rule("group_with_instances", API + "DeleteAutoScalingGroup: ResourceInUse without ForceDelete")


@instead(AutoScalingResponse, "delete_auto_scaling_group")
def delete_group(_original: Any, response: AutoScalingResponse) -> EmptyResult:
    """DeleteAutoScalingGroup: refused while instances are left; with ForceDelete they go first, then the group."""
    group = the_group(response._get_param("AutoScalingGroupName"))
    force = bool(response._get_bool_param("ForceDelete", False))
    if group.instance_states and not force and active("group_with_instances"):
        raise Refused(
            "ResourceInUse",
            "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still"
            " in the group.",
        )
    group.min_size = group.desired_capacity = 0
    group.status = "Delete in progress"  # type: ignore[attr-defined]  # moto has no such field; AWS's Status
    for state in group.instance_states:
        if state.lifecycle_state != "Terminating":
            scaling.begin_termination(group, state, "the Auto Scaling group was deleted with force")
    if not group.instance_states:
        WORLD.autoscaling.autoscaling_groups.pop(group.name, None)
    WORLD.bump()
    return EmptyResult()


@instead(AutoScalingBackend, "terminate_instance")
def terminate_one(_original: Any, backend: AutoScalingBackend, instance_id: str, should_decrement: bool) -> Any:
    """TerminateInstanceInAutoScalingGroup: also while Terminate is suspended, for a person asked for it."""
    for group in backend.autoscaling_groups.values():
        for state in group.instance_states:
            if state.instance.id != instance_id:
                continue
            desired = group.desired_capacity or 0
            if should_decrement:
                if desired - 1 < (group.min_size or 0):
                    raise Refused(
                        "ValidationError",
                        f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without"
                        " replacement will violate group's min size constraint. Either set"
                        " shouldDecrementDesiredCapacity flag to false or lower group's min size.",
                    )
                group.desired_capacity = desired - 1
            return scaling.begin_termination(
                group, state, f"instance {instance_id} was taken out of service in response to a user request."
            )
    raise Refused(
        "ValidationError", f"Instance Id not found - No managed instance found for instance ID: {instance_id}"
    )


@instead(AutoScalingResponse, "describe_scaling_activities")
def activities(_original: Any, response: AutoScalingResponse) -> ActionResult:
    """DescribeScalingActivities, newest first."""
    name = response._get_param("AutoScalingGroupName")
    ids = response._get_param("ActivityIds", [])
    found = [
        activity
        for group_name, of_group in WORLD.activities.items()
        if not name or group_name == name
        for activity in of_group
        if not ids or activity["ActivityId"] in ids
    ]
    found.sort(key=lambda activity: activity["StartTime"], reverse=True)
    return ActionResult({"Activities": found[: response._get_int_param("MaxRecords", 100) or 100]})


@instead(AutoScalingBackend, "attach_load_balancer_target_groups")
def attach_target_groups(
    original: Any, backend: AutoScalingBackend, group_name: str, target_group_arns: list[str]
) -> None:
    """Attaching registers the instances that are in service."""
    group = the_group(group_name)
    _check_target_groups(target_group_arns, _vpcs_of_subnets(group.vpc_zone_identifier))
    new = [arn for arn in target_group_arns if arn not in group.target_group_arns]
    original(backend, group_name, target_group_arns)
    for arn in new:
        target_group = WORLD.elbv2.target_groups.get(arn)
        if target_group is None:
            continue
        target_group.register(
            [
                {"Id": s.instance.id, "Port": target_group.port}
                for s in group.instance_states
                if s.lifecycle_state == "InService" and s.instance.state == "running"
            ]
        )


@instead(AutoScalingBackend, "detach_load_balancer_target_groups")
def detach_target_groups(
    _original: Any, _backend: AutoScalingBackend, group_name: str, target_group_arns: list[str]
) -> None:
    """Detaching deregisters the group's instances and nobody else's."""
    group = the_group(group_name)
    ids = {s.instance.id for s in group.instance_states}
    for arn in target_group_arns:
        target_group = WORLD.elbv2.target_groups.get(arn)
        if target_group is not None and arn in group.target_group_arns:
            target_group.deregister(
                [{"Id": t["Id"], "Port": t["Port"]} for t in list(target_group.targets.values()) if t["Id"] in ids]
            )
    group.target_group_arns = [arn for arn in group.target_group_arns if arn not in target_group_arns]


@instead(AutoScalingBackend, "suspend_processes", "resume_processes")
def known_processes(original: Any, backend: AutoScalingBackend, group_name: str, scaling_processes: list[str]) -> None:
    """A process AWS doesn't know is refused; the group must exist."""
    the_group(group_name)
    for process in scaling_processes or []:
        if process not in ALL_PROCESSES:
            raise Refused("ValidationError", f"Invalid scaling process: {process}")
    original(backend, group_name, scaling_processes)


define(InstanceState, "launch_template", property(lambda self: getattr(self, "lab_launch_template", None)))


_PLAIN = {
    "DefaultCooldown": "default_cooldown",
    "DefaultInstanceWarmup": "default_instance_warmup",
    "PlacementGroup": "placement_group",
    "TerminationPolicies": "termination_policies",
    "CapacityRebalance": "capacity_rebalance",
    "MaxInstanceLifetime": "max_instance_lifetime",
    "ServiceLinkedRoleARN": "service_linked_role_arn",
    "DesiredCapacityType": "desired_capacity_type",
    "Context": "context",
    "HealthCheckGracePeriod": "health_check_grace_period",
    "InstanceMaintenancePolicy": "instance_maintenance_policy",
    "AvailabilityZoneDistribution": "availability_zone_distribution",
    "CapacityReservationSpecification": "capacity_reservation_specification",
    "InstanceLifecyclePolicy": "instance_lifecycle_policy",
}


@instead(AutoScalingResponse, "create_auto_scaling_group", "update_auto_scaling_group")
def keep_every_parameter(original: Any, response: AutoScalingResponse) -> EmptyResult:
    """moto drops several parameters, and makes 300 of a grace period of 0, which is the API's default."""
    answer = original(response)
    group = the_group(response._get_param("AutoScalingGroupName"))
    creating = response._get_action().startswith("Create")
    for parameter, attribute in _PLAIN.items():
        value = response._get_param(parameter)
        if value is None and creating and parameter == "HealthCheckGracePeriod":
            value = 0
        if value is not None:
            setattr(group, attribute, value)
    if creating:
        for hook in response._get_param("LifecycleHookSpecificationList", []):
            _hook(group.name, hook)
    return answer


def _hook(group: str, said: Any) -> None:
    """A hook with all that was said of it; moto forgets whom it tells, and as whom.

    Source: API reference, PutLifecycleHook: HeartbeatTimeout 3600, DefaultResult ABANDON where nothing is said.
    """
    hook = WORLD.autoscaling.create_lifecycle_hook(
        name=said["LifecycleHookName"],
        as_name=group,
        transition=said["LifecycleTransition"],
        timeout=int(said.get("HeartbeatTimeout") or 3600),
        result=said.get("DefaultResult") or "ABANDON",
    )
    for parameter, attribute in (
        ("NotificationTargetARN", "notification_target_arn"),
        ("RoleARN", "role_arn"),
        ("NotificationMetadata", "notification_metadata"),
    ):
        setattr(hook, attribute, said.get(parameter))


@instead(AutoScalingResponse, "put_lifecycle_hook")
def put_hook(_original: Any, response: AutoScalingResponse) -> EmptyResult:
    """PutLifecycleHook, on a group that exists."""
    group = the_group(response._get_param("AutoScalingGroupName"))
    names = ("LifecycleHookName", "LifecycleTransition", "HeartbeatTimeout", "DefaultResult")
    told = ("NotificationTargetARN", "RoleARN", "NotificationMetadata")
    _hook(group.name, {name: response._get_param(name) for name in (*names, *told)})
    return EmptyResult()


def _put_notification(response: AutoScalingResponse) -> EmptyResult:
    group = the_group(response._get_param("AutoScalingGroupName"))
    topic, kinds = response._get_param("TopicARN"), response._get_param("NotificationTypes", [])
    told: dict[str, list[str]] = getattr(group, "lab_notifications", {})
    group.lab_notifications = {**told, topic: kinds}  # type: ignore[attr-defined]  # moto has no such field
    return EmptyResult()


def _notifications(response: AutoScalingResponse) -> ActionResult:
    names = response._get_param("AutoScalingGroupNames", []) or list(WORLD.autoscaling.autoscaling_groups)
    found = [
        {"AutoScalingGroupName": name, "TopicARN": topic, "NotificationType": kind}
        for name in names
        for topic, kinds in getattr(the_group(name), "lab_notifications", {}).items()
        for kind in kinds
    ]
    return ActionResult({"NotificationConfigurations": found})


# Source: API reference, PutNotificationConfiguration and DescribeNotificationConfigurations, which moto lacks.
define(AutoScalingResponse, "put_notification_configuration", _put_notification)
define(AutoScalingResponse, "describe_notification_configurations", _notifications)


def _account_limits(_response: AutoScalingResponse) -> ActionResult:
    return ActionResult(
        {
            "MaxNumberOfAutoScalingGroups": most("auto-scaling-groups"),
            "MaxNumberOfLaunchConfigurations": 200,
            "NumberOfAutoScalingGroups": len(WORLD.autoscaling.autoscaling_groups),
            "NumberOfLaunchConfigurations": len(WORLD.autoscaling.launch_configurations),
        }
    )


define(AutoScalingResponse, "describe_account_limits", _account_limits)
