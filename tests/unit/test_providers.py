"""The adapter between Pulumi and operations: create, diff, update, delete, and a create that was interrupted."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

import pytest
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime import rpc
from pulumi.runtime.rpc import UNKNOWN
from pydantic import Field, ValidationError

from migration.contracts.base import Connection, Inputs, Manner, Result, Wanted
from migration.contracts.packed import pack, unpack
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent
from providers import operations
from providers.operation import OperationProvider, OperationResource
from tests.unit.contracts.shapes import every


class FakeInputs(Inputs):
    """One field of each role, one with a number, one kept under another name."""

    shown: ClassVar[str] = "thing"

    wanted: Wanted[str]
    count: Wanted[int]
    from_side: Annotated[Wanted[str], Field(alias="from")]
    pace: Manner[int]

    def say(self) -> str:
        """What is wanted."""
        return f"{self.count} {self.wanted}"


class FakeResult(Result):
    """The steps that were done."""

    steps: tuple[str, ...]
    times: int = 0


# As the engine hands it over: every number a float.
INPUTS: dict[str, Any] = {
    "cluster": "pet",
    "connection": {"region": "eu-central-1", "kubeconfig": None},
    "timeoutSeconds": 30.0,
    "wanted": "new",
    "count": 3.0,
    "from": "legacy",
    "pace": 50.0,
}
RESULT = {"steps": ["add", "promote", "remove"], "times": 0}


def props(result: Any = None, **changes: Any) -> dict[str, Any]:
    """The properties of a resource, with these inputs changed."""
    return {"__provider": "pickled", "thing": "3 new", "inputs": {**INPUTS, **changes}, "result": result}


class World:
    """What the fake operation changes: it observes first, and may die in the middle."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.calls: list[tuple[FakeInputs, FakeResult | None]] = []
        self.die_after: str | None = None
        self.refuse = ""
        self.verified: list[str] = []

    def run(self, inputs: FakeInputs, previous: FakeResult | None, context: Context) -> FakeResult:
        self.calls.append((inputs, previous))
        if self.refuse:
            raise Permanent(self.refuse)
        for step in ("add", "promote", "remove"):
            if step not in self.done:
                self.done.append(step)
                if step == self.die_after:
                    raise KeyboardInterrupt
        return FakeResult(steps=tuple(self.done))


class FakeProvider(OperationProvider[FakeInputs, FakeResult]):
    inputs_type, result_type = FakeInputs, FakeResult
    operation = "fake_for_tests"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world, module = World(), ModuleType("migration.operations.fake_for_tests")
    module.__dict__["run"] = world.run
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(
        "migration.stages.identity.verify_cluster", lambda clients, cluster: world.verified.append(cluster)
    )
    return world


def test_create_gives_a_deterministic_id_and_full_outputs(world: World) -> None:
    made = FakeProvider().create(props())
    assert made.id == "fake_for_tests/pet"
    assert made.outs is not None
    assert {**made.outs, "inputs": unpack(made.outs["inputs"])} == {
        "thing": "3 new",
        "inputs": INPUTS,
        "result": RESULT,
    }


def test_the_operation_gets_a_contract_with_whole_numbers(world: World) -> None:
    FakeProvider().create(props())
    inputs, previous = world.calls[0]
    assert previous is None
    assert inputs == FakeInputs(
        cluster="pet",
        connection=Connection(region="eu-central-1"),
        timeout_seconds=30,
        wanted="new",
        count=3,
        from_side="legacy",
        pace=50,
    )
    assert isinstance(inputs.count, int)


@pytest.mark.parametrize("wrong", [{"cuont": 3}, {"count": "many"}, {"count": 2.5}])
def test_inputs_that_are_not_the_contracts_never_reach_the_operation(world: World, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        FakeProvider().create(props(**wrong))
    assert world.calls == []


def test_an_interrupted_create_is_made_again_and_does_only_what_remains(world: World) -> None:
    world.die_after = "promote"
    with pytest.raises(KeyboardInterrupt):
        FakeProvider().create(props())
    world.die_after = None
    again = FakeProvider().create(props())
    assert again.id == "fake_for_tests/pet"
    assert world.done == ["add", "promote", "remove"]  # nothing twice


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        ({}, False),
        ({"wanted": "old"}, True),
        ({"count": 4}, True),
        ({"count": 3}, False),
        ({"from": "main"}, True),
        ({"pace": 1}, False),
        ({"timeoutSeconds": 60}, False),
        ({"connection": {"region": "eu-central-1", "kubeconfig": "/elsewhere"}}, False),
    ],
)
def test_only_what_is_wanted_makes_a_difference_and_never_a_replacement(change: dict[str, Any], changes: bool) -> None:
    found = FakeProvider().diff("id", props(RESULT), {**props(**change), "__provider": "pickled anew"})
    assert (found.changes, found.replaces) == (changes, [])


