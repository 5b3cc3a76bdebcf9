"""Whether AWS would carry a connection or datagram: routes, peering, security groups, ACLs. Pure, over one State."""

from __future__ import annotations

from typing import NamedTuple

from lab.network.state import TCP, Host, Rule, State, ip_number


class Verdict(NamedTuple):
    ok: bool
    reason: str


def allowed(state: State, from_ip: str, to_ip: str, port: int, transport: str = TCP) -> Verdict:
    """Whether a packet for a new connection arrives. The reason names the hop that carries or drops it.

    Routes are needed both ways (the answer has to come back); security groups are stateful, so only the first
    packet's direction is checked: egress of the sender's, ingress of the receiver's.
    """
    key = (from_ip, to_ip, port, transport)
    verdict = state.verdicts.get(key)
    if verdict is None:
        verdict = state.verdicts[key] = _allowed(state, from_ip, to_ip, port, transport)
    return verdict


def routed(state: State, from_ip: str, to_ip: str) -> Verdict:
    """Whether packets find their way there and back, whatever the port."""
    if from_ip == to_ip:
        return Verdict(True, "itself")
    source, target = state.host(from_ip), state.host(to_ip)
    if source is None:
        return Verdict(False, f"{from_ip} lies in no VPC")
    if target is None:
        return Verdict(False, f"{to_ip} lies in no VPC")
    if source.vpc == target.vpc:
        return Verdict(True, f"local in {source.vpc}")
    there = _crosses(state, source, target)
    return there if not there.ok else _crosses(state, target, source)


def _allowed(state: State, from_ip: str, to_ip: str, port: int, transport: str) -> Verdict:
    path = routed(state, from_ip, to_ip)
    if not path.ok or from_ip == to_ip:
        return path
    source, target = state.host(from_ip), state.host(to_ip)
    assert source is not None and target is not None
    if source.filtered and not admits(state, source, target, port, transport, outbound=True):
        return Verdict(False, f"no egress rule of {_named(source)} admits {to_ip}:{port}")
    if target.filtered and not admits(state, target, source, port, transport, outbound=False):
        return Verdict(False, f"no ingress rule of {_named(target)} admits {from_ip} to port {port}")
    return _through_acls(state, source, target, port, transport) or path


EPHEMERAL = (1_024, 65_535)
"""Where answers may go: a client's port may be any of these (VPC user guide, Network ACLs, Ephemeral ports)."""


def _through_acls(state: State, source: Host, target: Host, port: int, transport: str) -> Verdict | None:
    """The ACL that drops the packet, or its answer: each subnet's own, both ways, without a memory. None: no ACL does.

    Within a subnet nothing is asked. Source: VPC user guide, Network ACLs.
    """
    if source.subnet == target.subnet:
        return None
    there, back = ip_number(target.ip), ip_number(source.ip)
    for host, other, egress, ports, what in (
        (source, there, True, (port,), "out of"),
        (target, back, False, (port,), "into"),
        (target, back, True, EPHEMERAL, "the answer out of"),
        (source, there, False, EPHEMERAL, "the answer into"),
    ):
        acl = state.acls.get(host.subnet or "")
        for one in ports:
            if acl is not None and not acl.admits(other, one, egress=egress, transport=transport):
                return Verdict(False, f"{acl.id} lets nothing with port {one} {what} {host.subnet}")
    return None


def passes(state: State, from_ip: str, to_ip: str, port: int, transport: str = TCP) -> bool:
    """Whether the ACLs between two addresses let an open connection go on."""
    source, target = state.host(from_ip), state.host(to_ip)
    return source is None or target is None or _through_acls(state, source, target, port, transport) is None


def _named(host: Host) -> str:
    return ", ".join(host.groups) or f"{host.what} (which has no security group)"


def _crosses(state: State, source: Host, target: Host) -> Verdict:
    """One direction between two VPCs: the sender's most specific route must be an active peering of just these two."""
    table = state.table_of(source)
    route = table.lookup(ip_number(target.ip)) if table else None
    if table is None or route is None:
        return Verdict(False, f"no route from {source.ip} ({table.id if table else source.vpc}) to {target.ip}")
    if not route.active:
        return Verdict(False, f"route {route.cidr.text} of {table.id} is a blackhole")
    peering = next((p for p in state.peerings if p.id == route.target), None)
    if peering is None:
        return Verdict(False, f"route {route.cidr.text} of {table.id} leads to {route.target}, not to a peering")
    if not peering.joins(source.vpc, target.vpc):
        return Verdict(False, f"{peering.id} is {peering.state} and joins {peering.requester} and {peering.accepter}")
    return Verdict(True, peering.id)


def admits(state: State, owner: Host, other: Host, port: int, transport: str = TCP, *, outbound: bool) -> bool:
    """Whether a rule of the owner's groups lets the other in, or out to it.

    A rule that names a group of another VPC is stale without an active peering; so is the path, asked before.
    """
    number = ip_number(other.ip)
    for group_id in owner.groups:
        group = state.security_groups.get(group_id)
        if group is None:
            continue
        for rule in group.egress if outbound else group.ingress:
            if rule.covers(port, transport) and (_by_cidr(rule, number) or not rule.groups.isdisjoint(other.groups)):
                return True
    return False


def _by_cidr(rule: Rule, number: int) -> bool:
    return any(number in c for c in rule.cidrs)
