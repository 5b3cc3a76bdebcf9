"""What old Terraform code must forget, so that nobody deletes, or makes again, what moved or was retired. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from migration.handover.hcl import Block, Expression, written
from migration.handover.state import Managed, record_key
from migration.settings.model import Configuration


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """`removed`: whole resources; `instances`: single ones of resources of which others stay, which no block can name.

    `stays`: what the migration leaves alone and the old code goes on to manage.
    """

    removed: tuple[str, ...]
    instances: tuple[str, ...]
    stays: tuple[str, ...]


def moved_ids(c: Configuration) -> Mapping[str, str]:
    """Ids of what a migration moves or retires, each with why the old code must forget it."""
    found = {item.id: "retired by stage 8" for item in c.retire}
    found |= {pool.group: "its group is retired" for pool in c.pools}
    found |= {member.group: "its group is retired" for member in c.members}
    found |= {one.group: "its group is retired" for member in c.members for one in member.api_servers}
    return found | {
        record_key(zone, one.name): "this program writes it"
        for zone, records in c.traffic.zones().items()
        for one in records
    }


def forgotten(c: Configuration, managed: Sequence[Managed]) -> Forgotten:
    """What of a state is to be forgotten: exactly what moved or is retired, and nothing that stays."""
    going = moved_ids(c)
    by_resource: dict[str, list[Managed]] = defaultdict(list)
    for one in managed:
        by_resource[one.resource].append(one)
    removed: list[str] = []
    instances: list[str] = []
    stays: list[str] = []
    for resource, ones in sorted(by_resource.items()):
        goes = [one for one in ones if one.ids & going.keys()]
        if len(goes) == len(ones):
            removed.append(resource)
        else:
            instances += [one.address for one in goes]
            stays += [one.address for one in ones if one not in goes]
    return Forgotten(removed=tuple(removed), instances=tuple(sorted(instances)), stays=tuple(sorted(stays)))


def text(found: Forgotten) -> str:
    """The file for the old code, with commands for what no block can say."""
    blocks = [
        Block(
            "removed",
            (),
            {"from": Expression(resource)},
            (Block("lifecycle", (), {"destroy": False}),),
        )
        for resource in found.removed
    ]
    commands = [f"#   terraform state rm {_shell(address)}" for address in found.instances]
    head = "# What the old code must forget: take the resource blocks out as well. Terraform 1.7 or later.\n"
    if commands:
        head += "# A removed block names a whole resource. Of these others stay, so each is forgotten by a command:\n"
        head += "\n".join(commands) + "\n"
    return head + ("\n" + written(blocks) if blocks else "")


def _shell(address: str) -> str:
    return "'" + address.replace("'", "'\\''") + "'"


def ids_by_address(managed: Iterable[Managed]) -> Mapping[str, str]:
    """The id of each address, for whoever names things as the old code does."""
    return {one.address: min(one.ids, key=lambda id_: (id_.startswith("arn:"), id_)) for one in managed if one.ids}
