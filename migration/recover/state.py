"""As much of a stack's exported state as recovering reads. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from migration.runtime.deadline import Permanent

# Of the format of a deployment: `apitype.DeploymentSchemaVersionCurrent`, and the one with features after it.
VERSIONS = (3, 4)
_ARN = re.compile(r"arn:[^:]+:[^:]*:[^:]*:(\d{12}):")


class Foreign(BaseModel):
    """Part of somebody else's document: what isn't read here may be anything."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Resource(Foreign):
    """One resource; inputs and outputs as the engine has them, secrets encrypted."""

    urn: str
    type: str
    id: str = ""
    delete: bool = False
    parent: str = ""
    provider: str = ""
    inputs: Mapping[str, Any] = Field(default_factory=dict)
    outputs: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.split("::", 3)[-1]

    @property
    def provider_urn(self) -> str:
        """The URN of its provider; empty where it has none. A reference is ``URN::ID``."""
        return self.provider.rpartition("::")[0]

    def __str__(self) -> str:
        return f"{self.type.rpartition(':')[2]} {self.name}"


class Operation(Foreign):
    """The engine's note that it was about to do something."""

    resource: Resource
    type: Literal["creating", "updating", "deleting", "reading", "importing"]


class Deployment(Foreign):
    """Resources, and notes of what was never seen to end."""

    resources: tuple[Resource, ...] = ()
    # Unlike all other keys of a state, this one has an underscore.
    pending_operations: tuple[Operation, ...] = Field(default=(), alias="pending_operations")

    def find(self, urn: str) -> Resource | None:
        """The resource of this URN that isn't about to be deleted."""
        return next((one for one in self.resources if one.urn == urn and not one.delete), None)

    def holds(self, id: str) -> bool:
        """Whether some resource is this object."""
        return any(one.id == id for one in self.resources)

    def accounts(self) -> frozenset[str]:
        """The AWS accounts that this stack's objects are in, as far as their ARNs say."""
        arns = [one.outputs.get("arn") for one in self.resources if one.type.startswith("aws:")]
        found = [_ARN.match(arn) for arn in arns if isinstance(arn, str)]
        return frozenset(match[1] for match in found if match)


class _Exported(Foreign):
    version: int
    deployment: Deployment


def parse(text: str) -> Deployment:
    """What `pulumi stack export` gave; raises `Permanent` where that isn't understood."""
    try:
        found = _Exported.model_validate_json(text)
    except ValidationError as error:
        # Where and why, and no value: user data may stand there.
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'all of it'}: {one['msg']}" for one in error.errors())
        raise Permanent(f"`pulumi stack export` gave something that isn't understood ({wrong})") from None
    if found.version not in VERSIONS:
        raise Permanent(
            f"the stack's state is of version {found.version}, and this program knows {', '.join(map(str, VERSIONS))}: "
            f"clear what is pending by hand (pulumi refresh), interactively"
        )
    return found.deployment


def without_notes(text: str) -> str:
    """The same exported state with nothing pending; everything else as it was."""
    state = json.loads(text)
    state["deployment"].pop("pending_operations", None)
    return json.dumps(state, indent=4)
