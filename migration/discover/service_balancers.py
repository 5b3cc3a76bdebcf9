"""Balancers that the cloud controller made for Services of type LoadBalancer: which can be carried. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from migration.clients.documents import listed, mapping
from migration.discover.inventory import Inventory, LoadBalancer

TAG = "kubernetes.io/service-name"


def of_services(
    inventory: Inventory, services: Sequence[Mapping[str, Any]], log: Callable[[str], None]
) -> dict[str, tuple[LoadBalancer, Mapping[str, Any]]]:
    """Each such Service's balancer and itself by the balancer's name; nothing where one of them can't be carried.

    Why not is logged: half of them carried would leave the others to a controller that registers nodes of two VPCs.
    """
    wanted = [one for one in services if mapping(one, "spec").get("type") == "LoadBalancer"]
    found: dict[str, tuple[LoadBalancer, Mapping[str, Any]]] = {}
    wrong: list[str] = []
    for service in wanted:
        name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
        shown = {
            str(one.get("hostname", "")).lower()
            for one in listed(mapping(service, "status", "loadBalancer"), "ingress")
        }
        mine = [one for one in inventory.balancers if one.tags.get(TAG) == name and (one.dns_name.lower() in shown)]
        if len(mine) != 1:
            wrong.append(
                f"Service {name} has no network balancer in {inventory.vpc['VpcId']} that both its tag {TAG} and the "
                f"Service's status name; a classic one isn't carried"
            )
            continue
        problems = list(_problems(mine[0], service))
        wrong += [f"Service {name}: {problem}" for problem in problems]
        found[mine[0].name] = (mine[0], service)
    for sentence in wrong:
        log(f"Services of type LoadBalancer aren't carried, and are refused at stage 0: {sentence}")
    return {} if wrong else found


def _problems(balancer: LoadBalancer, service: Mapping[str, Any]) -> Iterator[str]:
    if balancer.read is None or not balancer.read.form.listeners:
        yield f"load balancer {balancer.name} isn't a kind that is read"
        return
    yield from balancer.read.refused
    spec = mapping(service, "spec")
    if spec.get("externalTrafficPolicy") == "Local":
        yield "externalTrafficPolicy is Local, whose port for health checks closes at stage 3; make it Cluster before"
    for key in ("loadBalancerSourceRanges", "loadBalancerClass"):
        if spec.get(key):
            yield f"spec.{key} is {spec[key]}, which the copy hasn't"
    ports = {one.get("nodePort") for one in listed(spec, "ports")}
    strange = sorted(group.port for group in balancer.read.form.groups.values() if group.port not in ports)
    if strange:
        yield f"load balancer {balancer.name} sends to {', '.join(map(str, strange))}, which are no node ports of it"
