"""SSM Run Command is real: a command waits for the instance's agent, and answers what the agent reports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from moto.ssm.models import Command, SimpleSystemManagerBackend

from lab.aws.egress import reaches
from lab.aws.hooks import Refused, active, inner_rule, instead
from lab.aws.identity import machine_key, principal
from lab.aws.policies import ALLOWED, decide
from lab.aws.world import WORLD

inner_rule("agent_without_a_way", "Systems Manager user guide, Troubleshooting SSM Agent: instance isn't registered")
inner_rule("agent_without_rights", "Systems Manager user guide, Configure instance permissions required for SSM")


def _known(instance: Any) -> bool:
    """Whether the service knows the instance's agent, which registers from inside: over a way, and with its role."""
    if instance is None or instance.state != "running":
        return False
    settings = WORLD.settings
    if (
        settings.egress == "enforce"
        and active("agent_without_a_way")
        and not reaches(str(instance.private_ip), "ssm").ok
    ):
        return False
    if settings.iam != "enforce" or not active("agent_without_rights"):
        return True
    who = principal(machine_key(str(instance.id)))
    return who is not None and decide(who.documents or (), "ssm:UpdateInstanceInformation", "*", {}).verdict == ALLOWED


@instead(SimpleSystemManagerBackend, "send_command")
def send(original: Any, backend: SimpleSystemManagerBackend, **arguments: Any) -> Command:
    """SendCommand: Pending until an agent takes it. Instances whose agent isn't known are refused.

    Source: Systems Manager API reference, SendCommand (InvalidInstanceId), CommandInvocation (Status).
    """
    for instance_id in arguments["instance_ids"]:
        if not _known(WORLD.ec2.get_instance_by_id(instance_id)):
            raise Refused("InvalidInstanceId", f"Instances [[{instance_id}]] not in a valid state for account")
    named = list(dict.fromkeys(arguments["instance_ids"]))  # moto adds to the list it is given
    command: Command = original(backend, **arguments)
    if not arguments.get("targets"):
        # moto takes "no targets" for "every instance there is".
        command.instance_ids = named
    command.status = command.status_details = "Pending"
    command.completed_count = 0
    running = {i.id for r in WORLD.ec2.reservations.values() for i in r.instances if i.state == "running"}
    # Targets by tag match dead instances too.
    command.instance_ids = [i for i in command.instance_ids if i in running]
    for instance_id in command.instance_ids:
        WORLD.invocations[command.command_id, instance_id] = {
            "CommandId": command.command_id,
            "InstanceId": instance_id,
            "Comment": command.comment,
            "DocumentName": command.document_name,
            "PluginName": "aws:runShellScript",
            "ResponseCode": -1,
            "ExecutionStartDateTime": datetime.fromtimestamp(WORLD.clock(), tz=UTC).isoformat(),
            "Status": "Pending",
            "StatusDetails": "Pending",
            "StandardOutputContent": "",
            "StandardErrorContent": "",
        }
        WORLD.commands.setdefault(instance_id, []).append(
            {
                "id": command.command_id,
                "document": command.document_name,
                "parameters": command.parameters,
            }
        )
    WORLD.bump()
    return command


@instead(SimpleSystemManagerBackend, "get_command_invocation")
def invocation(
    _original: Any, backend: SimpleSystemManagerBackend, command_id: str, instance_id: str, plugin_name: str | None
) -> dict[str, Any]:
    """GetCommandInvocation, as reported so far."""
    del plugin_name
    backend.get_command_by_id(command_id)
    found = WORLD.invocations.get((command_id, instance_id))
    if found is None:
        raise Refused("InvocationDoesNotExist", "")
    return dict(found)


@instead(SimpleSystemManagerBackend, "list_commands")
def list_commands(
    original: Any, backend: SimpleSystemManagerBackend, command_id: str | None, instance_id: str | None
) -> list[Command]:
    """ListCommands: a command is what its invocations are, taken together."""
    commands: list[Command] = original(backend, command_id, instance_id)
    for command in commands:
        states = [i["Status"] for (c, _), i in WORLD.invocations.items() if c == command.command_id]
        done = [s for s in states if s not in ("Pending", "InProgress")]
        command.completed_count = len(done)
        if len(done) < len(states):
            command.status = "InProgress" if done or "InProgress" in states else "Pending"
        else:
            command.status = "Success" if all(s == "Success" for s in done) else "Failed"
        command.status_details = command.status
    return commands
