"""Recovering as a whole, with an engine and an AWS of this test's own: what it does, and killed at every line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from migration.recover import lock, run
from migration.recover.objects import Found, Kind, Named, Tagged
from migration.recover.pulumi import Program
from migration.recover.run import Place, recover
from migration.runtime.deadline import Permanent

VPC, TEMPLATE, VOLUME = "aws:ec2/vpc:Vpc", "aws:ec2/launchTemplate:LaunchTemplate", "aws:ebs/volume:Volume"
GATE = "pulumi-python:dynamic/migration:Gate"
PROVIDER = "urn:pulumi:s::p::pulumi:providers:aws::default"
MARKS = {"migration:cluster": "pet"}


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:s::p::{kind}::{name}"


def note(kind: str, name: str, type: str = "creating") -> dict[str, Any]:
    resource = {"urn": urn(kind, name), "type": kind, "inputs": {"name": name, "tags": MARKS}}
    return {"resource": {**resource, "provider": f"{PROVIDER}::1"}, "type": type}


@dataclass
class World:
    """A stack's state, AWS's objects by type and name, and what was asked of either."""

    folder: Path
    url: str = ""
    stack: str = "s"
    notes: list[dict[str, Any]] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    objects: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    account: str = "123456789012"
    unreadable: Path | None = None
    used: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    late: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    # The engine.

    def backend(self) -> str:
        return self.url or f"file://{self.folder}"

    def export(self) -> str:
        if self.unreadable is not None and self.unreadable.exists():
            raise Permanent("pulumi stack export failed: error: failed to load checkpoint: EOF")
        deployment: dict[str, Any] = {"resources": self.resources, "kept": "as it is"}
        if self.notes:
            deployment["pending_operations"] = self.notes
        return json.dumps({"version": 3, "deployment": deployment})

    def adopt(self, wanted: Mapping[str, object]) -> None:
        assert not self.locked()
        resources: Any = wanted["resources"]
        for one in resources:
            made = {"urn": urn(one["type"], one["name"]), "type": one["type"], "id": one["id"]}
            assert made["urn"] not in {known["urn"] for known in self.resources}, "the engine would refuse"
            self.resources = [*self.resources, made]

    def replace(self, state: str) -> None:
        assert not self.locked()
        deployment = json.loads(state)["deployment"]
        assert deployment["kept"] == "as it is"
        self.resources, self.notes = deployment["resources"], deployment.get("pending_operations", [])

    # The lock.

    def lock_path(self) -> Path:
        return self.folder / ".pulumi" / "locks" / "organization" / "p" / "s" / "6f1e.json"

    def lock(self, pid: int, hostname: str | None = None) -> None:
        held = {
            "pid": pid,
            "username": "u",
            "hostname": hostname or lock.machine(),
            "timestamp": "2020-01-01T00:00:00Z",
        }
        self.lock_path().parent.mkdir(parents=True, exist_ok=True)
        self.lock_path().write_text(json.dumps(held))

    def locked(self) -> bool:
        return self.lock_path().exists()

    def run_program(self, what: Program, environment: Mapping[str, str]) -> None:
        raise AssertionError("only a lost state runs the program")

    # AWS.

    def kinds(self) -> dict[str, Kind[Any]]:
        def finder(kind: str) -> Any:
            def find(aws: object, wanted: Any) -> Iterator[Found]:
                name = wanted.name if isinstance(wanted, Named) else dict(wanted.tags).get("name", "")
                for id in self.objects.get((kind, name), []):
                    yield Found(id=id, tags=MARKS)

            return find

        def again(aws: object, id: str) -> None:
            for ids in self.objects.values():
                if id in ids:
                    ids.remove(id)

        plain = {kind: Kind(inputs=Named, find=finder(kind), remove="delete {id}") for kind in (VPC, VOLUME)}
        template = Kind(
            inputs=Named, find=finder(TEMPLATE), remove="delete {id}", again=again, used=lambda aws, id: self.used
        )
        return {**plain, TEMPLATE: template}

    def aws(self, region: str) -> Any:
        return SimpleNamespace(sts=SimpleNamespace(get_caller_identity=lambda: {"Account": self.account}))

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        for key, ids in self.late.items():
            self.objects[key] = ids

    def place(self) -> Place:
        return Place(folder=self.folder, project="p", engine=self, aws=self.aws, sleeper=self.sleep)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setattr(run, "KINDS", made.kinds())
    # Looking through a machine's processes hundreds of times takes a while (test_leftovers has it).
    monkeypatch.setattr(run, "settle", lambda folder, say: None)
    return made


@pytest.fixture(scope="module")
def dead() -> int:
    """The number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def crash(world: World, dead: int) -> None:
    """As a killed engine leaves it, with one of each."""
    world.lock(dead)
    world.resources = [{"urn": PROVIDER, "type": "pulumi:providers:aws", "id": "1", "inputs": {"region": "r"}}]
    world.notes = [
        note(VPC, "made"),
        note(VOLUME, "made"),
        note(VPC, "made"),
        note(VPC, "missing"),
        note(TEMPLATE, "made"),
        note(GATE, "gate"),
        note(VOLUME, "old", "updating"),
    ]
    world.objects = {(VPC, "made"): ["vpc-1"], (VOLUME, "made"): ["vol-1"], (TEMPLATE, "made"): ["lt-1"]}


