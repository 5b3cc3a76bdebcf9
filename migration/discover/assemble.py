"""From what was found to a stack's configuration. Pure but for the questions in `ClusterAnswers`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migration.discover import (
    balancers,
    cloud_config,
    groups,
    network,
    offers,
    ownership,
    rules,
    service_balancers,
    traffic,
)
from migration.discover.inventory import Group, Inventory
from migration.discover.more_groups import more_groups
from migration.discover.options import DiscoveryOptions
from migration.discover.tags import tags_of
from migration.layouts import found as in_user_data
from migration.layouts import scripts
from migration.layouts.contract import Recognition
from migration.reachability import vpc_cidrs
from migration.settings.model import Limits, Role


@dataclass(frozen=True, kw_only=True)
class ClusterAnswers:
    """What the cluster's API said."""

    services: Sequence[Mapping[str, Any]]
    pod_cidr: str
    service_cidr: str


def side_name(inventory: Inventory, options: DiscoveryOptions) -> str:
    """The old side's permanent name: as given, or the VPC's Name without the cluster's."""
    name = options.from_name or groups.short_name(tags_of(inventory.vpc).get("Name", ""), inventory.cluster)
    plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
    return plain or inventory.vpc["VpcId"]


def configuration(inventory: Inventory, answers: ClusterAnswers, options: DiscoveryOptions) -> dict[str, Any]:
    """`migration:` of the stack's file, keys as `migration.settings.model` wants them.

    Raises `Permanent` for what can't be told or isn't supported, with the option that decides it.
    """
    members, workers = groups.members_of(inventory), groups.workers_of(inventory)
    servers = groups.servers_of(inventory)
    api = traffic.balancer_of(inventory, servers, "API")
    of_services = service_balancers.of_services(inventory, answers.services, options.log)
    first, *more = balancers.ingresses(
        inventory,
        workers,
        answers.services,
        api=api["arn"],
        first=options.ingress_balancer,
        service=options.ingress_service,
        log=options.log,
        controllers={name: service for name, (_, service) in of_services.items()},
    )
    ingress = first.reference()
    zone_id, records = traffic.records(
        inventory,
        {"api": api["dnsName"], **{one.role: one.balancer.dns_name for one in (first, *more)}},
        options.zone,
        options.log,
    )
    limits = _limits(inventory, ingress["targetGroups"][0], options)
    service = traffic.named_service(answers.services, first.service)
    connected = network.connected(inventory)
    taken = [answers.pod_cidr, answers.service_cidr, *network.ranges(connected)]
    zones = network.zones(inventory)
    retire, keep = ownership.split(inventory, options.etcd_strategy)
    old = side_name(inventory, options)
    offer = offers.of_vpc(inventory, [zone["private"] for zone in zones.values()], zone_id)
    form = groups.control_plane_of(inventory)
    own_groups: dict[Role, str] = {
        "nodes": groups.security_group(inventory, workers, "worker"),
        "control-plane": groups.security_group(inventory, servers, "control-plane"),
        **({"etcd": groups.security_group(inventory, members, "etcd")} if form.servers else {}),
    }
    text = members[0].template.user_data
    units = in_user_data.read(text, scripts.files(text))
    found: dict[str, Any] = {
        "cluster": inventory.cluster,
        "from": old,
        "to": options.to_name,
        "sides": {
            old: {
                "kind": "referenced",
                "vpcId": inventory.vpc["VpcId"],
                "cidr": inventory.vpc["CidrBlock"],
                **({"secondaryCidrs": others} if (others := vpc_cidrs(inventory.vpc)[1:]) else {}),
                "suffix": "",
                "zones": zones,
                "routeTables": sorted(table["RouteTableId"] for table in inventory.route_tables),
                "securityGroups": {
                    "nodes": own_groups["nodes"],
                    "controlPlane": own_groups["control-plane"],
                    **({"etcd": own_groups["etcd"]} if "etcd" in own_groups else {}),
                },
                "loadBalancers": {
                    "ingress": ingress,
                    "api": api,
                    **({"more": {one.role: one.reference() for one in more}} if more else {}),
                },
            },
            options.to_name: {
                "kind": "managed",
                "cidr": network.new_cidr(inventory, options.to_cidr, taken),
                "suffix": f"-{options.to_name}",
                "zones": list(zones),
                "nat": options.nat or offer.nat,
                "rules": rules.of_groups(inventory, own_groups, options.log),
                **offer.keys,
            },
        },
        "podCidr": answers.pod_cidr,
        "serviceCidr": answers.service_cidr,
        "connectedNetworks": connected,
        # Never found out: whoever is let in to etcd can read every Secret, and that is for a person to say.
        "operatorNetworks": list(options.operator_networks),
        "pools": groups.pools(inventory),
        "members": groups.members(inventory),
        "controlPlaneRole": groups.role_name(inventory, servers, "control-plane"),
        **({"etcdRole": groups.role_name(inventory, members, "etcd")} if form.servers else {}),
        "workerRole": groups.role_name(inventory, workers, "worker"),
        "traffic": {
            **_traffic(zone_id, records, inventory.public_zones, options),
            **_carried([one.role for one in (first, *more) if one.balancer.name in of_services], options),
        },
        "ingress": balancers.ingress_keys(first, Limits.model_validate(limits)),
        **({"moreIngress": [balancers.more_keys(one) for one in more]} if more else {}),
        "api": {
            **_api(_api_name(records), api["port"], inventory.target_groups[api["targetGroups"][0]]),
            **balancers.api_keys(
                next(one for one in inventory.balancers if one.arn == api["arn"]),
                Limits.model_validate(limits),
                options.log,
            ),
        },
        "etcd": {
            "access": "direct",
            **({"strategy": options.etcd_strategy} if options.etcd_strategy != "learner" else {}),
            "certificates": options.etcd_certificates or f"/{inventory.cluster}/operator/etcd",
            "clientPort": form.client_port or units.port("etcd", "listen-client-urls") or 2379,
            "peerPort": form.peer_port or units.port("etcd", "listen-peer-urls") or 2380,
        },
        "controlPlane": _form(form, options),
        "drain": {"ingressSelector": dict(service["spec"].get("selector") or {})},
        "limits": limits,
        "retire": retire,
        "keep": keep,
    }
    own: dict[str, str] = found["sides"][old]["securityGroups"]
    # An API machine's groups are told from etcd's where those are on machines of their own.
    masters = [*members, *(one for one in servers if one not in members)]
    if beside := more_groups(inventory, workers, masters, own, options.log):
        found["securityGroups"] = beside
    if options.references:
        found["references"] = options.references
    if options.kubeconfig:
        found["kubeconfig"] = options.kubeconfig
    if options.tags:
        found["tags"] = dict(options.tags)
    return found


