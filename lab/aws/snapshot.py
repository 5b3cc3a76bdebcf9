"""The state that hypervisor and data plane get from their control plane: one JSON object, built under the lock."""

from __future__ import annotations

from typing import Any

from lab.addresses import REGION
from lab.aws.world import TERMINATED_VISIBLE_S, World


def snapshot(world: World) -> dict[str, Any]:
    """The whole state in the shape the lab contract fixes. Call it under `world.lock`."""
    return {
        "revision": world.revision,
        "vpcs": _vpcs(world),
        "subnets": _subnets(world),
        "instances": _instances(world),
        "volumes": _volumes(world),
        "security_groups": _security_groups(world),
        "network_acls": _network_acls(world),
        "prefix_lists": _prefix_lists(world),
        "peerings": _peerings(world),
        "route_tables": _route_tables(world),
        "nat_gateways": _nat_gateways(world),
        "service_endpoints": _service_endpoints(world),
        "interfaces": _interfaces(world),
        "load_balancers": _load_balancers(world),
        "target_groups": _target_groups(world),
        "zones": _zones(world),
    }


def tags_of(world: World, resource_id: str) -> dict[str, str]:
    """A resource's tags, straight from moto's store: `get_tags` filters every tag of the account for each resource."""
    return dict(world.ec2.tags.get(resource_id, {}))


def _vpcs(world: World) -> list[dict[str, Any]]:
    return [
        {
            "id": vpc.id,
            "cidrs": [a["cidr_block"] for a in vpc.get_cidr_block_association_set()],
            "tags": tags_of(world, vpc.id),
        }
        for vpc in world.ec2.vpcs.values()
    ]


def _subnets(world: World) -> list[dict[str, Any]]:
    main: dict[str, str] = {}
    explicit: dict[str, str] = {}
    for table in world.ec2.route_tables.values():
        if table.main_association_id is not None:
            main[table.vpc_id] = table.id
        for subnet_id in table._associations.values():
            explicit[subnet_id] = table.id
    return [
        {
            "id": subnet.id,
            "vpc": subnet.vpc_id,
            "cidr": subnet.cidr_block,
            "zone": subnet.availability_zone,
            "route_table": explicit.get(subnet.id) or main.get(subnet.vpc_id),
        }
        for by_zone in world.ec2.subnets.values()
        for subnet in by_zone.values()
    ]


def _instances(world: World) -> list[dict[str, Any]]:
    now = world.clock()
    groups = {
        state.instance.id: group.name
        for group in world.autoscaling.autoscaling_groups.values()
        for state in group.instance_states
    }
    found: list[dict[str, Any]] = []
    for reservation in world.ec2.reservations.values():
        for instance in reservation.instances:
            if now - world.terminated.get(instance.id, now) > TERMINATED_VISIBLE_S:
                continue
            profile = instance.iam_instance_profile
            found.append(
                {
                    "id": instance.id,
                    "state": instance.state,
                    "private_ip": instance.private_ip,
                    "private_dns": instance.private_dns_name,
                    "vpc": instance.vpc_id,
                    "subnet": instance.subnet_id,
                    "zone": instance.availability_zone,
                    "type": instance.instance_type,
                    "market": "spot" if instance.lifecycle == "spot" else "on-demand",
                    "image": instance.image_id,
                    "image_name": image.name if (image := world.ec2.amis.get(instance.image_id)) else None,
                    "security_groups": sorted(g.id for g in instance.nics[0].group_set) if instance.nics else [],
                    "tags": tags_of(world, instance.id),
                    "asg": groups.get(instance.id),
                    "mac": instance.nics[0].mac_address if instance.nics else None,
                    "interface": instance.nics[0].id if instance.nics else None,
                    "metadata": _metadata(instance),
                    "user_data": str(instance.user_data) if instance.user_data else None,
                    "iam_profile": profile["Arn"] if profile else None,
                    "launch_time": instance.launch_time.isoformat(),
                    "volumes": [
                        {"id": device.volume_id, "device": path} for path, device in instance.get_block_device_mapping
                    ],
                }
            )
    return found


def _metadata(instance: Any) -> dict[str, Any]:
    """How the metadata service answers; by default as EC2 has it without a word in template, image or account."""
    options = instance.metadata_options
    return {
        "enabled": options.http_endpoint == "enabled",
        "tokens": options.http_tokens,
        "hop_limit": options.http_put_response_hop_limit,
    }


def _volumes(world: World) -> list[dict[str, Any]]:
    return [
        {
            "id": volume.id,
            "zone": volume.zone.name,
            "state": volume.status,
            "tags": tags_of(world, volume.id),
            "attached_to": volume.attachment.instance.id if volume.attachment else None,
            "device": volume.attachment.device if volume.attachment else None,
            "attachment": volume.attachment.status if volume.attachment else None,
        }
        for volume in world.ec2.volumes.values()
    ]


