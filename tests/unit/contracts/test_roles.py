"""What a change of a field means is said once for each: by the field, or by what holds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, get_args

import pytest
from pydantic import BaseModel

from migration.contracts.base import Contract, Inputs, Manner, Result, Role, Wanted
from migration.settings.model import Retired
from tests.unit.contracts.shapes import every, models


def marks(model: type[BaseModel], field: str) -> list[Role]:
    """Every role a field is declared with."""
    return [mark for mark in model.model_fields[field].metadata if isinstance(mark, Role)]


def hidden(kind: Any) -> bool:
    """Whether a role stands inside a type, where nothing sees it."""
    return any(isinstance(mark, Role) for mark in getattr(kind, "__metadata__", ())) or any(map(hidden, get_args(kind)))


def faults(model: type[BaseModel], holder: Role | None = None, path: str = "") -> Iterator[str]:
    """Fields of a contract that say no role or two, or one that isn't heard."""
    path = path or model.__name__
    for name, field in model.model_fields.items():
        here, said = f"{path}.{name}", marks(model, name)
        if hidden(field.annotation):
            yield f"{here}: the role stands inside of the type"
        elif len(said) > 1:
            yield f"{here}: two roles"
        elif not said and holder is None:
            yield f"{here}: no role"
        elif said and holder is Role.MANNER:
            yield f"{here}: a role inside of what is manner"
        for inner in models(field.annotation):
            yield from faults(inner, (said or [holder])[0], here)


@pytest.mark.parametrize("inputs", every(Inputs), ids=lambda inputs: inputs.__name__)
def test_every_input_is_wanted_or_manner(inputs: type[Inputs]) -> None:
    assert list(faults(inputs)) == []


@pytest.mark.parametrize("result", every(Result), ids=lambda result: result.__name__)
def test_a_result_has_no_role_since_nothing_compares_it(result: type[Result]) -> None:
    assert [name for name in result.model_fields if marks(result, name)] == []


def lost(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Fields that may be None and have no default: an engine's state keeps no null, so they would be missing."""
    path = path or model.__name__
    for name, field in model.model_fields.items():
        if field.is_required() and type(None) in get_args(field.annotation):
            yield f"{path}.{name}"
        for inner in models(field.annotation):
            yield from lost(inner, f"{path}.{name}")


@pytest.mark.parametrize("contract", [*every(Inputs), *every(Result)], ids=lambda contract: contract.__name__)
def test_what_may_be_none_may_be_missing_since_states_keep_no_null(contract: type[BaseModel]) -> None:
    assert list(lost(contract)) == []


class _Nullable(Contract):
    said: int | None


def test_a_field_that_a_state_would_lose_is_named() -> None:
    assert list(lost(_Nullable)) == ["_Nullable.said"]


class _Inner(Contract):
    plain: int
    paced: Manner[int]


class _Faulty(Inputs):
    shown: ClassVar[str] = "x"

    nothing: int
    both: Wanted[Manner[int]]
    inside: Wanted[int] | None
    manner: Manner[_Inner]
    wanted: Wanted[_Inner]


def test_a_field_without_a_role_with_two_or_with_one_that_is_not_heard_is_found() -> None:
    assert list(faults(_Faulty)) == [
        "_Faulty.nothing: no role",
        "_Faulty.both: two roles",
        "_Faulty.inside: the role stands inside of the type",
        "_Faulty.manner.paced: a role inside of what is manner",
    ]


def test_a_model_inside_a_contract_is_followed() -> None:
    fields = [field for inputs in every(Inputs) for field in inputs.model_fields.values()]
    inside = {inner for field in fields for inner in models(field.annotation)}
    assert Retired in inside
    assert len(inside) > 20
