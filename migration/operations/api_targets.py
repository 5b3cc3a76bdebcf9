"""The members that run now, by address, behind the new side's API balancer, over the peering.

Auto Scaling can't feed an `ip` target group. From the first swap on the swaps themselves take addresses in and
out, so only a member whose old machine still runs is this operation's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migration import target_groups
from migration.runtime.context import Context


def run(inputs: Mapping[str, Any], previous: Mapping[str, Any] | None, context: Context) -> dict[str, Any]:
    """Inputs: `targetGroup` (ARN), `port`, `members` (each `{name, address}`). Outputs the addresses taken in."""
    aws, group, port = context.clients.aws, inputs["targetGroup"], int(inputs["port"])
    addresses = [member["address"] for member in inputs["members"]]
    present = {target.id for target in aws.target_health(group) if target.state != "draining"}
    missing = [address for address in addresses if address not in present]
    for address in missing:
        context.alive()
        target_groups.register(aws, group, address, port)
    if missing:
        context.log(f"registered {', '.join(missing)}")
    for address in addresses:
        context.deadline.until_true(
            lambda address=address: target_groups.healthy(aws, group, address),
            f"{address} to be healthy behind the new API balancer",
        )
    return {"addresses": addresses}
