"""Gates of the names: what the zone holds is what the stage says, with a TTL that lets it change quickly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migration.dns.plan import Name, Target, Wanted, batch, plain
from migration.dns.zone import zone_records
from migration.runtime.context import Context
from migration.runtime.deadline import Retryable
from migration.stages import stage

Facts = Mapping[str, Any]


def _names(facts: Facts) -> list[Name]:
    return [Name(**{key: one[key] for key in ("name", "serves", "ttl", "value")}) for one in facts["records"]]


def ttls_lowered(facts: Facts, context: Context) -> str:
    """No record of a name has a longer TTL than the one asked for."""
    records, limit = zone_records(context.clients.aws, facts["zoneId"]), int(facts["ttl"])
    for name in _names(facts):
        found = [record for record in records if plain(record["Name"]) == plain(name.name)]
        if not found:
            raise Retryable(f"{name.name} has no record")
        longest = max(int(record.get("TTL", 0)) for record in found)
        if longest > limit:
            raise Retryable(f"{name.name} has a TTL of {longest} s, wanted are {limit} s")
    return f"{len(facts['records'])} names have a TTL of {limit} s"


def in_sync(facts: Facts, context: Context) -> str:
    """The records are exactly what the stage wants, on both sides' balancers."""
    wanted: Wanted = stage(facts["stage"]).traffic.value
    old, new = (
        Target(side=side["name"], balancers={role: side[role]["dnsName"] for role in ("ingress", "api")})
        for side in (facts["old"], facts["new"])
    )
    percent = int(facts["newTrafficPercent"])
    left = batch(
        zone_records(context.clients.aws, facts["zoneId"]),
        _names(facts),
        wanted,
        new_percent=percent,
        ttl=int(facts["ttl"]),
        old=old,
        new=new,
    )
    if left:
        names = sorted({change["ResourceRecordSet"]["Name"] for change in left})
        raise Retryable(f"{', '.join(names)} aren't as wanted ({wanted}) yet")
    share = f", {percent} % to {new.side}" if wanted == "both" else ""
    return f"{len(facts['records'])} names lead to {wanted}{share}"
