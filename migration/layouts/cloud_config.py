"""The layout `cloud-config`: each member is one machine; its user data writes its programs' systemd units. Pure."""

from __future__ import annotations

from migration.etcd.userdata import clone_user_data
from migration.layouts import found
from migration.layouts.contract import Commands, Evidence, GroupSeen, NewMachine, Recognition
from migration.layouts.found import Found
from migration.layouts.systemd import systemd_commands
from migration.layouts.units import ROLES
from migration.runtime.deadline import Permanent
from migration.settings.model import LayoutName, Units


class CloudConfig:
    """A new member's user data is the old one's, with its boot and its identity replaced."""

    @property
    def name(self) -> LayoutName:
        """``cloud-config``."""
        return "cloud-config"

    def recognise(self, evidence: Evidence) -> Recognition:
        """By the units: groups whose user data starts etcd and an API server are members."""
        seen = [(group, found.read(group.user_data)) for group in evidence.groups if group.user_data]
        members = [(group, one) for group, one in seen if one.runs_a_member]
        if not members:
            return Recognition(layout=self.name, unseen=_without_text(evidence))
        keys = members[0][1].keys()
        return Recognition(
            layout=self.name,
            members=tuple(group.name for group, _ in members),
            because=tuple(_how(group, one) for group, one in members),
            unseen=(
                *(f"{group.name}: {sentence}" for group, one in members for sentence in one.unseen),
                *(f"what runs on {group.name} wasn't asked" for group, _ in members if group.running is None),
            ),
            against=(
                *(f"{group.name}: {sentence}" for group, one in members for sentence in _against(group, one)),
                *(
                    f"{group.name} calls its units or files otherwise than {members[0][0].name}: one set of names is "
                    f"used for all members; give them the same user data"
                    for group, one in members[1:]
                    if one.keys() != keys
                ),
            ),
            keys=keys,
        )

    def user_data(self, machine: NewMachine) -> str:
        """The old member's; raises `Permanent` where it has none, or isn't such a cloud-config."""
        if machine.original is None:
            raise Permanent(
                f"the launch template of {machine.identity.member}'s original has no user data to make a new member's "
                f"from; give it one, or use migration:controlPlane.layout custom"
            )
        return clone_user_data(machine.original, machine.identity, units=machine.units, held=machine.pki)

    def commands(self, units: Units) -> Commands:
        """systemd's."""
        return systemd_commands(units, "member-boot")


def _how(group: GroupSeen, one: Found) -> str:
    units = ", ".join(f"{one.unit(role)}.service" for role in ROLES if role in one.units)
    return f"{group.name}'s user data is a cloud-config that writes {units}"


def _against(group: GroupSeen, one: Found) -> list[str]:
    told = list(one.against)
    if one.missing:
        told.append(f"its user data has no unit that starts {', '.join(one.missing)}; write them, all four are kept")
    for role in ("etcd", "kube-apiserver"):
        if group.running is not None and not any(_runs(line, role) for line in group.running):
            told.append(
                f"its user data starts {role}, and none runs there: the machine was made from other user data, or "
                f"changed since; let the launch template say what runs"
            )
    return told


def _runs(line: str, program: str) -> bool:
    """Whether a line of what runs is of a program: its first word ends with it."""
    first = line.split(maxsplit=1)[:1]
    return bool(first) and first[0].rsplit("/", 1)[-1] == program


def _without_text(evidence: Evidence) -> tuple[str, ...]:
    silent = [group.name for group in evidence.groups if not group.user_data]
    return (f"{', '.join(silent)} have no user data that is text",) if silent else ()
