"""Everything of one VPC that a migration needs to know, as AWS describes it. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from migration.balancing.read import Found as Read
from migration.balancing.read import read as read_balancer
from migration.balancing.read import sent_to
from migration.clients.aws import described
from migration.clients.documents import Document, listed, mapping
from migration.discover.tags import belongs_to, clusters_of, owner_of, tags_of
from migration.layouts.texts import plain_text
from migration.parity import read as parity
from migration.reachability import vpc_cidrs
from migration.runtime.deadline import Permanent
from migration.settings.model import LayoutName
from migration.workers.scaled import Scaled, scaled

if TYPE_CHECKING:
    from mypy_boto3_route53.literals import VPCRegionType

    from migration.clients.aws import Aws


@dataclass(frozen=True, kw_only=True)
class Template:
    """A launch template's version in use: AWS's description of its data, and its user data as text."""

    id: str
    name: str
    data: Document
    tags: Mapping[str, str]

    @property
    def user_data(self) -> str:
        """The user data as text, unpacked; what isn't text reads as empty."""
        return plain_text(self.data.get("UserData"))

    @property
    def security_groups(self) -> tuple[str, ...]:
        """The groups its machines get, wherever the template names them."""
        interfaces = listed(self.data, "NetworkInterfaces") or [{}]
        return tuple(self.data.get("SecurityGroupIds") or interfaces[0].get("Groups") or ())


@dataclass(frozen=True, kw_only=True)
class Group:
    """An Auto Scaling group with its launch template and its running instances."""

    name: str
    template: Template
    subnets: tuple[str, ...]
    target_groups: tuple[str, ...]
    tags: Mapping[str, str]
    instances: tuple[Document, ...]
    spot: bool
    scaled: Scaled = field(default_factory=Scaled)


@dataclass(frozen=True, kw_only=True)
class LoadBalancer:
    """A load balancer with its listeners and the target groups behind them."""

    arn: str
    name: str
    dns_name: str
    zone_id: str
    tags: Mapping[str, str]
    listeners: tuple[tuple[int, str], ...]  # port, target group's ARN
    targets: Mapping[str, tuple[str, ...]]  # target group's ARN to the ids (or addresses) in it
    read: Read | None = None  # as its copy would be made; None for a kind that isn't read (a gateway)


@dataclass(frozen=True)
class Other:
    """Something in the VPC that this program never retires. `subnet` is where it holds an address, or empty."""

    type: str
    id: str
    tags: Mapping[str, str]
    subnet: str = ""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """One VPC and the cluster in it."""

    cluster: str
    vpc: Document
    other_cidrs: tuple[str, ...]  # of every other VPC of the account and region
    subnets: tuple[Document, ...]
    route_tables: tuple[Document, ...]
    security_groups: tuple[Document, ...]
    groups: tuple[Group, ...]
    balancers: tuple[LoadBalancer, ...]
    target_groups: Mapping[str, Document]
    target_group_tags: Mapping[str, Mapping[str, str]]
    volumes: tuple[Document, ...]
    peerings: tuple[Document, ...]
    peer_route_tables: Mapping[str, tuple[Document, ...]]  # by VPC id, as far as this account sees them
    peer_vpcs: Mapping[str, Document]
    zones: tuple[tuple[str, str, tuple[Document, ...]], ...]  # zone id, name, records
    roles: Mapping[str, str]  # instance profile (name or ARN) to role name
    others: tuple[Other, ...] = ()
    endpoints: tuple[Document, ...] = ()
    resolver_rules: tuple[str, ...] = ()
    dhcp_options: str | None = None  # a set's id; None: the default
    private_zones: frozenset[str] = frozenset()
    public_zones: frozenset[str] = frozenset()  # ids of those of the zones that answer everybody
    layout: LayoutName | None = None  # the control plane's, as an operator says; None: to be recognised
    running: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """By instance id, lines of what runs there; only machines that were asked."""

    def templates(self) -> tuple[Template, ...]:
        """The groups' launch templates, each once."""
        return tuple({group.template.id: group.template for group in self.groups}.values())


