"""Gates of Services of type LoadBalancer: each is carried, and the cloud controller leaves the new side alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from migration.clients.aws import described
from migration.clients.documents import Document, listed, mapping
from migration.clients.kubernetes import CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS, NODES, SERVICES
from migration.contracts.gates import (
    ControllerInOldVpc,
    ControllerLeftOldVpc,
    NewNodesExcluded,
    ServicesCarried,
)
from migration.drain.nodes import instance_of, name_of, ready
from migration.gates.cluster import PLAN
from migration.gates.live import Live
from migration.runtime.deadline import Permanent, Refused, Retryable
from migration.services.targets import EXCLUDED, node_ports

TAG = "kubernetes.io/service-name"
# The VPC in the cloud controller's configuration, which is read by gcfg: case doesn't matter, quotes may be there.
_VPC = re.compile(r"""^\s*VPC\s*=\s*["']?(vpc-[0-9a-z-]+)""", re.IGNORECASE | re.MULTILINE)
SYSTEM = "kube-system"


def carried(q: ServicesCarried, live: Live) -> str:
    """Every Service of type LoadBalancer is carried as it is; raises `Permanent` with all that isn't."""
    there = {
        _name(one): one
        for one in live.kubernetes.list(SERVICES)
        if mapping(one, "spec").get("type") == "LoadBalancer"
        and PLAN not in (mapping(one, "metadata").get("annotations") or {})
    }
    known = {f"{one.namespace}/{one.service}": one for one in q.services}
    balancers = _balancers(live, q.vpc_id)
    wrong: list[str] = []
    for name, service in there.items():
        if name not in known:
            wrong.append(
                f"Service {name} is of type LoadBalancer ({_shown(service)}) and not among those that are carried: "
                f"name its balancer in migration:moreIngress and migration:traffic.serviceBalancers (python -m "
                f"migration discover writes both), or say how it moves by annotation {PLAN}. "
                f"A classic balancer isn't carried: put one of your own over its node ports, or make the Service anew "
                f"with the annotation service.beta.kubernetes.io/aws-load-balancer-type: nlb"
            )
            continue
        arn = known[name].balancer
        if arn not in balancers:
            wrong.append(f"Service {name}: its balancer {arn} isn't in {q.vpc_id}; correct migration:moreIngress")
        elif balancers[arn] != name:
            wrong.append(
                f"Service {name}: the cloud controller made {arn} for {balancers[arn] or 'no Service'} (tag {TAG}); "
                f"correct migration:traffic.serviceBalancers"
            )
        wrong += _unlike(name, service)
    wrong += [
        f"Service {name} isn't there, or not of type LoadBalancer; take its balancer out of "
        f"migration:traffic.serviceBalancers"
        for name in known.keys() - there.keys()
    ]
    if wrong:
        raise Refused(wrong)
    return f"{len(known)} Services of type LoadBalancer are carried: {', '.join(known) or 'there are none'}"


def _unlike(name: str, service: Document) -> Iterator[str]:
    """What a NodePort Service behind a balancer of this program's hasn't got."""
    spec = mapping(service, "spec")
    if spec.get("loadBalancerClass"):
        yield (
            f"Service {name}: spec.loadBalancerClass is {spec['loadBalancerClass']}: another controller's, which isn't "
            f"carried; say how it moves by annotation {PLAN}"
        )
    if None in node_ports(service):
        yield f"Service {name} has ports without a node port: set allocateLoadBalancerNodePorts to true"
    ranges = listed(service, "spec", "loadBalancerSourceRanges")
    if ranges:
        yield (
            f"Service {name}: spec.loadBalancerSourceRanges is {', '.join(map(str, ranges))}: the copy would let in "
            f"everybody; say it in the nodes' security groups and take it out, or plan it by annotation {PLAN}"
        )
    if spec.get("externalTrafficPolicy") == "Local":
        yield (
            f"Service {name}: externalTrafficPolicy is Local: its port for health checks closes at stage 3; make it "
            f"Cluster, or plan it by annotation {PLAN}"
        )


def _name(item: Document) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def _shown(service: Document) -> str:
    status = listed(mapping(service, "status", "loadBalancer"), "ingress")
    return ", ".join(str(one.get("hostname") or one.get("ip")) for one in status) or "without a balancer yet"


