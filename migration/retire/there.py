"""Whether what is listed to go, or to stay, is there: all of a kind at once where AWS tells many in one answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from migration.clients.aws import Aws, described, not_there
from migration.contracts.gates.cleanup import Item
from migration.runtime.deadline import Permanent
from migration.settings.model import Retired

Listed = TypeVar("Listed", bound=Retired | Item)
Look = Callable[[Aws, Sequence[str]], Iterable[str]]
"""Of these ids, those that are there; it may name others, too."""


def _each(ask: Callable[[Aws, str], Any]) -> Look:
    """One by one; an empty answer means gone, as does AWS's "not found"."""

    def look(aws: Aws, ids: Sequence[str]) -> Iterator[str]:
        for id_ in ids:
            try:
                if ask(aws, id_):
                    yield id_
            except ClientError as error:
                if not not_there(error):
                    raise

    return look


def _templates(aws: Aws, _: Sequence[str]) -> Iterator[str]:
    # Asked by id, a single one that is gone is an error for all of them, and there is no filter for ids.
    for page in aws.ec2.get_paginator("describe_launch_templates").paginate():
        yield from (one["LaunchTemplateId"] for one in described(page["LaunchTemplates"]))


LOOK: dict[str, Look] = {
    # Where a cluster has one for each of its groups, all are asked for at once.
    "autoscaling-group": lambda aws, names: aws.groups(names),
    "launch-template": _templates,
    "load-balancer": _each(lambda aws, i: aws.elbv2.describe_load_balancers(LoadBalancerArns=[i])["LoadBalancers"]),
    "target-group": _each(lambda aws, i: aws.elbv2.describe_target_groups(TargetGroupArns=[i])["TargetGroups"]),
    "security-group": _each(lambda aws, i: aws.ec2.describe_security_groups(GroupIds=[i])["SecurityGroups"]),
    "volume": _each(lambda aws, i: aws.ec2.describe_volumes(VolumeIds=[i])["Volumes"]),
    "instance-profile": _each(lambda aws, i: aws.iam.get_instance_profile(InstanceProfileName=i)["InstanceProfile"]),
    "subnet": _each(lambda aws, i: aws.ec2.describe_subnets(SubnetIds=[i])["Subnets"]),
    "route-table": _each(lambda aws, i: aws.ec2.describe_route_tables(RouteTableIds=[i])["RouteTables"]),
}
"""How each type of the retire list is asked for."""


def there(aws: Aws, items: Iterable[Listed]) -> list[Listed]:
    """Those of `items` that are there, in their order. Raises `Permanent` for a type this program doesn't know."""
    listed: dict[str, list[str]] = {}
    asked = list(items)
    for item in asked:
        if item.type not in LOOK:
            raise Permanent(f"migration:retire names the type {item.type!r}; known: {', '.join(LOOK)}")
        listed.setdefault(item.type, []).append(item.id)
    found = {kind: frozenset(LOOK[kind](aws, ids)) for kind, ids in listed.items()}
    return [item for item in asked if item.id in found[item.type]]
