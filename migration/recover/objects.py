"""Whether the AWS object of an interrupted create is there: one way to look a type, by what AWS keeps unique of it.

Where AWS keeps nothing unique, the `migration:` tags say it, which are given with the creation. They must be there on
everything that can carry tags: an object of the same name or place without them is somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from botocore.exceptions import ClientError
from pydantic import Field, ValidationError

from migration.clients.aws import described, error_code
from migration.clients.documents import Document, listed, mapping
from migration.discover.tags import tags_of
from migration.recover.state import Foreign, Resource
from migration.runtime.deadline import Permanent

if TYPE_CHECKING:
    from migration.clients.aws import Aws

PREFIX = "migration:"
# How AWS's errors about what isn't there are called, each service in its own way.
_ABSENT = ("NotFound", "NoSuch", "DoesNotExist", "Malformed")


@dataclass(frozen=True, kw_only=True)
class Found:
    """An object that is there: `id` is what the engine imports it by, `tags` None where it can carry none."""

    id: str
    tags: Mapping[str, str] | None = None


class Tagged(Foreign):
    """Inputs with tags."""

    tags: Mapping[str, str] = Field(default_factory=dict)

    def marks(self) -> dict[str, str]:
        """The tags by which this program finds its own objects."""
        return {key: value for key, value in self.tags.items() if key.startswith(PREFIX)}


class InVpc(Tagged):
    """A part of a VPC."""

    vpc_id: str


class Subnet(InVpc):
    cidr_block: str


class Endpoint(InVpc):
    service_name: str


class SecurityGroup(InVpc):
    name: str


class Peering(InVpc):
    peer_vpc_id: str


class Nat(Tagged):
    subnet_id: str


class Volume(Tagged):
    availability_zone: str


class Named(Tagged):
    name: str


class Listener(Tagged):
    load_balancer_arn: str
    port: int


class ListenerRule(Tagged):
    listener_arn: str
    priority: int


class Rule(Tagged):
    security_group_id: str
    ip_protocol: str
    from_port: int | None = None
    to_port: int | None = None
    cidr_ipv4: str | None = None
    prefix_list_id: str | None = None
    referenced_security_group_id: str | None = None


class GroupTag(Foreign):
    key: str
    value: str


class Group(Foreign):
    """An Auto Scaling group's inputs; its tags are a list."""

    name: str
    tags: tuple[GroupTag, ...] = ()

    def marks(self) -> dict[str, str]:
        """As `Tagged.marks`."""
        return {tag.key: tag.value for tag in self.tags if tag.key.startswith(PREFIX)}


class GroupsPolicy(Foreign):
    """A policy's or a scheduled action's inputs: its group's, and its name there."""

    autoscaling_group_name: str
    name: str | None = None
    scheduled_action_name: str | None = None


class Route(Foreign):
    route_table_id: str
    destination_cidr_block: str
    gateway_id: str | None = None
    nat_gateway_id: str | None = None
    vpc_peering_connection_id: str | None = None


class Association(Foreign):
    subnet_id: str
    route_table_id: str


class RuleAssociation(Foreign):
    resolver_rule_id: str
    vpc_id: str


class ZoneAssociation(Foreign):
    zone_id: str
    vpc_id: str


class _Marked(Protocol):
    def marks(self) -> dict[str, str]: ...