def _rule(rule: Any) -> dict[str, Any]:
    return {
        "protocol": rule.ip_protocol or "-1",
        "from": rule.from_port,
        "to": rule.to_port,
        "cidrs": [c for c in (rule.cidr_ipv4, rule.cidr_ipv6) if c],
        "groups": [rule.source_group["GroupId"]] if rule.source_group.get("GroupId") else [],
        "prefix_lists": [rule.prefix_list_id] if rule.prefix_list_id else [],
    }


def _security_groups(world: World) -> list[dict[str, Any]]:
    return [
        {
            "id": group.id,
            "vpc": group.vpc_id,
            "name": group.name,
            "ingress": [_rule(r) for r in group.ingress_rules],
            "egress": [_rule(r) for r in group.egress_rules],
        }
        for by_vpc in world.ec2.groups.values()
        for group in by_vpc.values()
    ]


def _network_acls(world: World) -> list[dict[str, Any]]:
    return [
        {
            "id": acl.id,
            "vpc": acl.vpc_id,
            "subnets": [association.subnet_id for association in acl.associations],
            "entries": [
                {
                    "number": int(entry.rule_number),
                    "protocol": str(entry.protocol),
                    "allow": entry.rule_action == "allow",
                    "egress": str(entry.egress).lower() == "true",
                    "cidr": entry.cidr_block,
                    "from": _number(entry.port_range_from),
                    "to": _number(entry.port_range_to),
                }
                for entry in acl.entries
            ],
        }
        for acl in world.ec2.network_acls.values()
    ]


def _number(text: Any) -> int | None:
    return None if text in (None, "") else int(text)


def _prefix_lists(world: World) -> dict[str, list[str]]:
    """Ranges by list's id, in its newest version."""
    return {
        found.id: [entry["Cidr"] for entry in found.entries.get(found.version or 1) or []]
        for found in world.ec2.managed_prefix_lists.values()
    }


def _peerings(world: World) -> list[dict[str, Any]]:
    return [
        {
            "id": peering.id,
            "requester_vpc": peering.vpc.id,
            "accepter_vpc": peering.peer_vpc.id,
            "state": peering._status.code,
        }
        for peering in world.ec2.vpc_pcxs.values()
    ]


def _route_target(route: Any) -> str | None:
    return (
        route.gateway_id
        or route.nat_gateway_id
        or route.vpc_peering_connection_id
        or route.transit_gateway_id
        or route.network_interface_id
        or route.instance_id
        or route.egress_only_internet_gateway_id
    )


def _route_tables(world: World) -> list[dict[str, Any]]:
    return [
        {
            "id": table.id,
            "vpc": table.vpc_id,
            "subnets": [s for s in table._associations.values() if s.startswith("subnet-")],
            "main": table.main_association_id is not None,
            "routes": [
                {
                    "cidr": route.destination_cidr_block or route.destination_prefix_list_id,
                    "target": _route_target(route),
                    "state": route.state,
                }
                for route in table.routes
            ],
        }
        for table in world.ec2.route_tables.values()
    ]


def _nat_gateways(world: World) -> list[dict[str, Any]]:
    return [
        {"id": gateway.id, "subnet": gateway.subnet_id, "active": gateway.state != "deleted"}
        for gateway in world.ec2.nat_gateways.values()
    ]


def _service_endpoints(world: World) -> list[dict[str, Any]]:
    """Interface endpoints of the region's services. A gateway endpoint is a route."""
    prefix = f"com.amazonaws.{REGION}."
    return [
        {
            "id": endpoint.id,
            "vpc": endpoint.vpc_id,
            "service": str(endpoint.service_name).removeprefix(prefix),
            "addresses": [
                str(world.ec2.enis[one].private_ip_address)
                for one in endpoint.network_interface_ids
                if one in world.ec2.enis
            ],
            "private_names": bool(endpoint.private_dns_enabled),
        }
        for endpoint in world.ec2.vpc_end_points.values()
        if str(endpoint.vpc_endpoint_type) == "Interface" and str(endpoint.service_name).startswith(prefix)
    ]


def _interfaces(world: World) -> list[dict[str, Any]]:
    return [
        {
            "id": eni.id,
            "subnet": eni.subnet.id,
            "vpc": eni.subnet.vpc_id,
            "ip": eni.private_ip_address,
            "description": eni.description,
            "groups": sorted(g.id for g in eni.group_set),
            "instance": eni.instance.id if eni.instance else None,
        }
        for eni in world.ec2.enis.values()
    ]


