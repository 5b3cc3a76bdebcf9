"""What people ask of a migration's world: its members, nodes and names, or why a part of it can't be seen."""

from __future__ import annotations

from migration.contracts.base import Contract


class MemberSeen(Contract):
    """One member of etcd: on which side it is, and whether it votes."""

    name: str
    address: str
    side: str
    votes: bool


class NodesSeen(Contract):
    """A side's nodes, counted."""

    side: str
    nodes: int
    ready: int
    tainted: int


class NameSeen(Contract):
    """A name: its weight by set identifier (or value, where it is a simple record), and its TTL in seconds."""

    name: str
    leads: dict[str, int]
    ttl: int


class Unseen(Contract):
    """Why a part can't be seen."""

    unseen: str
