"""Gate of names that a program in the cluster writes: external-dns would write back what is moved, or fail for ever.

Beside a weighted pair it wants a simple record, which Route 53 refuses; after the migration it writes what a Service's
status or annotation still says.
https://kubernetes-sigs.github.io/external-dns/latest/docs/annotations/annotations/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from migration.clients.documents import Document, listed, mapping
from migration.clients.kubernetes import DEPLOYMENTS, INGRESSES, SERVICES
from migration.contracts.gates import NamesUnclaimed
from migration.dns.ownership import claimed, owners, plain_target
from migration.dns.zone import zone_records
from migration.gates.live import Live
from migration.names import plain
from migration.runtime.deadline import Refused

PREFIX = "external-dns.alpha.kubernetes.io/"
HOSTNAME, TARGET, IDENTIFIER = f"{PREFIX}hostname", f"{PREFIX}target", f"{PREFIX}set-identifier"


def unclaimed(q: NamesUnclaimed, live: Live) -> str:
    """No name is claimed by external-dns, or that is as configured; raises `Permanent` with all that isn't."""
    every = {plain(name) for names in q.records.values() for name in names}
    marks: dict[str, str] = {}
    for zone, names in q.records.items():
        marks |= claimed(names, owners(zone_records(live.aws, zone)))
    objects = list(_objects(live, every))
    wrong = [*_stale(q, live, objects), *_leading(q, live)] if q.last else []
    if not marks and not objects:
        return _or(wrong, f"nobody claims any of {len(every)} names")
    if q.external_dns == "refuse":
        told = [f"{name} (external-dns {owner}, by its TXT record)" for name, owner in sorted(marks.items())]
        told += [f"{name} ({what})" for what, _, names in objects for name in sorted(names)]
        wrong.append(
            f"external-dns claims {', '.join(told)}: beside the sides' weighted pairs it fails for ever, and it resets "
            f"their TTLs. Scale it to zero from before stage 2 until stage 8 is over and set "
            f"migration:traffic.externalDns to paused; or give each object the annotation {IDENTIFIER} and set it to "
            f"set-identifiers"
        )
    elif q.first:
        pass
    elif q.external_dns == "paused":
        wrong += [
            f"migration:traffic.externalDns is paused, but {name} runs {count} of it: scale it to zero until stage 8 "
            f"is over"
            for name, count in _running(live)
        ]
    else:
        wrong += [
            f"migration:traffic.externalDns is set-identifiers, but {what} has no annotation {IDENTIFIER}"
            for what, item, _ in objects
            if IDENTIFIER not in mapping(item, "metadata", "annotations")
        ]
    until = "; it must be so from stage 2 on" if q.first and q.external_dns != "refuse" else ""
    count = len(marks.keys() | {one for *_, names in objects for one in names})
    return _or(wrong, f"{count} names are external-dns's, which is {q.external_dns}{until}")


def _or(wrong: list[str], well: str) -> str:
    if wrong:
        raise Refused(wrong)
    return well


def _objects(live: Live, names: set[str]) -> Iterator[tuple[str, Document, set[str]]]:
    """Services and Ingresses from which external-dns makes one of the names."""
    for kind, called in ((SERVICES, "Service"), (INGRESSES, "Ingress")):
        for item in live.kubernetes.list(kind):
            said = str(mapping(item, "metadata", "annotations").get(HOSTNAME, "")).split(",")
            hosts = [str(rule.get("host", "")) for rule in listed(item, "spec", "rules")]
            mine = {plain(one.strip()) for one in (*said, *hosts) if one.strip()} & names
            if mine:
                metadata = item["metadata"]
                yield f"{called} {metadata['namespace']}/{metadata['name']}", item, mine


def _running(live: Live) -> Iterator[tuple[str, int]]:
    """Deployments of external-dns that run, by an image of its name."""
    for item in live.kubernetes.list(DEPLOYMENTS):
        images = [str(one.get("image", "")) for one in listed(item, "spec", "template", "spec", "containers")]
        count = int(mapping(item, "spec").get("replicas", 1))
        if count and any("external-dns" in image for image in images):
            yield f"Deployment {item['metadata']['namespace']}/{item['metadata']['name']}", count


def _leading(q: NamesUnclaimed, live: Live) -> Iterator[str]:
    """Records of the zones, beside the sides' own pairs, that lead to a balancer of the old side."""
    old = live.side(q.old)
    balancers = {plain_target(one.dns_name) for one in (*old.ingresses.values(), old.api) if one is not None}
    for zone in q.records:
        for record in zone_records(live.aws, zone):
            alias = mapping(record, "AliasTarget").get("DNSName")
            targets = [str(alias)] if alias else [str(one["Value"]) for one in listed(record, "ResourceRecords")]
            leads = [one for one in targets if plain_target(one) in balancers]
            if not leads or record.get("SetIdentifier") == old.name:
                continue
            yield (
                f"record {record['Type']} {plain(record['Name'])} of zone {zone} leads to {leads[0]} of the old side, "
                f"which goes now: delete it, or let it lead to the new side's balancer"
            )


def _stale(q: NamesUnclaimed, live: Live, objects: list[tuple[str, Document, set[str]]]) -> Iterator[str]:
    """Objects from which it would write a name back to a balancer of the old side."""
    old = live.side(q.old)
    balancers: Mapping[str, str] = {
        plain_target(one.dns_name): one.dns_name for one in (*old.ingresses.values(), old.api) if one is not None
    }
    for what, item, names in objects:
        place = f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        if what == f"Service {place}" and place in q.carried:
            if TARGET not in mapping(item, "metadata", "annotations"):
                yield (
                    f"{what} becomes a NodePort, for which external-dns would write nodes' addresses to "
                    f"{', '.join(sorted(names))}: give it the annotation {TARGET} with the new side's balancer"
                )
            status: list[Document] = []
        else:
            status = list(listed(mapping(item, "status", "loadBalancer"), "ingress"))
        targets = [str(one.get("hostname", "")) for one in status]
        targets += str(mapping(item, "metadata", "annotations").get(TARGET, "")).split(",")
        said = {plain_target(one.strip()) for one in targets}
        leads = sorted(balancers[one] for one in said & balancers.keys())
        if leads:
            yield (
                f"{what} says {', '.join(leads)} of the old side, to which external-dns would write "
                f"{', '.join(sorted(names))} back when it goes on: correct its status or its annotation {TARGET}"
            )
