"""A lost state: what is refused before anything is written, and that a recovery cut short goes on."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from migration.contracts.base import Connection, Inputs
from migration.contracts.record import Record, StageRecordInputs, StageRecordResult
from migration.contracts.workers import Group, GroupNoteInputs, Template
from migration.recover import IDENTITY, lost, places, results
from migration.recover.lost import mended, rebuild, refuse_unsettled
from migration.recover.objects import Found, Kind, Tagged
from migration.recover.places import UNREADABLE, imported, locate
from migration.recover.pulumi import Program
from migration.recover.results import Known
from migration.recover.run import Place
from migration.recover.state import Resource
from migration.runtime.deadline import Permanent
from providers import operations
from providers.operation import OperationProvider
from tests.samples import COMMON, settings
from tests.unit.recover.test_run import urn

OWNER = "migration/default"
BEGIN = "pulumi-python:dynamic/migration:StageRecord"
VPC = "aws:ec2/vpc:Vpc"


def recorded(reached: int, tried: int | None = None, stack: str | None = "old") -> Record:
    tried = reached if tried is None else tried
    return Record(owner=OWNER, from_side="legacy", to_side="main", reached=reached, tried=tried, stack=stack)


def begin(stack: str) -> dict[str, Any]:
    result = StageRecordResult(record=recorded(3), stack=stack).model_dump(mode="json", by_alias=True)
    return {"urn": urn(BEGIN, "begin"), "type": BEGIN, "id": "record/pet", "outputs": {"result": result}}


@dataclass
class World:
    """An engine whose program imports everything at once, or fails at one of its runs."""

    folder: Path
    record: Record | None = None
    resources: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    ran: list[Program] = field(default_factory=list[Program])
    identities: set[str] = field(default_factory=set[str])
    fails: Program | None = None
    stack: str = "stage-3"
    url: str = "s3://somewhere"

    def backend(self) -> str:
        return self.url

    def export(self) -> str:
        return json.dumps({"version": 3, "deployment": {"resources": self.resources}})

    def adopt(self, wanted: Mapping[str, object]) -> None:
        raise AssertionError("the program's own up imports")

    def replace(self, state: str) -> None:
        self.resources = json.loads(state)["deployment"]["resources"]

    def run_program(self, what: Program, environment: Mapping[str, str]) -> None:
        self.ran.append(what)
        if what == "import":
            self.identities.add(environment[IDENTITY])
            self.resources = [begin(environment[IDENTITY])]
        if what == self.fails:
            raise Permanent(f"{what} failed")
        if what == "import":
            record = {"urn": urn("aws:route53/record:Record", "r"), "type": "aws:route53/record:Record", "id": "r"}
            self.resources.append(record)

    def place(self) -> Place:
        def aws(region: str) -> Any:
            raise AssertionError("nothing is pending")

        return Place(folder=self.folder, project="migration", engine=self, aws=aws)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, recorded(3))
    monkeypatch.setattr(lost, "read_record", lambda aws, cluster: made.record)

    def adopt(aws: object, cluster: str, *, seen: Record, stack: str) -> None:
        assert seen == made.record
        made.record = seen.model_copy(update={"stack": stack})

    monkeypatch.setattr(lost, "adopt_stack", adopt)
    monkeypatch.setattr("migration.recover.run.settle", lambda folder, say: None)
    return made


def run(world: World, stage: int = 3) -> list[str]:
    said: list[str] = []
    aws: Any = None
    rebuild(world.place(), settings(stage), aws, OWNER, said.append)
    return said


def test_all_is_looked_for_before_it_is_imported_and_the_record_knows_the_new_state_last(world: World) -> None:
    said = run(world)
    assert world.ran == ["look", "import", "check"]
    assert world.record is not None and world.record.stack in world.identities
    assert said[-1] == "nothing differs; next: pulumi up --stack stage-3, the same as before"
    # What no provider can read is as the program has it.
    assert world.resources[1]["inputs"] == world.resources[1]["outputs"] == {"allowOverwrite": True}
    with pytest.raises(Permanent, match="has a state of 2 resources, so it isn't lost"):
        run(world)
    assert world.ran == ["look", "import", "check"]


@pytest.mark.parametrize("fails", ["look", "import"])
def test_a_failure_leaves_the_record_and_the_same_command_goes_on(world: World, fails: Program) -> None:
    before = world.record
    world.fails = fails
    with pytest.raises(Permanent, match=f"{fails} failed"):
        run(world)
    assert world.record == before
    world.fails = None
    run(world)
    assert len(world.identities) == 1, "what was begun keeps its identity"
    assert world.record is not None and world.record.stack in world.identities


def test_while_somebody_works_on_the_stack_nothing_is_begun(world: World) -> None:
    world.url = f"file://{world.folder}"
    locks = world.folder / ".pulumi" / "locks" / "organization" / "migration" / world.stack
    locks.mkdir(parents=True)
    held = {"pid": os.getpid(), "username": "u", "hostname": socket.gethostname()}
    (locks / "a.json").write_text(json.dumps({**held, "timestamp": datetime.now(UTC).isoformat()}))
    with pytest.raises(Permanent, match=rf"locked by process {os.getpid()} .* that process runs"):
        run(world)
    assert world.ran == [] and world.record == recorded(3)


@pytest.mark.parametrize(
    "resource",
    [begin("old"), begin("another"), {"urn": urn(VPC, "v"), "type": VPC, "id": "vpc-1"}],
)
def test_a_state_that_is_there_is_not_touched(world: World, resource: dict[str, Any]) -> None:
    world.resources = [resource]
    with pytest.raises(Permanent, match=r"has a state of 1 resources, so it isn't lost: .*without --state-lost"):
        run(world)
    assert world.ran == [] and world.resources == [resource]


@pytest.mark.parametrize(
    ("record", "stage", "said"),
    [
        (None, 3, "has no record of a migration .*record --restore STAGE"),
        (recorded(3).model_copy(update={"owner": "other/x"}), 3, "driven by other/x, not by migration/default"),
        (recorded(3, 4), 4, "stage 4 of cluster pet was begun and stage 3 is what was reached"),
        (recorded(3, 2), 2, "stage 2 of cluster pet was begun"),
        (recorded(3), 4, "has reached stage 3, and migration:stage is 4: set it to 3"),
    ],
)
def test_only_a_stage_that_was_reached_is_built_anew(
    world: World, record: Record | None, stage: int, said: str
) -> None:
    with pytest.raises(Permanent, match=said):
        refuse_unsettled(record, settings(stage), OWNER)
    world.record = record
    with pytest.raises(Permanent, match=said):
        run(world, stage)
    assert world.ran == []


def test_what_nobody_can_read_back_is_added_once() -> None:
    kind, wanted = "aws:ec2/launchTemplate:LaunchTemplate", {"updateDefaultVersion": True}
    text = json.dumps({"version": 3, "deployment": {"resources": [{"type": kind, "inputs": {"name": "t"}}]}})
    patched = mended(text)
    [one] = json.loads(patched)["deployment"]["resources"]
    assert one == {"type": kind, "inputs": {"name": "t", **wanted}, "outputs": wanted}
    assert mended(patched) == patched
    assert UNREADABLE[kind] == wanted


def test_an_imports_secrets_are_marked_and_encrypted_ones_left() -> None:
    mark = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
    inputs = {"userData": "plain", "other": "o", "done": {**mark, "ciphertext": "v1:x"}}
    one = {"type": "t", "inputs": inputs, "additionalSecretOutputs": ["userData", "done", "absent"]}
    patched = mended(json.dumps({"version": 3, "deployment": {"resources": [one]}}))
    [found] = json.loads(patched)["deployment"]["resources"]
    assert found["inputs"] == {**inputs, "userData": {**mark, "plaintext": '"plain"'}}
    assert mended(patched) == patched


# What is found.


def located(monkeypatch: pytest.MonkeyPatch, *found: Found) -> str:
    kind = Kind(inputs=Tagged, find=lambda aws, wanted: iter(found))
    monkeypatch.setattr(places, "KINDS", {VPC: kind})
    aws: Any = None
    return locate(aws, Resource(urn=urn(VPC, "main-vpc"), type=VPC, inputs={"tags": {"migration:side": "main"}}))


def test_exactly_one_with_the_tags_is_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {"migration:side": "main"}
    one, other, stranger = Found(id="a", tags=ours), Found(id="b", tags=ours), Found(id="s", tags={})
    assert located(monkeypatch, one, stranger) == "a"
    with pytest.raises(Permanent, match=r"Vpc main-vpc .* is there 2 times: a, b"):
        located(monkeypatch, one, other)
    with pytest.raises(Permanent, match=r"Vpc main-vpc .* isn't there with the tags migration:side=main$"):
        located(monkeypatch)
    with pytest.raises(Permanent, match="isn't there with the tags migration:side=main; s is in its place without"):
        located(monkeypatch, stranger)


def test_what_no_type_is_known_of_is_refused() -> None:
    aws: Any = None
    with pytest.raises(Permanent, match="is of no type that can be looked for"):
        locate(aws, Resource(urn=urn("aws:s3/bucket:Bucket", "b"), type="aws:s3/bucket:Bucket"))
    assert not imported("pulumi-python:dynamic/migration:Gate") and not imported("pulumi:providers:kubernetes")


# What operations gave back.


def test_every_operation_has_something_to_tell() -> None:
    providers = [
        one for one in vars(operations).values() if isinstance(one, type) and issubclass(one, OperationProvider)
    ]
    asked = {vars(one)["inputs_type"]: vars(one)["result_type"] for one in providers if "inputs_type" in vars(one)}
    assert len(asked) >= 14
    told = Path(results.__file__).read_text()
    for inputs, result in asked.items():
        assert f"case {inputs.__name__}():" in told, inputs
        assert result.__name__ in told, result


def known(aws: Any, **more: Any) -> Known:
    return Known(aws=aws, record=recorded(3), stack="recovered-1", suffix="-main", pools=frozenset({"nodes"}), **more)


def test_the_record_is_told_with_the_new_identity_and_what_is_unknown_is_refused() -> None:
    inputs = StageRecordInputs(
        **COMMON, phase="begin", stage=3, from_side="legacy", to_side="main", owner=OWNER, fixed="", command="up"
    )
    assert known(None).result(inputs) == StageRecordResult(record=recorded(3, stack="recovered-1"), stack="recovered-1")
    with pytest.raises(Permanent, match="what Inputs gave back can't be said"):
        known(None).result(Inputs(cluster="pet", connection=Connection(region="r"), timeout_seconds=1))


@dataclass
class Groups:
    """Auto Scaling groups by name: sizes and, under `Tags`, what held them."""

    there: dict[str, dict[str, Any]]

    def groups(self, names: list[str]) -> dict[str, dict[str, Any]]:
        return {name: self.there[name] for name in names if name in self.there}


def size(least: int, desired: int, most: int, **more: Any) -> dict[str, Any]:
    return {"MinSize": least, "DesiredCapacity": desired, "MaxSize": most, **more}


def noted(monkeypatch: pytest.MonkeyPatch, group: str, there: dict[str, dict[str, Any]]) -> Group:
    def describe(aws: Any, one: dict[str, Any]) -> Group:
        [name] = [key for key, value in there.items() if value is one]
        template = Template(image_id=f"ami-of-{name}")
        found = {"min": one["MinSize"], "desired": one["DesiredCapacity"], "max": one["MaxSize"]}
        return Group(group=name, template=template, tags={}, **found)

    monkeypatch.setattr(results, "describe", describe)
    inputs = GroupNoteInputs(**COMMON, side="legacy", groups={"key": group})
    told = known(Groups(there)).result(inputs)
    assert isinstance(told, results.GroupNoteResult)
    return told.groups["key"]


def test_a_workers_note_has_the_copys_template_and_the_old_groups_size(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {"Key": "migration:hold", "Value": json.dumps({"max": 9, "suspended": []})}
    there = {"nodes": size(1, 3, 3, Tags=[before]), "nodes-main": size(3, 3, 9)}
    found = noted(monkeypatch, "nodes", there)
    assert (found.group, found.min, found.desired, found.max) == ("nodes", 1, 3, 9)
    assert found.template.image_id == "ami-of-nodes-main"
    for gone in ({"nodes": size(0, 0, 3), "nodes-main": size(2, 4, 9)}, {"nodes-main": size(2, 4, 9)}):
        found = noted(monkeypatch, "nodes", gone)
        assert (found.group, found.min, found.desired, found.max) == ("nodes", 2, 4, 9)
    with pytest.raises(Permanent, match="nodes-main isn't there, the copy of nodes"):
        noted(monkeypatch, "nodes", {"nodes": size(1, 1, 1)})


def test_a_members_note_has_its_originals_template_as_long_as_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"master": size(1, 1, 1), "master-main": size(1, 1, 1)}
    assert noted(monkeypatch, "master", there).template.image_id == "ami-of-master"
    assert noted(monkeypatch, "master", {"master-main": size(1, 1, 1)}).template.image_id == "ami-of-master-main"
