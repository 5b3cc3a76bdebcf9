"""Oddities of the network: ranges, rules, gateways, and what other services have put into the VPC."""

from __future__ import annotations

from random import Random
from typing import Any

from lab.addresses import REGION, ZONES
from lab.legacy import plan
from lab.legacy.cloud import once, pairs, specification
from lab.legacy.members import Site
from lab.shapes import BACKBONE

ON_PREMISES = "10.200.0.0/16"
"""Reached over the transit gateway; outside of everything that the lab listens on."""
ANY = "0.0.0.0/0"


def secondary(site: Site) -> str:
    """The VPC's second range: 127.(90 + index).0.0/20."""
    return f"127.{90 + site.cloud.addresses.index}.0.0/20"


def secondary_range(site: Site, draw: Random) -> None:
    """A second range on the VPC, with a subnet in some zones, in which some groups launch beside their first one."""
    ec2, vpc = site.cloud.ec2, site.network.vpc
    known = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlockAssociationSet"]
    if secondary(site) not in [one["CidrBlock"] for one in known]:
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=secondary(site))
    base = secondary(site).rpartition(".0.0/")[0]
    for number, zone in enumerate(sorted(draw.sample(ZONES, draw.randint(1, len(ZONES))))):
        name = f"secondary-{zone}.{site.cluster}"
        found = site.cloud.named("describe_subnets", "Subnets", name, vpc_id=vpc)
        if found is None:
            found = ec2.create_subnet(
                VpcId=vpc,
                CidrBlock=f"{base}.{4 * number}.0/22",
                AvailabilityZone=zone,
                TagSpecifications=specification("subnet", plan.tags(name, site.cluster, "shared")),
            )["Subnet"]
        table: Any = site.cloud.named("describe_route_tables", "RouteTables", f"private-{zone}.{site.cluster}")
        if found["SubnetId"] not in [one.get("SubnetId") for one in table["Associations"]]:
            ec2.associate_route_table(RouteTableId=table["RouteTableId"], SubnetId=found["SubnetId"])
        first = site.network.private[zone]
        for group in worker_groups(site):
            if group["VPCZoneIdentifier"] == first and draw.random() < 0.5:
                site.cloud.autoscaling.update_auto_scaling_group(
                    AutoScalingGroupName=group["AutoScalingGroupName"],
                    VPCZoneIdentifier=f"{first},{found['SubnetId']}",
                )


def worker_groups(site: Site) -> list[dict[str, Any]]:
    """The cluster's worker groups, by name."""
    pages = site.cloud.autoscaling.get_paginator("describe_auto_scaling_groups").paginate()
    found = [group for page in pages for group in page["AutoScalingGroups"]]
    end = f".{site.cluster}"
    return sorted(
        (
            g
            for g in found
            if g["AutoScalingGroupName"].startswith("nodes-") and g["AutoScalingGroupName"].endswith(end)
        ),
        key=lambda group: group["AutoScalingGroupName"],
    )


def restricted_egress(site: Site, draw: Random) -> None:
    """Workers may reach their networks, HTTPS anywhere, S3 by its prefix list; with some seeds a registry at 5000."""
    ec2, group = site.cloud.ec2, site.access.nodes
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": ANY}]}]
    once(
        "InvalidPermission.NotFound", lambda: ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    )
    addresses = site.cloud.addresses
    near = [{"CidrIp": cidr} for cidr in (addresses.legacy_cidr, secondary(site), addresses.corp_cidr)]
    lists = ec2.describe_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": [f"com.amazonaws.{REGION}.s3"]}])[
        "PrefixLists"
    ]
    rules: list[dict[str, Any]] = [
        {"IpProtocol": "-1", "IpRanges": near},
        {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": ANY}]},
        {"IpProtocol": "udp", "FromPort": 123, "ToPort": 123, "IpRanges": [{"CidrIp": "169.254.169.123/32"}]},
        {
            "IpProtocol": "tcp",
            "FromPort": 443,
            "ToPort": 443,
            "PrefixListIds": [{"PrefixListId": one["PrefixListId"]} for one in lists],
        },
    ]
    if draw.random() < 0.5:
        rules.append({"IpProtocol": "tcp", "FromPort": 5000, "ToPort": 5000, "IpRanges": [{"CidrIp": ON_PREMISES}]})
    for rule in rules:
        if rule.get("IpRanges") or rule.get("PrefixListIds"):
            once(
                "InvalidPermission.Duplicate",
                lambda r=rule: ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[r]),
            )