def _balancers(live: Live, vpc: str) -> dict[str, str]:
    """Load balancers of a VPC by ARN, with the Service that each was made for."""
    pages = live.aws.elbv2.get_paginator("describe_load_balancers").paginate()
    there = [one for page in pages for one in described(page["LoadBalancers"]) if one.get("VpcId") == vpc]
    found = {str(one["LoadBalancerArn"]): "" for one in there}
    every = list(found)
    for start in range(0, len(every), 20):
        for one in live.aws.elbv2.describe_tags(ResourceArns=every[start : start + 20])["TagDescriptions"]:
            tags = {tag["Key"]: tag.get("Value", "") for tag in one.get("Tags", [])}
            found[str(one.get("ResourceArn"))] = tags.get(TAG, "")
    return found


# The nodes


def new_nodes_excluded(q: NewNodesExcluded, live: Live) -> str:
    """Every ready new node has the label; raises `Permanent` naming those that lack it."""
    machines = {one.id for one in live.aws.instances_of_groups(q.new_groups)}
    nodes = [node for node in live.kubernetes.list(NODES) if instance_of(node) in machines and ready(node)]
    if not nodes:
        raise Retryable(f"no ready node of {', '.join(q.new_groups)}, so none can be seen to be excluded")
    lacking = sorted(name_of(node) for node in nodes if EXCLUDED not in mapping(node, "metadata", "labels"))
    if lacking:
        raise Permanent(
            f"{', '.join(lacking)} lack the label {EXCLUDED}, so the cloud controller would take them for targets in "
            f"the old VPC where somebody took the Services' annotation away: kubectl label node {' '.join(lacking)} "
            f"{EXCLUDED}=true; kubectl annotate node {' '.join(lacking)} migration/excluded=true"
        )
    return f"{len(nodes)} new nodes are kept out of the Services' balancers"


# The cloud controller's VPC


def _told(live: Live) -> dict[str, str]:
    """The VPC in each place in which the cloud controller's configuration can be seen."""
    found: dict[str, str] = {}
    for item in live.kubernetes.list(CONFIG_MAPS, SYSTEM):
        for key, text in mapping(item, "data").items():
            if "[global]" in str(text).lower() and (match := _VPC.search(str(text))):
                found[f"ConfigMap {_name(item)} ({key})"] = match[1]
    for kind, called in ((DAEMON_SETS, "DaemonSet"), (DEPLOYMENTS, "Deployment")):
        for item in live.kubernetes.list(kind, SYSTEM):
            for word in _words(listed(item, "spec", "template", "spec", "containers")):
                if match := re.search(r"--(?:aws-)?vpc-id=(vpc-[0-9a-z-]+)", word):
                    found[f"{called} {_name(item)}"] = match[1]
    return found


def _words(containers: Sequence[Document]) -> Iterator[str]:
    for one in containers:
        yield from map(str, (*listed(one, "command"), *listed(one, "args")))


def _unseen(when: str) -> str:
    return (
        f"warning: no ConfigMap of {SYSTEM} has a cloud configuration with VPC = in [Global], and no controller there "
        f"a flag of it; where it is in a file or a Secret, look yourself that it names the {when} VPC"
    )


def controller_in_old_vpc(q: ControllerInOldVpc, live: Live) -> str:
    """It names the old VPC, in which it is until stage 7; another is refused."""
    told = _told(live)
    if not told:
        return _unseen("old")
    other = [f"{place} names {vpc}" for place, vpc in told.items() if vpc != q.vpc_id]
    if other:
        raise Permanent(
            f"{'; '.join(other)}: the cloud controller is in {q.vpc_id} until stage 7; set VPC = back until then"
        )
    return f"{', '.join(told)}: VPC = {q.vpc_id}"


def controller_left_old_vpc(q: ControllerLeftOldVpc, live: Live) -> str:
    """It names the old VPC no more: the controller's machines are in the new one."""
    told = _told(live)
    if not told:
        return _unseen("new")
    still = [place for place, vpc in told.items() if vpc == q.vpc_id]
    if still:
        raise Retryable(
            f"{', '.join(still)} still names {q.vpc_id}: the cloud controller's machines are in the new VPC: set VPC = "
            f"to that one and restart it"
        )
    return ", ".join(f"{place}: VPC = {vpc}" for place, vpc in told.items())
