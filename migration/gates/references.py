"""Gates about rules elsewhere that name the old side: known and decided about, and answered before new nodes come."""

from __future__ import annotations

from migration.contracts.gates import ReferencesAccepted, ReferencesAnswered
from migration.contracts.references import Naming
from migration.gates.live import Live
from migration.reachability import vpc_cidrs
from migration.references.find import Reference, answered, references
from migration.references.read import elsewhere, groups_made
from migration.runtime.deadline import Permanent

# What a sentence names before "and n more".
_SHOWN = 6


def _old(q: ReferencesAccepted | ReferencesAnswered, live: Live) -> Naming:
    side = live.side(q.old)
    vpc = live.vpc(side)
    ranges = vpc_cidrs(live.aws.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0])
    groups = dict(q.groups) or groups_made(live.aws, live.cluster, side.name)
    if not groups:
        raise Permanent(f"no security group of side {side.name} can be seen, so what names them can't be told")
    return Naming(vpc_id=vpc, ranges=tuple(ranges), groups=groups)


def accepted(q: ReferencesAccepted, live: Live) -> str:
    """Whoever names the old side is listed, and what becomes of it is decided."""
    seen = elsewhere(live.aws)
    found = references(seen, live.cluster, _old(q, live), None, peered=q.peered_vpcs, cidr=q.new.cidr)
    if not found:
        return f"{len(seen.rules)} rules and {len(seen.entries)} prefix lists looked at, none names side {q.old.name}"
    if q.mode is None:
        raise Permanent(
            f"{_told(found)}: new nodes aren't let in there. Set migration:references to apply (each gets a twin for "
            f"side {q.new.name} at stage 2, taken away again on the way back) or to list (their owners do it before "
            f"stage 3)"
        )
    return f"{len(found)} rules and lists name side {q.old.name} (references: {q.mode}): {_told(found)}"


def are_answered(q: ReferencesAnswered, live: Live) -> str:
    """Whatever names the old side names the new one, too."""
    old, side, seen = _old(q, live), live.side(q.new), elsewhere(live.aws)
    groups = groups_made(live.aws, live.cluster, side.name)
    new = Naming(vpc_id=live.vpc(side), ranges=(side.cidr,), groups=groups) if groups else None
    found = references(seen, live.cluster, old, new, peered=q.peered_vpcs, cidr=side.cidr)
    if new is None and found and q.mode == "apply":
        return f"{len(found)} rules and lists name side {q.old.name}, and get their twins when side {side.name} is made"
    missing = [one for one in found if not answered(one, seen)]
    if missing:
        told = "; ".join(f"{one}, and not {one.twin or f'a group of side {side.name}'}" for one in missing[:_SHOWN])
        more = f"; and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise Permanent(
            f"{told}{more}: new nodes aren't let in. Let their owners add it, or set migration:references to apply and "
            f"run stage 2 again"
        )
    return f"{len(found)} rules and lists elsewhere that name side {q.old.name} name side {q.new.name}, too"


def _told(found: list[Reference]) -> str:
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(map(str, found[:_SHOWN])) + more