def _form(form: Recognition, options: DiscoveryOptions) -> dict[str, Any]:
    """`controlPlane` as it was recognised; how, and what couldn't be seen, is said."""
    for sentence in form.because:
        options.log(f"control plane {form.layout}: {sentence}")
    for sentence in form.unseen:
        options.log(f"control plane {form.layout}: not seen: {sentence}")
    for sentence in form.against:
        options.log(f"control plane {form.layout}: must be put right before stage 0: {sentence}")
    own_file = {"userDataFile": options.user_data_file} if options.user_data_file else {}
    return {"layout": form.layout, **own_file, **form.keys}


def _api(name: str, port: int, target_group: Mapping[str, Any]) -> dict[str, Any]:
    """`api`: the servers' own port only where it isn't the one that clients use."""
    behind = int(target_group["Port"])
    return {"name": name, "port": port, **({"serverPort": behind} if behind != port else {})}


def _api_name(records: Sequence[Mapping[str, Any]]) -> str:
    return next(record["name"] for record in records if record["serves"] == "api")


def _limits(inventory: Inventory, target_group: str, options: DiscoveryOptions) -> dict[str, int]:
    """The health check's rhythm as the old groups have it, and whatever was given."""
    interval = int(inventory.target_groups[target_group].get("HealthCheckIntervalSeconds", 10))
    return {"healthIntervalSeconds": max(5, min(300, interval)), **options.limits}


def control_plane_flag(members: Sequence[Group], name: str) -> str | None:
    """A flag in the user data of the control plane's machines."""
    return next(
        (found for g in members if (found := cloud_config.flag_in(scripts.files(g.template.user_data), name))), None
    )


def _carried(roles: list[str], options: DiscoveryOptions) -> dict[str, Any]:
    """The keys for Services of type LoadBalancer, where there are any and all can be carried."""
    if not roles:
        return {}
    options.log(
        f"Services of type LoadBalancer are carried ({', '.join(roles)}): migration:traffic.afterwards: keep means "
        f"that each becomes a NodePort at stage 8 and this program's balancers stay"
    )
    return {"loadBalancerServices": "carried", "serviceBalancers": roles, "afterwards": "keep"}


def _traffic(
    zone_id: str, records: list[dict[str, Any]], public: frozenset[str], options: DiscoveryOptions
) -> dict[str, Any]:
    traffic: dict[str, Any] = {"zoneId": zone_id, "records": records}
    used = {zone_id, *(record["zone"] for record in records if "zone" in record)}
    if used & public:
        traffic["publicZones"] = sorted(used & public)
    if options.ttl:
        traffic["ttl"] = options.ttl
    if options.accepted_flows:
        traffic["acceptedFlows"] = {
            role: flows.model_dump(by_alias=True, exclude_defaults=True)
            for role, flows in options.accepted_flows.items()
        }
    return traffic