def network_acls(site: Site, draw: Random) -> None:
    """The private subnets' ACL: a few ports are denied; with some seeds it also knows only the networks of today."""
    ec2, addresses = site.cloud.ec2, site.cloud.addresses
    name = f"private.{site.cluster}"
    found = site.cloud.named("describe_network_acls", "NetworkAcls", name, vpc_id=site.network.vpc)
    if found is None:
        found = ec2.create_network_acl(
            VpcId=site.network.vpc,
            TagSpecifications=specification("network-acl", plan.tags(name, site.cluster, "shared")),
        )["NetworkAcl"]
    acl = found["NetworkAclId"]
    denied = draw.sample((23, 445, 3389), 2)
    tight = site.settings.seed != 0 and draw.random() < 0.5
    inside = [addresses.legacy_cidr, secondary(site), addresses.corp_cidr] if tight else ["127.0.0.0/8"]
    entries: list[tuple[int, str, str, str, tuple[int, int] | None]] = [
        (10 + number, "6", "deny", ANY, (port, port)) for number, port in enumerate(denied)
    ]
    entries += [(100 + number, "-1", "allow", cidr, None) for number, cidr in enumerate(inside)]
    entries += [(200, "6", "allow", ANY, (443, 443)), (210, "6", "allow", ANY, (1_024, 65_535))]
    known = {(one["Egress"], one["RuleNumber"]) for one in found.get("Entries", [])}
    for egress in (False, True):
        for number, protocol, action, cidr, ports in entries:
            if (egress, number) in known:
                continue
            ec2.create_network_acl_entry(
                NetworkAclId=acl,
                RuleNumber=number,
                Protocol=protocol,
                RuleAction=action,
                Egress=egress,
                CidrBlock=cidr,
                **({} if ports is None else {"PortRange": {"From": ports[0], "To": ports[1]}}),
            )
    for subnet in site.network.private.values():
        wanted = [{"Name": "association.subnet-id", "Values": [subnet]}]
        for one in ec2.describe_network_acls(Filters=wanted)["NetworkAcls"]:
            for association in one["Associations"]:
                if association["SubnetId"] == subnet and one["NetworkAclId"] != acl:
                    ec2.replace_network_acl_association(
                        AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl
                    )


def transit_gateway(site: Site, draw: Random) -> None:
    """The way to the data centre, of another team: an attachment, and a route in the private tables."""
    del draw
    ec2, named = site.cloud.ec2, {"Name": BACKBONE, "Owner": "network-team"}
    by_name = [{"Name": "tag:Name", "Values": [BACKBONE]}]
    gateways = ec2.describe_transit_gateways(Filters=by_name)["TransitGateways"]
    if not gateways:
        gateways = [
            ec2.create_transit_gateway(Description=BACKBONE, TagSpecifications=specification("transit-gateway", named))[
                "TransitGateway"
            ]
        ]
    gateway = gateways[0]["TransitGatewayId"]
    attached = ec2.describe_transit_gateway_vpc_attachments(Filters=[{"Name": "vpc-id", "Values": [site.network.vpc]}])[
        "TransitGatewayVpcAttachments"
    ]
    if not attached:
        ec2.create_transit_gateway_vpc_attachment(
            TransitGatewayId=gateway,
            VpcId=site.network.vpc,
            SubnetIds=list(site.network.private.values()),
            TagSpecifications=specification("transit-gateway-attachment", named),
        )
    for table in private_tables(site):
        if ON_PREMISES not in [route.get("DestinationCidrBlock") for route in table["Routes"]]:
            ec2.create_route(
                RouteTableId=table["RouteTableId"], DestinationCidrBlock=ON_PREMISES, TransitGatewayId=gateway
            )


def private_tables(site: Site) -> list[dict[str, Any]]:
    """The route tables of the private subnets."""
    names = [f"private-{zone}.{site.cluster}" for zone in ZONES]
    return site.cloud.ec2.describe_route_tables(Filters=[{"Name": "tag:Name", "Values": names}])["RouteTables"]