def _load_balancers(world: World) -> list[dict[str, Any]]:
    return [
        {
            "arn": balancer.arn,
            "name": balancer.name,
            "type": balancer.type,
            "attributes": {k: str(v) for k, v in balancer.attrs.items()},
            "dns_name": balancer.dns_name,
            "vpc": balancer.vpc_id,
            "scheme": balancer.scheme,
            "security_groups": list(balancer.security_groups or []),
            "subnets": [s.id for s in balancer.subnets],
            "cross_zone": balancer.attrs.get("load_balancing.cross_zone.enabled") == "true",
            "addresses": [
                {"zone": eni.subnet.availability_zone, "subnet": eni.subnet.id, "ip": eni.private_ip_address}
                for eni in getattr(balancer, "lab_interfaces", [])
            ],
            "listeners": [
                {
                    "arn": listener.arn,
                    "port": int(listener.port),
                    "protocol": listener.protocol,
                    "target_group": _first(_forwards(listener.default_actions)),
                    "forward": _forwards(listener.default_actions),
                    "rules": _rules(listener),
                    "certificates": [_certificate(world, arn) for arn in listener.certificates],
                    "alpn": list(listener.alpn_policy),
                }
                for listener in balancer.listeners.values()
            ],
        }
        for balancer in world.elbv2.load_balancers.values()
    ]


def _forwards(actions: list[Any]) -> list[dict[str, Any]]:
    """The target groups of a forward action with their weights; nothing for other actions."""
    for action in actions:
        named = action.data.get("ForwardConfig", {}).get("TargetGroups", [])
        if named:
            return [{"target_group": one["TargetGroupArn"], "weight": int(one.get("Weight", 1))} for one in named]
        if arn := action.data.get("TargetGroupArn"):
            return [{"target_group": arn, "weight": 1}]
    return []


def _first(forwards: list[dict[str, Any]]) -> str | None:
    return forwards[0]["target_group"] if forwards else None


def _rules(listener: Any) -> list[dict[str, Any]]:
    """An application balancer's rules beside the default one."""
    return [
        {
            "priority": int(rule.priority),
            "conditions": [_condition(one) for one in rule.conditions],
            "forward": _forwards(rule.actions),
        }
        for rule in listener._non_default_rules.values()
    ]


def _condition(raw: dict[str, Any]) -> dict[str, Any]:
    """One condition; the values stand beside the field or in its own configuration, as the API takes them."""
    own = next((v for k, v in raw.items() if k.endswith("Config") and isinstance(v, dict)), {})
    return {"field": raw["Field"], "values": list(raw.get("Values") or own.get("Values") or [])}


def _certificate(world: World, arn: str) -> dict[str, Any]:
    """A certificate's names in ACM: what a client may ask for. Its key never leaves ACM."""
    found = world.acm._certificates.get(arn)
    names = list(dict.fromkeys([found.common_name, *found.sans])) if found is not None else []
    return {"arn": arn, "names": [str(name) for name in names if name]}


def _target_groups(world: World) -> list[dict[str, Any]]:
    return [
        {
            "arn": group.arn,
            "name": group.name,
            "vpc": group.vpc_id,
            "target_type": group.target_type,
            "protocol": group.protocol,
            "port": int(group.port),
            "health": {
                "protocol": group.health_check_protocol,
                "port": str(group.health_check_port),
                "path": group.health_check_path,
                "matcher": (getattr(group, "matcher", None) or {}).get("HttpCode"),
                "interval_s": int(group.health_check_interval_seconds),
                "healthy": int(group.healthy_threshold_count),
                "unhealthy": int(group.unhealthy_threshold_count),
            },
            "attributes": {k: str(v) for k, v in group.attributes.items()},
            "targets": [_target(t, "registered") for t in group.targets.values()]
            + [_target(t, "draining") for t in group.deregistered_targets.values()],
        }
        for group in world.elbv2.target_groups.values()
    ]


def _target(target: dict[str, Any], state: str) -> dict[str, Any]:
    return {
        "id": target["Id"],
        "port": int(target["Port"]),
        "zone": target.get("AvailabilityZone"),
        "state": state,
        "since": target.get("since", 0.0),
    }


def _zones(world: World) -> list[dict[str, Any]]:
    return [
        {
            "id": zone.resource_id,
            "name": zone.name,
            "private": zone.private_zone,
            "vpcs": [v["vpc_id"] for v in zone.vpcs if v.get("vpc_id")],
            "records": [
                {
                    "name": record.name.replace("\\052", "*"),
                    "type": record.type,
                    "ttl": int(record.ttl) if record.ttl is not None else None,
                    "values": [v["Value"] if isinstance(v, dict) else v for v in record.records or []],
                    "alias": record.alias_target or None,
                    "weight": int(record.weight) if record.weight is not None else None,
                    "set_id": record.set_identifier,
                }
                for record in zone.rrsets
            ],
        }
        for zone in world.route53.zones.values()
    ]
