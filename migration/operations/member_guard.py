"""No group of a new member is deleted while its member votes, whoever deletes it."""

from __future__ import annotations

from collections.abc import Sequence

from migration.contracts.members import MemberGuardInputs, MemberGuardResult
from migration.etcd.match import Addresses, told
from migration.etcd.reach import reach
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent, Retryable
from migration.stages.identity import verify_cluster


def run(inputs: MemberGuardInputs, previous: MemberGuardResult | None, context: Context) -> MemberGuardResult:
    """Guard these groups. What was guarded before and isn't any more is about to be deleted: none of it may vote."""
    leaving = tuple(name for name in (previous.groups if previous else ()) if name not in inputs.groups)
    if leaving:
        _refuse_voters(leaving, inputs, context)
    return MemberGuardResult(groups=inputs.groups)


def release(inputs: MemberGuardInputs, context: Context) -> None:
    """All of the groups are about to be deleted: raises `Permanent` unless none of their machines' members votes."""
    verify_cluster(context.clients, inputs.cluster)
    _refuse_voters(inputs.groups, inputs, context)


def _refuse_voters(groups: Sequence[str], inputs: MemberGuardInputs, context: Context) -> None:
    """Groups without a machine hold no member. Where etcd can't be asked, a machine's may vote."""
    aws = context.clients.aws
    machines = aws.instances_of_groups(groups)
    if not machines:
        return
    try:
        with reach(
            aws,
            [*inputs.old_groups, *inputs.groups],
            access=inputs.etcd.access,
            client_port=inputs.etcd.client_port,
            certificates=inputs.etcd.certificates,
            on_machine=inputs.etcd.on_machine,
            deadline=context.deadline,
            alive=context.alive,
        ) as etcd:
            members = etcd.members()
    except Retryable as reason:
        raise Permanent(
            f"groups of new members can't be deleted: whether their members vote can't be told ({reason})"
        ) from reason
    addresses, here = Addresses(machines), {one.ip for one in machines}
    voting = [one for one in members if not one.learner and addresses.side(one) & here]
    if voting:
        raise Permanent(
            f"groups of new members can't be deleted while {told(voting)} votes: swap them back first (the stage "
            f"before does, one by one: docs/runbook.md); nothing was deleted"
        )