def read(aws: Aws, cluster: str, vpc_id: str) -> Inventory:
    """The inventory of `cluster` in `vpc_id`.

    Raises `Permanent` for a VPC or a cluster that isn't there, listing those that are, and for two clusters that
    share one tag. AWS's own errors pass through.
    """
    vpcs = _pages(aws.ec2, "describe_vpcs", "Vpcs")
    vpc = _vpc(vpcs, vpc_id)
    inside = [{"Name": "vpc-id", "Values": [vpc_id]}]
    subnets = _pages(aws.ec2, "describe_subnets", "Subnets", Filters=inside)
    scaling = _pages(aws.autoscaling, "describe_auto_scaling_groups", "AutoScalingGroups")
    where = {s["SubnetId"]: s["VpcId"] for s in _pages(aws.ec2, "describe_subnets", "Subnets")}
    _exactly_one(cluster, vpc_id, [vpc, *subnets], scaling, where)
    by_group = scaled(aws)
    groups = tuple(
        _group(aws, found, by_group.get(found["AutoScalingGroupName"], Scaled()))
        for found in sorted(scaling, key=lambda one: one["AutoScalingGroupName"])
        if _vpc_of(found, where) == vpc_id and belongs_to(tags_of(found), cluster)
    )
    target_groups = {
        one["TargetGroupArn"]: one
        for one in _pages(aws.elbv2, "describe_target_groups", "TargetGroups")
        if one.get("VpcId") == vpc_id
    }
    peerings = _peerings(aws, vpc_id)
    peers = [_peer(peering, vpc_id)["VpcId"] for peering in peerings]
    return Inventory(
        cluster=cluster,
        vpc=vpc,
        other_cidrs=tuple(cidr for one in vpcs if one["VpcId"] != vpc_id for cidr in vpc_cidrs(one)),
        subnets=tuple(subnets),
        route_tables=tuple(_pages(aws.ec2, "describe_route_tables", "RouteTables", Filters=inside)),
        security_groups=tuple(_pages(aws.ec2, "describe_security_groups", "SecurityGroups", Filters=inside)),
        groups=groups,
        balancers=_balancers(aws, vpc_id),
        target_groups=target_groups,
        target_group_tags=_elb_tags(aws, target_groups),
        volumes=_volumes(aws, cluster, groups),
        peerings=tuple(peerings),
        peer_route_tables={
            peer: tuple(_pages(aws.ec2, "describe_route_tables", "RouteTables", Filters=[_vpc_filter(peer)]))
            for peer in peers
        },
        peer_vpcs={one["VpcId"]: one for one in vpcs if one["VpcId"] in peers},
        zones=_zones(aws, vpc_id),
        public_zones=_public_zones(aws),
        roles=_roles(aws, groups),
        others=_others(aws, vpc_id, groups),
        endpoints=tuple(_pages(aws.ec2, "describe_vpc_endpoints", "VpcEndpoints", Filters=inside)),
        private_zones=frozenset(parity.zones(aws, vpc_id)),
        resolver_rules=tuple(sorted(parity.resolver_rules(aws, vpc_id))),
        dhcp_options=vpc.get("DhcpOptionsId") if parity.dhcp(aws, vpc.get("DhcpOptionsId") or "default") else None,
    )


def _pages(client: Any, call: str, key: str, **arguments: Any) -> list[Document]:
    return [item for page in client.get_paginator(call).paginate(**arguments) for item in page[key]]


def _vpc_filter(vpc_id: str) -> Document:
    return {"Name": "vpc-id", "Values": [vpc_id]}


def _vpc(vpcs: Iterable[Document], vpc_id: str) -> Document:
    seen = {vpc["VpcId"]: vpc for vpc in vpcs}
    if vpc_id in seen:
        return seen[vpc_id]
    listed = ", ".join(f"{one} ({tags_of(vpc).get('Name', vpc['CidrBlock'])})" for one, vpc in sorted(seen.items()))
    raise Permanent(f"there is no VPC {vpc_id!r} in this account and region; there are: {listed or 'none'}")


def _vpc_of(group: Document, where: Mapping[str, str]) -> str:
    first = group.get("VPCZoneIdentifier", "").split(",")[0].strip()
    return where.get(first, "")


def _exactly_one(
    cluster: str, vpc_id: str, network: list[Document], scaling: list[Document], where: Mapping[str, str]
) -> None:
    """The cluster is in this VPC and, but for a side that this program makes, in no other."""
    tagged = [(_vpc_of(group, where), tags_of(group)) for group in scaling]
    here = [tags for place, tags in tagged if place == vpc_id]
    if not any(belongs_to(tags, cluster) for tags in here):
        names = sorted({name for tags in [*here, *map(tags_of, network)] for name in clusters_of(tags)})
        elsewhere = sorted({place for place, tags in tagged if place != vpc_id and belongs_to(tags, cluster)})
        hint = f"; {cluster!r} has groups in {', '.join(elsewhere)}" if elsewhere else ""
        raise Permanent(
            f"no Auto Scaling group in {vpc_id} is tagged as part of cluster {cluster!r}; clusters tagged there: "
            f"{', '.join(names) or 'none'}{hint}"
        )
    others = {
        place
        for place, tags in tagged
        if place not in ("", vpc_id) and belongs_to(tags, cluster) and tags.get("migration:cluster") != cluster
    }
    if others:
        raise Permanent(
            f"two clusters under one tag: groups tagged as part of {cluster!r} are in {vpc_id} and in "
            f"{', '.join(sorted(others))}; give each cluster a tag of its own (kubernetes.io/cluster/<name>)"
        )


