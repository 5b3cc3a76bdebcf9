"""Whether network ACLs let the other VPC's packets through. Pure.

An ACL's entries are asked in order of their numbers, and the first that fits decides; ACLs know no connections, so both
directions must let packets through, the answers' ports included (VPC user guide, Network ACLs).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network

from migration.clients.documents import Document, mapping

_TCP, _ALL = "6", "-1"
# The answers of a connection go to a port that its client's system chose (Linux: net.ipv4.ip_local_port_range).
EPHEMERAL = (32768, 60999)


def blocks(acl: Document, cidr: str, ports: Iterable[int]) -> Iterator[str]:
    """Why not all TCP packets of `cidr` pass `acl`, a sentence a direction; nothing where they do."""
    for egress in (False, True):
        stopped = {port: why for port in (*ports, *EPHEMERAL) if (why := _stops(acl, egress, cidr, port)) is not None}
        if stopped:
            port, why = next(iter(stopped.items()))
            way = "out to" if egress else "in from"
            yield f"{acl['NetworkAclId']} doesn't let TCP {way} {cidr} through to port {port}: {why}"


def _stops(acl: Document, egress: bool, cidr: str, port: int) -> str | None:
    """What stops a packet, in words; None where it passes. An entry for a part of the range counts if it denies."""
    network = IPv4Network(cidr)
    entries = [one for one in acl.get("Entries", []) if bool(one["Egress"]) is egress and one.get("CidrBlock")]
    for entry in sorted(entries, key=lambda one: int(one["RuleNumber"])):
        if entry["Protocol"] not in (_TCP, _ALL) or not _has(entry, port):
            continue
        block = IPv4Network(entry["CidrBlock"])
        if entry["RuleAction"] == "deny" and block.overlaps(network):
            number = int(entry["RuleNumber"])
            return "no entry allows it" if number == 32767 else f"entry {number} denies {entry['CidrBlock']}"
        if entry["RuleAction"] == "allow" and network.subnet_of(block):
            return None
    return "no entry allows it"


def _has(entry: Document, port: int) -> bool:
    span = mapping(entry, "PortRange")
    return not span or entry["Protocol"] == _ALL or span["From"] <= port <= span["To"]
