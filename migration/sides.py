"""A side as it is there now: ids from the configuration, or found by tag and name where this program made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migration.balancing.read import sent_to
from migration.clients.aws import Aws, described
from migration.contracts.gates import BalancerRef, SideRef
from migration.names import balancer_name


@dataclass(frozen=True, kw_only=True)
class Side:
    """A side's ids; what no stage has made yet is None or empty. `api_instances` is the ARN of the target group of
    members' instances; `more` are the further ingress balancers by role.
    """

    name: str
    suffix: str
    cidr: str
    secondary_cidrs: tuple[str, ...] = ()
    vpc_id: str | None = None
    route_tables: tuple[str, ...] = ()
    ingress: BalancerRef | None = None
    api: BalancerRef | None = None
    api_instances: str | None = None
    more: Mapping[str, BalancerRef | None] = field(default_factory=dict[str, "BalancerRef | None"])

    @property
    def ingresses(self) -> dict[str, BalancerRef | None]:
        """All ingress balancers by role, the first one first."""
        return {"ingress": self.ingress, **self.more}

    def serving(self, serves: str) -> BalancerRef | None:
        """The balancer that answers for what a name serves; None where there is none."""
        return self.api if serves == "api" else self.ingresses.get(serves)


def find(aws: Aws, cluster: str, ref: SideRef) -> Side:
    """The side that `ref` names; a referenced one's ids are all there already."""
    if ref.vpc_id is not None:
        return Side(
            name=ref.name,
            suffix=ref.suffix,
            cidr=ref.cidr,
            secondary_cidrs=ref.secondary_cidrs,
            vpc_id=ref.vpc_id,
            route_tables=ref.route_tables,
            ingress=ref.ingress,
            api=ref.api,
            more=ref.more,
        )
    vpcs = aws.ec2.describe_vpcs(Filters=_filters(cluster, ref.name, **{"migration:role": "vpc"}))["Vpcs"]
    tables = aws.ec2.describe_route_tables(Filters=_filters(cluster, ref.name))["RouteTables"] if vpcs else []
    return Side(
        name=ref.name,
        suffix=ref.suffix,
        cidr=ref.cidr,
        vpc_id=vpcs[0].get("VpcId") if vpcs else None,
        route_tables=tuple(sorted(table["RouteTableId"] for table in described(tables))),
        ingress=_balancer(aws, balancer_name(cluster, "ingress", ref.suffix)),
        api=_balancer(aws, balancer_name(cluster, "api", ref.suffix), only_first=True),
        api_instances=_target_group(aws, balancer_name(cluster, "apimembers", ref.suffix)),
        more={role: _balancer(aws, balancer_name(cluster, role, ref.suffix)) for role in ref.roles},
    )


def running_on(aws: Aws, cluster: str, side: str) -> list[str]:
    """Ids of the instances of a side that this program made, which aren't gone."""
    states: Any = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    pages = aws.ec2.get_paginator("describe_instances").paginate(Filters=[*_filters(cluster, side), states])
    return sorted(
        instance["InstanceId"]
        for page in pages
        for one in described(page["Reservations"])
        for instance in described(one["Instances"])
    )


def _filters(cluster: str, side: str, **more: str) -> list[Any]:
    tags = {"migration:cluster": cluster, "migration:side": side, **more}
    return [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]


def _balancer(aws: Aws, name: str, *, only_first: bool = False) -> BalancerRef | None:
    """The balancer of that name. `only_first`: the API's has one more listener, above the others, while its instances
    are only looked at: what serves is behind the first.
    """
    try:
        [balancer] = described(aws.elbv2.describe_load_balancers(Names=[name])["LoadBalancers"])
    except aws.elbv2.exceptions.LoadBalancerNotFoundException:
        return None
    arn = balancer["LoadBalancerArn"]
    behind = [group for _, group in sent_to(aws, arn)]
    if not behind and (named := _target_group(aws, name)):
        behind = [named]
    groups = behind[:1] if only_first else list(dict.fromkeys(behind))
    return BalancerRef(arn=arn, dns_name=balancer["DNSName"], target_groups=tuple(groups))


def _target_group(aws: Aws, name: str) -> str | None:
    try:
        [group] = described(aws.elbv2.describe_target_groups(Names=[name])["TargetGroups"])
    except aws.elbv2.exceptions.TargetGroupNotFoundException:
        return None
    return group["TargetGroupArn"]
