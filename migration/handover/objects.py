"""What a side is made of, as AWS has it, in the words of Terraform's AWS provider. Only reads, and never guesses.

Objects are found by the tags that this program gave them. What an argument needs is taken from AWS's description; what
isn't described there is left out, and Terraform's own plan then says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from migration.clients.aws import Aws, described
from migration.clients.documents import Document, listed, mapping
from migration.discover.tags import tags_of
from migration.dns.ownership import plain_target
from migration.handover.hcl import Block, Expression, written
from migration.handover.machines import group_parts, template_parts
from migration.names import balancer_name, plain
from migration.runtime.deadline import Permanent
from migration.settings import Settings
from migration.settings.forms import group_name, ingress_forms
from migration.settings.model import ManagedSide


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object: Terraform's type, a name for its block, what it is imported by, its arguments and nested blocks.

    `refers` is what other objects name it by (its id or ARN), and the attribute of the block that has it.
    """

    type: str
    name: str
    id: str
    arguments: Mapping[str, object]
    blocks: tuple[Block, ...] = ()
    refers: tuple[tuple[str, str], ...] = ()
    comment: str = ""


def terraform(settings: Settings, aws: Aws, side: str) -> str:
    """Import blocks and configuration of a side; raises `Permanent` where this program made nothing of it."""
    c = settings.configuration
    made = c.sides[side]
    if not isinstance(made, ManagedSide):
        raise Permanent(f"side {side} isn't this program's: it was there before, and its code has it already")
    things = list(_Side(settings, aws, side, made.suffix).things())
    if not things:
        raise Permanent(f"AWS has nothing that is tagged as side {side} of cluster {c.cluster}; nothing to hand over")
    return text(things)


def text(things: list[Thing]) -> str:
    """The file. Names are unique within a type; ids that another block has become references to it."""
    named: list[tuple[Thing, str]] = []
    taken: set[tuple[str, str]] = set()
    for thing in things:
        name, number = _label(thing.name), 1
        while (thing.type, name) in taken:
            number += 1
            name = f"{_label(thing.name)}_{number}"
        taken.add((thing.type, name))
        named.append((thing, name))
    known = {
        value: Expression(f"{thing.type}.{name}.{attribute}")
        for thing, name in named
        for value, attribute in thing.refers
    }
    blocks: list[Block] = []
    for thing, name in named:
        own = {value for value, _ in thing.refers}
        imported = {"to": Expression(f"{thing.type}.{name}"), "id": thing.id}
        blocks.append(Block("import", (), imported, comment=thing.comment))
        inside = {value: one for value, one in known.items() if value not in own}
        blocks.append(
            Block(
                "resource",
                (thing.type, name),
                {key: _referred(one, inside) for key, one in thing.arguments.items()},
                tuple(_block(one, inside) for one in thing.blocks),
            )
        )
    head = (
        "# Written from what is there in AWS. Look at the plan: it must import everything and change nothing.\n"
        "# User data isn't here, since it may hold secrets: it stays as it is until somebody says otherwise.\n\n"
    )
    return head + written(blocks)


def _label(name: str) -> str:
    label = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "it"
    return label if not label[0].isdigit() else f"_{label}"


def _block(block: Block, known: Mapping[str, Expression]) -> Block:
    attributes = {key: _referred(one, known) for key, one in block.attributes.items()}
    return Block(block.kind, block.labels, attributes, tuple(_block(one, known) for one in block.blocks), block.comment)


def _referred(item: object, known: Mapping[str, Expression]) -> object:
    if isinstance(item, str):
        return known.get(item, item)
    if isinstance(item, list):
        return [_referred(one, known) for one in cast(list[object], item)]
    return item


def _tags(item: Document, key: str = "Tags") -> dict[str, str]:
    found = tags_of(item, key)
    return {name: value for name, value in sorted(found.items()) if not name.startswith("aws:")}


