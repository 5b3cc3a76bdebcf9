"""Both sides' VPCs compared, as they are or as the new one will be made."""

from __future__ import annotations

from typing import Any

from migration.clients.aws import described
from migration.contracts.parity import Parity, VpcPlanned
from migration.discover.tags import tags_of
from migration.gates.live import Live
from migration.parity.compare import compared, planned
from migration.parity.read import facts
from migration.settings import Settings
from migration.settings.model import ManagedSide, ReferencedSide
from migration.sides import Side


def private_subnets(live: Live, side: Side) -> list[str]:
    """The subnets in which the machines of a side are that this program made."""
    chosen: list[Any] = [
        {"Name": "tag:migration:cluster", "Values": [live.cluster]},
        {"Name": "tag:migration:side", "Values": [side.name]},
    ]
    found = described(live.aws.ec2.describe_subnets(Filters=chosen)["Subnets"])
    return sorted(one["SubnetId"] for one in found if tags_of(one).get("migration:role", "").startswith("private-"))


def parity(s: Settings, live: Live, old: Side, new: Side) -> Parity:
    """The comparison. Raises `Retryable` while the old VPC can't be found."""
    made = s.new
    assert isinstance(made, ManagedSide), "the new side is this program's"
    known = s.old.zones.values() if isinstance(s.old, ReferencedSide) else ()
    before = facts(live.aws, live.vpc(old), [one.private for one in known] or private_subnets(live, old))
    if new.vpc_id is None:
        after = planned(VpcPlanned.of(s.configuration, made, s.region), before)
    else:
        after = facts(live.aws, new.vpc_id, private_subnets(live, new))
    return compared(before, after, made=new.vpc_id is not None, without=made.without)
