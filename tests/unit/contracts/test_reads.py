"""Every field of a contract is read by the operation that is given it; every key of the configuration is read."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

import components
import migration
from migration.contracts.base import Contract, Inputs, Manner, Result, Role, Wanted, role_of
from migration.contracts.gates import QUESTIONS, GateInputs
from migration.contracts.record import StageRecordInputs
from migration.contracts.service_balancers import ServiceBalancersInputs
from migration.etcd.over_ssm import OverSsm
from migration.gates import CHECKS
from migration.gates.run import run_checks
from migration.layouts.pki import SOURCES
from migration.layouts.registry import LAYOUTS
from migration.runtime.context import Context
from migration.settings.model import Configuration
from providers import operations
from providers.operation import OperationProvider, OperationResource
from tests.unit.contracts.reads import Read, functions, holds, reads
from tests.unit.contracts.shapes import models

# What the adapter does with every operation's inputs. `say` isn't followed from there: it is of no one contract.
ADAPTER = [(vars(OperationProvider)[name], OperationProvider) for name in ("create", "update", "_run")]
OPERATIONS = {
    provider.inputs_type: importlib.import_module(f"migration.operations.{provider.operation}").run
    for provider in (
        resource.provider_class()
        for resource in vars(operations).values()
        if isinstance(resource, type) and issubclass(resource, OperationResource) and resource is not OperationResource
    )
}

# Adapters of the control plane's form, and the places of its keys, are looked up by name; a roll's way to etcd stands
# behind a protocol.
BY_NAME = [
    (OverSsm.__init__, OverSsm),
    *((vars(type(one))[name], type(one)) for one in LAYOUTS.values() for name in ("commands", "user_data")),
    *((vars(type(one))["told"], type(one)) for one in SOURCES.values()),
]


# What says by being there, or by changing, that an operation has to run: nothing reads it inside of one.
WHETHER = {(StageRecordInputs, "form"), (GateInputs, "unsettled"), (ServiceBalancersInputs, "unsettled")}


def words(inputs: type[Inputs]) -> set[Read]:
    """What is read to tell people, in previews and logs."""
    return reads((inputs.say, inputs), (vars(inputs).get("label"), inputs))


def unread(
    model: type[BaseModel], found: set[Read], told: Iterable[Read] = (), role: Role | None = None, path: str = ""
) -> Iterator[str]:
    """Fields that nothing reads. For what is manner, being told to people is enough."""
    path = path or model.__name__
    for name, field in model.model_fields.items():
        here, own = f"{path}.{name}", role_of(model, name) or role
        if not holds(found, model, name) and not (own is Role.MANNER and holds({*told}, model, name)):
            yield here
        for inner in models(field.annotation):
            yield from unread(inner, found, told, own, here)


@pytest.mark.parametrize("inputs", OPERATIONS, ids=lambda inputs: inputs.__name__)
def test_every_field_of_an_operations_inputs_is_read_by_it(inputs: type[Inputs]) -> None:
    # A gate's checks are looked up by name; what each reads itself is the next test's.
    roots = [(CHECKS[name], None) for name in CHECKS] if inputs is GateInputs else []
    # What guards reads when it is to be deleted.
    if release := vars(importlib.import_module(OPERATIONS[inputs].__module__)).get("release"):
        roots.append((release, None))
    found = reads((OPERATIONS[inputs], None), *roots, *BY_NAME, *ADAPTER) | WHETHER
    assert list(unread(inputs, found, words(inputs))) == []


@pytest.mark.parametrize("check", QUESTIONS)
def test_every_field_of_a_question_is_read_by_its_own_check(check: str) -> None:
    question = QUESTIONS[check]
    found = reads((CHECKS[check], None), (run_checks, None))
    assert [name for name in question.model_fields if not holds(found, question, name)] == []


def test_a_field_that_is_only_told_may_be_manner_and_never_wanted() -> None:
    only_told = [
        f"{inputs.__name__}.{name}"
        for inputs, run in OPERATIONS.items()
        for done, told in [(reads((run, None), *BY_NAME, *ADAPTER), words(inputs))]
        for name in inputs.model_fields
        if not holds(done, inputs, name) and holds(told, inputs, name)
    ]
    assert only_told == [
        "GroupNoteInputs.side",
        "WorkerGuardInputs.side",
        "TaintInputs.side",
        "DrainInputs.side",
        "WorkerScaleInputs.side",
        "MemberRollInputs.side",
    ]


class _Part(Contract):
    size: int
    colour: str


class _Inputs(Inputs):
    """Read in every way there is, but for four fields."""

    shown: ClassVar[str] = "x"

    wanted: Wanted[str]
    parts: Wanted[tuple[_Part, ...]]
    named: Wanted[dict[str, _Part]]
    told: Manner[str]
    told_and_wanted: Wanted[str]
    forgotten: Wanted[int]
    paced: Manner[int]

    def say(self) -> str:
        """Two fields."""
        return f"{self.told} {self.told_and_wanted}"


class _Other:
    """Has a field of the name of one that is forgotten."""

    forgotten: int = 0


class _Result(Result):
    pass


def _helper(parts: dict[str, _Part]) -> list[int]:
    return [part.size for _, part in sorted(parts.items())]


def _run(inputs: _Inputs, previous: _Result | None, context: Context) -> _Result:
    def inside() -> str:
        return inputs.wanted

    other = _Other()
    context.log(f"{inside()} {other.forgotten} {max(inputs.parts, key=lambda part: part.size)}")
    _helper(inputs.named)
    return _Result()


def test_a_field_that_nobody_reads_is_named() -> None:
    assert list(unread(_Inputs, reads((_run, None), *ADAPTER), words(_Inputs))) == [
        "_Inputs.parts.colour",
        "_Inputs.named.colour",
        "_Inputs.told_and_wanted",
        "_Inputs.forgotten",
        "_Inputs.paced",
    ]


def _modules(package: Any) -> Iterator[str]:
    yield package.__name__
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield found.name


# Where configuration is made and judged: what only is written or checked there does nothing.
MAKERS = ("migration.discover", "migration.settings", "migration.__main__", "migration.etcd.boot")


def test_every_key_of_the_configuration_is_read() -> None:
    modules = [name for package in (components, migration) for name in _modules(package) if not name.startswith(MAKERS)]
    found = reads(*(root for module in modules for root in functions(module)))
    # Whom to ask about an object stands there for people; a side's kind is what loading settles.
    assert sorted(set(unread(Configuration, found))) == [
        "Configuration.keep.owner",
        "Configuration.sides.kind",
    ]
