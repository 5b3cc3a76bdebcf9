"""What the old security groups allow, and what the new ones must allow beside this program's own rules. Pure.

A group's rules are copied with their peers translated: the cluster's own groups become those of the same role, on both
sides as long as they are peered; the VPC's own ranges become the side's own, and the other side's meanwhile. What this
program's own rules cover already isn't made twice: AWS refuses an equal rule (`InvalidPermission.Duplicate`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

from migration.settings.model import GroupRule, Role

NewRole = Literal["nodes", "control-plane"]
"""The groups of a side that this program makes; etcd's machines share the control plane's."""

PeerKind = Literal["range", "prefix-list", "role", "group"]

NEW_ROLES: tuple[NewRole, ...] = ("nodes", "control-plane")

ALL = "-1"
_PORTED = ("tcp", "udp")


@dataclass(frozen=True, kw_only=True)
class Permission:
    """One permission of a new group. `peer` is a range, a prefix list's id, a role or a group's id, as `kind` says."""

    group: NewRole
    direction: Literal["ingress", "egress"]
    protocol: str
    from_port: int | None
    to_port: int | None
    kind: PeerKind
    peer: str

    @property
    def name(self) -> str:
        """What tells it from all others, by its content: never by its place in a list."""
        ports = "" if self.from_port is None else f"-{self.from_port}"
        ports += "" if self.to_port in (None, self.from_port) else f"-{self.to_port}"
        protocol = "all" if self.protocol == ALL else self.protocol
        way = "from" if self.direction == "ingress" else "to"
        return f"{self.group}-{way}-{self.peer}-{protocol}{ports}"

    def covers(self, other: Permission) -> bool:
        """Whether whatever `other` lets through passes by this one, too."""
        same = (self.group, self.direction, self.kind) == (other.group, other.direction, other.kind)
        return same and self._peer_covers(other) and self._ports_cover(other)

    def _peer_covers(self, other: Permission) -> bool:
        if self.kind != "range":
            return self.peer == other.peer
        return IPv4Network(other.peer).subnet_of(IPv4Network(self.peer))

    def _ports_cover(self, other: Permission) -> bool:
        if self.protocol == ALL:
            return True
        if self.protocol != other.protocol or self.from_port is None or self.to_port is None:
            return self == other
        if other.from_port is None or other.to_port is None or self.protocol not in _PORTED:
            return (self.from_port, self.to_port) == (other.from_port, other.to_port)
        return self.from_port <= other.from_port and other.to_port <= self.to_port


def role_of(role: Role) -> NewRole:
    """The new group that stands for an old one's role."""
    return "nodes" if role == "nodes" else "control-plane"


@dataclass(frozen=True, kw_only=True)
class Mutual:
    """What a rule of a role (`group`) asks for over the peering: its peer is the other side's `peer`, or its ranges."""

    permission: Permission
    group: Role
    peer: Role | None


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What the new side's groups get: what stays, and what goes with the peering of both sides.

    `mutual`: each side's groups from the other side. `foreign`: from somebody's groups in the old VPC. `shut`: roles of
    the old side whose groups don't let everything out to the new range.
    """

    staying: tuple[Permission, ...]
    mutual: tuple[Mutual, ...]
    foreign: tuple[Permission, ...]
    shut: tuple[Role, ...]


def carried(
    rules: Sequence[GroupRule],
    *,
    own: Iterable[Permission],
    own_across: Iterable[Permission],
    cidr: str,
    peered_vpcs: Iterable[str],
) -> Carried:
    """What of `rules` this program's own permissions (`own`, `own_across`) don't cover, for a side of range `cidr`.

    `peered_vpcs`: connected VPCs, whose groups may be named as long as that peering stands. What leads out to groups
    is covered by the ranges they are in: new groups let out to both VPCs and all connected networks.
    """
    peered, across = set(peered_vpcs), list(own_across)
    staying: list[Permission] = []
    foreign: list[Permission] = []
    mutual: list[Mutual] = []
    for rule in rules:
        kind, peer = _peer(rule, cidr)
        made = Permission(
            group=role_of(rule.group),
            direction=rule.direction,
            protocol=rule.protocol,
            from_port=rule.from_port,
            to_port=rule.to_port,
            kind=kind,
            peer=peer,
        )
        if made.direction == "egress" and kind in ("role", "group"):
            continue
        (foreign if kind == "group" and rule.vpc_id not in peered else staying).append(made)
        both = rule.role is not None or rule.own_vpc
        if both and made.direction == "ingress" and not any(one.covers(made) for one in across):
            mutual.append(Mutual(permission=made, group=rule.group, peer=rule.role))
    return Carried(
        staying=tuple(_uncovered(staying, own)),
        mutual=tuple(dict.fromkeys(mutual)),
        foreign=tuple(_uncovered(foreign, ())),
        shut=tuple(role for role in _roles(rules) if not _lets_out(rules, role, cidr)),
    )


def _roles(rules: Iterable[GroupRule]) -> list[Role]:
    """The roles that rules are of, each once."""
    return list(dict.fromkeys(rule.group for rule in rules))


def _lets_out(rules: Iterable[GroupRule], role: Role, cidr: str) -> bool:
    return any(
        rule.group == role
        and rule.direction == "egress"
        and rule.protocol == ALL
        and rule.cidr is not None
        and IPv4Network(cidr).subnet_of(IPv4Network(rule.cidr))
        for rule in rules
    )


def _peer(rule: GroupRule, cidr: str) -> tuple[PeerKind, str]:
    if rule.prefix_list is not None:
        return "prefix-list", rule.prefix_list
    if rule.role is not None:
        return "role", role_of(rule.role)
    if rule.security_group is not None:
        return "group", rule.security_group
    return "range", cidr if rule.cidr is None else rule.cidr


def _uncovered(wanted: Iterable[Permission], by: Iterable[Permission]) -> Iterator[Permission]:
    """Each once, in order, without those that others let through."""
    every = list(dict.fromkeys(wanted))
    known = list(by)
    for one in every:
        wider = (other for other in every if other != one and other.covers(one) and not one.covers(other))
        if not any(other.covers(one) for other in known) and next(wider, None) is None:
            yield one


def equal_to_one_of(rules: Iterable[GroupRule], port: int, cidr: str, role: Role) -> bool:
    """Whether an old group has the rule that lets exactly `cidr` in to exactly this TCP port."""
    return any(
        (one.group, one.direction, one.protocol, one.from_port, one.to_port, one.cidr)
        == (role, "ingress", "tcp", port, port, cidr)
        for one in rules
    )
