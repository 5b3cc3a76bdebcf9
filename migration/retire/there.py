"""Whether what is listed to go, or to stay, is there: all of a kind at once where AWS tells many in one answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from migration.clients.aws import Aws, described, not_there
from migration.contracts.gates.cleanup import Item
from migration.runtime.deadline import Permanent
from migration.settings.model import Retired

Listed = TypeVar("Listed", bound=Retired | Item)


def _profile(aws: Aws, name: str) -> Any:
    return aws.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]


# How each type of the retire list is asked for; an empty answer means gone, as does AWS's "not found".
LOOK: dict[str, Callable[[Aws, str], Any]] = {
    "autoscaling-group": lambda aws, i: aws.groups([i]),
    "launch-template": lambda aws, i: aws.ec2.describe_launch_templates(LaunchTemplateIds=[i])["LaunchTemplates"],
    "load-balancer": lambda aws, i: aws.elbv2.describe_load_balancers(LoadBalancerArns=[i])["LoadBalancers"],
    "target-group": lambda aws, i: aws.elbv2.describe_target_groups(TargetGroupArns=[i])["TargetGroups"],
    "security-group": lambda aws, i: aws.ec2.describe_security_groups(GroupIds=[i])["SecurityGroups"],
    "volume": lambda aws, i: aws.ec2.describe_volumes(VolumeIds=[i])["Volumes"],
    "instance-profile": _profile,
    "subnet": lambda aws, i: aws.ec2.describe_subnets(SubnetIds=[i])["Subnets"],
    "route-table": lambda aws, i: aws.ec2.describe_route_tables(RouteTableIds=[i])["RouteTables"],
}


def _templates(aws: Aws, _: Sequence[str]) -> set[str]:
    # Asked by id, a single one that is gone is an error for all of them, and there is no filter for ids.
    pages = aws.ec2.get_paginator("describe_launch_templates").paginate()
    return {one["LaunchTemplateId"] for page in pages for one in described(page["LaunchTemplates"])}


# Where a cluster has one for each of its groups, all are asked for at once: of the ids, those that are there.
AT_ONCE: dict[str, Callable[[Aws, Sequence[str]], Iterable[str]]] = {
    "autoscaling-group": lambda aws, names: aws.groups(names),
    "launch-template": _templates,
}


def exists(aws: Aws, kind: str, id_: str) -> bool:
    """Whether an object of the retire list is still there; raises `Permanent` for a type this program doesn't know."""
    if kind not in LOOK:
        raise Permanent(f"migration:retire names the type {kind!r}; known: {', '.join(LOOK)}")
    try:
        return bool(LOOK[kind](aws, id_))
    except ClientError as error:
        if not_there(error):
            return False
        raise


def there(aws: Aws, items: Iterable[Listed]) -> list[Listed]:
    """Those of `items` that are there, in their order. Raises `Permanent` for a type this program doesn't know."""
    asked = list(items)
    found: dict[str, frozenset[str]] = {}
    for kind, look in AT_ONCE.items():
        if ids := [item.id for item in asked if item.type == kind]:
            found[kind] = frozenset(look(aws, ids))
    return [
        item
        for item in asked
        if (item.id in found[item.type] if item.type in found else exists(aws, item.type, item.id))
    ]