I = TypeVar("I", bound=Foreign)  # noqa: E741 - inputs


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[I]):
    """How objects of one type are looked for.

    `remove`: the command that deletes one, with ``{id}`` and names of inputs; empty for what has no tags and so is
    never in doubt. `again`: it is deleted and made again rather than taken over; `used` then names who uses it, which
    must be nobody.
    """

    inputs: type[I]
    find: Callable[[Aws, I], Iterator[Found]]
    remove: str = ""
    again: Callable[[Aws, str], None] | None = None
    used: Callable[[Aws, str], list[str]] = field(default=lambda aws, id: [])

    def look(self, aws: Aws, resource: Resource) -> tuple[list[Found], dict[str, str]]:
        """What is there, and the tags it must have. Raises `Permanent` where the note can't be understood."""
        try:
            inputs = self.inputs.model_validate(resource.inputs)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise Permanent(f"{resource}: what was to be made isn't understood ({wrong})") from None
        marks: dict[str, str] = inputs.marks() if isinstance(inputs, Tagged | Group) else {}
        try:
            return list(self.find(aws, inputs)), marks
        except ClientError as error:
            if any(word in error_code(error) for word in _ABSENT):
                return [], marks
            raise


def _by(name: str, *values: str) -> Any:
    """One of EC2's filters."""
    return {"Name": name, "Values": list(values)}


def _marked(inputs: _Marked) -> list[Any]:
    marks = inputs.marks()
    if not marks:
        # An empty list of filters would find everything.
        raise Permanent("what was to be made has no migration: tags, so it can't be found by them")
    return [_by(f"tag:{key}", value) for key, value in sorted(marks.items())]


def _found(answer: Any, id_key: str) -> Iterator[Found]:
    for one in described(answer):
        yield Found(id=one[id_key], tags=tags_of(one))


def _vpc(aws: Aws, wanted: Tagged) -> Iterator[Found]:
    return _found(aws.ec2.describe_vpcs(Filters=_marked(wanted))["Vpcs"], "VpcId")


def _subnet(aws: Aws, wanted: Subnet) -> Iterator[Found]:
    filters = [_by("vpc-id", wanted.vpc_id), _by("cidr-block", wanted.cidr_block)]
    return _found(aws.ec2.describe_subnets(Filters=filters)["Subnets"], "SubnetId")


def _route_table(aws: Aws, wanted: InVpc) -> Iterator[Found]:
    filters = [_by("vpc-id", wanted.vpc_id), *_marked(wanted)]
    return _found(aws.ec2.describe_route_tables(Filters=filters)["RouteTables"], "RouteTableId")


def _association(aws: Aws, wanted: Association) -> Iterator[Found]:
    filters = [_by("association.subnet-id", wanted.subnet_id)]
    for table in described(aws.ec2.describe_route_tables(Filters=filters)["RouteTables"]):
        if table["RouteTableId"] == wanted.route_table_id:
            yield Found(id=f"{wanted.subnet_id}/{wanted.route_table_id}")


def _route(aws: Aws, wanted: Route) -> Iterator[Found]:
    for table in described(aws.ec2.describe_route_tables(RouteTableIds=[wanted.route_table_id])["RouteTables"]):
        for route in listed(table, "Routes"):
            leads_there = (
                route.get("GatewayId") == wanted.gateway_id
                and route.get("NatGatewayId") == wanted.nat_gateway_id
                and route.get("VpcPeeringConnectionId") == wanted.vpc_peering_connection_id
            )
            if route.get("DestinationCidrBlock") == wanted.destination_cidr_block and leads_there:
                yield Found(id=f"{wanted.route_table_id}_{wanted.destination_cidr_block}")


def _internet_gateway(aws: Aws, wanted: Tagged) -> Iterator[Found]:
    answer = aws.ec2.describe_internet_gateways(Filters=_marked(wanted))["InternetGateways"]
    return _found(answer, "InternetGatewayId")


def _address(aws: Aws, wanted: Tagged) -> Iterator[Found]:
    return _found(aws.ec2.describe_addresses(Filters=_marked(wanted))["Addresses"], "AllocationId")


def _nat(aws: Aws, wanted: Nat) -> Iterator[Found]:
    filters = [_by("subnet-id", wanted.subnet_id), _by("state", "pending", "available")]
    return _found(aws.ec2.describe_nat_gateways(Filters=filters)["NatGateways"], "NatGatewayId")


