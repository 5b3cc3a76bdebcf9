"""Gates of the end: nothing in use names the old VPC any more, and what was to be retired is gone."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from migration.clients.aws import Aws, described
from migration.clients.documents import Document, listed, mapping
from migration.clients.kubernetes import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    INGRESSES,
    MUTATING_WEBHOOKS,
    SERVICES,
    STATEFUL_SETS,
    VALIDATING_WEBHOOKS,
    Kubernetes,
)
from migration.contracts.gates import NothingNamesTheOldVpc, RetiredAndKept
from migration.etcd.returning import returned_volumes
from migration.gates.live import Live
from migration.reachability import vpc_cidrs
from migration.retire.there import LOOK, there
from migration.runtime.deadline import Retryable
from migration.sides import Side, running_on

# On an object that names the old VPC for a reason that outlives it; the value is free text.
IGNORE = "vpc-migration/ignore"
_ADDRESS = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")


class Old:
    """What to look for: the old VPC's ids and addresses."""

    def __init__(self, ids: Iterable[str], cidrs: Iterable[str]) -> None:
        self._ids = sorted(ids)
        self._networks = [IPv4Network(cidr) for cidr in cidrs]

    def named_in(self, text: str) -> list[str]:
        """Ids and addresses of the old VPC in a text, each once, in order."""
        found = [one for one in self._ids if one in text]
        for match in _ADDRESS.finditer(text):
            try:
                address = IPv4Address(match[0])
            except ValueError:
                continue
            if any(address in network for network in self._networks):
                found.append(match[0])
        return list(dict.fromkeys(found))


def _status(item: Document) -> list[str]:
    """Balancers that an object says it has."""
    return [str(one.get("hostname") or one.get("ip")) for one in listed(item, "status", "loadBalancer", "ingress")]


def _looked_at(kubernetes: Kubernetes, carried: Collection[str]) -> Iterator[tuple[str, Document, str]]:
    """Kind, object, and the part of it in which a name of the old VPC would do harm."""
    for item in kubernetes.list(SERVICES):
        annotations = mapping(item, "metadata", "annotations")
        kept = {key: value for key, value in annotations.items() if "last-applied" not in key}
        said = [kept, item["spec"].get("externalName"), item["spec"].get("externalIPs")]
        # A carried one's balancer is deleted by its controller before anything else of the old side is.
        ends = f"{item['metadata'].get('namespace')}/{item['metadata']['name']}" in carried
        yield "Service", item, json.dumps([*said, [] if ends else _status(item)])
    for item in kubernetes.list(INGRESSES):
        yield "Ingress", item, json.dumps(_status(item))
    for item in kubernetes.list(ENDPOINT_SLICES):
        # Of pods they follow the pods; by hand, or for the API servers, they name machines.
        controlled = any(o.get("kind") == "Service" for o in listed(item, "metadata", "ownerReferences"))
        if not controlled:
            yield "EndpointSlice", item, json.dumps([e.get("addresses") for e in listed(item, "endpoints")])
    for item in kubernetes.list(CONFIG_MAPS):
        yield "ConfigMap", item, json.dumps(item.get("data") or {})
    for kind, name in ((VALIDATING_WEBHOOKS, "ValidatingWebhook"), (MUTATING_WEBHOOKS, "MutatingWebhook")):
        for item in kubernetes.list(kind):
            yield name, item, json.dumps([hook["clientConfig"].get("url") for hook in listed(item, "webhooks")])
    for kind, name in ((DEPLOYMENTS, "Deployment"), (DAEMON_SETS, "DaemonSet"), (STATEFUL_SETS, "StatefulSet")):
        for item in kubernetes.list(kind):
            containers = listed(item, "spec", "template", "spec", "containers")
            said = [[c.get("command"), c.get("args"), [e.get("value") for e in listed(c, "env")]] for c in containers]
            yield name, item, json.dumps(said)


def _old(side: Side, vpc: str, aws: Aws) -> Old:
    inside: list[Any] = [{"Name": "vpc-id", "Values": [vpc]}]
    vpcs = aws.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    subnets = [one["SubnetId"] for one in described(aws.ec2.describe_subnets(Filters=inside)["Subnets"])]
    groups = [one["GroupId"] for one in described(aws.ec2.describe_security_groups(Filters=inside)["SecurityGroups"])]
    balancers = [name for one in (*side.ingresses.values(), side.api) if one for name in (one.arn, one.dns_name)]
    # Those that nobody configured, too: a controller's, which a Service's or an Ingress's status names.
    pages = aws.elbv2.get_paginator("describe_load_balancers").paginate()
    others = [one for page in pages for one in described(page["LoadBalancers"]) if one.get("VpcId") == vpc]
    balancers += [name for one in others for name in (one["LoadBalancerArn"], one.get("DNSName", "")) if name]
    return Old([vpc, *subnets, *groups, *balancers], vpc_cidrs(vpcs[0]) if vpcs else [side.cidr])


def nothing_names_old(q: NothingNamesTheOldVpc, live: Live) -> str:
    """Service annotations, endpoints, webhooks, ConfigMaps and flags name neither ids nor addresses of the old VPC."""
    side = live.side(q.old)
    vpc = live.vpc(side)
    old, found, count = _old(side, vpc, live.aws), list[str](), 0
    for kind, item, text in _looked_at(live.kubernetes, q.carried):
        count += 1
        metadata = item["metadata"]
        if IGNORE in (metadata.get("annotations") or {}):
            continue
        for name in old.named_in(text):
            place = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
            found.append(f"{kind} {place}{metadata['name']} names {name}")
    if found:
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        raise Retryable(
            f"{'; '.join(found[:5])}{more}: these break when the old VPC goes; correct them, or annotate what may stay "
            f"with {IGNORE}"
        )
    return f"{count} objects looked at, none names {vpc} or its addresses"


def _empty(side: str, live: Live) -> str:
    """A side that the stack deletes next holds no machine any more. Raises `Permanent` where it can't be seen."""
    running = running_on(live.aws, live.cluster, side)
    if running:
        raise Retryable(f"{len(running)} instances of {side} are still there, the first of them {running[0]}")
    return f"no instance of side {side} is left; the stack deletes what is left of it, by name in its preview"


def retired(q: RetiredAndKept, live: Live) -> str:
    """Everything on the retire list is gone, and everything to keep that this program can look at is there."""
    if q.left is not None:
        return _empty(q.left, live)
    left = [f"{item.type} {item.id}" for item in there(live.aws, q.retire)]
    if left:
        raise Retryable(f"{len(left)} of {len(q.retire)} to retire are still there: {', '.join(left[:3])}")
    volumes = [volume["VolumeId"] for volume in returned_volumes(live.aws, live.cluster)]
    if volumes:
        raise Retryable(f"volumes of members that had come back are still there: {', '.join(volumes)}")
    kept = [item for item in q.keep if item.type in LOOK]
    found = there(live.aws, kept)
    lost = [item.id for item in kept if item not in found]
    told = f"; {', '.join(lost)} of keep are gone, not by this program" if lost else ""
    return f"{len(q.retire)} objects are gone, {len(q.keep) - len(lost)} were left alone{told}"
