"""One control-plane member, moved from its old machine to its new one."""

from __future__ import annotations

from pathlib import Path

from migration.contracts.members import MemberSwapInputs, MemberSwapResult
from migration.etcd.reach import direct
from migration.etcd.swap import Swap
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent


def run(inputs: MemberSwapInputs, previous: MemberSwapResult | None, context: Context) -> MemberSwapResult:
    """Swap the member in, where it is wanted on the new side. A member that moved can't be moved back yet."""
    if inputs.wanted == "old":
        if previous is not None and previous.state == "new":
            raise Permanent(
                f"{inputs.new.name} already votes: moving a member back isn't there yet; "
                f"set migration:controlPlaneMoved to at least what it was"
            )
        return MemberSwapResult(state="old")
    aws = context.clients.aws
    if not inputs.etcd.access.takes_changes:
        raise Permanent(
            f"migration:etcd.access is {inputs.etcd.access.value!r}, by which members can only be looked at; "
            f"use direct with migration:operatorNetworks"
        )
    swap = Swap(
        cluster=inputs.cluster,
        old=inputs.old,
        new=inputs.new,
        ticket_parameter=inputs.ticket_parameter,
        client_port=inputs.etcd.client_port,
        peer_port=inputs.etcd.peer_port,
        api_port=inputs.api_port,
        old_api_groups=list(inputs.old_api_target_groups),
        new_api_group=inputs.new_api_target_group,
        snapshots=Path(inputs.snapshots),
        aws=aws,
        kubernetes=context.clients.kubernetes,
        etcd=direct(aws, inputs.etcd.certificates),
        deadline=context.deadline,
        log=context.log,
        alive=context.alive,
    )
    return swap.advance(previous)