def _endpoint(aws: Aws, wanted: Endpoint) -> Iterator[Found]:
    filters = [_by("vpc-id", wanted.vpc_id), _by("service-name", wanted.service_name)]
    alive = [
        one
        for one in described(aws.ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"])
        if str(one.get("State", "")).lower() not in ("deleting", "deleted", "rejected", "failed", "expired")
    ]
    return _found(alive, "VpcEndpointId")


def _peering(aws: Aws, wanted: Peering) -> Iterator[Found]:
    filters = [
        _by("requester-vpc-info.vpc-id", wanted.vpc_id),
        _by("accepter-vpc-info.vpc-id", wanted.peer_vpc_id),
        _by("status-code", "initiating-request", "pending-acceptance", "provisioning", "active"),
    ]
    answer = aws.ec2.describe_vpc_peering_connections(Filters=filters)["VpcPeeringConnections"]
    return _found(answer, "VpcPeeringConnectionId")


def _security_group(aws: Aws, wanted: SecurityGroup) -> Iterator[Found]:
    filters = [_by("vpc-id", wanted.vpc_id), _by("group-name", wanted.name)]
    return _found(aws.ec2.describe_security_groups(Filters=filters)["SecurityGroups"], "GroupId")


def _rules(*, egress: bool) -> Callable[[Aws, Rule], Iterator[Found]]:
    def find(aws: Aws, wanted: Rule) -> Iterator[Found]:
        pages = aws.ec2.get_paginator("describe_security_group_rules").paginate(
            Filters=[_by("group-id", wanted.security_group_id)]
        )
        for page in pages:
            same = [
                rule
                for rule in described(page["SecurityGroupRules"])
                if bool(rule["IsEgress"]) is egress and _permits_the_same(rule, wanted)
            ]
            yield from _found(same, "SecurityGroupRuleId")

    return find


def _permits_the_same(rule: Document, wanted: Rule) -> bool:
    def port(value: int | None) -> int:
        # AWS answers -1 where a rule of all protocols was made without ports.
        return -1 if value is None else value

    return (
        rule["IpProtocol"] == wanted.ip_protocol
        and port(rule.get("FromPort")) == port(wanted.from_port)
        and port(rule.get("ToPort")) == port(wanted.to_port)
        and rule.get("CidrIpv4") == wanted.cidr_ipv4
        and rule.get("PrefixListId") == wanted.prefix_list_id
        and mapping(rule, "ReferencedGroupInfo").get("GroupId") == wanted.referenced_security_group_id
    )


def _template(aws: Aws, wanted: Named) -> Iterator[Found]:
    filters = [_by("launch-template-name", wanted.name)]
    return _found(aws.ec2.describe_launch_templates(Filters=filters)["LaunchTemplates"], "LaunchTemplateId")


def _users_of_template(aws: Aws, template: str) -> list[str]:
    pages = aws.autoscaling.get_paginator("describe_auto_scaling_groups").paginate()
    groups = [group for page in pages for group in described(page["AutoScalingGroups"])]

    def uses(group: Document) -> bool:
        mixed = mapping(group, "MixedInstancesPolicy", "LaunchTemplate")
        named = [mapping(group, "LaunchTemplate"), mapping(mixed, "LaunchTemplateSpecification")]
        named += [mapping(one, "LaunchTemplateSpecification") for one in listed(mixed, "Overrides")]
        return any(one.get("LaunchTemplateId") == template for one in named)

    return sorted(group["AutoScalingGroupName"] for group in groups if uses(group))


def _delete_template(aws: Aws, template: str) -> None:
    aws.ec2.delete_launch_template(LaunchTemplateId=template)


def _group(aws: Aws, wanted: Group) -> Iterator[Found]:
    for name, group in aws.groups([wanted.name]).items():
        # One that is on its way out has a status, and its name is free again soon.
        if not group.get("Status"):
            yield Found(id=name, tags=tags_of(group))


def _policy(aws: Aws, wanted: GroupsPolicy) -> Iterator[Found]:
    group = wanted.autoscaling_group_name
    names = [wanted.name] if wanted.name else []
    answer = aws.autoscaling.describe_policies(AutoScalingGroupName=group, PolicyNames=names)
    for one in described(answer["ScalingPolicies"]):
        yield Found(id=f"{group}/{one['PolicyName']}")


def _schedule(aws: Aws, wanted: GroupsPolicy) -> Iterator[Found]:
    group = wanted.autoscaling_group_name
    names = [wanted.scheduled_action_name] if wanted.scheduled_action_name else []
    answer = aws.autoscaling.describe_scheduled_actions(AutoScalingGroupName=group, ScheduledActionNames=names)
    for one in described(answer["ScheduledUpdateGroupActions"]):
        yield Found(id=f"{group}/{one['ScheduledActionName']}")


def _volume(aws: Aws, wanted: Volume) -> Iterator[Found]:
    filters = [
        _by("availability-zone", wanted.availability_zone),
        _by("status", "creating", "available", "in-use"),
        *_marked(wanted),
    ]
    return _found(aws.ec2.describe_volumes(Filters=filters)["Volumes"], "VolumeId")


def _with_elb_tags(aws: Aws, arn: str) -> Found:
    [answer] = described(aws.elbv2.describe_tags(ResourceArns=[arn])["TagDescriptions"])
    return Found(id=arn, tags=tags_of(answer))


def _balancer(aws: Aws, wanted: Named) -> Iterator[Found]:
    for one in described(aws.elbv2.describe_load_balancers(Names=[wanted.name])["LoadBalancers"]):
        yield _with_elb_tags(aws, one["LoadBalancerArn"])


def _target_group(aws: Aws, wanted: Named) -> Iterator[Found]:
    for one in described(aws.elbv2.describe_target_groups(Names=[wanted.name])["TargetGroups"]):
        yield _with_elb_tags(aws, one["TargetGroupArn"])


def _listener(aws: Aws, wanted: Listener) -> Iterator[Found]:
    pages = aws.elbv2.get_paginator("describe_listeners").paginate(LoadBalancerArn=wanted.load_balancer_arn)
    for page in pages:
        for one in described(page["Listeners"]):
            if one.get("Port") == wanted.port:
                yield _with_elb_tags(aws, one["ListenerArn"])


def _listener_rule(aws: Aws, wanted: ListenerRule) -> Iterator[Found]:
    pages = aws.elbv2.get_paginator("describe_rules").paginate(ListenerArn=wanted.listener_arn)
    for page in pages:
        for one in described(page["Rules"]):
            if one["Priority"] == str(wanted.priority):
                yield _with_elb_tags(aws, one["RuleArn"])


def _zone_association(aws: Aws, wanted: ZoneAssociation) -> Iterator[Found]:
    zone = wanted.zone_id.rpartition("/")[2]
    for vpc in listed(aws.route53.get_hosted_zone(Id=zone), "VPCs"):
        if vpc.get("VPCId") == wanted.vpc_id:
            yield Found(id=f"{zone}:{wanted.vpc_id}")


def _rule_association(aws: Aws, wanted: RuleAssociation) -> Iterator[Found]:
    chosen = [{"Name": "VPCId", "Values": [wanted.vpc_id]}]
    for page in aws.route53resolver.get_paginator("list_resolver_rule_associations").paginate(Filters=chosen):
        for one in described(page["ResolverRuleAssociations"]):
            if one["ResolverRuleId"] == wanted.resolver_rule_id:
                yield Found(id=one["Id"])


KINDS: Mapping[str, Kind[Any]] = {
    "aws:ec2/vpc:Vpc": Kind(inputs=Tagged, find=_vpc, remove="aws ec2 delete-vpc --vpc-id {id}"),
    "aws:ec2/subnet:Subnet": Kind(inputs=Subnet, find=_subnet, remove="aws ec2 delete-subnet --subnet-id {id}"),
    "aws:ec2/routeTable:RouteTable": Kind(
        inputs=InVpc, find=_route_table, remove="aws ec2 delete-route-table --route-table-id {id}"
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Kind(inputs=Association, find=_association),
    "aws:ec2/route:Route": Kind(inputs=Route, find=_route),
    "aws:ec2/internetGateway:InternetGateway": Kind(
        inputs=Tagged,
        find=_internet_gateway,
        remove="aws ec2 delete-internet-gateway --internet-gateway-id {id}",
    ),
    "aws:ec2/eip:Eip": Kind(inputs=Tagged, find=_address, remove="aws ec2 release-address --allocation-id {id}"),
    "aws:ec2/natGateway:NatGateway": Kind(
        inputs=Nat, find=_nat, remove="aws ec2 delete-nat-gateway --nat-gateway-id {id}"
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Kind(
        inputs=Endpoint, find=_endpoint, remove="aws ec2 delete-vpc-endpoints --vpc-endpoint-ids {id}"
    ),
    "aws:ec2/vpcPeeringConnection:VpcPeeringConnection": Kind(
        inputs=Peering,
        find=_peering,
        remove="aws ec2 delete-vpc-peering-connection --vpc-peering-connection-id {id}",
    ),
    "aws:ec2/securityGroup:SecurityGroup": Kind(
        inputs=SecurityGroup, find=_security_group, remove="aws ec2 delete-security-group --group-id {id}"
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": Kind(
        inputs=Rule,
        find=_rules(egress=False),
        remove="aws ec2 revoke-security-group-ingress --group-id {securityGroupId} --security-group-rule-ids {id}",
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": Kind(
        inputs=Rule,
        find=_rules(egress=True),
        remove="aws ec2 revoke-security-group-egress --group-id {securityGroupId} --security-group-rule-ids {id}",
    ),
    # Not taken over: the import would write its user data into the state in plain. Nothing can use it yet.
    "aws:ec2/launchTemplate:LaunchTemplate": Kind(
        inputs=Named,
        find=_template,
        remove="aws ec2 delete-launch-template --launch-template-id {id}",
        again=_delete_template,
        used=_users_of_template,
    ),
    "aws:autoscaling/group:Group": Kind(
        inputs=Group, find=_group, remove="aws autoscaling delete-auto-scaling-group --auto-scaling-group-name {id}"
    ),
    "aws:autoscaling/policy:Policy": Kind(inputs=GroupsPolicy, find=_policy),
    "aws:autoscaling/schedule:Schedule": Kind(inputs=GroupsPolicy, find=_schedule),
    "aws:ebs/volume:Volume": Kind(inputs=Volume, find=_volume, remove="aws ec2 delete-volume --volume-id {id}"),
    "aws:lb/loadBalancer:LoadBalancer": Kind(
        inputs=Named, find=_balancer, remove="aws elbv2 delete-load-balancer --load-balancer-arn {id}"
    ),
    "aws:lb/targetGroup:TargetGroup": Kind(
        inputs=Named, find=_target_group, remove="aws elbv2 delete-target-group --target-group-arn {id}"
    ),
    "aws:lb/listener:Listener": Kind(
        inputs=Listener, find=_listener, remove="aws elbv2 delete-listener --listener-arn {id}"
    ),
    "aws:lb/listenerRule:ListenerRule": Kind(
        inputs=ListenerRule, find=_listener_rule, remove="aws elbv2 delete-rule --rule-arn {id}"
    ),
    "aws:route53/resolverRuleAssociation:ResolverRuleAssociation": Kind(inputs=RuleAssociation, find=_rule_association),
    "aws:route53/zoneAssociation:ZoneAssociation": Kind(
        inputs=ZoneAssociation,
        find=_zone_association,
    ),
}