def recovered(world: World) -> str:
    said: list[str] = []
    recover(world.place(), said.append)
    return "\n".join(said)


def test_everything_is_settled_and_said(world: World, dead: int) -> None:
    crash(world, dead)
    before = world.export()
    said = recovered(world)
    assert not world.locked()
    assert world.notes == []
    assert [(one["type"], one["id"]) for one in world.resources[1:]] == [(VPC, "vpc-1"), (VOLUME, "vol-1")]
    assert world.objects[(TEMPLATE, "made")] == []
    [backup] = (world.folder / ".recover").iterdir()
    assert backup.read_text() == before
    lines = said.splitlines()
    assert lines[0].startswith(f"lock of process {dead} of u@") and lines[0].endswith("which is gone: freed")
    assert lines[1:] == [
        "Vpc made: was made: vpc-1, taken into the state",
        "Volume made: was made: vol-1, taken into the state",
        "Vpc missing: wasn't made; the next up makes it",
        "LaunchTemplate made: was made: lt-1, used by nobody, deleted; the next up makes it again",
        "Gate gate: is made again: an operation looks first and does only what is missing",
        "Volume old: was interrupted while updating; the next up looks at it again",
        f"6 notes of interrupted changes are gone from the state; as it was before: {backup}",
        "next: pulumi up --stack s, the same as before",
    ]


def test_what_a_killed_engine_left_unreadable_beside_the_checkpoint_goes_first(world: World, dead: int) -> None:
    crash(world, dead)
    stacks = world.folder / ".pulumi" / "stacks" / "p"
    stacks.mkdir(parents=True)
    kept = {"s.json": "", "s.json.bak.attrs": "{}", "s2.json.attrs": "", "other.json.attrs": ""}
    for name, text in ({"s.json.attrs": "", "s.json.bak.gz.attrs": '{"user.content_ty'} | kept).items():
        (stacks / name).write_text(text)
    reads, world.unreadable = world.export, stacks / "s.json.attrs"
    with pytest.raises(Permanent, match="failed to load checkpoint: EOF"):
        reads()
    said = recovered(world).splitlines()
    assert [line.partition(": ")[0] for line in said[:2]] == [
        str(stacks / name) for name in ("s.json.attrs", "s.json.bak.gz.attrs")
    ]
    assert "it isn't needed: deleted" in said[0]
    assert {path.name for path in stacks.iterdir()} == set(kept), "another stack's are its own recover's matter"
    assert world.notes == [] and not world.locked()


def test_alone_it_is_something_that_was_done(world: World) -> None:
    path = world.folder / ".pulumi" / "stacks" / "s.json.attrs"
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert recovered(world).splitlines()[-1] == "next: pulumi up --stack s, the same as before"
    assert "there is nothing to do" in recovered(world)


def test_a_living_engines_files_are_left_alone(world: World) -> None:
    world.lock(1, "elsewhere")
    path = world.folder / ".pulumi" / "stacks" / "p" / "s.json.attrs"
    path.parent.mkdir(parents=True)
    path.write_text("")
    with pytest.raises(Permanent, match="locked by process"):
        recover(world.place(), print)
    assert path.exists()


def test_a_second_run_has_nothing_to_do_and_changes_nothing(world: World, dead: int) -> None:
    crash(world, dead)
    recovered(world)
    before = world.export()
    assert recovered(world) == "stack s: nothing is pending and nobody holds its lock: there is nothing to do"
    assert world.export() == before


def test_a_lock_alone_is_freed(world: World, dead: int) -> None:
    world.lock(dead)
    assert "freed" in recovered(world)
    assert not world.locked()
    assert not (world.folder / ".recover").exists(), "nothing of the state was changed"


def test_notes_without_a_lock_are_settled_as_well(world: World, dead: int) -> None:
    crash(world, dead)
    world.lock_path().unlink()
    assert "freed" not in recovered(world)
    assert world.notes == []


class Killed(BaseException):
    """SIGKILL, as far as one can be in a test."""


