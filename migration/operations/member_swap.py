"""One control-plane member, moved from its old machine to its new one, or back."""

from __future__ import annotations

from pathlib import Path

from migration.contracts.members import MemberSwapInputs, MemberSwapResult, NewMember, OldMember, SwapNote
from migration.etcd.machine import BACK_TAG, note_of
from migration.etcd.reach import direct
from migration.etcd.returning import note_of as return_note_of
from migration.etcd.swap import Swap
from migration.etcd.volume_swap import VolumeSwap
from migration.names import ticket_parameter
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent


def run(inputs: MemberSwapInputs, previous: MemberSwapResult | None, context: Context) -> MemberSwapResult:
    """The member is on the side where it is wanted; what a swap the other way has begun is taken back."""
    aws, home = context.clients.aws, inputs.old.group
    going, coming_back = note_of(aws, home), note_of(aws, home, BACK_TAG)
    _refuse_another_strategy(inputs, going, coming_back)
    moved = previous is not None and previous.state == "new"
    if inputs.wanted == "old":
        if not (moved or inputs.returning or going or coming_back):
            return MemberSwapResult(state="old")
        onward = _swap(inputs, context)
        if coming_back is None and onward.give_back():
            return onward.stays()
        return _swap(inputs, context, back=True).advance(previous)
    if coming_back or (going is None and return_note_of(aws, home)):
        # Where the old member votes again this does nothing, and it goes as it went the first time.
        _swap(inputs, context, back=True).give_back()
    return _swap(inputs, context).advance(previous)


def _refuse_another_strategy(inputs: MemberSwapInputs, *notes: SwapNote | None) -> None:
    """A move goes on, and back, as it began: the one has copied the data, the other has taken its volume along."""
    for note in notes:
        if note is not None and note.strategy != inputs.strategy:
            raise Permanent(
                f"migration:etcd.strategy is {inputs.strategy!r}, but {inputs.old.name} was moved, or is on its way, "
                f"by {note.strategy!r}: set it back until all members are on the old side, or the migration is over"
            )


def _swap(inputs: MemberSwapInputs, context: Context, *, back: bool = False) -> Swap | VolumeSwap:
    aws = context.clients.aws
    if not inputs.etcd.access.takes_changes:
        raise Permanent(
            f"migration:etcd.access is {inputs.etcd.access.value!r}, by which members can only be looked at; "
            f"use direct with migration:operatorNetworks"
        )
    old, new, ticket = inputs.old, inputs.new, inputs.ticket_parameter
    other = ticket_parameter(inputs.cluster, inputs.old.name)
    if back:
        old = OldMember(name=inputs.new.name, group=inputs.new.group)
        new = NewMember(name=inputs.old.name, group=inputs.old.group)
        ticket, other = other, ticket
    by = VolumeSwap if inputs.strategy == "volume" else Swap
    return by(
        cluster=inputs.cluster,
        old=old,
        new=new,
        members=inputs.members,
        back=back,
        place=inputs.place,
        ticket_parameter=ticket,
        other_ticket=other,
        client_port=inputs.etcd.client_port,
        peer_port=inputs.peer_port,
        api_port=inputs.api_port,
        old_api_groups=list(inputs.old_api_target_groups),
        new_api_group=inputs.new_api_target_group,
        snapshots=Path(inputs.snapshots),
        form=inputs.form,
        servers=inputs.servers,
        on_machine=inputs.etcd.on_machine,
        restore_drill=inputs.restore_drill,
        tools=inputs.tools,
        aws=aws,
        kubernetes=context.clients.kubernetes,
        etcd=direct(aws, inputs.etcd.certificates, context.alive),
        deadline=context.deadline,
        log=context.log,
        alive=context.alive,
    )
