"""What a swap does to machines: finds the one of a group, runs commands on it, scales its group to zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from migration.clients.aws import Aws, Instance
from migration.clients.documents import Document, listed, mapping
from migration.contracts.members import SwapNote
from migration.runtime.deadline import Deadline, Permanent, Retryable

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.type_defs import TagTypeDef

# While any of these runs, the old member's group may start a second writer as the first is being replaced.
REPLACING_PROCESSES = ("Launch", "ReplaceUnhealthy", "HealthCheck")
NOTE_TAG = "migration:swap"
_PENDING = ("Pending", "InProgress", "Delayed")


def running(aws: Aws, group: str) -> Instance | None:
    """The one running instance of a member's group, or None; raises `Permanent` when there are several."""
    found = [item for item in aws.instances_of_groups([group]) if item.state == "running"]
    if len(found) > 1:
        ids = ", ".join(item.id for item in found)
        raise Permanent(f"the group {group} runs {ids}: a member has exactly one machine; look before going on")
    return found[0] if found else None


def note_of(aws: Aws, group: str) -> SwapNote | None:
    """What a swap that was begun has kept on the old member's group; None where none was, or the group is gone."""
    for tag in listed(aws.groups([group]).get(group) or {}, "Tags"):
        if tag["Key"] == NOTE_TAG:
            return SwapNote.model_validate_json(tag["Value"])
    return None


def suspend_replacement(aws: Aws, group: str, member: str, address: str | None, alive: Callable[[], None]) -> SwapNote:
    """Suspend what could launch a second machine in `group`, and keep on it what it had and who its member is.

    Raises `Permanent` when there is no such group.
    """
    described = aws.groups([group]).get(group)
    if described is None:
        raise Permanent(f"the old member's Auto Scaling group {group} doesn't exist; correct migration:members[].group")
    before = {item["ProcessName"] for item in listed(described, "SuspendedProcesses")}
    note = note_of(aws, group)
    if note is None:
        note = SwapNote(member=member, address=address, suspended=tuple(sorted(before & set(REPLACING_PROCESSES))))
        alive()
        # First, so that whatever happens next can be given back.
        aws.autoscaling.create_or_update_tags(Tags=[{**_note_tag(group), "Value": note.model_dump_json()}])
    missing = [process for process in REPLACING_PROCESSES if process not in before]
    if missing:
        alive()
        aws.autoscaling.suspend_processes(AutoScalingGroupName=group, ScalingProcesses=missing)
    return note


def give_back_replacement(aws: Aws, group: str, note: SwapNote, alive: Callable[[], None]) -> None:
    """Resume what a swap suspended in `group`, and then forget that it did."""
    ours = [process for process in REPLACING_PROCESSES if process not in note.suspended]
    if ours:
        alive()
        aws.autoscaling.resume_processes(AutoScalingGroupName=group, ScalingProcesses=ours)
    alive()
    aws.autoscaling.delete_tags(Tags=[_note_tag(group)])


def _note_tag(group: str) -> TagTypeDef:
    return {
        "ResourceId": group,
        "ResourceType": "auto-scaling-group",
        "Key": NOTE_TAG,
        "PropagateAtLaunch": False,
    }


def shell(aws: Aws, instance: str, command: str, deadline: Deadline, alive: Callable[[], None]) -> str:
    """Run `command` on a machine through SSM and return its output; it must be harmless to run twice.

    Raises `Permanent` with the machine's own words when it fails.
    """
    alive()
    shown = command.splitlines()[0][:100]
    answer = aws.ssm.send_command(
        InstanceIds=[instance],
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": [command]},
        TimeoutSeconds=max(30, int(min(deadline.remaining, 600))),
    )
    sent: str = mapping(answer, "Command")["CommandId"]

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


def scale_to_zero(aws: Aws, group: str, deadline: Deadline, alive: Callable[[], None]) -> None:
    """Size 0 for a member's old group, and wait until its machine is gone. Its volume stays."""
    described = aws.groups([group]).get(group)
    # A group that is gone may have left its machine: that is waited for all the same.
    if described is not None and (described["MinSize"] or described["DesiredCapacity"] or described["MaxSize"]):
        alive()
        aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=group, MinSize=0, MaxSize=0, DesiredCapacity=0)

    def gone() -> bool:
        left = [item.id for item in aws.instances_of_groups([group])]
        if left:
            raise Retryable(f"{', '.join(left)} still exists")
        return True

    deadline.until_true(gone, f"the end of {group}'s machine")
