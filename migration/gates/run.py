"""Running a gate: every check until it holds or can't, all refusals told together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from migration.clients.kubernetes import ApiFailure
from migration.contracts.gates import CheckResult, Question
from migration.gates import (
    alike,
    answers,
    balancers,
    carried,
    claims,
    cleanup,
    cluster,
    control_plane,
    copies,
    file_systems,
    form,
    kept,
    members,
    names,
    network,
    permissions,
    quiet,
    reach,
    references,
    room,
    service_balancers,
    standing,
    traffic,
    volumes,
    workloads,
)
from migration.gates.live import Live
from migration.runtime.deadline import OutOfTime, Permanent, Refused, Retryable

# A gate asks about once a second: cheap for AWS, and progress is seen.
PAUSE = 1.0

Check = Callable[[Any, Live], str]
"""Takes its own question; returns what it saw, raises `Retryable` for what may pass and `Permanent` for what won't."""

CHECKS: Mapping[str, Check] = {
    "permissions": permissions.permissions,
    "machines-copied": copies.machines_copied,
    "room-for-both": room.room_for_both,
    "control-plane-form": form.control_plane_form,
    "traffic-carried": traffic.carried,
    "names-unclaimed": claims.unclaimed,
    "new-balancers-answer": answers.answer,
    "new-machines-reach": reach.reach,
    "cluster-healthy": cluster.healthy,
    "networks-carried": carried.networks,
    "references-accepted": references.accepted,
    "references-answered": references.are_answered,
    "networks-alike": alike.networks,
    "file-systems-reached": file_systems.reached,
    "kept-unused": kept.unused,
    "old-side-stands": standing.stands,
    "networks-disjoint": network.disjoint,
    "reachable-both-ways": network.reachable,
    "api-served-by-new-balancer": balancers.api_served,
    "ttls-lowered": names.ttls_lowered,
    "writers-known": cluster.writers_known,
    "every-old-node-in-a-pool": workloads.every_node_known,
    "new-nodes-ready": workloads.new_nodes_ready,
    "new-targets-healthy": balancers.new_targets,
    "old-targets-serve": balancers.old_targets,
    "clients-reach-new-side": network.clients_reach,
    "records-in-sync": names.in_sync,
    "ingress-quiet": quiet.ingress,
    "api-quiet": quiet.api,
    "new-ingress-unused": quiet.new_ingress,
    "new-api-unused": quiet.new_api,
    "nothing-movable-on-old-nodes": workloads.nothing_movable,
    "nothing-movable-on-new-nodes": workloads.nothing_movable_on_new,
    "etcd-preflight": members.preflight,
    "member-volumes": volumes.can_move,
    "versions-fit": control_plane.versions_fit,
    "database-fits": control_plane.database_fits,
    "certificates-last": control_plane.certificates_last,
    "members-all-new": members.all_new,
    "members-all-old": members.all_old,
    "nothing-names-the-old-vpc": cleanup.nothing_names_old,
    "api-group-healthy": balancers.api_instances,
    "retired": cleanup.retired,
    "services-carried": service_balancers.carried,
    "cloud-controller-in-old-vpc": service_balancers.controller_in_old_vpc,
    "cloud-controller-left-old-vpc": service_balancers.controller_left_old_vpc,
    "new-nodes-excluded": service_balancers.new_nodes_excluded,
}


def look(question: Question, live: Live) -> str:
    """One look: what the check saw. Raises `Retryable` or `Permanent` with the reason."""
    try:
        return CHECKS[question.check](question, live)
    except ApiFailure as failure:
        raise Retryable(f"the Kubernetes API says {failure}") from failure


def _until(question: Question, live: Live) -> str:
    context, told = live.context, list[str]()

    def attempt() -> str:
        context.alive()
        try:
            return look(question, live)
        except Retryable as reason:
            if told[-1:] != [str(reason)]:
                context.log(f"{question.check}: waiting: {reason}")
                told.append(str(reason))
            raise

    return context.deadline.until(attempt, f"gate {question.check}", pause=PAUSE)


def run_checks(questions: Sequence[Question], live: Live) -> tuple[CheckResult, ...]:
    """What each check saw, in order; raises `Permanent` with every refusal when any check refuses."""
    results: list[CheckResult] = []
    refused: list[str] = []
    for question in questions:
        try:
            detail = _until(question, live)
        except OutOfTime as reason:
            if not refused:
                raise
            # What is refused for good isn't lost behind what was waited for in vain.
            raise OutOfTime(_told([*refused, f"{question.check}: {reason}"])) from reason
        except Permanent as reason:
            reasons = reason.reasons if isinstance(reason, Refused) else (str(reason),)
            refused += [f"{question.check}: {one}" for one in reasons]
            continue
        live.context.log(f"{question.check}: {detail}")
        results.append(CheckResult(check=question.check, ok=True, detail=detail))
    if refused:
        raise Permanent(_told(refused))
    return tuple(results)


def _told(reasons: Sequence[str]) -> str:
    """A reason as it is, several below each other: a wall of text is not read to its end."""
    if len(reasons) == 1:
        return reasons[0]
    return "\n  - ".join([f"{len(reasons)} reasons:", *reasons])