def as_the_host_reads_it(value: str) -> Any:
    sent = Struct()
    sent["inputs"] = value
    return rpc.deserialize_properties(sent, True)["inputs"]


@pytest.mark.parametrize("unknown", [UNKNOWN, as_the_host_reads_it(UNKNOWN)], ids=["text", "as the host reads it"])
def test_what_is_not_known_yet_is_a_change(unknown: Any) -> None:
    assert FakeProvider().diff("id", props(RESULT), {**props(), "inputs": unknown}).changes is True


def flat(**changes: Any) -> dict[str, Any]:
    """As earlier versions kept it: inputs side by side, with some that are gone since."""
    return {"__provider": "pickled", **INPUTS, "label": "gone since", **changes, "result": RESULT}


@pytest.mark.parametrize(
    ("old", "changes"),
    [
        (flat(), False),
        (flat(timeoutSeconds=60.0, pace=1.0), False),
        (flat(wanted="old"), True),
        (flat(**{"from": "main"}), True),
        ({key: value for key, value in flat().items() if key != "count"}, True),
    ],
    ids=["same", "manner", "wanted", "wanted by another name", "missing"],
)
def test_inputs_that_an_earlier_version_kept_side_by_side_are_compared_by_name(
    old: dict[str, Any], changes: bool
) -> None:
    found = FakeProvider().diff("id", old, props())
    assert (found.changes, found.replaces) == (changes, [])


def test_packed_inputs_are_the_same_as_those_an_earlier_version_kept_plain(world: World) -> None:
    packed = {**props(), "inputs": pack(INPUTS)}
    assert FakeProvider().diff("id", props(), packed).changes is False
    assert FakeProvider().diff("id", packed, packed).changes is False
    assert FakeProvider().diff("id", packed, {**props(), "inputs": pack({**INPUTS, "count": 4})}).changes is True
    FakeProvider().create(packed)
    assert world.calls[0][0].wanted == "new"


def test_packed_inputs_that_were_cut_are_asked_for_again(world: World) -> None:
    cut = {**props(), "inputs": pack(INPUTS)[:-8]}
    assert FakeProvider().diff("id", cut, {**props(), "inputs": pack(INPUTS)}).changes is True
    with pytest.raises(Exception, match="can't be read by this version"):
        FakeProvider().update("id", props("deflate:!"), props(wanted="old"))


def test_a_secret_result_is_kept_packed_and_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeResult, "secret", True)
    made = FakeProvider().create(props())
    assert made.outs is not None
    assert unpack(made.outs["result"]) == RESULT != made.outs["result"]
    FakeProvider().update("id", made.outs, props(wanted="old"))
    assert world.calls[1][1] == FakeResult(steps=("add", "promote", "remove"))


def test_a_result_that_nobody_would_read_in_a_state_is_kept_packed_and_read_again(world: World) -> None:
    world.done = ["add", "promote", "remove", *(f"nodes-{number}.pet" for number in range(144))]
    many = FakeResult(steps=tuple(world.done))
    made = FakeProvider().create(props())
    assert made.outs is not None
    kept = made.outs["result"]
    assert unpack(kept) == {"steps": list(many.steps), "times": many.times}
    assert len(kept) < len(str(unpack(kept))) / 2
    FakeProvider().update("id", made.outs, props(wanted="old"))
    assert world.calls[1][1] == many


def test_update_hands_on_what_the_last_run_gave(world: World) -> None:
    updated = FakeProvider().update("id", props({"steps": ["add"], "times": 2.0}), props(wanted="old"))
    assert world.calls[0][1] == FakeResult(steps=("add",), times=2)
    assert updated.outs is not None
    assert updated.outs["thing"] == "3 old"
    assert unpack(updated.outs["inputs"])["wanted"] == "old"
    assert updated.outs["result"] == RESULT


