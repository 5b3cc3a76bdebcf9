"""The cluster's names get their form: one change batch, in sync everywhere, old TTLs waited out."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from migration.clients.aws import Aws, error_code
from migration.contracts.traffic import DnsCutInputs, DnsCutResult
from migration.dns.plan import batch
from migration.dns.wanted import FULL, Weights
from migration.dns.zone import zone_records
from migration.names import plain
from migration.runtime.context import Context
from migration.runtime.deadline import OutOfTime, Permanent, Retryable

# Answers of Route 53 that pass: a change before this one is still being applied, or the zone changed meanwhile.
_PASSING = frozenset({"PriorRequestNotComplete", "Throttling", "ThrottlingException", "InvalidChangeBatch"})

# Seconds between two looks whether the engine of a long wait is still there.
_LOOK = 10.0


def run(inputs: DnsCutInputs, previous: DnsCutResult | None, context: Context) -> DnsCutResult:
    """Make a pair of each name, or dissolve it. Raises `Permanent` where a name leads to neither side."""
    aws, zone, pair = context.clients.aws, inputs.zone_id, inputs.form == "pair"
    if previous is None and inputs.idle:
        return DnsCutResult(form=inputs.form, ttl=None, changed=())
    weights = Weights(old=FULL - inputs.new_weight, new=inputs.new_weight)
    # A batch is one zone's.
    records = [one for one in inputs.records if one.zone in (None, zone)]

    def changed() -> tuple[list[dict[str, Any]], str | None]:
        context.alive()
        found = batch(
            zone_records(aws, zone),
            records,
            inputs.form,
            weights=weights,
            ttl=inputs.ttl,
            old=inputs.old,
            new=inputs.new,
        )
        if not found:
            return [], None
        changes: Any = {"Changes": found}
        try:
            answer = aws.route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=changes)
        except ClientError as error:
            if error_code(error) in _PASSING:
                raise Retryable(str(error)) from error
            raise Permanent(f"Route 53 refuses the change of {zone}: {error}") from error
        return found, answer["ChangeInfo"]["Id"]

    found, change = context.deadline.until(changed, f"the records of zone {zone}")
    if change is not None:
        context.log(f"{len(found)} changes in one batch ({inputs.form}); waiting until every name server has them")
        context.deadline.until_true(lambda: _in_sync(aws, change), "Route 53 to have the change everywhere")
    old_ttl = max((name.kept(inputs.alias_ttl) for name in records), default=0)
    # Not "if something changed": a run that was killed while it waited must wait again.
    if pair and old_ttl > inputs.ttl and (previous is None or previous.ttl != inputs.ttl):
        lowered = "" if all(name.is_alias for name in records) else f"TTL lowered to {inputs.ttl} s; "
        context.log(f"{lowered}waiting out the old answers, {old_ttl} s")
        _wait_out(old_ttl, context)
    # Nobody may still remember the new side's balancers when they go.
    if inputs.form == "original" and (found or previous is None or previous.form != "original"):
        kept = max([inputs.ttl, *(inputs.alias_ttl for name in records if name.is_alias)])
        context.log(f"as they were found; waiting out the pair's answers, {kept} s")
        _wait_out(kept, context)
    return DnsCutResult(
        form=inputs.form,
        ttl=inputs.ttl if pair else None,
        changed=tuple(sorted({plain(item["ResourceRecordSet"]["Name"]) for item in found})),
    )


def _wait_out(seconds: int, context: Context) -> None:
    """Let `seconds` pass, all of them: resolvers keep the old answer that long.

    Raises `OutOfTime`, before it waits at all, where the deadline would cut it short.
    """
    deadline = context.deadline
    if deadline.remaining < seconds:
        raise OutOfTime(
            f"the old TTL of {seconds} s can't be waited out in the {deadline.remaining:.0f} s that are left of "
            f"{deadline.seconds:g}; raise migration:limits.gateSeconds and run the same up again"
        )
    end = deadline.clock() + seconds
    while (left := end - deadline.clock()) > 0:
        context.alive()
        deadline.sleep(min(left, _LOOK))


def _in_sync(aws: Aws, change: str) -> bool:
    return aws.route53.get_change(Id=change)["ChangeInfo"]["Status"] == "INSYNC"