def steps(world: World, at: int) -> int:
    """Run until line number `at` of what recovers, or of what it asks of the engine; returns how many there were."""
    seen = 0
    files = {run.__file__, lock.__file__}

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal seen
        code = frame.f_code
        if code.co_filename not in files and code not in (World.adopt.__code__, World.replace.__code__):
            return None
        if event == "line":
            seen += 1
            if seen == at:
                raise Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        recover(world.place(), lambda text: None)
    except Killed:
        pass
    finally:
        sys.settrace(before)
    return seen


def end(world: World) -> tuple[Any, ...]:
    return deepcopy((world.locked(), world.notes, world.resources, world.objects))


def test_killed_at_any_line_the_next_run_does_what_remains(world: World, dead: int) -> None:
    crash(world, dead)
    lines = steps(world, at=-1)
    wanted = end(world)
    assert lines > 150 and wanted[0] is False and wanted[1] == []
    for line in range(1, lines + 1):
        crash(world, dead)
        steps(world, at=line)
        assert recovered(world)
        assert end(world) == wanted, f"killed at line {line} of {lines}"


def refused(world: World) -> str:
    before = end(world)
    with pytest.raises(Permanent) as refusal:
        recovered(world)
    assert end(world) == before, "nothing was changed"
    return str(refusal.value)


def test_whoever_lives_is_left_alone(world: World) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        crash(world, child.pid)
        held = json.loads(world.lock_path().read_text())
        world.lock_path().write_text(json.dumps({**held, "timestamp": "2100-01-01T00:00:00Z"}))
        assert f"locked by process {child.pid} of u@" in refused(world)
    finally:
        child.communicate()


def test_a_lock_of_another_machine_is_not_freed(world: World, dead: int) -> None:
    crash(world, dead)
    world.lock(dead, hostname="elsewhere")
    assert "pulumi cancel --stack s" in refused(world)


def test_what_somebody_must_look_at_keeps_the_lock_and_every_note(world: World, dead: int) -> None:
    crash(world, dead)
    world.objects[(VPC, "made")].append("vpc-2")
    said = refused(world)
    assert "1 of 6 interrupted changes need somebody to look" in said
    assert "Vpc made: there are 2 of it: vpc-1, vpc-2" in said
    world.objects[(VPC, "made")].remove("vpc-2")
    recovered(world)
    assert world.notes == []


def test_a_template_that_is_used_is_not_deleted(world: World, dead: int) -> None:
    crash(world, dead)
    world.used = ["pet-m5"]
    assert "pet-m5 uses it already" in refused(world)


def test_what_is_not_there_is_looked_for_a_second_time(world: World, dead: int) -> None:
    crash(world, dead)
    world.late = {(VPC, "missing"): ["vpc-9"]}
    assert "Vpc missing: was made: vpc-9" in recovered(world)
    assert world.slept == [run.SECOND_LOOK]


def test_another_accounts_credentials_see_nothing_and_that_is_not_absence(world: World, dead: int) -> None:
    crash(world, dead)
    world.account = "999999999999"
    arn = "arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-0"
    world.resources.append({"urn": urn(VPC, "other"), "type": VPC, "id": "vpc-0", "outputs": {"arn": arn}})
    assert "account 999999999999, and the stack's objects are in 123456789012" in refused(world)


def test_somebody_who_ran_meanwhile_is_noticed(world: World, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    crash(world, dead)
    adopt = World.adopt

    def slowly(self: World, wanted: Mapping[str, object]) -> None:
        adopt(self, wanted)
        self.notes.append(note(VPC, "another's"))

    monkeypatch.setattr(World, "adopt", slowly)
    with pytest.raises(Permanent, match="somebody else changed the stack meanwhile"):
        recovered(world)
    assert len(world.notes) == 8, "no note was lost"


def test_where_the_lock_cannot_be_read_nothing_is_deleted(world: World, dead: int) -> None:
    crash(world, dead)
    world.lock_path().unlink()
    world.url = "s3://states"
    said = refused(world)
    assert "lt-1 was made. If whoever made it is gone: delete lt-1; then recover again" in said
    world.objects[(TEMPLATE, "made")] = []
    said = recovered(world)
    assert "the backend s3://states isn't a folder" in said
    assert "pulumi cancel --stack s" in said
    assert world.notes == []


def test_a_note_that_is_not_understood_is_refused(world: World, dead: int) -> None:
    crash(world, dead)
    world.notes[3]["resource"]["inputs"] = {"tags": MARKS}
    assert "Vpc missing: what was to be made isn't understood (name: Field required)" in refused(world)


def test_a_type_of_another_program_is_refused(world: World, dead: int) -> None:
    crash(world, dead)
    world.notes.append(note("aws:s3/bucket:Bucket", "b"))
    assert "aws:s3/bucket:Bucket is no type that this knows how to look for" in refused(world)


def test_inputs_with_tags_are_marked_by_those_of_the_migration_alone() -> None:
    assert Tagged(tags={"Name": "x", **MARKS}).marks() == MARKS
