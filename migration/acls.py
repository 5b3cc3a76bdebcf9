"""Whether network ACLs let the other VPC's packets through. Pure.

An ACL's entries are asked in order of their numbers, and the first that fits decides; ACLs know no connections, so both
directions must let packets through, the answers' ports included (VPC user guide, Network ACLs).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network

from migration.clients.documents import Document, mapping

_ALL = "-1"
PROTOCOLS = {"tcp": "6", "udp": "17"}
"""As ACLs have them (IANA's numbers)."""
# The answers of a connection go to a port that its client's system chose (Linux: net.ipv4.ip_local_port_range).
EPHEMERAL = (32768, 60999)

Door = tuple[int, str]
"""A port, with ``tcp`` or ``udp``."""


def blocks(acl: Document, cidr: str, into: Iterable[Door], out: Iterable[Door]) -> Iterator[str]:
    """Why `acl` doesn't let all packets from `cidr` in to some ports, or out to ports there, answers included.

    A sentence a direction and protocol, with every port that is stopped; nothing where all pass.
    """
    doors = {False: list(into), True: list(out)}
    for egress, wanted in doors.items():
        for protocol in PROTOCOLS:
            # Whoever asks in one direction is answered in the other.
            answers = EPHEMERAL if any(way == protocol for every in doors.values() for _, way in every) else ()
            ports = dict.fromkeys(port for port, way in wanted if way == protocol)
            stopped = {
                port: why
                for port in (*sorted(ports), *answers)
                if (why := _stops(acl, egress, cidr, PROTOCOLS[protocol], port)) is not None
            }
            if stopped:
                direction = "out to" if egress else "in from"
                yield (
                    f"{acl['NetworkAclId']} doesn't let {protocol.upper()} {direction} {cidr} through to "
                    f"{_named(stopped)}: {next(iter(stopped.values()))}"
                )


def _named(ports: Iterable[int]) -> str:
    asked = [str(port) for port in ports if port not in EPHEMERAL]
    if not asked:
        return "the ports of answers"
    return f"port{'s' if len(asked) > 1 else ''} {', '.join(asked)}"


def _stops(acl: Document, egress: bool, cidr: str, protocol: str, port: int) -> str | None:
    """What stops a packet, in words; None where it passes. An entry for a part of the range counts if it denies."""
    network = IPv4Network(cidr)
    entries = [one for one in acl.get("Entries", []) if bool(one["Egress"]) is egress and one.get("CidrBlock")]
    for entry in sorted(entries, key=lambda one: int(one["RuleNumber"])):
        if entry["Protocol"] not in (protocol, _ALL) or not _has(entry, port):
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
