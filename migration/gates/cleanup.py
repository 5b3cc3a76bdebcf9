"""Gates of the end: nothing in use names the old VPC any more, and what was to be retired is gone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

from migration.clients.aws import Aws, described
from migration.clients.kubernetes import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    MUTATING_WEBHOOKS,
    SERVICES,
    STATEFUL_SETS,
    VALIDATING_WEBHOOKS,
)
from migration.reachability import vpc_cidrs
from migration.retire.delete import LOOK, exists
from migration.runtime.context import Context
from migration.runtime.deadline import Retryable

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef

Facts = Mapping[str, Any]

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


def _looked_at(kubernetes: Any) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Kind, object, and the part of it in which a name of the old VPC would do harm."""
    for item in kubernetes.list(SERVICES):
        annotations = item["metadata"].get("annotations") or {}
        kept = {key: value for key, value in annotations.items() if "last-applied" not in key}
        yield "Service", item, json.dumps([kept, item["spec"].get("externalName"), item["spec"].get("externalIPs")])
    for item in kubernetes.list(ENDPOINT_SLICES):
        # Of pods they follow the pods; by hand, or for the API servers, they name machines.
        controlled = any(o.get("kind") == "Service" for o in item["metadata"].get("ownerReferences") or [])
        if not controlled:
            yield "EndpointSlice", item, json.dumps([e.get("addresses") for e in item.get("endpoints") or []])
    for item in kubernetes.list(CONFIG_MAPS):
        yield "ConfigMap", item, json.dumps(item.get("data") or {})
    for kind, name in ((VALIDATING_WEBHOOKS, "ValidatingWebhook"), (MUTATING_WEBHOOKS, "MutatingWebhook")):
        for item in kubernetes.list(kind):
            yield name, item, json.dumps([hook["clientConfig"].get("url") for hook in item.get("webhooks") or []])
    for kind, name in ((DEPLOYMENTS, "Deployment"), (DAEMON_SETS, "DaemonSet"), (STATEFUL_SETS, "StatefulSet")):
        for item in kubernetes.list(kind):
            containers = item["spec"]["template"]["spec"].get("containers") or []
            said = [[c.get("command"), c.get("args"), [e.get("value") for e in c.get("env") or []]] for c in containers]
            yield name, item, json.dumps(said)


def _old(facts: Facts, aws: Aws) -> Old:
    old = facts["old"]
    inside: list[FilterTypeDef] = [{"Name": "vpc-id", "Values": [old["vpcId"]]}]
    vpcs = aws.ec2.describe_vpcs(VpcIds=[old["vpcId"]])["Vpcs"]
    subnets = [one["SubnetId"] for one in described(aws.ec2.describe_subnets(Filters=inside)["Subnets"])]
    groups = [one["GroupId"] for one in described(aws.ec2.describe_security_groups(Filters=inside)["SecurityGroups"])]
    balancers = [old[role][key] for role in ("ingress", "api") for key in ("arn", "dnsName") if role in old]
    return Old([old["vpcId"], *subnets, *groups, *balancers], vpc_cidrs(vpcs[0]) if vpcs else [old["cidr"]])


def nothing_names_old(facts: Facts, context: Context) -> str:
    """Service annotations, endpoints, webhooks, ConfigMaps and flags name neither ids nor addresses of the old VPC."""
    aws, kubernetes = context.clients.aws, context.clients.kubernetes
    old, found, count = _old(facts, aws), [], 0
    for kind, item, text in _looked_at(kubernetes):
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
    return f"{count} objects looked at, none names {facts['old']['vpcId']} or its addresses"


def retired(facts: Facts, context: Context) -> str:
    """Everything on the retire list is gone, and everything to keep that this program can look at is there."""
    aws = context.clients.aws
    left = [f"{item['type']} {item['id']}" for item in facts["retire"] if exists(aws, item["type"], item["id"])]
    if left:
        raise Retryable(f"{len(left)} of {len(facts['retire'])} to retire are still there: {', '.join(left[:3])}")
    lost = [i["id"] for i in facts["keep"] if i["type"] in LOOK and not exists(aws, i["type"], i["id"])]
    kept = f"; {', '.join(lost)} of keep are gone, not by this program" if lost else ""
    return f"{len(facts['retire'])} objects are gone, {len(facts['keep']) - len(lost)} were left alone{kept}"
