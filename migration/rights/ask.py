"""Whether the caller has the rights: IAM simulates them, or EC2 tells by dry runs. Changes nothing.

Sources: IAM API reference, SimulatePrincipalPolicy (permissions boundaries and organisations' policies count, too);
EC2 API reference, Common query parameters, DryRun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from migration.clients.aws import Aws, batches, error_code
from migration.clients.documents import listed
from migration.rights.policy import PASSED_TO, READ_PARAMETERS, Grant, Scope, grants

if TYPE_CHECKING:
    from mypy_boto3_iam.type_defs import ContextEntryTypeDef

PER_CALL = 60
"""Actions simulated by one call."""
MAY = "DryRunOperation"
DENIED = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was found out. `unsure` are actions whose policies depend on condition keys that nobody can give before
    the call, with those keys."""

    asked: int
    denied: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()


def caller(aws: Aws) -> tuple[str, str, str]:
    """The ARN that IAM simulates for, the partition and the account. Raises ClientError."""
    arn = aws.sts.get_caller_identity()["Arn"]
    _, partition, _, _, account, name = arn.split(":", 5)
    # A session's ARN names its role: arn:aws:sts::1:assumed-role/name/session.
    if name.startswith("assumed-role/"):
        arn = aws.iam.get_role(RoleName=name.split("/")[1])["Role"]["Arn"]
    return arn, partition, account


def simulated(aws: Aws, source: str, scope: Scope, wanted: Iterable[str]) -> Answer:
    """What IAM says of these actions for a principal. Raises ClientError where it may not be asked.

    Each is asked for what the policies of this program name. Denied there for want of a statement, it is asked for an
    object of its type: a policy that binds rights to types and tags is as good.
    """
    denied: list[str] = []
    unsure: list[str] = []
    asked = 0
    for grant in grants(scope, wanted):
        # The certificate's place is the configuration's; the gate that reads it asks there.
        resources = grant.resources[:2] if set(grant.actions) <= READ_PARAMETERS else grant.resources
        for actions in batches(grant.actions, PER_CALL):
            asked += len(actions)
            results = _simulate(
                aws, source, scope, Grant(actions=tuple(actions), resources=tuple(map(_one, resources)))
            )
            for action, (verdict, missing) in results.items():
                found, keys = verdict, missing
                if verdict == "implicitDeny" and grant.resources == ("*",) and (arn := example(action, scope)):
                    again = _simulate(aws, source, scope, Grant(actions=(action,), resources=(arn,)))
                    found, keys = again[action]
                if found == "implicitDeny" and keys:
                    unsure.append(f"{action} (by {', '.join(keys)})")
                elif found != "allowed":
                    denied.append(action)
    return Answer(asked=asked, denied=tuple(sorted(denied)), unsure=tuple(sorted(unsure)))


def _simulate(aws: Aws, source: str, scope: Scope, grant: Grant) -> dict[str, tuple[str, tuple[str, ...]]]:
    """By action: the worst verdict over the grant's resources, and the condition keys that were missing."""
    pages = aws.iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=source,
        ActionNames=list(grant.actions),
        ResourceArns=list(grant.resources),
        ContextEntries=_context(scope),
    )
    order = {"allowed": 0, "implicitDeny": 1, "explicitDeny": 2}
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for page in pages:
        results = listed(page, "EvaluationResults")
        for one in results:
            action, verdict = str(one["EvalActionName"]), str(one["EvalDecision"])
            keys = tuple(str(key) for key in listed(one, "MissingContextValues"))
            if action not in found or order[verdict] > order[found[action][0]]:
                found[action] = (verdict, keys)
    return found


def _context(scope: Scope) -> list[ContextEntryTypeDef]:
    known = {
        "aws:RequestedRegion": scope.region,
        "aws:ResourceTag/migration:cluster": scope.cluster,
        "aws:RequestTag/migration:cluster": scope.cluster,
        "iam:PassedToService": PASSED_TO,
    }
    return [
        {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]} for key, value in known.items()
    ]


def _one(resource: str) -> str:
    """One object of those that a pattern stands for; any object stays any."""
    return resource if resource == "*" else resource.replace("*", "x")


# The longest first: RouteTable before Route.
_EC2_TYPES = (
    ("VpcPeeringConnection", "vpc-peering-connection/pcx"),
    ("VpcEndpoint", "vpc-endpoint/vpce"),
    ("InternetGateway", "internet-gateway/igw"),
    ("LaunchTemplate", "launch-template/lt"),
    ("SecurityGroup", "security-group/sg"),
    ("NatGateway", "natgateway/nat"),
    ("Instance", "instance/i"),
    ("Address", "elastic-ip/eipalloc"),
    ("Subnet", "subnet/subnet"),
    ("Volume", "volume/vol"),
    ("Route", "route-table/rtb"),
    ("Tags", "instance/i"),
    ("Vpc", "vpc/vpc"),
)
_BALANCING_TYPES = (
    ("TargetGroup", "targetgroup/x/0"),
    ("Target", "targetgroup/x/0"),
    ("Listener", "listener/net/x/0/0"),
    ("", "loadbalancer/net/x/0"),
)


