"""From the records a zone holds to the one change batch that makes them what is wanted. Pure.

A name is a simple CNAME or alias, as somebody's tooling left it, or a weighted pair with one set identifier a side. An
alias is a record of type A that Route 53 answers with its balancer's addresses; at a zone's apex, and there beside
records of other types, it is the only one that can be. Route 53
takes no weighted record beside a simple one, so the simple one goes and the pair comes in one batch: all of a batch
is applied or nothing, and no query ever finds nothing. Once a pair stands, its weights are the stack's own records.
https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from migration.contracts.traffic import SideBalancers
from migration.dns.ownership import plain_target
from migration.dns.wanted import Weights
from migration.names import plain
from migration.runtime.deadline import Permanent
from migration.settings.model import DnsRecord, Name

Form = Literal["pair", "original", "final"]
RecordSet = Mapping[str, Any]


def simple_set(name: DnsRecord, form: Form, old: SideBalancers, new: SideBalancers) -> list[RecordSet]:
    """The simple record a name has before (`original`) or after the migration (`final`)."""
    side, value = (old, _led(name, old)) if form == "original" else (new, new.of(name.serves))
    if name.is_alias:
        return [_alias(name, side, value, evaluated=name.evaluate_target_health)]
    return [_record(name.name, name.kept(0), value)]


def _led(name: Name, old: SideBalancers) -> str:
    """What the name led to before."""
    return name.value or old.of(name.serves)


def pair_sets(name: Name, weights: Weights, ttl: int, old: SideBalancers, new: SideBalancers) -> list[RecordSet]:
    """The weighted pair of a name. `ttl` (seconds) is the lowered one of a CNAME, used as long as the pair stands."""
    found: list[RecordSet] = []
    for side, weight in ((old, weights.old), (new, weights.new)):
        value = side.of(name.serves)
        if name.is_alias:
            record = _alias(name, side, value, evaluated=name.evaluated_in_pair)
        else:
            record = _record(name.name, ttl, value)
        found.append({**record, "SetIdentifier": side.side, "Weight": weight})
    return found


def _record(name: str, ttl: int, value: str) -> dict[str, Any]:
    return {"Name": name, "Type": "CNAME", "TTL": ttl, "ResourceRecords": [{"Value": value}]}


def _alias(name: Name, side: SideBalancers, value: str, *, evaluated: bool) -> dict[str, Any]:
    """An alias to a side's balancer; without its zone where that isn't known, since who compares needs none."""
    target = {"DNSName": value, "EvaluateTargetHealth": evaluated}
    zone = side.zones.get(name.serves)
    return {
        "Name": name.name,
        "Type": "A",
        "AliasTarget": target if zone is None else {"HostedZoneId": zone, **target},
    }


def _alias_of(record: RecordSet) -> str | None:
    """What an alias leads to; None for any other record."""
    target = record.get("AliasTarget")
    return plain_target(target["DNSName"]) if target else None


def _essence(record: RecordSet) -> tuple[Any, ...]:
    """What makes two record sets the same to a resolver. An alias's hosted zone follows from what it leads to."""
    return (
        plain(record["Name"]),
        record["Type"],
        record.get("SetIdentifier"),
        record.get("Weight"),
        record.get("TTL"),
        tuple(sorted(plain(value["Value"]) for value in record.get("ResourceRecords", []))),
        _alias_of(record),
        record.get("AliasTarget", {}).get("EvaluateTargetHealth"),
    )


def present_sets(records: Iterable[RecordSet], name: Name) -> list[RecordSet]:
    """The zone's record sets of a name; beside an alias others may stand (MX, TXT, at the apex NS and SOA)."""
    mine = [record for record in records if plain(record["Name"]) == plain(name.name)]
    return [record for record in mine if record["Type"] in ("A", "CNAME")] if name.is_alias else mine


def _refuse_strangers(name: Name, present: Sequence[RecordSet], old: SideBalancers, new: SideBalancers) -> None:
    """Raise `Permanent` for a record that leads to neither side's balancer: somebody else changed it."""
    known = (old.found(name.serves), new.found(name.serves), name.value)
    leads = plain_target if name.is_alias else plain
    allowed = {leads(value) for value in known if value is not None}
    for record in present:
        alias = _alias_of(record)
        if record["Type"] != ("A" if name.is_alias else "CNAME") or (name.is_alias and alias is None):
            there = f"an alias to {alias}" if alias else f"of type {record['Type']}"
            said = "an alias of type A" if name.is_alias else "a CNAME"
            raise Permanent(
                f"{name.name} has a record that is {there}; in migration:traffic.records it is {said}: correct its "
                f"type there, or make it such a record"
            )
        given = [plain(str(value["Value"])) for value in record.get("ResourceRecords", [])]
        values = {alias} if alias else set(given)
        # A side without balancers any more: its half of a pair is known by the set identifier.
        if any(side.found(name.serves) is None and record.get("SetIdentifier") == side.side for side in (old, new)):
            continue
        if not values <= allowed:
            raise Permanent(
                f"{name.name} leads to {', '.join(sorted(values - allowed))}, neither side's balancer: "
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

    A pair that is there stays as it is, whatever its weights. Raises `Permanent` for a record that is somebody else's,
    and for an alias that is to be made to a balancer whose zone isn't known.
    """
    every = list(records)
    found: list[dict[str, Any]] = []
    for name in names:
        present = present_sets(every, name)
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
    for change in found:
        record = change["ResourceRecordSet"]
        target = record.get("AliasTarget")
        if target and "HostedZoneId" not in target:
            raise Permanent(
                f"{record['Name']} is to be an alias to {target['DNSName']}, and the hosted zone of that name isn't "
                f"known: give zoneId of the balancer in migration:sides"
            )
    return found


def _found(name: DnsRecord, present: Sequence[RecordSet], old: SideBalancers) -> bool:
    """Whether the name is one simple record that leads where it led before; its TTL may be anybody's."""
    if len(present) != 1 or "SetIdentifier" in present[0]:
        return False
    if name.is_alias:
        [wanted] = simple_set(name, "original", old, old)
        return _essence(present[0]) == _essence(wanted)
    return [plain(value["Value"]) for value in present[0].get("ResourceRecords", [])] == [plain(_led(name, old))]


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
        present = present_sets(every, name)
        _refuse_strangers(name, present, old, new)
        if not _alike(present, pair_sets(name, weights, ttl, old, new)):
            found.append(name.name)
    return found
