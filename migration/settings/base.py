"""What every part of the configuration is built on: its base model, ranges, numbers that may be texts."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Any, ClassVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel


def _cidr(value: str) -> str:
    network = IPv4Network(value)  # raises ValueError with a sentence of its own for host bits and nonsense
    if str(network) != value:
        raise ValueError(f"AWS wants the range written as {network}")
    return value


def number_as_text(value: object) -> object:
    """A number as the text it is written with; anything else as it is."""
    # YAML has 3 for a number and "3" for a text; who writes 3 means the same.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Cidr = Annotated[str, AfterValidator(_cidr)]


class Model(BaseModel):
    """Base of every part of the configuration, and of what travels behind it. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    dropped: ClassVar[frozenset[str]] = frozenset()
    """Keys that earlier versions wrote, into stack files or states, and nothing reads any more: left out on reading."""

    @model_validator(mode="before")
    @classmethod
    def _without_dropped(cls, data: Any) -> Any:
        if not cls.dropped or not isinstance(data, dict):
            return data
        return {key: value for key, value in cast(dict[str, Any], data).items() if key not in cls.dropped}
