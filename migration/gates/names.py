"""Gates of the names: what the zone holds is what the stage says, with a TTL that lets it change quickly."""

from __future__ import annotations

from migration.contracts.gates import RecordsInSync, TtlsLowered
from migration.contracts.traffic import SideBalancers
from migration.dns.plan import differing
from migration.dns.wanted import Weights
from migration.dns.zone import zone_records
from migration.gates.live import Live
from migration.names import plain
from migration.runtime.deadline import Retryable


def ttls_lowered(q: TtlsLowered, live: Live) -> str:
    """No record of a name has a longer TTL than the one asked for; an alias is one, and has none."""
    every = {q.zone_id: q.names, **q.more}
    for zone, names in every.items():
        records = zone_records(live.aws, zone) if names else []
        for name in names:
            found = [record for record in records if plain(record["Name"]) == plain(name)]
            if not found:
                raise Retryable(f"{name} has no record")
            longest = max(int(record.get("TTL", 0)) for record in found)
            if longest > q.ttl:
                raise Retryable(f"{name} has a TTL of {longest} s, wanted are {q.ttl} s")
    aliases = sum(map(len, q.aliases.values()))
    for zone, names in q.aliases.items():
        there = {
            plain(one["Name"]) for one in zone_records(live.aws, zone) if one["Type"] == "A" and "AliasTarget" in one
        }
        missing = [name for name in names if plain(name) not in there]
        if missing:
            raise Retryable(f"{', '.join(missing)} has no alias record")
    kept = f"; {aliases} are aliases, whose answers are kept for {q.alias_ttl} s" if aliases else ""
    return f"{sum(len(names) for names in every.values())} names have a TTL of {q.ttl} s{kept}"


def in_sync(q: RecordsInSync, live: Live) -> str:
    """The records are exactly what the stage wants, on both sides' balancers."""
    old, new = (
        SideBalancers.named(
            side.name, {role: one.dns_name for role, one in (*live.ingresses(side).items(), ("api", live.api(side)))}
        )
        for side in (live.side(q.old), live.side(q.new))
    )
    weights = Weights(old=q.old_weight, new=q.new_weight)
    zones = dict.fromkeys(one.zone or q.zone_id for one in q.records)
    left: list[str] = []
    for zone in zones:
        names = [one for one in q.records if (one.zone or q.zone_id) == zone]
        left += differing(zone_records(live.aws, zone), names, weights, ttl=q.ttl, old=old, new=new)
    if left:
        raise Retryable(f"{', '.join(left)} aren't as wanted yet ({old.side} {weights.old}, {new.side} {weights.new})")
    return f"{len(q.records)} names lead to {old.side} with {weights.old} % and to {new.side} with {weights.new} %"
