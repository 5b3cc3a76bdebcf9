"""The members that run now, by address, behind the new side's API balancer, over the peering.

Auto Scaling can't feed an `ip` target group. From the first swap on the swaps themselves take addresses in and
out, so only a member whose old machine still runs is this operation's business.
"""

from __future__ import annotations

from migration import target_groups
from migration.contracts.traffic import ApiTargetsInputs, ApiTargetsResult
from migration.runtime.context import Context


def run(inputs: ApiTargetsInputs, previous: ApiTargetsResult | None, context: Context) -> ApiTargetsResult:
    """Register what isn't a target yet, and wait until all are healthy."""
    aws, group = context.clients.aws, inputs.target_group
    addresses = [member.address for member in inputs.members]
    present = {target.id for target in aws.target_health(group) if target.state != "draining"}
    missing = [member for member in inputs.members if member.address not in present]
    for member in missing:
        context.alive()
        target_groups.register(aws, group, member.address, inputs.port)
    if missing:
        context.log(f"registered {', '.join(f'{member.name} {member.address}' for member in missing)}")
    for address in addresses:
        context.deadline.until_true(
            lambda address=address: target_groups.healthy(aws, group, address),
            f"{address} to be healthy behind the new API balancer",
        )
    return ApiTargetsResult(addresses=tuple(addresses))
