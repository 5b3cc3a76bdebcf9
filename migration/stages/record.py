"""Where the migration of a cluster is, recorded outside of every stack: SSM parameters of the cluster.

A lost backend loses nothing by it, and two stacks can't drive one cluster. Systems Manager has no compare-and-set, but
it counts a parameter's versions: who writes under the cluster's lease and finds another version than the next one was
not alone, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from migration.clients.documents import mapping
from migration.contracts.record import Record
from migration.names import fixed_parameter, record_parameter
from migration.runtime.deadline import Permanent, Retryable
from migration.stages.fixed import Fixed, unpacked
from migration.stages.moves import IllegalMove, plan_move

if TYPE_CHECKING:
    from migration.clients.aws import Aws


@dataclass(frozen=True, kw_only=True)
class Who:
    """Who acts: the stack by name and by identity, which cluster it reaches, and whether it still may.

    `fresh`: the stack's state knows nothing of this migration yet.
    """

    owner: str
    stack: str
    cluster_uid: str
    fresh: bool
    alive: Callable[[], None]


def parse(text: str, where: str) -> Record:
    """The record that `text` holds; raises `Permanent` naming `where` it stands if it is anything else."""
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'all of it'}: {one['msg']}" for one in error.errors())
        raise Permanent(f"the parameter {where} is no record of a migration ({wrong}): look at it by hand") from error


def read_record(aws: Aws, cluster: str) -> Record | None:
    """The cluster's record; None if there is none. AWS's own errors pass through."""
    return _stored(aws, cluster)[0]


def read_fixed(aws: Aws, cluster: str) -> Fixed | None:
    """What must not change, as it was recorded; None if nothing was yet."""
    name = fixed_parameter(cluster)
    try:
        found = aws.ssm.get_parameter(Name=name)
    except aws.ssm.exceptions.ParameterNotFound:
        return None
    return unpacked(mapping(found, "Parameter")["Value"], name)


def _stored(aws: Aws, cluster: str) -> tuple[Record | None, int]:
    name = record_parameter(cluster)
    try:
        found = mapping(aws.ssm.get_parameter(Name=name), "Parameter")
    except aws.ssm.exceptions.ParameterNotFound:
        return None, 0
    return parse(found["Value"], name), int(found["Version"])


def write_record(aws: Aws, cluster: str, record: Record, *, after: int, alive: Callable[[], None]) -> None:
    """Write the record that follows version `after` (0: there was none).

    Raises `Retryable` if it was to be the first and there is one by now, `Permanent` if somebody else wrote meanwhile.
    """
    name = record_parameter(cluster)
    alive()
    try:
        written = aws.ssm.put_parameter(
            Name=name,
            Type="String",
            Value=record.model_dump_json(by_alias=True),
            Overwrite=after > 0,
            Description=f"Where the migration of Kubernetes cluster {cluster} between VPCs is",
        )["Version"]
    except aws.ssm.exceptions.ParameterAlreadyExists as error:
        raise Retryable(f"somebody else wrote {name} at this moment") from error
    if written != after + 1:
        raise Permanent(
            f"{name} was written by somebody else between this program's look (version {after}) and its word (version "
            f"{written}): two drive this cluster; find out who, then: python -m migration record --take-over"
        )


def write_fixed(aws: Aws, cluster: str, text: str, alive: Callable[[], None]) -> None:
    """Keep what must not change, packed; nothing is written where it stands there already."""
    name = fixed_parameter(cluster)
    try:
        if mapping(aws.ssm.get_parameter(Name=name), "Parameter")["Value"] == text:
            return
    except aws.ssm.exceptions.ParameterNotFound:
        pass
    alive()
    aws.ssm.put_parameter(
        Name=name,
        Type="String",
        Value=text,
        Overwrite=True,
        Description=f"What of the migration of Kubernetes cluster {cluster} must not change on the way",
    )


def begin(aws: Aws, cluster: str, target: int, *, who: Who, from_side: str, to_side: str, command: str) -> Record:
    """Write that `target` is being tried, if it may be; raises `Permanent` with what to do if not."""
    record, version = _stored(aws, cluster)
    try:
        move = plan_move(record, target, owner=who.owner, from_side=from_side, to_side=to_side, command=command)
    except IllegalMove as error:
        raise Permanent(str(error)) from error
    if record is not None:
        refuse_strangers(record, who, cluster)
    wanted = Record(
        owner=who.owner,
        from_side=from_side,
        to_side=to_side,
        reached=move.origin if record is None or record.to_side != to_side else record.reached,
        tried=target,
        stack=who.stack,
        cluster_uid=who.cluster_uid,
    )
    if wanted != record:
        write_record(aws, cluster, wanted, after=version, alive=who.alive)
    return wanted


def refuse_strangers(record: Record, who: Who, cluster: str) -> None:
    """Raise `Permanent` where the record is about another cluster, or another stack's state drives it."""
    refuse_another_cluster(record, who.cluster_uid, cluster)
    if record.stack is None or record.stack == who.stack:
        return
    have = "has no state" if who.fresh else f"is {who.stack}"
    raise Permanent(
        f"the migration of {cluster} is driven by the stack whose state is {record.stack}, and this one {have}: "
        f"another backend, or a state that was lost. Use that backend; if its state is gone for good: "
        f"python -m migration recover --state-lost"
    )


