"""Where the migration of a cluster is, recorded outside of every stack: one SSM parameter of the cluster.

A lost backend loses nothing by it, and two stacks can't drive one cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from migration.clients.documents import mapping
from migration.contracts.record import Record
from migration.names import record_parameter
from migration.runtime.deadline import Permanent, Retryable
from migration.stages.moves import IllegalMove, plan_move

if TYPE_CHECKING:
    from migration.clients.aws import Aws


def parse(text: str, where: str) -> Record:
    """The record that `text` holds; raises `Permanent` naming `where` it stands if it is anything else."""
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'all of it'}: {one['msg']}" for one in error.errors())
        raise Permanent(f"the parameter {where} is no record of a migration ({wrong}): look at it by hand") from error


def read_record(aws: Aws, cluster: str) -> Record | None:
    """The cluster's record; None if no migration was ever begun. AWS's own errors pass through."""
    name = record_parameter(cluster)
    try:
        found = aws.ssm.get_parameter(Name=name)
    except aws.ssm.exceptions.ParameterNotFound:
        return None
    return parse(mapping(found, "Parameter")["Value"], name)


def write_record(aws: Aws, cluster: str, record: Record, *, first: bool = False) -> None:
    """Write the record. `first` refuses to overwrite: of two stacks that begin at once, one begins.

    Raises `Retryable` if `first` and there is one by now.
    """
    name = record_parameter(cluster)
    try:
        aws.ssm.put_parameter(
            Name=name,
            Type="String",
            Value=record.model_dump_json(by_alias=True),
            Overwrite=not first,
            Description=f"Where the migration of Kubernetes cluster {cluster} between VPCs is",
        )
    except aws.ssm.exceptions.ParameterAlreadyExists as error:
        raise Retryable(f"somebody else wrote {name} at this moment") from error


def begin(
    aws: Aws, cluster: str, target: int, *, owner: str, from_side: str, to_side: str, command: str, new_voters: int = 0
) -> Record:
    """Write that `target` is being tried, if it may be; raises `Permanent` with the next legal command if not."""
    record = read_record(aws, cluster)
    try:
        move = plan_move(
            record,
            target,
            owner=owner,
            from_side=from_side,
            to_side=to_side,
            command=command,
            new_voters=new_voters,
        )
    except IllegalMove as error:
        raise Permanent(str(error)) from error
    if record is None or (record.from_side, record.to_side) != (from_side, to_side):
        wanted = Record(owner=owner, from_side=from_side, to_side=to_side, reached=move.origin, tried=target)
    else:
        wanted = record.model_copy(update={"tried": target})
    if wanted != record:
        write_record(aws, cluster, wanted, first=record is None)
    return wanted


def finish(aws: Aws, cluster: str, target: int, *, owner: str) -> Record:
    """Write that `target` is reached. Raises `Permanent` when the record says another stack or stage by now."""
    record = read_record(aws, cluster)
    if record is None or record.owner != owner or record.tried != target:
        seen = record.model_dump_json(by_alias=True) if record else "nothing"
        raise Permanent(
            f"stage {target} is done, but the record {record_parameter(cluster)} now says {seen}: somebody else "
            f"drives this cluster; look before running anything again"
        )
    wanted = record.model_copy(update={"reached": target})
    if wanted != record:
        write_record(aws, cluster, wanted)
    return wanted


def take_over(aws: Aws, cluster: str, owner: str) -> Record:
    """Make `owner` the stack that drives this cluster from now on; raises `Permanent` without a record."""
    record = read_record(aws, cluster)
    if record is None:
        raise Permanent(f"cluster {cluster!r} has no record of a migration: there is nothing to take over")
    wanted = record.model_copy(update={"owner": owner})
    if wanted != record:
        write_record(aws, cluster, wanted)
    return wanted
