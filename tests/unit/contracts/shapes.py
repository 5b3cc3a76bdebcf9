"""The contracts as they are declared: which there are, which fields they have, which models stand in those."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel

from migration import contracts

T = TypeVar("T", bound=BaseModel)

for _module in pkgutil.iter_modules(contracts.__path__):
    importlib.import_module(f"{contracts.__name__}.{_module.name}")


def every(base: type[T]) -> list[type[T]]:
    """All classes of the contracts that are made from `base`, none of them made further from."""
    made = [one for one in base.__subclasses__() if one.__module__.startswith(contracts.__name__)]
    return [last for one in made for last in every(one) or [one]]


def models(kind: Any) -> Iterator[type[BaseModel]]:
    """The models inside a field's type."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for argument in get_args(kind):
        yield from models(argument)
