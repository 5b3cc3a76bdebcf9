"""The gate before machines come to the new VPC: it offers them what the old one does."""

from __future__ import annotations

from migration.contracts.gates import NetworksAlike
from migration.gates.live import Live
from migration.parity.compare import compared, planned
from migration.parity.look import private_subnets
from migration.parity.read import facts
from migration.runtime.deadline import Permanent


def networks(q: NetworksAlike, live: Live) -> str:
    """Way out, names and endpoints are as in the old VPC. Raises `Permanent` with every difference and its cure."""
    old, new = live.side(q.old), live.side(q.new)
    where = private_subnets(live, new)
    if new.vpc_id is not None and not where:
        raise Permanent(f"no subnet of side {new.name} can be seen, so its way out can't be told")
    before = facts(live.aws, live.vpc(old), q.subnets or private_subnets(live, old))
    made = new.vpc_id is not None
    after = facts(live.aws, live.vpc(new), where) if made else planned(q.planned, before)
    seen = compared(before, after, made=made, without=q.without)
    if seen.differences:
        told = "; ".join(f"{one}: {one.cure}" for one in seen.differences)
        raise Permanent(
            f"{told}. What the new VPC needn't have stands in migration:sides.{new.name}.without, by these words"
        )
    accepted = f"; accepted without: {', '.join(one.key for one in seen.accepted)}" if seen.accepted else ""
    return f"both VPCs {'are' if made else 'will be'} alike in {', '.join(seen.alike) or 'nothing'}{accepted}"