def refuse_another_cluster(record: Record, uid: str, cluster: str) -> None:
    """Raise `Permanent` where `uid` isn't the cluster that the record is about."""
    if record.cluster_uid is not None and record.cluster_uid != uid:
        raise Permanent(
            f"the kubeconfig leads to another cluster: its kube-system has UID {uid}, that of {cluster} is "
            f"{record.cluster_uid}. Correct KUBECONFIG or migration:kubeconfig; nothing was changed"
        )


def finish(aws: Aws, cluster: str, target: int, *, who: Who) -> Record:
    """Write that `target` is reached. Raises `Permanent` when the record says another stack or stage by now."""
    record, version = _stored(aws, cluster)
    if record is None or record.owner != who.owner or record.tried != target or record.stack != who.stack:
        seen = record.model_dump_json(by_alias=True) if record else "nothing"
        raise Permanent(
            f"stage {target} is done, but the record {record_parameter(cluster)} now says {seen}: somebody else "
            f"drives this cluster; look before running anything again"
        )
    refuse_another_cluster(record, who.cluster_uid, cluster)
    wanted = record.model_copy(update={"reached": target})
    if wanted != record:
        write_record(aws, cluster, wanted, after=version, alive=who.alive)
    return wanted


def restore(aws: Aws, cluster: str, reached: int, *, owner: str, from_side: str, to_side: str) -> Record:
    """Write a record that was lost; raises `Permanent` where there is one."""
    record, _ = _stored(aws, cluster)
    if record is not None:
        raise Permanent(f"cluster {cluster!r} has a record, at stage {record.reached}: nothing was lost")
    wanted = Record(owner=owner, from_side=from_side, to_side=to_side, reached=reached, tried=reached)
    write_record(aws, cluster, wanted, after=0, alive=lambda: None)
    return wanted


def take_over(aws: Aws, cluster: str, owner: str) -> Record:
    """Make `owner` the stack that drives this cluster from its next `up` on; raises `Permanent` without a record."""
    record, version = _stored(aws, cluster)
    if record is None:
        raise Permanent(f"cluster {cluster!r} has no record of a migration: there is nothing to take over")
    wanted = record.model_copy(update={"owner": owner, "stack": None})
    if wanted != record:
        write_record(aws, cluster, wanted, after=version, alive=lambda: None)
    return wanted


def adopt_stack(aws: Aws, cluster: str, *, seen: Record, stack: str) -> None:
    """Make the stack of this identity the one that drives the cluster, in place of one whose state is lost.

    `seen` is the record that was read before. Raises `Permanent` where somebody wrote it meanwhile.
    """
    record, version = _stored(aws, cluster)
    if record is None or record != seen:
        raise Permanent(
            f"{record_parameter(cluster)} was written by somebody else meanwhile: look, then run this again"
        )
    wanted = record.model_copy(update={"stack": stack})
    if wanted != record:
        write_record(aws, cluster, wanted, after=version, alive=lambda: None)