def example(action: str, scope: Scope) -> str | None:
    """The ARN of an object that an action is for; None where it has no type of its own."""
    service, _, name = action.partition(":")
    if "Describe" in name or name.startswith(("List", "Get")):
        return None
    place = f"arn:{scope.partition}:{service}:{scope.region}:{scope.account}"
    if service == "ec2":
        return next((f"{place}:{kind}-00000000000000000" for noun, kind in _EC2_TYPES if noun in name), None)
    if service == "elasticloadbalancing":
        return next((f"{place}:{kind}" for noun, kind in _BALANCING_TYPES if noun in name), None)
    if service == "autoscaling":
        return f"{place}:autoScalingGroup:0:autoScalingGroupName/x"
    if service == "route53":
        return f"arn:{scope.partition}:route53:::hostedzone/Z0"
    return f"{place}:key/0" if service == "kms" else None


def dry_runs(aws: Aws, vpc: str) -> Answer:
    """What EC2 says of actions that make things; each is asked with `DryRun`, so nothing is made.

    Anything but a refusal for want of a right means that the right is there.
    """
    denied: list[str] = []
    runs = dict(_dry(aws, vpc))
    for action, call in runs.items():
        try:
            call()
        except ClientError as error:
            if error_code(error) in DENIED:
                denied.append(action)
    return Answer(asked=len(runs), denied=tuple(sorted(denied)))


def _dry(aws: Aws, vpc: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    ec2, cidr, name = aws.ec2, "10.255.255.0/28", "migration-dry-run"
    rule: Any = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "IpRanges": [{"CidrIp": cidr}]}]
    yield "ec2:CreateVpc", lambda: ec2.create_vpc(CidrBlock=cidr, DryRun=True)
    yield "ec2:CreateSubnet", lambda: ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, DryRun=True)
    yield "ec2:CreateRouteTable", lambda: ec2.create_route_table(VpcId=vpc, DryRun=True)
    yield "ec2:CreateInternetGateway", lambda: ec2.create_internet_gateway(DryRun=True)
    yield "ec2:AllocateAddress", lambda: ec2.allocate_address(Domain="vpc", DryRun=True)
    yield (
        "ec2:CreateVpcPeeringConnection",
        lambda: ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=vpc, DryRun=True),
    )
    yield (
        "ec2:CreateVpcEndpoint",
        lambda: ec2.create_vpc_endpoint(
            VpcId=vpc, ServiceName=f"com.amazonaws.{aws.region}.s3", VpcEndpointType="Gateway", DryRun=True
        ),
    )
    yield (
        "ec2:CreateSecurityGroup",
        lambda: ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc, DryRun=True),
    )
    yield (
        "ec2:CreateLaunchTemplate",
        lambda: ec2.create_launch_template(
            LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "m5.large"}, DryRun=True
        ),
    )
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    group = str(groups[0].get("GroupId", "")) if groups else ""
    table = str(tables[0].get("RouteTableId", "")) if tables else ""
    if group:
        named: Any = {"GroupId": group, "DryRun": True}
        ruled: Any = {**named, "IpPermissions": rule}
        yield "ec2:AuthorizeSecurityGroupIngress", lambda: ec2.authorize_security_group_ingress(**ruled)
        yield "ec2:AuthorizeSecurityGroupEgress", lambda: ec2.authorize_security_group_egress(**ruled)
        yield "ec2:RevokeSecurityGroupIngress", lambda: ec2.revoke_security_group_ingress(**ruled)
        yield "ec2:RevokeSecurityGroupEgress", lambda: ec2.revoke_security_group_egress(**ruled)
        yield "ec2:DeleteSecurityGroup", lambda: ec2.delete_security_group(**named)
    if table:
        route: Any = {"RouteTableId": table, "DestinationCidrBlock": cidr, "DryRun": True}
        yield "ec2:CreateRoute", lambda: ec2.create_route(**route)
        yield "ec2:ReplaceRoute", lambda: ec2.replace_route(**route)
        yield "ec2:DeleteRoute", lambda: ec2.delete_route(**route)
        yield "ec2:DeleteRouteTable", lambda: ec2.delete_route_table(RouteTableId=table, DryRun=True)
    yield "ec2:DeleteVpc", lambda: ec2.delete_vpc(VpcId=vpc, DryRun=True)
    tag: Any = [{"Key": name, "Value": ""}]
    yield "ec2:CreateTags", lambda: ec2.create_tags(Resources=[vpc], Tags=tag, DryRun=True)
    yield "ec2:DeleteTags", lambda: ec2.delete_tags(Resources=[vpc], Tags=tag, DryRun=True)
