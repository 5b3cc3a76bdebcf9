"""A record that says one thing while AWS shows another: whoever acts on it makes what exists, or loses what carries.

Asked before anything registers, so only what a few quick questions tell: whether what the stage made is there, and
where names lead while nothing is under way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from migration.contracts.gates import SideRef, control_plane_groups, worker_groups
from migration.contracts.record import Record
from migration.dns.zone import zone_records
from migration.names import plain, record_parameter
from migration.settings import Settings
from migration.sides import find
from migration.stages.moves import IllegalMove
from migration.stages.table import Placement, stage

if TYPE_CHECKING:
    from migration.clients.aws import Aws


def refuse_contradiction(record: Record, settings: Settings, aws: Aws) -> None:
    """Raise `IllegalMove` naming what isn't as the record says, and both ways out. AWS's own errors pass through."""
    c = settings.configuration
    if record.to_side != c.to:
        # The side that the next migration makes isn't the record's yet.
        return
    row = stage(min(record.reached, record.tried))
    wrong = [*_missing(record, settings, aws), *_leading(record, settings, aws)]
    if wrong:
        listed = "".join(f"\n  - {one}" for one in wrong)
        raise IllegalMove(
            f"the record {record_parameter(c.cluster)} says that stage {row.number} ({row.name}) was reached, and that "
            f"isn't what is there; nothing was changed:{listed}\nLook with: python -m migration status. If the record "
            f"is wrong: aws ssm delete-parameter --name {record_parameter(c.cluster)}, then: python -m migration "
            f"record --restore STAGE. If the record is right, put back what is listed first"
        )


def _missing(record: Record, settings: Settings, aws: Aws) -> Iterator[str]:
    c, row = settings.configuration, stage(min(record.reached, record.tried))
    if row.starting:
        return
    side = find(aws, c.cluster, SideRef.of(settings, c.to))
    if side.vpc_id is None:
        yield f"side {c.to} has no VPC with the tags migration:cluster={c.cluster} migration:side={c.to}"
    if row.shared.on_new:
        for role, balancer in (*side.ingresses.items(), ("api", side.api)):
            if balancer is None:
                yield f"side {c.to} has no {role} balancer"
    wanted: list[str] = []
    # Once the migration is over pools come, go and get other names.
    if row.workers.on_new and not row.finished:
        wanted += worker_groups(settings, c.to)
    if row.control_plane.on_new:
        wanted += control_plane_groups(settings, c.to)
    described = aws.groups(wanted) if wanted else {}
    gone = [name for name in wanted if name not in described]
    if gone:
        yield f"{len(gone)} of {len(wanted)} Auto Scaling groups of side {c.to} don't exist: {', '.join(gone)}"


def _leading(record: Record, settings: Settings, aws: Aws) -> Iterator[str]:
    """Names that lead to a side which has no traffic at the stage. On the way between two stages they may."""
    c, row = settings.configuration, stage(record.reached)
    if record.tried != record.reached or row.traffic is Placement.BOTH:
        return
    without = c.to if row.traffic is Placement.OLD else c.from_
    for zone, records in c.traffic.zones().items():
        names = {plain(one.name) for one in records}
        for found in zone_records(aws, zone):
            name = plain(str(found["Name"]))
            if name in names and found.get("SetIdentifier") == without and int(found.get("Weight") or 0) > 0:
                weight = found["Weight"]
                yield f"{name} leads to side {without} with weight {weight}, which has no traffic at this stage"
