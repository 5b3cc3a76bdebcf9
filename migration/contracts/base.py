"""What every contract is: frozen, complete, and each field either *wanted* or *manner*."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Any, ClassVar, TypedDict, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, SecretStr

from migration.settings import Settings
from migration.settings.model import Model

T = TypeVar("T")


class Role(Enum):
    """What a change of a field means."""

    WANTED = "wanted"
    """What shall be: a change of it runs the operation."""
    MANNER = "manner"
    """How it is done: a change of it runs nothing; the next run uses it."""


Wanted = Annotated[T, Role.WANTED]
Manner = Annotated[T, Role.MANNER]

SecretText = Annotated[SecretStr, PlainSerializer(SecretStr.get_secret_value, return_type=str)]
"""Text that no message may show. It leaves a contract only by name, or whole, where the engine keeps it encrypted."""


class Contract(Model):
    """Base of everything that travels between components, providers and operations."""

    # A contract that can't be read is told by field and reason: its value may be somebody's user data.
    model_config = ConfigDict(hide_input_in_errors=True)


class Connection(Contract):
    """How an operation reaches AWS and the cluster. `kubeconfig` is a path, or the YAML itself, which is a secret."""

    region: str
    kubeconfig: str | None = Field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Connection:
        """What the configuration says."""
        return cls(region=settings.region, kubeconfig=settings.configuration.kubeconfig)


class Common(TypedDict):
    """What every operation's inputs have."""

    cluster: str
    connection: Connection
    timeout_seconds: int


def common(settings: Settings, timeout_seconds: int) -> Common:
    """The same, from the configuration; it may take so long (seconds)."""
    return {
        "cluster": settings.configuration.cluster,
        "connection": Connection.of(settings),
        "timeout_seconds": timeout_seconds,
    }


class Inputs(Contract):
    """What every operation is given. `timeout_seconds` bounds all of its waits together."""

    shown: ClassVar[str]
    """The one key that previews show; `say` is its value."""

    cluster: Wanted[str]
    connection: Manner[Connection]
    timeout_seconds: Manner[int]

    def say(self) -> str:
        """What is wanted, in an operator's words: previews show this, and how it changes, instead of the inputs."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """What tells this operation from others of its kind, in its log lines; may be empty."""
        return ""

    @property
    def again(self) -> bool:
        """Whether to run although the same was wanted before."""
        return False

    def wanted_part(self) -> dict[str, Any]:
        """The wanted part, in plain data: two inputs with equal ones ask for the same."""
        return _wanted(self)


class Undoing(Inputs):
    """Inputs of an operation that lower stages declare too, where it takes back what higher ones did.

    `returning`: a way back is under way, or one that was begun is turned round. Then it runs whatever it did before: a
    step that failed higher up has done part of its work, and a state doesn't know. Otherwise one that is declared for
    the first time has nothing to take back, and looks at nothing.
    """

    returning: Manner[bool] = False

    @property
    def takes_back(self) -> bool:
        """Whether what is wanted is what was before the migration."""
        raise NotImplementedError

    @property
    def idle(self) -> bool:
        """Whether there can be nothing to do for an operation that never ran."""
        return self.takes_back and not self.returning

    @property
    def again(self) -> bool:
        """On a way back."""
        return self.returning


class Result(Contract):
    """What an operation gives back, kept in the stack's state and handed to its next run."""

    secret: ClassVar[bool] = False
    """Whether it holds a secret: then the state keeps all of it encrypted, and what is taken out is marked anew."""


def role_of(model: type[BaseModel], field: str) -> Role | None:
    """The role a model's field is declared with; None if it says nothing and its holder decides."""
    return next((mark for mark in model.model_fields[field].metadata if isinstance(mark, Role)), None)


def _wanted(model: BaseModel) -> dict[str, Any]:
    return {
        name: _plain(getattr(model, name))
        for name in type(model).model_fields
        if role_of(type(model), name) is not Role.MANNER
    }


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return _wanted(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in cast(Sequence[object], value)]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in cast(dict[str, object], value).items()}
    return value
