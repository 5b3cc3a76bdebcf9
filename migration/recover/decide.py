"""What becomes of a note of the engine, given what is there. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from migration.recover.objects import Found
from migration.recover.state import Deployment, Operation, Resource

# Types whose create may be made any number of times, and why that makes no second object.
REPEATABLE: Mapping[str, str] = {
    "aws:iam/rolePolicy:RolePolicy": "a policy of its name is overwritten",
    "aws:ec2/vpcDhcpOptionsAssociation:VpcDhcpOptionsAssociation": "the set is associated, whichever was",
    "aws:lb/listenerCertificate:ListenerCertificate": "a certificate that is there already isn't added again",
    "aws:ec2/peeringConnectionOptions:PeeringConnectionOptions": "they are set, whatever they were",
}
_PREFIXES: Mapping[str, str] = {
    "pulumi-python:dynamic/": "an operation looks first and does only what is missing",
    "pulumi:providers:": "a provider is only a setting",
    "kubernetes:": "it is applied, whatever is there",
}
_RECORD = "aws:route53/record:Record"


class Fate(Enum):
    """What becomes of a note."""

    REPEAT = "repeat"
    """The next `up` does it again, and that makes no second object."""
    SETTLED = "settled"
    """The state has it already."""
    ABSENT = "absent"
    """It isn't there: the next `up` makes it."""
    ADOPT = "adopt"
    """It is there, and is taken into the state."""
    REMOVE = "remove"
    """It is there, used by nobody, and deleted: the next `up` makes it again."""
    UNSURE = "unsure"
    """Somebody has to look."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A note's fate; `id` of the object to adopt or to remove; `why` in words."""

    operation: Operation
    fate: Fate
    id: str = ""
    why: str = ""

    def __str__(self) -> str:
        return f"{self.operation.resource}: {self.why}"


def repeatable(operation: Operation) -> str | None:
    """Why what was interrupted may simply be done again; None where it must be looked for first."""
    if operation.type != "creating":
        return f"was interrupted while {operation.type}; the next up looks at it again"
    resource = operation.resource
    if resource.type == _RECORD and resource.inputs.get("allowOverwrite") is True:
        return "is made again: the record is overwritten"
    found = REPEATABLE.get(resource.type) or next(
        (why for prefix, why in _PREFIXES.items() if resource.type.startswith(prefix)), None
    )
    return f"is made again: {found}" if found else None


def unknown_type(operation: Operation) -> Decision:
    """The note of a type that this program doesn't make."""
    why = (
        f"{operation.resource.type} is no type that this knows how to look for: look whether it was made. If so, "
        f"delete it; then pulumi refresh --clear-pending-creates"
    )
    return Decision(operation=operation, fate=Fate.UNSURE, why=why)


def decide(
    operation: Operation,
    state: Deployment,
    found: Sequence[Found],
    marks: Mapping[str, str],
    *,
    remove: str,
    removable: bool = False,
    used: Sequence[str] = (),
) -> Decision:
    """The fate of an interrupted create, where `found` is what is there in its place.

    `marks` are the tags it was to get. `remove` is the command that deletes one; `removable`: it isn't adopted but
    deleted, unless it is `used`.
    """
    resource = operation.resource
    known = state.find(resource.urn)
    others = [one for one in found if not state.holds(one.id)]
    if known is not None and (not others or not marks):
        # An earlier run took it over; or it was a replacement that made nothing. What has no tags is told by its
        # place, and a second one can't be there.
        return Decision(operation=operation, fate=Fate.SETTLED, id=known.id, why=f"is in the state, as {known.id}")

    def unsure(why: str) -> Decision:
        return Decision(operation=operation, fate=Fate.UNSURE, why=why)

    def ids(those: Sequence[Found]) -> str:
        return ", ".join(one.id for one in those)

    def removing(those: Sequence[Found]) -> str:
        return "; ".join(remove.format_map({**resource.inputs, "id": one.id}) for one in those)

    strangers = [one for one in others if not ours(one, marks)]
    if strangers:
        wanted = " ".join(f"{key}={value}" for key, value in sorted(marks.items()))
        return unsure(
            f"{ids(strangers)} is in its place without the tags {wanted}: somebody else's, or interrupted before it "
            f"was marked. Nobody's: {removing(strangers)}. Then recover again"
        )
    if known is not None:
        return unsure(
            f"{ids(others)} was made, and the state has another, {known.id}: a replacement that is half done, or one "
            f"made twice. Look that nothing uses {ids(others)}, then: {removing(others)}; then recover again"
        )
    if not others:
        return Decision(operation=operation, fate=Fate.ABSENT, why="wasn't made; the next up makes it")
    if len(others) > 1:
        return unsure(
            f"there are {len(others)} of it: {ids(others)}. Keep the one that is in use, and delete the "
            f"others ({removing(others)}); then recover again"
        )
    [one] = others
    if not removable:
        return Decision(
            operation=operation, fate=Fate.ADOPT, id=one.id, why=f"was made: {one.id}, taken into the state"
        )
    if used:
        return unsure(f"{one.id} was made, and {', '.join(used)} uses it already: look who made that group")
    return Decision(
        operation=operation,
        fate=Fate.REMOVE,
        id=one.id,
        why=f"was made: {one.id}, used by nobody, deleted; the next up makes it again",
    )


def ours(found: Found, marks: Mapping[str, str]) -> bool:
    """Whether an object carries the tags that this program gives with the creation, or can carry none."""
    return found.tags is None or (bool(marks) and marks.items() <= found.tags.items())


def import_file(decisions: Sequence[Decision]) -> dict[str, object]:
    """What `pulumi import --file` reads, for those to adopt: each under its own parent, by its own provider."""
    table: dict[str, str] = {}

    def name(urn: str) -> str:
        return next((key for key, value in table.items() if value == urn), None) or _added(table, urn)

    resources: list[dict[str, str]] = []
    for decision in decisions:
        resource: Resource = decision.operation.resource
        entry = {"type": resource.type, "name": resource.name, "id": decision.id}
        if resource.parent:
            entry["parent"] = name(resource.parent)
        if resource.provider_urn:
            entry["provider"] = name(resource.provider_urn)
        resources.append(entry)
    return {"nameTable": table, "resources": resources}


def _added(table: dict[str, str], urn: str) -> str:
    key = f"n{len(table)}"
    table[key] = urn
    return key
