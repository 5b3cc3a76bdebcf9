"""From the records a zone holds to the one change batch that makes them what is wanted. Pure.

A name is a simple CNAME, as somebody's tooling left it, or a weighted pair with one set identifier a side. Route 53
takes no weighted record beside a simple one, so the simple one goes and the pair comes in one batch: all of a batch
is applied or nothing, and no query ever finds nothing.
https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from migration.runtime.deadline import Permanent

Wanted = Literal["old", "both", "new", "original", "final"]
RecordSet = Mapping[str, Any]
FULL = 100


@dataclass(frozen=True, kw_only=True)
class Name:
    """A name to move. `ttl` and `value` are what the simple record had before this program."""

    name: str
    serves: str
    ttl: int
    value: str


@dataclass(frozen=True, kw_only=True)
class Target:
    """One side: its permanent name (the set identifier) and the DNS name of its balancer for what is served."""

    side: str
    balancers: Mapping[str, str]


def plain(name: str) -> str:
    """A name as people write it: Route 53 answers ``\\052`` for an asterisk and ends with a dot."""
    return name.replace("\\052", "*").rstrip(".").lower()


def weights(wanted: Wanted, new_percent: int) -> tuple[int, int]:
    """The weights of the old and the new side."""
    if wanted == "both":
        return FULL - new_percent, new_percent
    return (FULL, 0) if wanted == "old" else (0, FULL)


def wanted_sets(name: Name, wanted: Wanted, new_percent: int, ttl: int, old: Target, new: Target) -> list[RecordSet]:
    """The record sets a name shall have. `ttl` (seconds) is the lowered one, used as long as the pair stands."""
    if wanted in ("original", "final"):
        value = name.value if wanted == "original" else new.balancers[name.serves]
        return [_record(name.name, name.ttl, value)]
    shares = weights(wanted, new_percent)
    return [
        {**_record(name.name, ttl, side.balancers[name.serves]), "SetIdentifier": side.side, "Weight": weight}
        for side, weight in zip((old, new), shares, strict=True)
    ]


def _record(name: str, ttl: int, value: str) -> dict[str, Any]:
    return {"Name": name, "Type": "CNAME", "TTL": ttl, "ResourceRecords": [{"Value": value}]}


def _essence(record: RecordSet) -> tuple[Any, ...]:
    """What makes two record sets the same to a resolver."""
    return (
        plain(record["Name"]),
        record["Type"],
        record.get("SetIdentifier"),
        record.get("Weight"),
        record.get("TTL"),
        tuple(sorted(plain(value["Value"]) for value in record.get("ResourceRecords", []))),
    )


def present_sets(records: Iterable[RecordSet], name: str) -> list[RecordSet]:
    """The zone's record sets of a name."""
    return [record for record in records if plain(record["Name"]) == plain(name)]


def changes(present: Sequence[RecordSet], target: Sequence[RecordSet], name: Name, known: Iterable[str]) -> list[Any]:
    """The changes of one name; empty when it is as wanted.

    `known` are the values that a record of this name may have: the old balancer's and the new one's. Raises
    `Permanent` for a record that is somebody else's.
    """
    allowed = {plain(value) for value in (*known, name.value)}
    identifiers = {record.get("SetIdentifier") for record in target} - {None}
    for record in present:
        if record["Type"] != "CNAME":
            raise Permanent(f"{name.name} has a record of type {record['Type']}; this program moves CNAMEs only")
        values = {plain(value["Value"]) for value in record.get("ResourceRecords", [])}
        if not values <= allowed:
            raise Permanent(
                f"{name.name} leads to {', '.join(sorted(values - allowed)) or 'an alias'}, neither side's balancer: "
                f"somebody else changed it; put {name.value} back or correct migration:traffic.records"
            )
    if sorted(map(_key, present)) == sorted(map(_key, target)):
        return []
    have = {record.get("SetIdentifier"): record for record in present}
    stays_weighted = bool(identifiers) and None not in have
    found = [
        {"Action": "DELETE", "ResourceRecordSet": dict(record)}
        for identifier, record in have.items()
        if not (stays_weighted and identifier in identifiers)
    ]
    for record in target:
        current = have.get(record.get("SetIdentifier")) if stays_weighted else None
        if current is None:
            found.append({"Action": "CREATE", "ResourceRecordSet": dict(record)})
        elif _essence(current) != _essence(record):
            found.append({"Action": "UPSERT", "ResourceRecordSet": dict(record)})
    return found


def _key(record: RecordSet) -> str:
    return repr(_essence(record))


def batch(
    records: Iterable[RecordSet],
    names: Iterable[Name],
    wanted: Wanted,
    *,
    new_percent: int,
    ttl: int,
    old: Target,
    new: Target,
) -> list[Any]:
    """The changes of all names together: what one change batch shall hold."""
    every = list(records)
    found: list[Any] = []
    for name in names:
        target = wanted_sets(name, wanted, new_percent, ttl, old, new)
        known = (old.balancers[name.serves], new.balancers[name.serves])
        found += changes(present_sets(every, name.name), target, name, known)
    return found