def _group(aws: Aws, found: Document, by: Scaled) -> Group:
    mixed = found.get("MixedInstancesPolicy", {})
    wanted = found.get("LaunchTemplate") or mixed.get("LaunchTemplate", {}).get("LaunchTemplateSpecification")
    name = found["AutoScalingGroupName"]
    if not wanted:
        raise Permanent(
            f"the group {name} has a launch configuration, no launch template; give it a template first "
            f"(AWS makes no new launch configurations)"
        )
    template = _template(aws, wanted)
    market = template.data.get("InstanceMarketOptions", {}).get("MarketType")
    on_demand = mixed.get("InstancesDistribution", {}).get("OnDemandPercentageAboveBaseCapacity", 100)
    ids = [one["InstanceId"] for one in found.get("Instances", [])]
    reservations = _pages(aws.ec2, "describe_instances", "Reservations", InstanceIds=ids) if ids else []
    return Group(
        name=name,
        template=template,
        subnets=tuple(one.strip() for one in found["VPCZoneIdentifier"].split(",")),
        target_groups=tuple(found.get("TargetGroupARNs", ())),
        tags=tags_of(found),
        instances=tuple(
            one
            for reservation in reservations
            for one in reservation["Instances"]
            if one["State"]["Name"] in ("pending", "running")
        ),
        spot=market == "spot" or on_demand == 0,
        scaled=by,
    )


def _template(aws: Aws, wanted: Document) -> Template:
    by = {key: wanted[key] for key in ("LaunchTemplateId", "LaunchTemplateName") if wanted.get(key)}
    if "LaunchTemplateId" in by:
        by.pop("LaunchTemplateName", None)
    version = str(wanted.get("Version") or "$Default")
    [found] = described(aws.ec2.describe_launch_template_versions(Versions=[version], **by)["LaunchTemplateVersions"])
    [template] = aws.ec2.describe_launch_templates(LaunchTemplateIds=[found["LaunchTemplateId"]])["LaunchTemplates"]
    return Template(
        id=found["LaunchTemplateId"],
        name=found["LaunchTemplateName"],
        data=found["LaunchTemplateData"],
        tags=tags_of(template),
    )


def _elb_tags(aws: Aws, arns: Iterable[str]) -> dict[str, Mapping[str, str]]:
    names = sorted(arns)
    found: dict[str, Mapping[str, str]] = {}
    for start in range(0, len(names), 20):  # DescribeTags takes 20 ARNs a call
        answer = aws.elbv2.describe_tags(ResourceArns=names[start : start + 20])
        found |= {one["ResourceArn"]: tags_of(one) for one in described(answer["TagDescriptions"])}
    return found


def _balancers(aws: Aws, vpc_id: str) -> tuple[LoadBalancer, ...]:
    balancers = [
        one for one in _pages(aws.elbv2, "describe_load_balancers", "LoadBalancers") if one.get("VpcId") == vpc_id
    ]
    tags = _elb_tags(aws, [one["LoadBalancerArn"] for one in balancers])
    found: list[LoadBalancer] = []
    for one in sorted(balancers, key=lambda balancer: balancer["LoadBalancerName"]):
        arn = one["LoadBalancerArn"]
        known = one.get("Type", "network") in ("network", "application")
        listeners = tuple(sent_to(aws, arn)) if known else ()
        found.append(
            LoadBalancer(
                arn=arn,
                name=one["LoadBalancerName"],
                dns_name=one["DNSName"],
                zone_id=one.get("CanonicalHostedZoneId", ""),
                tags=tags.get(arn, {}),
                listeners=listeners,
                targets={group: tuple(target.id for target in aws.target_health(group)) for _, group in listeners},
                read=read_balancer(aws, arn) if known else None,
            )
        )
    return tuple(found)


def _volumes(aws: Aws, cluster: str, groups: Iterable[Group]) -> tuple[Document, ...]:
    """Volumes of the groups' machines, and those tagged as the cluster's (a volume between two machines is alone)."""
    machines = {one["InstanceId"] for group in groups for one in group.instances}
    return tuple(
        volume
        for volume in _pages(aws.ec2, "describe_volumes", "Volumes")
        if machines & {one["InstanceId"] for one in volume.get("Attachments", [])}
        or belongs_to(tags_of(volume), cluster)
    )


def _peer(peering: Document, vpc_id: str) -> Document:
    requester, accepter = peering["RequesterVpcInfo"], peering["AccepterVpcInfo"]
    return accepter if requester["VpcId"] == vpc_id else requester


