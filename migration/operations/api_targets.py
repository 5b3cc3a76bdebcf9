"""The members that run now, by address, behind the new side's API balancer, over the peering.

Auto Scaling can't feed an `ip` target group. From the first swap on the swaps themselves take addresses in and
out, so only a member whose old machine still runs is this operation's business.
"""

from __future__ import annotations

from migration import target_groups
from migration.clients.aws import Aws
from migration.contracts.members import OldMember
from migration.contracts.traffic import ApiTargetsInputs, ApiTargetsResult
from migration.etcd.where import address_of
from migration.runtime.context import Context
from migration.runtime.deadline import Retryable


def run(inputs: ApiTargetsInputs, previous: ApiTargetsResult | None, context: Context) -> ApiTargetsResult:
    """Register what isn't a target yet, and wait until all are healthy."""
    aws, group = context.clients.aws, inputs.target_group
    where = context.deadline.until(lambda: _where(aws, inputs.members), "every member's machine")
    present = {target.id for target in aws.target_health(group) if target.state != "draining"}
    missing = {name: address for name, address in where.items() if address not in present}
    for address in missing.values():
        context.alive()
        target_groups.register(aws, group, address, inputs.port)
    if missing:
        context.log(f"registered {', '.join(f'{name} {address}' for name, address in missing.items())}")
    for address in where.values():
        context.deadline.until_true(
            lambda address=address: target_groups.healthy(aws, group, address),
            f"{address} to be healthy behind the new API balancer",
        )
    return ApiTargetsResult(addresses=tuple(where.values()))


def _where(aws: Aws, members: tuple[OldMember, ...]) -> dict[str, str]:
    """Addresses by member, without those whose group a swap has set to zero; `Retryable` where one can't be told."""
    names = [member.group for member in members]
    groups, machines = aws.groups(names), aws.instances_of_groups(names)
    found: dict[str, str] = {}
    for member in members:
        group = groups.get(member.group)
        if group is not None and not group["MaxSize"]:
            continue
        address = address_of(member, machines)
        if address is None:
            raise Retryable(f"no machine of {member.name}'s group {member.group} runs")
        found[member.name] = address
    return found
