"""Finding, by tag and name, what earlier stages made on a side: what gates and the CLI go by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migration.clients.aws import Aws, described
from migration.names import physical_name

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef


def _filters(cluster: str, side: str, **more: str) -> list[FilterTypeDef]:
    tags = {"migration:cluster": cluster, "migration:side": side, **more}
    return [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]


def complete(aws: Aws, cluster: str, facts: dict[str, Any]) -> dict[str, Any]:
    """`facts` of a side with the ids that exist by now added; a referenced side's are all there already.

    Keys of what no stage has made yet stay absent.
    """
    if facts["kind"] == "referenced":
        return facts
    side, suffix = facts["name"], facts["suffix"]
    found = dict(facts)
    vpcs = aws.ec2.describe_vpcs(Filters=_filters(cluster, side, **{"migration:role": "vpc"}))["Vpcs"]
    for vpc in described(vpcs[:1]):
        found["vpcId"] = vpc["VpcId"]
        tables = described(aws.ec2.describe_route_tables(Filters=_filters(cluster, side))["RouteTables"])
        found["routeTables"] = sorted(table["RouteTableId"] for table in tables)
    groups = described(aws.ec2.describe_security_groups(Filters=_filters(cluster, side))["SecurityGroups"])
    for group in groups:
        role = next((tag["Value"] for tag in group.get("Tags", []) if tag["Key"] == "migration:role"), "")
        key = {"nodes": "nodeSecurityGroup", "control-plane": "controlPlaneSecurityGroup"}.get(role)
        if key:
            found[key] = group["GroupId"]
    for role in ("ingress", "api"):
        balancer = _balancer(aws, physical_name(cluster, role, suffix))
        if balancer:
            found[role] = balancer
    members = _target_group(aws, physical_name(cluster, "apimembers", suffix))
    if members:
        found["apiInstanceTargetGroup"] = members
    return found


def _balancer(aws: Aws, name: str) -> dict[str, Any] | None:
    try:
        [balancer] = described(aws.elbv2.describe_load_balancers(Names=[name])["LoadBalancers"])
    except aws.elbv2.exceptions.LoadBalancerNotFoundException:
        return None
    listeners = described(aws.elbv2.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"])
    own = _target_group(aws, name)
    return {
        "arn": balancer["LoadBalancerArn"],
        "dnsName": balancer["DNSName"],
        "zoneId": balancer["CanonicalHostedZoneId"],
        "port": min((listener["Port"] for listener in listeners), default=0),
        "targetGroups": [own] if own else [],
    }


def _target_group(aws: Aws, name: str) -> str | None:
    try:
        [group] = described(aws.elbv2.describe_target_groups(Names=[name])["TargetGroups"])
        return group["TargetGroupArn"]
    except aws.elbv2.exceptions.TargetGroupNotFoundException:
        return None