class _Side:
    def __init__(self, settings: Settings, aws: Aws, side: str, suffix: str) -> None:
        self._c, self._aws, self._side, self._suffix = settings.configuration, aws, side, suffix
        wanted = {"migration:cluster": self._c.cluster, "migration:side": side}
        self._filters: Any = [{"Name": f"tag:{key}", "Values": [value]} for key, value in wanted.items()]

    def things(self) -> Iterator[Thing]:
        vpcs = self._ec2("describe_vpcs", "Vpcs")
        for vpc in vpcs:
            yield from self._vpc(vpc["VpcId"], vpc)
        yield from self._ways()
        yield from self._security_groups()
        yield from self._balancers()
        yield from self._machines()
        if vpcs:
            yield from self._names(vpcs[0]["VpcId"])
        yield from self._policy()

    def _ec2(self, call: str, key: str, filters: Any = None) -> list[Document]:
        client: Any = self._aws.ec2  # boto3's stubs want each call by its own literal
        pages = client.get_paginator(call).paginate(Filters=filters or self._filters)
        return [item for page in pages for item in page[key]]

    def _thing(self, kind: str, id_: str, item: Document, arguments: Mapping[str, object], **more: Any) -> Thing:
        tags = _tags(item)
        name = more.pop("name", None) or tags.get("Name", id_)
        return Thing(type=kind, name=name, id=id_, arguments={**arguments, "tags": tags}, refers=((id_, "id"),), **more)

    def _vpc(self, id_: str, vpc: Document) -> Iterator[Thing]:
        ask = self._aws.ec2.describe_vpc_attribute
        names = {
            "enable_dns_support": mapping(ask(VpcId=id_, Attribute="enableDnsSupport"), "EnableDnsSupport")["Value"],
            "enable_dns_hostnames": mapping(ask(VpcId=id_, Attribute="enableDnsHostnames"), "EnableDnsHostnames")[
                "Value"
            ],
        }
        yield self._thing("aws_vpc", id_, vpc, {"cidr_block": vpc["CidrBlock"], **names}, name=self._side)
        inside = [{"Name": "vpc-id", "Values": [id_]}]
        for subnet in self._ec2("describe_subnets", "Subnets"):
            arguments = {
                "vpc_id": subnet["VpcId"],
                "cidr_block": subnet["CidrBlock"],
                "availability_zone": subnet["AvailabilityZone"],
                "map_public_ip_on_launch": bool(subnet.get("MapPublicIpOnLaunch")),
            }
            yield self._thing("aws_subnet", subnet["SubnetId"], subnet, arguments)
        for table in self._ec2("describe_route_tables", "RouteTables", [*self._filters, *inside]):
            yield from self._table(table["RouteTableId"], table)

    def _table(self, id_: str, table: Document) -> Iterator[Thing]:
        yield self._thing("aws_route_table", id_, table, {"vpc_id": table["VpcId"]})
        for route in listed(table, "Routes"):
            to, via = route.get("DestinationCidrBlock"), _via(route)
            if to and via and route.get("Origin") == "CreateRoute":
                arguments = {"route_table_id": id_, "destination_cidr_block": to, **via}
                yield Thing(type="aws_route", name=f"{id_}_{to}", id=f"{id_}_{to}", arguments=arguments)
        for one in listed(table, "Associations"):
            if subnet := one.get("SubnetId"):
                arguments = {"subnet_id": subnet, "route_table_id": id_}
                yield Thing(type="aws_route_table_association", name=subnet, id=f"{subnet}/{id_}", arguments=arguments)

    def _ways(self) -> Iterator[Thing]:
        for gateway in self._ec2("describe_internet_gateways", "InternetGateways"):
            vpc = next((one["VpcId"] for one in listed(gateway, "Attachments")), None)
            yield self._thing("aws_internet_gateway", gateway["InternetGatewayId"], gateway, {"vpc_id": vpc})
        for address in described(self._aws.ec2.describe_addresses(Filters=self._filters)["Addresses"]):
            yield self._thing("aws_eip", address["AllocationId"], address, {"domain": "vpc"})
        for nat in self._ec2("describe_nat_gateways", "NatGateways"):
            allocation = next((one.get("AllocationId") for one in listed(nat, "NatGatewayAddresses")), None)
            arguments = {"subnet_id": nat["SubnetId"], "allocation_id": allocation}
            if nat.get("State") == "available":
                yield self._thing("aws_nat_gateway", nat["NatGatewayId"], nat, arguments)
        for point in self._ec2("describe_vpc_endpoints", "VpcEndpoints"):
            arguments = {
                "vpc_id": point["VpcId"],
                "service_name": point["ServiceName"],
                "vpc_endpoint_type": point["VpcEndpointType"],
                "route_table_ids": sorted(point.get("RouteTableIds") or ()) or None,
            }
            yield self._thing("aws_vpc_endpoint", point["VpcEndpointId"], point, arguments)
        for peering in self._ec2("describe_vpc_peering_connections", "VpcPeeringConnections"):
            if mapping(peering, "Status").get("Code") == "active":
                arguments = {
                    "vpc_id": mapping(peering, "RequesterVpcInfo")["VpcId"],
                    "peer_vpc_id": mapping(peering, "AccepterVpcInfo")["VpcId"],
                }
                yield self._thing("aws_vpc_peering_connection", peering["VpcPeeringConnectionId"], peering, arguments)

    def _security_groups(self) -> Iterator[Thing]:
        for group in self._ec2("describe_security_groups", "SecurityGroups"):
            id_ = group["GroupId"]
            arguments = {"name": group["GroupName"], "description": group["Description"], "vpc_id": group["VpcId"]}
            yield self._thing("aws_security_group", id_, group, arguments)
            own = [{"Name": "group-id", "Values": [id_]}]
            for rule in self._ec2("describe_security_group_rules", "SecurityGroupRules", own):
                way = "egress" if rule["IsEgress"] else "ingress"
                every = str(rule["IpProtocol"]) == "-1"
                told = {
                    "security_group_id": id_,
                    "description": rule.get("Description"),
                    "ip_protocol": str(rule["IpProtocol"]),
                    "from_port": None if every else rule.get("FromPort"),
                    "to_port": None if every else rule.get("ToPort"),
                    "cidr_ipv4": rule.get("CidrIpv4"),
                    "prefix_list_id": rule.get("PrefixListId"),
                    "referenced_security_group_id": mapping(rule, "ReferencedGroupInfo").get("GroupId"),
                }
                name = f"{group['GroupName']}_{way}_{rule['SecurityGroupRuleId']}"
                yield Thing(
                    type=f"aws_vpc_security_group_{way}_rule",
                    name=name,
                    id=rule["SecurityGroupRuleId"],
                    arguments=told,
                )

    def _balancers(self) -> Iterator[Thing]:
        elb = self._aws.elbv2
        forms = ingress_forms(self._c)
        names = [balancer_name(self._c.cluster, role, self._suffix) for role in (*forms, "api", "apimembers")]
        names += [
            group_name(self._c, self._suffix, role, form, key) for role, form in forms.items() for key in form.groups
        ]
        groups = [
            group
            for page in elb.get_paginator("describe_target_groups").paginate()
            for group in described(page["TargetGroups"])
            if group["TargetGroupName"] in names
        ]
        for group in groups:
            yield self._target_group(group["TargetGroupArn"], group)
        balancers = [
            one
            for page in elb.get_paginator("describe_load_balancers").paginate()
            for one in described(page["LoadBalancers"])
            if one["LoadBalancerName"] in names
        ]
        for one in balancers:
            arn = one["LoadBalancerArn"]
            kept = {
                item["Key"]: item["Value"]
                for item in described(elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"])
            }
            cross = kept.get("load_balancing.cross_zone.enabled")
            arguments: dict[str, object] = {
                "name": one["LoadBalancerName"],
                "load_balancer_type": one["Type"],
                "internal": one["Scheme"] == "internal",
                "subnets": sorted(str(zone["SubnetId"]) for zone in one["AvailabilityZones"]),
                "enable_cross_zone_load_balancing": None if cross is None else cross == "true",
                "tags": self._elb_tags(arn),
            }
            yield Thing(
                type="aws_lb", name=one["LoadBalancerName"], id=arn, arguments=arguments, refers=((arn, "arn"),)
            )
            for listener in described(elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]):
                yield self._listener(listener, f"{one['LoadBalancerName']}_{listener['Port']}")

    def _listener(self, listener: Document, name: str) -> Thing:
        actions = tuple(
            Block("default_action", (), {"type": one["Type"], "target_group_arn": one.get("TargetGroupArn")})
            for one in listed(listener, "DefaultActions")
        )
        arn = listener["ListenerArn"]
        arguments = {
            "load_balancer_arn": listener["LoadBalancerArn"],
            "port": listener["Port"],
            "protocol": listener["Protocol"],
            "tags": self._elb_tags(arn),
        }
        return Thing(type="aws_lb_listener", name=name, id=arn, arguments=arguments, blocks=actions)

    def _target_group(self, arn: str, group: Document) -> Thing:
        kept = {
            item["Key"]: item["Value"]
            for item in described(self._aws.elbv2.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"])
        }
        delay = kept.get("deregistration_delay.timeout_seconds")
        health = Block(
            "health_check",
            (),
            {
                "protocol": group.get("HealthCheckProtocol"),
                "port": group.get("HealthCheckPort"),
                "interval": group.get("HealthCheckIntervalSeconds"),
                "timeout": group.get("HealthCheckTimeoutSeconds"),
                "healthy_threshold": group.get("HealthyThresholdCount"),
                "unhealthy_threshold": group.get("UnhealthyThresholdCount"),
            },
        )
        arguments = {
            "name": group["TargetGroupName"],
            "port": group["Port"],
            "protocol": group["Protocol"],
            "vpc_id": group["VpcId"],
            "target_type": group["TargetType"],
            "deregistration_delay": int(delay) if delay else None,
            "preserve_client_ip": kept.get("preserve_client_ip.enabled"),
            "tags": self._elb_tags(arn),
        }
        return Thing(
            type="aws_lb_target_group",
            name=group["TargetGroupName"],
            id=arn,
            arguments=arguments,
            blocks=(health,),
            refers=((arn, "arn"),),
        )

    def _elb_tags(self, arn: str) -> dict[str, str]:
        found = described(self._aws.elbv2.describe_tags(ResourceArns=[arn])["TagDescriptions"])
        return next((_tags(one) for one in found), dict[str, str]())

    def _machines(self) -> Iterator[Thing]:
        for template in self._ec2("describe_launch_templates", "LaunchTemplates"):
            yield self._template(template["LaunchTemplateId"], template)
        pages = self._aws.autoscaling.get_paginator("describe_auto_scaling_groups").paginate(Filters=self._filters)
        for group in (one for page in pages for one in described(page["AutoScalingGroups"])):
            yield self._group(group)
        for volume in self._ec2("describe_volumes", "Volumes"):
            # A member's own; what the cluster's storage made says so by other tags.
            if "migration:member" in _tags(volume):
                arguments = {
                    "availability_zone": volume["AvailabilityZone"],
                    "size": volume["Size"],
                    "type": volume["VolumeType"],
                    "encrypted": bool(volume["Encrypted"]),
                    "kms_key_id": volume.get("KmsKeyId"),
                }
                yield self._thing("aws_ebs_volume", volume["VolumeId"], volume, arguments)

    def _template(self, id_: str, template: Document) -> Thing:
        versions = self._aws.ec2.describe_launch_template_versions(LaunchTemplateId=id_, Versions=["$Latest"])
        [version] = described(versions["LaunchTemplateVersions"])
        data: Document = version["LaunchTemplateData"]
        profile, options = mapping(data, "IamInstanceProfile"), mapping(data, "MetadataOptions")
        more, parts = template_parts(data)
        blocks = [_mapping(disk) for disk in listed(data, "BlockDeviceMappings")] + parts
        if profile:
            named = {"arn": profile.get("Arn"), "name": profile.get("Name")}
            blocks.append(Block("iam_instance_profile", (), named))
        if options:
            told = {
                "http_endpoint": options.get("HttpEndpoint"),
                "http_tokens": options.get("HttpTokens"),
                "http_put_response_hop_limit": options.get("HttpPutResponseHopLimit"),
                "instance_metadata_tags": options.get("InstanceMetadataTags"),
            }
            blocks.append(Block("metadata_options", (), told))
        if data.get("UserData"):
            blocks.append(Block("lifecycle", (), {"ignore_changes": Expression("[user_data]")}))
        optimized = data.get("EbsOptimized")
        arguments = {
            "name": template["LaunchTemplateName"],
            "image_id": data.get("ImageId"),
            "instance_type": data.get("InstanceType"),
            "key_name": data.get("KeyName"),
            "ebs_optimized": None if optimized is None else str(optimized).lower(),
            # Where they stand in an interface, they mustn't stand here.
            "vpc_security_group_ids": list(data.get("SecurityGroupIds") or ()) or None,
            **more,
        }
        return self._thing(
            "aws_launch_template",
            id_,
            template,
            arguments,
            blocks=tuple(blocks),
            name=template["LaunchTemplateName"],
        )

    def _group(self, group: Document) -> Thing:
        name = group["AutoScalingGroupName"]
        more, parts = group_parts(group)
        tags = tuple(
            Block(
                "tag",
                (),
                {"key": tag["Key"], "value": tag["Value"], "propagate_at_launch": bool(tag["PropagateAtLaunch"])},
            )
            for tag in sorted(listed(group, "Tags"), key=lambda tag: tag["Key"])
            if not tag["Key"].startswith("aws:")
        )
        arguments = {
            "name": name,
            "min_size": group["MinSize"],
            "max_size": group["MaxSize"],
            "desired_capacity": group["DesiredCapacity"],
            "vpc_zone_identifier": sorted(part for part in group["VPCZoneIdentifier"].split(",") if part),
            "target_group_arns": sorted(group.get("TargetGroupARNs") or ()),
            **more,
        }
        # The autoscaler owns the sizes.
        sizes = Block("lifecycle", (), {"ignore_changes": Expression("[min_size, max_size, desired_capacity]")})
        return Thing(
            type="aws_autoscaling_group",
            name=name,
            id=name,
            arguments=arguments,
            blocks=(*parts, *tags, sizes),
        )

    def _policy(self) -> Iterator[Thing]:
        """What the members' roles were given for this side."""
        iam, name = self._aws.iam, f"{self._c.cluster}-member{self._suffix}"
        for role in dict.fromkeys(filter(None, (self._c.control_plane_role, self._c.etcd_role))):
            try:
                document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            except iam.exceptions.NoSuchEntityException:
                continue
            policy = document if isinstance(document, str) else json.dumps(document, sort_keys=True)
            arguments = {"role": role, "name": name, "policy": policy}
            yield Thing(type="aws_iam_role_policy", name=name, id=f"{role}:{name}", arguments=arguments)

    def _names(self, vpc: str) -> Iterator[Thing]:
        for zone, records in self._c.traffic.zones().items():
            yield from self._names_of(vpc, zone, {plain(one.name) for one in records})

    def _names_of(self, vpc: str, zone: str, wanted: set[str]) -> Iterator[Thing]:
        seen = mapping({"all": self._aws.route53.get_hosted_zone(Id=zone)}, "all")
        if vpc in {one.get("VPCId") for one in listed(seen, "VPCs")}:
            arguments = {"zone_id": zone, "vpc_id": vpc}
            name = self._side if zone == self._c.traffic.zone_id else f"{self._side}_{zone}"
            yield Thing(type="aws_route53_zone_association", name=name, id=f"{zone}:{vpc}", arguments=arguments)
        pages = self._aws.route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
        for record in (one for page in pages for one in described(page["ResourceRecordSets"])):
            name = plain(record["Name"])
            alias, type_ = mapping(record, "AliasTarget"), str(record["Type"])
            if name not in wanted or type_ != ("A" if alias else "CNAME") or record.get("SetIdentifier"):
                continue
            values = [one["Value"] for one in listed(record, "ResourceRecords")]
            blocks: tuple[Block, ...] = ()
            if alias:
                target: dict[str, object] = {
                    "name": plain_target(str(alias["DNSName"])),
                    "zone_id": alias["HostedZoneId"],
                    "evaluate_target_health": bool(alias["EvaluateTargetHealth"]),
                }
                blocks = (Block("alias", (), target),)
            yield Thing(
                type="aws_route53_record",
                name=name,
                id=f"{zone}_{name}_{type_}",
                arguments={
                    "zone_id": zone,
                    "name": name,
                    "type": type_,
                    **({} if alias else {"ttl": record["TTL"], "records": values}),
                },
                blocks=blocks,
            )


def _via(route: Document) -> dict[str, object]:
    """What a route leads to, in Terraform's words; empty for what AWS makes by itself."""
    words = {
        "GatewayId": "gateway_id",
        "NatGatewayId": "nat_gateway_id",
        "VpcPeeringConnectionId": "vpc_peering_connection_id",
        "TransitGatewayId": "transit_gateway_id",
    }
    return {word: route[key] for key, word in words.items() if route.get(key) and route[key] != "local"}


def _mapping(disk: Document) -> Block:
    said = {
        "device_name": disk["DeviceName"],
        "virtual_name": disk.get("VirtualName"),
        "no_device": disk.get("NoDevice"),
    }
    return Block("block_device_mappings", (), said, (_disk(mapping(disk, "Ebs")),) if disk.get("Ebs") else ())


def _disk(ebs: Document) -> Block:
    said = {
        "snapshot_id": ebs.get("SnapshotId"),
        "volume_size": ebs.get("VolumeSize"),
        "volume_type": ebs.get("VolumeType"),
        "encrypted": None if ebs.get("Encrypted") is None else str(ebs["Encrypted"]).lower(),
        "kms_key_id": ebs.get("KmsKeyId"),
        "iops": ebs.get("Iops"),
        "throughput": ebs.get("Throughput"),
        "delete_on_termination": None
        if ebs.get("DeleteOnTermination") is None
        else str(ebs["DeleteOnTermination"]).lower(),
    }
    return Block("ebs", (), said)