def test_update_hands_on_what_an_earlier_version_kept(world: World) -> None:
    FakeProvider().update("id", flat(), props(wanted="old"))
    assert world.calls[0][1] == FakeResult(steps=("add", "promote", "remove"))


def test_delete_changes_nothing(world: World) -> None:
    FakeProvider().delete("id", props({}))
    assert world.calls == []


class Guarding(FakeProvider):
    guards = True


def test_what_an_operation_guards_is_deleted_only_as_it_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[FakeInputs] = []

    def release(inputs: FakeInputs, context: Context) -> None:
        released.append(inputs)
        if inputs.wanted == "new":
            raise Permanent("pods are there")

    monkeypatch.setattr(sys.modules["migration.operations.fake_for_tests"], "release", release, raising=False)
    with pytest.raises(Exception, match=r"fake_for_tests.*pods are there"):
        Guarding().delete("id", props({}))
    Guarding().delete("id", props({}, wanted="old"))
    assert [one.wanted for one in released] == ["new", "old"]
    assert world.calls == []


def test_a_guard_that_can_not_read_what_it_guards_refuses(world: World) -> None:
    for state in (flat(), {**props({}), "inputs": {"wanted": "new"}}):
        with pytest.raises(Exception, match="written by another version"):
            Guarding().delete("id", state)


def test_a_refusal_is_one_sentence_naming_the_operation(world: World) -> None:
    world.refuse = "etcd has raised NOSPACE: compact first"
    with pytest.raises(Exception, match=r"^fake_for_tests: etcd has raised NOSPACE: compact first$") as caught:
        FakeProvider().create(props())
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


RESOURCES = [
    item
    for item in vars(operations).values()
    if isinstance(item, type) and issubclass(item, OperationResource) and item is not OperationResource
]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.__name__)
def test_a_resource_and_its_operation_speak_of_the_same_contracts(resource: type[OperationResource[Any, Any]]) -> None:
    provider = resource.provider_class()
    run = importlib.import_module(f"migration.operations.{provider.operation}").run
    hints = get_type_hints(run)
    assert hints["inputs"] is provider.inputs_type
    assert hints["previous"] == provider.result_type | None
    assert hints["return"] is provider.result_type
    assert get_args(resource.__orig_bases__[0]) == (provider.inputs_type, provider.result_type)  # pyright: ignore[reportAttributeAccessIssue] - typing's own


def test_every_contract_of_an_operation_has_its_resource() -> None:
    assert {resource.provider_class().inputs_type for resource in RESOURCES} == set(every(Inputs))
    assert {resource.provider_class().result_type for resource in RESOURCES} == set(every(Result))
    assert len(RESOURCES) == 19


def test_every_operation_but_the_one_that_begins_is_held_to_the_records_cluster(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeProvider().create(props())
    assert world.verified == ["pet"]

    def another(clients: Any, cluster: str) -> None:
        raise Permanent(f"the kubeconfig leads to another cluster than {cluster}")

    monkeypatch.setattr("migration.stages.identity.verify_cluster", another)
    world.calls.clear()
    with pytest.raises(Exception, match="another cluster than pet"):
        FakeProvider().create(props())
    assert world.calls == [], "nothing is done on a cluster that isn't the one"
    beginning = [one for one in vars(operations).values() if isinstance(one, type) and getattr(one, "begins", False)]
    assert [provider.operation for provider in beginning if provider is not OperationProvider] == ["record"]


def test_a_gate_of_an_unsettled_stage_is_asked_again_and_one_at_rest_is_not() -> None:
    gate = operations.Gate.provider_class()
    inputs = {key: INPUTS[key] for key in ("cluster", "connection", "timeoutSeconds")}
    inputs |= {"stage": 4, "position": "before", "questions": []}
    olds = {"checks": "x", "inputs": {**inputs, "unsettled": True}, "result": None}
    for unsettled, asked in ((True, True), (False, False)):
        news = {"checks": "x", "inputs": {**inputs, "unsettled": unsettled}, "result": None}
        assert gate.diff("id", olds, news).changes is asked
