"""Deleting exactly the retire list, in the order in which AWS lets its parts go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from botocore.exceptions import ClientError

from migration.clients.aws import Aws, described, error_code, not_there
from migration.clients.documents import Document, mapping
from migration.retire.profiles import profiles_in_use
from migration.retire.there import there
from migration.runtime.deadline import Deadline, Permanent, Retryable
from migration.settings.model import Retired

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

# What AWS answers while something deleted a moment ago still holds it.
_HELD = ("DependencyViolation", "ResourceInUse", "VolumeInUse", "ScalingActivityInProgress", "ResourceInUse.ELB")


def ordered(items: Iterable[Retired]) -> list[Retired]:
    """`items` in the order they can be deleted in."""
    return sorted(items, key=lambda item: ORDER.index(item.type))


def _group(aws: Aws, name: str) -> bool:
    """False: it was gone. Without `ForceDelete` AWS itself refuses a group that has instances."""
    try:
        aws.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=name)
    except ClientError:
        group = aws.groups([name]).get(name)
        if group is None:
            return False
        if group["Instances"]:
            # Emptied by the drain and the swaps; whoever is still there was never told to go.
            ids = ", ".join(instance["InstanceId"] for instance in group["Instances"])
            raise Retryable(f"Auto Scaling group {name} still has instances: {ids}") from None
        raise
    return True


def _load_balancer(aws: Aws, arn: str) -> None:
    aws.elbv2.delete_load_balancer(LoadBalancerArn=arn)


def revoke_rules(aws: Aws, groups: Iterable[str]) -> None:
    """Take all rules out of these groups: groups that name each other would hold each other for ever."""
    for group in groups:
        answer = aws.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        rules = list(described(answer["SecurityGroupRules"]))
        for egress in (False, True):
            ids = [rule["SecurityGroupRuleId"] for rule in rules if bool(rule["IsEgress"]) is egress]
            aws.revoke(group, ids, egress=egress)


@dataclass(frozen=True, kw_only=True)
class Holding:
    """A rule of a security group that stays, which names one that is to go and so keeps it."""

    rule: str
    egress: bool
    group: str
    group_name: str
    names: str

    def __str__(self) -> str:
        return f"{self.group} ({self.group_name}) names {self.names}"


def named_by_others(aws: Aws, groups: Iterable[str]) -> list[Holding]:
    """Rules of groups that stay which name one of these, in either direction."""
    going = sorted(groups)
    if not going:
        return []
    vpcs = {one["GroupId"]: one["VpcId"] for one in _groups(aws, "group-id", going)}
    holders = {
        one["GroupId"]: one
        for name in ("ip-permission.group-id", "egress.ip-permission.group-id")
        for one in _groups(aws, name, going)
        if one["GroupId"] not in going
    }
    if not holders:
        return []
    pages = aws.ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": sorted(holders)}]
    )
    return [
        Holding(
            rule=rule["SecurityGroupRuleId"],
            egress=bool(rule["IsEgress"]),
            group=rule["GroupId"],
            group_name=holders[rule["GroupId"]]["GroupName"],
            names=named,
        )
        for page in pages
        for rule in described(page["SecurityGroupRules"])
        # Across VPCs a reference only becomes stale.
        if (named := str(mapping(rule, "ReferencedGroupInfo").get("GroupId"))) in vpcs
        and vpcs[named] == holders[rule["GroupId"]]["VpcId"]
    ]


def _groups(aws: Aws, filtered: str, values: list[str]) -> list[Document]:
    pages = aws.ec2.get_paginator("describe_security_groups").paginate(Filters=[{"Name": filtered, "Values": values}])
    return [one for page in pages for one in described(page["SecurityGroups"])]


def take_out(aws: Aws, held: Iterable[Holding]) -> None:
    """Take these rules, and no others, out of their groups; one that has gone meanwhile is fine."""
    for one in held:
        aws.revoke(one.group, [one.rule], egress=one.egress)


def _instance_profile(aws: Aws, name: str) -> None:
    profile = aws.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    for role in profile["Roles"]:
        aws.iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role["RoleName"])
    aws.iam.delete_instance_profile(InstanceProfileName=name)


# Each answers False where it found that the thing was gone, or fails with AWS's "not found".
DELETIONS: dict[str, Callable[[Aws, str], object]] = {
    "autoscaling-group": _group,
    "launch-template": lambda aws, id_: aws.ec2.delete_launch_template(LaunchTemplateId=id_),
    "load-balancer": _load_balancer,
    "target-group": lambda aws, id_: aws.elbv2.delete_target_group(TargetGroupArn=id_),
    "volume": lambda aws, id_: aws.ec2.delete_volume(VolumeId=id_),
    "instance-profile": _instance_profile,
    "security-group": lambda aws, id_: aws.ec2.delete_security_group(GroupId=id_),
    "route-table": lambda aws, id_: aws.ec2.delete_route_table(RouteTableId=id_),
    "subnet": lambda aws, id_: aws.ec2.delete_subnet(SubnetId=id_),
}


def delete(aws: Aws, item: Retired) -> bool:
    """Delete one item; False where AWS says that it was gone. Raises `Retryable` while something still holds it."""
    try:
        if DELETIONS[item.type](aws, item.id) is False:
            return False
    except ClientError as error:
        if not_there(error):
            return False
        if error_code(error) in _HELD:
            raise Retryable(f"{item.type} {item.id} is still in use: {error}") from error
        raise Permanent(f"{item.type} {item.id} can't be deleted: {error}") from error
    return True


def retire(
    aws: Aws,
    items: Iterable[Retired],
    deadline: Deadline,
    log: Callable[[str], None],
    alive: Callable[[], None],
    *,
    references: str | None = None,
) -> list[str]:
    """Delete all of `items`, waiting for what holds them; returns the ids this call deleted.

    With `references` ``apply``, rules elsewhere that name a group of them go with it: they have their twins by now.
    """
    deleted: list[str] = []
    items = ordered(items)
    groups = [item.id for item in items if item.type == "security-group"]
    held = named_by_others(aws, groups)
    if held and references != "apply":
        raise Permanent(
            f"security groups that stay name some that are to go: {'; '.join(map(str, held))}. Take those rules out, "
            f"set migration:references to apply, with which this does it, or move the named groups from "
            f"migration:retire to migration:keep"
        )
    used = profiles_in_use(aws, items)
    if used:
        raise Permanent(
            f"instance profiles that are to go are in use: {'; '.join(used)}. Move those profiles from "
            f"migration:retire to migration:keep"
        )
    revoked = False
    # Some deletions, a balancer's for one, succeed on what isn't there.
    for item in there(aws, items):
        if item.type == "security-group" and not revoked:
            # Only now: as long as anything ran in them, their rules were in use.
            alive()
            revoke_rules(aws, groups)
            take_out(aws, held)
            for one in held:
                log(f"took out rule {one.rule}: {one}, which goes")
            revoked = True
        name = f"{item.type} {item.id}"

        def attempt(item: Retired = item) -> list[str]:
            alive()
            return [item.id] if delete(aws, item) else []

        gone = deadline.until(attempt, f"the deletion of {name}")
        if gone:
            log(f"deleted {name}")
        deleted += gone
    return deleted