def service_endpoints(site: Site, draw: Random) -> None:
    """S3 by a gateway endpoint; some services by interface endpoints with a group that admits the workers alone."""
    ec2, vpc = site.cloud.ec2, site.network.vpc
    known = {
        one["ServiceName"]
        for one in ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["VpcEndpoints"]
    }
    gateway = f"com.amazonaws.{REGION}.s3"
    if gateway not in known:
        ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName=gateway,
            VpcEndpointType="Gateway",
            RouteTableIds=[table["RouteTableId"] for table in private_tables(site)],
            TagSpecifications=specification("vpc-endpoint", plan.tags(f"s3.{site.cluster}", site.cluster, "shared")),
        )
    group = _group(site, f"endpoints.{site.cluster}", "interface endpoints")
    for source in (site.access.nodes, site.access.control_plane):
        pair = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "UserIdGroupPairs": [{"GroupId": source}]}]
        once(
            "InvalidPermission.Duplicate",
            lambda p=pair: ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=p),
        )
    for service in ("ssm", "ec2", *draw.sample(("sts", "ecr.api", "ecr.dkr", "logs"), 2)):
        name = f"com.amazonaws.{REGION}.{service}"
        if name not in known:
            ec2.create_vpc_endpoint(
                VpcId=vpc,
                ServiceName=name,
                VpcEndpointType="Interface",
                SubnetIds=list(site.network.private.values()),
                SecurityGroupIds=[group],
                PrivateDnsEnabled=True,
                TagSpecifications=specification(
                    "vpc-endpoint", plan.tags(f"{service}.{site.cluster}", site.cluster, "shared")
                ),
            )


def _group(site: Site, name: str, description: str, **tags: str) -> str:
    found = site.cloud.named("describe_security_groups", "SecurityGroups", name, vpc_id=site.network.vpc)
    if found is None:
        own = {"Name": name, **tags} if tags else plan.tags(name, site.cluster, "shared")
        found = site.cloud.ec2.create_security_group(
            GroupName=name,
            Description=description,
            VpcId=site.network.vpc,
            TagSpecifications=specification("security-group", own),
        )
    return found["GroupId"]


REQUESTERS = (
    ("RDSNetworkInterface", "amazon-rds", "payments-team"),
    ("EFS mount target for fs-0123456789abcdef0 (fsmt-0123456789abcdef0)", "amazon-efs", "media-team"),
    ("AWS Lambda VPC ENI-resize-0123", "amazon-lambda", "media-team"),
)


def requester_interfaces(site: Site, draw: Random) -> None:
    """Interfaces that RDS, EFS and Lambda have put into the VPC, each with a group of its owners'."""
    ec2 = site.cloud.ec2
    for description, requester, owner in REQUESTERS:
        group = _group(site, f"{requester.removeprefix('amazon-')}-clients", description, Owner=owner)
        zone = draw.choice(ZONES)
        known = ec2.describe_network_interfaces(Filters=[{"Name": "requester-id", "Values": [requester]}])
        if known["NetworkInterfaces"]:
            continue
        ec2.create_network_interface(
            SubnetId=site.network.private[zone],
            Groups=[group],
            Description=description,
            TagSpecifications=specification("network-interface", {"lab/requester": requester}),
        )


def database(site: Site, draw: Random) -> None:
    """Somebody else's database names the workers' group, and the range of the zone it is in."""
    ec2 = site.cloud.ec2
    group = _group(site, "orders-db", "orders database", Owner="orders-team")
    zone = draw.choice(ZONES)
    subnet = ec2.describe_subnets(SubnetIds=[site.network.private[zone]])["Subnets"][0]
    rules: list[dict[str, Any]] = [
        {"UserIdGroupPairs": [{"GroupId": site.access.nodes, "Description": "the cluster's workers"}]},
        {"IpRanges": [{"CidrIp": subnet["CidrBlock"], "Description": f"reports, in {zone}"}]},
    ]
    for rule in rules:
        permission = [{"IpProtocol": "tcp", "FromPort": 3306, "ToPort": 3306, **rule}]
        once(
            "InvalidPermission.Duplicate",
            lambda p=permission: ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=p),
        )
    ec2.create_tags(Resources=[group], Tags=pairs({"Team": "orders-team"}))
