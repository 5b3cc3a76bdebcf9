"""Deleting exactly the retire list, in the order in which AWS lets its parts go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from migration.clients.aws import Aws
from migration.deadline import Deadline, Permanent, Retryable

# What depends on nothing that comes later: a group launches from a template and holds its instances' interfaces,
# which hold security groups; a balancer's listeners hold target groups; subnets come when all of that is gone.
ORDER = (
    "autoscaling-group",
    "launch-template",
    "load-balancer",
    "target-group",
    "volume",
    "instance-profile",
    "security-group",
    "route-table",
    "subnet",
)

# What AWS answers when the thing isn't there (any more): for a deletion that is success.
_GONE = (
    "NotFound",
    "InvalidGroup.NotFound",
    "InvalidVolume.NotFound",
    "InvalidSubnetID.NotFound",
    "InvalidRouteTableID.NotFound",
    "InvalidLaunchTemplateId.NotFound",
    "LoadBalancerNotFound",
    "TargetGroupNotFound",
    "NoSuchEntity",
)
# What AWS answers while something deleted a moment ago still holds it.
_HELD = ("DependencyViolation", "ResourceInUse", "VolumeInUse", "ScalingActivityInProgress", "ResourceInUse.ELB")


def ordered(items: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """`items` in the order they can be deleted in; raises `Permanent` for a type this program doesn't retire."""
    items = list(items)
    unknown = sorted({item["type"] for item in items} - set(ORDER))
    if unknown:
        raise Permanent(
            f"migration:retire names the type {', '.join(unknown)}, which this program doesn't delete; "
            f"move those items to migration:keep. Known: {', '.join(ORDER)}"
        )
    return sorted(items, key=lambda item: ORDER.index(item["type"]))


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def _group(aws: Aws, name: str) -> None:
    groups = aws.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if not groups:
        return
    if groups[0]["Instances"]:
        # Emptied by the drain and the swaps; whoever is still there was never told to go.
        ids = ", ".join(instance["InstanceId"] for instance in groups[0]["Instances"])
        raise Retryable(f"Auto Scaling group {name} still has instances: {ids}")
    aws.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=name)


def _load_balancer(aws: Aws, arn: str) -> None:
    aws.elbv2.delete_load_balancer(LoadBalancerArn=arn)


def _security_group(aws: Aws, group: str) -> None:
    # Rules that name each other would hold both; a group that goes needs none.
    rules: list[Any] = aws.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])[
        "SecurityGroupRules"
    ]
    for egress, revoke in (
        (False, aws.ec2.revoke_security_group_ingress),
        (True, aws.ec2.revoke_security_group_egress),
    ):
        ids = [rule["SecurityGroupRuleId"] for rule in rules if bool(rule["IsEgress"]) is egress]
        if ids:
            revoke(GroupId=group, SecurityGroupRuleIds=ids)
    aws.ec2.delete_security_group(GroupId=group)


def _instance_profile(aws: Aws, name: str) -> None:
    profile = aws.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    for role in profile["Roles"]:
        aws.iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role["RoleName"])
    aws.iam.delete_instance_profile(InstanceProfileName=name)


DELETIONS: dict[str, Callable[[Aws, str], object]] = {
    "autoscaling-group": _group,
    "launch-template": lambda aws, id_: aws.ec2.delete_launch_template(LaunchTemplateId=id_),
    "load-balancer": _load_balancer,
    "target-group": lambda aws, id_: aws.elbv2.delete_target_group(TargetGroupArn=id_),
    "volume": lambda aws, id_: aws.ec2.delete_volume(VolumeId=id_),
    "instance-profile": _instance_profile,
    "security-group": _security_group,
    "route-table": lambda aws, id_: aws.ec2.delete_route_table(RouteTableId=id_),
    "subnet": lambda aws, id_: aws.ec2.delete_subnet(SubnetId=id_),
}


def delete(aws: Aws, item: Mapping[str, str]) -> bool:
    """Delete one item; False when it was gone already. Raises `Retryable` while something still holds it."""
    try:
        DELETIONS[item["type"]](aws, item["id"])
    except ClientError as error:
        if _code(error) in _GONE or _code(error).endswith(".NotFound"):
            return False
        if item["type"] == "launch-template" and "DoesNotExist" in _code(error):
            return False
        if _code(error) in _HELD:
            raise Retryable(f"{item['type']} {item['id']} is still in use: {error}") from error
        raise Permanent(f"{item['type']} {item['id']} can't be deleted: {error}") from error
    return True


def retire(
    aws: Aws,
    items: Iterable[Mapping[str, str]],
    deadline: Deadline,
    log: Callable[[str], None],
    alive: Callable[[], None],
) -> list[str]:
    """Delete all of `items`, waiting for what holds them; returns the ids this call deleted."""
    deleted = []
    for item in ordered(items):
        name = f"{item['type']} {item['id']}"

        def attempt(item: Mapping[str, str] = item) -> bool:
            alive()
            return delete(aws, item)

        if deadline.until(lambda attempt=attempt: (attempt(),), f"the deletion of {name}")[0]:
            deleted.append(item["id"])
            log(f"deleted {name}")
    return deleted