def _peerings(aws: Aws, vpc_id: str) -> list[Document]:
    return [
        peering
        for peering in _pages(aws.ec2, "describe_vpc_peering_connections", "VpcPeeringConnections")
        if peering["Status"]["Code"] == "active"
        and vpc_id in (peering["RequesterVpcInfo"]["VpcId"], peering["AccepterVpcInfo"]["VpcId"])
        and "migration:cluster" not in tags_of(peering)
    ]


def _zones(aws: Aws, vpc_id: str) -> tuple[tuple[str, str, tuple[Document, ...]], ...]:
    """Hosted zones that this VPC resolves: the private ones associated with it and the public ones."""
    region = cast("VPCRegionType", aws.region)
    private = aws.route53.list_hosted_zones_by_vpc(VPCId=vpc_id, VPCRegion=region)["HostedZoneSummaries"]
    mine = {one["HostedZoneId"].removeprefix("/hostedzone/") for one in private}
    found: list[tuple[str, str, tuple[Document, ...]]] = []
    for zone in _pages(aws.route53, "list_hosted_zones", "HostedZones"):
        zone_id = zone["Id"].removeprefix("/hostedzone/")
        if zone.get("Config", {}).get("PrivateZone") and zone_id not in mine:
            continue
        records = _pages(aws.route53, "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone_id)
        found.append((zone_id, zone["Name"].rstrip("."), tuple(records)))
    return tuple(found)


def _public_zones(aws: Aws) -> frozenset[str]:
    return frozenset(
        zone["Id"].removeprefix("/hostedzone/")
        for zone in _pages(aws.route53, "list_hosted_zones", "HostedZones")
        if not mapping(zone, "Config").get("PrivateZone")
    )


def profile_of(template: Template) -> str:
    """The instance profile a template gives its machines, by name; empty if none."""
    profile = mapping(template.data, "IamInstanceProfile")
    return profile.get("Name") or profile.get("Arn", "").rsplit("/", 1)[-1]


def _roles(aws: Aws, groups: Iterable[Group]) -> dict[str, str]:
    roles: dict[str, str] = {}
    for name in sorted({profile_of(group.template) for group in groups} - {""}):
        having = aws.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
        if having:
            roles[name] = having[0]["RoleName"]
    return roles


# How AWS describes the interfaces of what is listed by itself.
_GO_WITH_THEIR_OWN = ("ELB ", "Interface for NAT Gateway", "VPC Endpoint Interface", "Network Interface for Transit")
_TYPES_OF_THEIR_OWN = ("nat_gateway", "vpc_endpoint", "transit_gateway", "network_load_balancer")


def _others(aws: Aws, vpc_id: str, groups: Iterable[Group]) -> tuple[Other, ...]:
    """What else is in the VPC and never part of a cluster this program retires."""
    machines = {one["InstanceId"] for group in groups for one in group.instances}
    inside = [_vpc_filter(vpc_id)]
    found: list[Other] = []
    for reservation in _pages(aws.ec2, "describe_instances", "Reservations", Filters=inside):
        for one in reservation["Instances"]:
            if one["InstanceId"] not in machines and one["State"]["Name"] not in ("terminated", "shutting-down"):
                found.append(Other("instance", one["InstanceId"], tags_of(one), one.get("SubnetId", "")))
    for one in _pages(aws.ec2, "describe_network_interfaces", "NetworkInterfaces", Filters=inside):
        # A balancer's, a gateway's, an endpoint's and a machine's interfaces come and go with them.
        said = one.get("Description", "")
        if said.startswith(_GO_WITH_THEIR_OWN) or one.get("InterfaceType") in _TYPES_OF_THEIR_OWN:
            continue
        if not mapping(one, "Attachment").get("InstanceId"):
            tags = tags_of(one, key="TagSet")
            if one.get("RequesterManaged") and said and owner_of(tags) is None:
                # RDS, EFS, Lambda, …: AWS made it for somebody, and says for whom.
                tags = {**tags, "Owner": said}
            found.append(Other("network-interface", one["NetworkInterfaceId"], tags, one.get("SubnetId", "")))
    for one in _pages(aws.ec2, "describe_nat_gateways", "NatGateways", Filters=inside):
        if one["State"] not in ("deleted", "deleting"):
            found.append(Other("nat-gateway", one["NatGatewayId"], tags_of(one), one.get("SubnetId", "")))
    for one in _pages(aws.ec2, "describe_vpc_endpoints", "VpcEndpoints", Filters=inside):
        for subnet in one.get("SubnetIds") or [""]:
            found.append(Other("vpc-endpoint", one["VpcEndpointId"], tags_of(one), subnet))
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc_id]}]
    for one in _pages(aws.ec2, "describe_internet_gateways", "InternetGateways", Filters=attached):
        found.append(Other("internet-gateway", one["InternetGatewayId"], tags_of(one)))
    return tuple(found)
