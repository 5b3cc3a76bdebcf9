"""From the records a zone holds to the one change batch that makes them what is wanted. Pure.

A name is a simple CNAME, as somebody's tooling left it, or a weighted pair with one set identifier a side. Route 53
takes no weighted record beside a simple one, so the simple one goes and the pair comes in one batch: all of a batch
is applied or nothing, and no query ever finds nothing. Once a pair stands, its weights are the stack's own records.
https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from migration.contracts.traffic import SideBalancers
from migration.dns.wanted import Weights
from migration.names import plain
from migration.runtime.deadline import Permanent
from migration.settings.model import DnsRecord, Name

Form = Literal["pair", "original", "final"]
RecordSet = Mapping[str, Any]


def simple_set(name: DnsRecord, form: Form, old: SideBalancers, new: SideBalancers) -> list[RecordSet]:
    """The simple record a name has before (`original`) or after the migration (`final`)."""
    return [_record(name.name, name.ttl, _led(name, old) if form == "original" else new.of(name.serves))]


def _led(name: Name, old: SideBalancers) -> str:
    """What the name led to before."""
    return name.value or old.of(name.serves)


def pair_sets(name: Name, weights: Weights, ttl: int, old: SideBalancers, new: SideBalancers) -> list[RecordSet]:
    """The weighted pair of a name. `ttl` (seconds) is the lowered one, used as long as the pair stands."""
    return [
        {**_record(name.name, ttl, side.of(name.serves)), "SetIdentifier": side.side, "Weight": weight}
        for side, weight in ((old, weights.old), (new, weights.new))
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


def _refuse_strangers(name: Name, present: Sequence[RecordSet], old: SideBalancers, new: SideBalancers) -> None:
    """Raise `Permanent` for a record that leads to neither side's balancer: somebody else changed it."""
    known = (old.found(name.serves), new.found(name.serves), name.value)
    allowed = {plain(value) for value in known if value is not None}
    for record in present:
        if record["Type"] != "CNAME":
            raise Permanent(f"{name.name} has a record of type {record['Type']}; this program moves CNAMEs only")
        values = {plain(value["Value"]) for value in record.get("ResourceRecords", [])}
        # A side without balancers any more: its half of a pair is known by the set identifier.
        if any(side.found(name.serves) is None and record.get("SetIdentifier") == side.side for side in (old, new)):
            continue
        if not values <= allowed:
            raise Permanent(
                f"{name.name} leads to {', '.join(sorted(values - allowed)) or 'an alias'}, neither side's balancer: "
                f"somebody else changed it; put {_led(name, old)} back or correct migration:traffic.records"
            )


def _alike(present: Iterable[RecordSet], target: Iterable[RecordSet]) -> bool:
    return sorted(map(_key, present)) == sorted(map(_key, target))


def _key(record: RecordSet) -> str:
    return repr(_essence(record))


def batch(
    records: Iterable[RecordSet],
    names: Iterable[DnsRecord],
    form: Form,
    *,
    weights: Weights,
    ttl: int,
    old: SideBalancers,
    new: SideBalancers,
) -> list[dict[str, Any]]:
    """The changes of all names together: what one change batch shall hold; empty when each name has its form.

    A pair that is there stays as it is, whatever its weights. Raises `Permanent` for a record that is somebody else's.
    """
    every = list(records)
    found: list[dict[str, Any]] = []
    for name in names:
        present = present_sets(every, name.name)
        _refuse_strangers(name, present, old, new)
        if form == "pair":
            if {record.get("SetIdentifier") for record in present} == {old.side, new.side}:
                continue
            target = pair_sets(name, weights, ttl, old, new)
        elif form == "original" and _found(name, present, old):
            continue
        else:
            target = simple_set(name, form, old, new)
        found += _exchange(present, target)
    return found


def _found(name: DnsRecord, present: Sequence[RecordSet], old: SideBalancers) -> bool:
    """Whether the name is one simple record that leads where it led before; its TTL may be anybody's."""
    values = [[plain(value["Value"]) for value in one.get("ResourceRecords", [])] for one in present]
    return values == [[plain(_led(name, old))]] and "SetIdentifier" not in present[0]


def _exchange(present: Sequence[RecordSet], target: Sequence[RecordSet]) -> list[dict[str, Any]]:
    """What is there goes and what is wanted comes; what is there already, to the letter, stays."""
    if _alike(present, target):
        return []
    kept = {_key(record) for record in present} & {_key(record) for record in target}
    # Half a pair may stand: one whose set identifier stays is changed in place, since both halves are of one kind.
    wanted = {record.get("SetIdentifier") for record in target} - {None}
    weighted = bool(wanted) and all(record.get("SetIdentifier") for record in present)
    standing = {record.get("SetIdentifier") for record in present} & wanted if weighted else set[str]()
    found = [
        {"Action": "DELETE", "ResourceRecordSet": dict(record)}
        for record in present
        if record.get("SetIdentifier") not in standing and _key(record) not in kept
    ]
    for record in target:
        if _key(record) not in kept:
            action = "UPSERT" if record.get("SetIdentifier") in standing else "CREATE"
            found.append({"Action": action, "ResourceRecordSet": dict(record)})
    return found


def differing(
    records: Iterable[RecordSet],
    names: Iterable[Name],
    weights: Weights,
    *,
    ttl: int,
    old: SideBalancers,
    new: SideBalancers,
) -> list[str]:
    """Those of the names that aren't exactly the weighted pair wanted. Raises `Permanent` for somebody else's."""
    every = list(records)
    found: list[str] = []
    for name in names:
        present = present_sets(every, name.name)
        _refuse_strangers(name, present, old, new)
        if not _alike(present, pair_sets(name, weights, ttl, old, new)):
            found.append(name.name)
    return found
