"""What a swap does to machines: finds the one of a group, runs commands on it, scales its group to zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from migration.clients.aws import Aws, Instance, error_code
from migration.clients.documents import Document, listed, mapping
from migration.contracts.members import SwapNote
from migration.runtime.deadline import Deadline, Permanent, Retryable

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.type_defs import TagTypeDef

# While any of these runs, the old member's group may start a second writer as the first is being replaced.
REPLACING_PROCESSES = ("Launch", "ReplaceUnhealthy", "HealthCheck")
NOTE_TAG = "migration:swap"
"""Kept on the old member's group while it goes."""
BACK_TAG = "migration:swap-back"
"""Kept there while it comes back: what this program made has no notes of other hands."""
_PENDING = ("Pending", "InProgress", "Delayed")


def running(aws: Aws, group: str) -> Instance | None:
    """The one running instance of a member's group, or None; raises `Permanent` when there are several."""
    found = [item for item in aws.instances_of_groups([group]) if item.state == "running"]
    if len(found) > 1:
        ids = ", ".join(item.id for item in found)
        raise Permanent(f"the group {group} runs {ids}: a member has exactly one machine; look before going on")
    return found[0] if found else None


def tag_of(aws: Aws, group: str, key: str) -> str | None:
    """The value of a group's tag; None where it has none, or the group is gone."""
    tags = listed(aws.groups([group]).get(group) or {}, "Tags")
    return next((tag["Value"] for tag in tags if tag["Key"] == key), None)


def note_of(aws: Aws, group: str, key: str = NOTE_TAG) -> SwapNote | None:
    """What a swap that was begun has kept on the old member's group; None where none was, or the group is gone."""
    found = tag_of(aws, group, key)
    return None if found is None else SwapNote.model_validate_json(found)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Where a swap keeps its note: on which group, under which tag."""

    group: str
    key: str = NOTE_TAG

    def read(self, aws: Aws) -> SwapNote | None:
        """The note, if there is one."""
        return note_of(aws, self.group, self.key)


def described(aws: Aws, group: str) -> Document:
    """AWS's description of a member's group; raises `Permanent` where there is no such group."""
    found = aws.groups([group]).get(group)
    if found is None:
        raise Permanent(f"the member's Auto Scaling group {group} doesn't exist; correct migration:members[].group")
    return found


def suspend_replacement(aws: Aws, group: str, note: SwapNote, alive: Callable[[], None], kept: Kept) -> SwapNote:
    """Suspend what could launch a second machine in `group`, and keep what it had with what `note` says of its member.

    What was kept before stays as it is. Raises `Permanent` when there is no such group.
    """
    before = {item["ProcessName"] for item in listed(described(aws, group), "SuspendedProcesses")}
    found = kept.read(aws)
    if found is None:
        found = note.model_copy(update={"suspended": tuple(sorted(before & set(REPLACING_PROCESSES)))})
        alive()
        # First, so that whatever happens next can be given back.
        aws.autoscaling.create_or_update_tags(
            Tags=[{**group_tag(kept.group, kept.key), "Value": found.model_dump_json()}]
        )
    missing = [process for process in REPLACING_PROCESSES if process not in before]
    if missing:
        alive()
        aws.autoscaling.suspend_processes(AutoScalingGroupName=group, ScalingProcesses=missing)
    return found


def give_back_replacement(
    aws: Aws, group: str, note: SwapNote, alive: Callable[[], None], kept: Kept | None = None
) -> None:
    """Resume what a swap suspended in `group`, and then forget that it did."""
    ours = [process for process in REPLACING_PROCESSES if process not in note.suspended]
    if ours:
        alive()
        aws.autoscaling.resume_processes(AutoScalingGroupName=group, ScalingProcesses=ours)
    alive()
    kept = kept or Kept(group=group)
    aws.autoscaling.delete_tags(Tags=[group_tag(kept.group, kept.key)])


def group_tag(group: str, key: str) -> TagTypeDef:
    """A tag of a group that its machines don't get."""
    return {
        "ResourceId": group,
        "ResourceType": "auto-scaling-group",
        "Key": key,
        "PropagateAtLaunch": False,
    }


def shell(aws: Aws, instance: str, command: str, deadline: Deadline, alive: Callable[[], None]) -> str:
    """Run `command` on a machine through SSM and return its output; it must be harmless to run twice.

    Raises `Permanent` with the machine's own words when it fails.
    """
    alive()
    shown = command.splitlines()[0][:100]

    def begin() -> str:
        try:
            answer = aws.ssm.send_command(
                InstanceIds=[instance],
                DocumentName="AWS-RunShellScript",
                Parameters={"commands": [command]},
                TimeoutSeconds=max(30, int(min(deadline.remaining, 600))),
            )
        except ClientError as error:
            if error_code(error) != "InvalidInstanceId":
                raise
            # One that was launched a moment ago isn't known to Systems Manager yet.
            raise Retryable(f"Systems Manager doesn't reach {instance}: {error}") from error
        return mapping(answer, "Command")["CommandId"]

    sent = deadline.until(begin, f"`{shown}` on {instance}")

    def ended() -> Document | None:
        try:
            seen = aws.ssm.get_command_invocation(CommandId=sent, InstanceId=instance)
        except aws.ssm.exceptions.InvocationDoesNotExist:
            return None
        return None if seen["Status"] in _PENDING else seen

    seen = deadline.until(ended, f"`{shown}` on {instance}")
    if seen["Status"] != "Success":
        said = (seen.get("StandardErrorContent") or seen.get("StandardOutputContent") or "").strip()
        raise Permanent(f"`{shown}` on {instance} ended as {seen['Status']}: {said or 'no output'}")
    return seen.get("StandardOutputContent", "")


def scale_to_one(aws: Aws, group: str, alive: Callable[[], None]) -> bool:
    """Size 1 for a member's group that is at zero; False where it isn't."""
    if described(aws, group)["MaxSize"]:
        return False
    alive()
    aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=group, MinSize=1, MaxSize=1, DesiredCapacity=1)
    return True


def scale_to_zero(aws: Aws, group: str, deadline: Deadline, alive: Callable[[], None]) -> None:
    """Size 0 for a member's group, and wait until its machine is gone. Its volume stays."""
    found = aws.groups([group]).get(group)
    # A group that is gone may have left its machine: that is waited for all the same.
    if found is not None and (found["MinSize"] or found["DesiredCapacity"] or found["MaxSize"]):
        alive()
        aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=group, MinSize=0, MaxSize=0, DesiredCapacity=0)

    def gone() -> bool:
        left = [item.id for item in aws.instances_of_groups([group])]
        if left:
            raise Retryable(f"{', '.join(left)} still exists")
        return True

    deadline.until_true(gone, f"the end of {group}'s machine")
