"""One control-plane member, moved from its old machine to its new one."""

from __future__ import annotations

from pathlib import Path

from migration.contracts.members import MemberSwapInputs, MemberSwapResult
from migration.etcd.machine import note_of
from migration.etcd.reach import direct
from migration.etcd.swap import Swap
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent


def run(inputs: MemberSwapInputs, previous: MemberSwapResult | None, context: Context) -> MemberSwapResult:
    """Swap the member in, where it is wanted on the new side, or give back what a swap began that isn't any more.

    A member that votes on the new side can't be moved back yet.
    """
    if inputs.wanted == "old":
        if previous is not None and previous.state == "new":
            raise Permanent(
                f"{inputs.new.name} already votes: moving a member back isn't there yet; "
                f"set migration:controlPlaneMoved to at least what it was"
            )
        if note_of(context.clients.aws, inputs.old.group) is not None:
            _swap(inputs, context).give_back()
        return MemberSwapResult(state="old")
    return _swap(inputs, context).advance(previous)


def _swap(inputs: MemberSwapInputs, context: Context) -> Swap:
    aws = context.clients.aws
    if not inputs.etcd.access.takes_changes:
        raise Permanent(
            f"migration:etcd.access is {inputs.etcd.access.value!r}, by which members can only be looked at; "
            f"use direct with migration:operatorNetworks"
        )
    return Swap(
        cluster=inputs.cluster,
        old=inputs.old,
        new=inputs.new,
        members=inputs.members,
        ticket_parameter=inputs.ticket_parameter,
        client_port=inputs.etcd.client_port,
        peer_port=inputs.peer_port,
        api_port=inputs.api_port,
        old_api_groups=list(inputs.old_api_target_groups),
        new_api_group=inputs.new_api_target_group,
        snapshots=Path(inputs.snapshots),
        aws=aws,
        kubernetes=context.clients.kubernetes,
        etcd=direct(aws, inputs.etcd.certificates, context.alive),
        deadline=context.deadline,
        log=context.log,
        alive=context.alive,
    )
