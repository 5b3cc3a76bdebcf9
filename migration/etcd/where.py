"""Where a member of the old side is: its running machine says; what was written down before is only a hint."""

from __future__ import annotations

from collections.abc import Iterable

from migration.clients.aws import Instance
from migration.contracts.members import OldMember, SwapNote


def observed(group: str, machines: Iterable[Instance]) -> list[str]:
    """Addresses of a group's machines that haven't ended, running ones first."""
    here = [one for one in machines if one.group == group and one.ip]
    return [one.ip for one in sorted(here, key=lambda one: one.state != "running")]


def address_of(member: OldMember, machines: Iterable[Instance], note: SwapNote | None = None) -> str | None:
    """Where `member` is, or was last: None where nobody says.

    Its machine's address; without one what a swap has kept of it (`note`); without that what the configuration says,
    unless somebody else's machine is there by now.
    """
    machines = list(machines)
    found = observed(member.group, machines)
    if found:
        return found[0]
    hint = (note.address if note else None) or member.address
    return None if hint is None or taken(hint, member.group, machines) else hint


def taken(address: str, group: str, machines: Iterable[Instance]) -> bool:
    """Whether a machine of another group has this address: AWS gives a free one to whoever comes next."""
    return any(one.ip == address and one.group != group for one in machines)
