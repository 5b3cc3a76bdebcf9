"""The adapter between Pulumi and operations: create, diff, update, delete, and a create that was interrupted."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest

from migration.runtime.context import Context
from migration.runtime.deadline import Permanent
from providers import operations
from providers.operation import OperationProvider

INPUTS: dict[str, Any] = {
    "__provider": "pickled",
    "cluster": "pet",
    "connection": {"region": "eu-central-1", "kubeconfig": None},
    "timeoutSeconds": 30.0,
    "wanted": "new",
    "count": 3.0,
}


class World:
    """What the fake operation changes: it observes first, and may die in the middle."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.calls: list[tuple[dict[str, Any], Mapping[str, Any] | None]] = []
        self.die_after: str | None = None
        self.refuse = ""

    def run(self, inputs: dict[str, Any], previous: Mapping[str, Any] | None, context: Context) -> dict[str, Any]:
        self.calls.append((inputs, previous))
        if self.refuse:
            raise Permanent(self.refuse)
        for step in ("add", "promote", "remove"):
            if step not in self.done:
                self.done.append(step)
                if step == self.die_after:
                    raise KeyboardInterrupt
        return {"steps": list(self.done)}


class FakeProvider(OperationProvider):
    operation = "fake_for_tests"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world, module = World(), ModuleType("migration.operations.fake_for_tests")
    module.__dict__["run"] = world.run
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return world


def test_create_gives_a_deterministic_id_and_full_outputs(world: World) -> None:
    made = FakeProvider().create(INPUTS)
    assert made.id == "fake_for_tests/pet"
    assert made.outs == {
        "cluster": "pet",
        "connection": {"region": "eu-central-1", "kubeconfig": None},
        "timeoutSeconds": 30,
        "wanted": "new",
        "count": 3,
        "result": {"steps": ["add", "promote", "remove"]},
    }


def test_numbers_reach_the_operation_whole_and_the_provider_itself_does_not(world: World) -> None:
    FakeProvider().create(INPUTS)
    inputs, previous = world.calls[0]
    assert previous is None
    assert inputs["count"] == 3
    assert isinstance(inputs["count"], int)
    assert "__provider" not in inputs


def test_an_interrupted_create_is_made_again_and_does_only_what_remains(world: World) -> None:
    world.die_after = "promote"
    with pytest.raises(KeyboardInterrupt):
        FakeProvider().create(INPUTS)
    world.die_after = None
    again = FakeProvider().create(INPUTS)
    assert again.id == "fake_for_tests/pet"
    assert world.done == ["add", "promote", "remove"]  # nothing twice


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        ({}, False),
        ({"wanted": "old"}, True),
        ({"added": 1}, True),
        ({"timeoutSeconds": 60}, False),
        ({"connection": {"region": "eu-central-1", "kubeconfig": "/elsewhere"}}, False),
        ({"__provider": "pickled anew"}, False),
        ({"count": 3}, False),
    ],
)
def test_only_what_is_wanted_makes_a_difference_and_never_a_replacement(change: dict[str, Any], changes: bool) -> None:
    olds = {**INPUTS, "result": {"steps": []}}
    news = {**INPUTS, **change, "result": None}
    found = FakeProvider().diff("id", olds, news)
    assert (found.changes, found.replaces) == (changes, [])


def test_an_input_that_goes_away_is_a_change(world: World) -> None:
    news = {key: value for key, value in INPUTS.items() if key != "count"}
    assert FakeProvider().diff("id", dict(INPUTS), news).changes is True


def test_update_hands_on_what_the_last_run_gave(world: World) -> None:
    updated = FakeProvider().update("id", {**INPUTS, "result": {"sizes": {"a": 2.0}}}, {**INPUTS, "wanted": "old"})
    assert world.calls[0][1] == {"sizes": {"a": 2}}
    assert updated.outs is not None
    assert updated.outs["wanted"] == "old"
    assert updated.outs["result"] == {"steps": ["add", "promote", "remove"]}


def test_delete_changes_nothing(world: World) -> None:
    FakeProvider().delete("id", {**INPUTS, "result": {}})
    assert world.calls == []


def test_a_refusal_is_one_sentence_naming_the_operation(world: World) -> None:
    world.refuse = "etcd has raised NOSPACE: compact first"
    with pytest.raises(Exception, match=r"^fake_for_tests: etcd has raised NOSPACE: compact first$") as caught:
        FakeProvider().create(INPUTS)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_every_operation_resource_has_its_operation() -> None:
    found = [item for item in vars(operations).values() if isinstance(item, type) and hasattr(item, "provider_class")]
    assert len(found) >= 12
    for resource in found:
        if resource.__module__ == operations.__name__:
            name = resource.provider_class.operation
            assert __import__(f"migration.operations.{name}", fromlist=["run"]).run
