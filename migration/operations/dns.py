"""The cluster's names lead where the stage says: one change batch, in sync everywhere, old TTLs waited out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from migration.clients.aws import Aws, error_code
from migration.dns.plan import Name, Target, Wanted, batch, weights
from migration.dns.zone import zone_records
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent, Retryable

WANTED: tuple[Wanted, ...] = ("old", "both", "new", "original", "final")
# Answers of Route 53 that pass: a change before this one is still being applied, or the zone changed meanwhile.
_PASSING = frozenset({"PriorRequestNotComplete", "Throttling", "ThrottlingException", "InvalidChangeBatch"})


def run(inputs: Mapping[str, Any], previous: Mapping[str, Any] | None, context: Context) -> dict[str, Any]:
    """`wanted`: old, both (`newPercent`), new; original gives the simple records back, final makes new ones.

    Outputs `wanted`, `weights` by side, `ttl` as waited out, and `changed` (names changed by this run).
    """
    wanted: Wanted = inputs["wanted"]
    if wanted not in WANTED:
        raise Permanent(f"wanted is {wanted!r}; it is one of {', '.join(WANTED)}")
    aws, zone = context.clients.aws, inputs["zoneId"]
    names = [Name(**{key: record[key] for key in ("name", "serves", "ttl", "value")}) for record in inputs["records"]]
    old = Target(side=inputs.get("oldName", "old"), balancers=inputs["old"])
    new = Target(side=inputs.get("newName", "new"), balancers=inputs["new"])
    percent, ttl = int(inputs["newPercent"]), int(inputs["ttl"])

    def changed() -> tuple[list[Any], str | None]:
        context.alive()
        found = batch(zone_records(aws, zone), names, wanted, new_percent=percent, ttl=ttl, old=old, new=new)
        if not found:
            return [], None
        try:
            answer = aws.route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": found})
        except ClientError as error:
            if error_code(error) in _PASSING:
                raise Retryable(str(error)) from error
            raise Permanent(f"Route 53 refuses the change of {zone}: {error}") from error
        return found, answer["ChangeInfo"]["Id"]

    found, change = context.deadline.until(changed, f"the records of zone {zone}")
    if change is not None:
        context.log(f"{len(found)} changes in one batch ({wanted}); waiting until every name server has them")
        context.deadline.until_true(lambda: _in_sync(aws, change), "Route 53 to have the change everywhere")
    pair = wanted not in ("original", "final")
    old_ttl = max((name.ttl for name in names), default=0)
    # Not "if something changed": a run that was killed while it waited must wait again.
    if pair and old_ttl > ttl and (previous or {}).get("ttl") != ttl:
        context.log(f"TTL lowered to {ttl} s; waiting out the old one, {old_ttl} s")
        context.deadline.sleep(old_ttl)
    shares = dict(zip((old.side, new.side), weights(wanted, percent), strict=True)) if pair else {}
    return {
        "wanted": wanted,
        "weights": shares,
        "ttl": ttl if pair else None,
        "changed": sorted({item["ResourceRecordSet"]["Name"] for item in found}),
    }


def _in_sync(aws: Aws, change: str) -> bool:
    return aws.route53.get_change(Id=change)["ChangeInfo"]["Status"] == "INSYNC"
