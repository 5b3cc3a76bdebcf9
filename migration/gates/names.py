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
    """No record of a name has a longer TTL than the one asked for."""
    records = zone_records(live.aws, q.zone_id)
    for name in q.names:
        found = [record for record in records if plain(record["Name"]) == plain(name)]
        if not found:
            raise Retryable(f"{name} has no record")
        longest = max(int(record.get("TTL", 0)) for record in found)
        if longest > q.ttl:
            raise Retryable(f"{name} has a TTL of {longest} s, wanted are {q.ttl} s")
    return f"{len(q.names)} names have a TTL of {q.ttl} s"


def in_sync(q: RecordsInSync, live: Live) -> str:
    """The records are exactly what the stage wants, on both sides' balancers."""
    old, new = (
        SideBalancers(side=side.name, ingress=live.ingress(side).dns_name, api=live.api(side).dns_name)
        for side in (live.side(q.old), live.side(q.new))
    )
    weights = Weights(old=q.old_weight, new=q.new_weight)
    left = differing(zone_records(live.aws, q.zone_id), q.records, weights, ttl=q.ttl, old=old, new=new)
    if left:
        raise Retryable(f"{', '.join(left)} aren't as wanted yet ({old.side} {weights.old}, {new.side} {weights.new})")
    return f"{len(q.records)} names lead to {old.side} with {weights.old} % and to {new.side} with {weights.new} %"
