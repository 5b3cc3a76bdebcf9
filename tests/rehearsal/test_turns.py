"""Turns without a lab: what is asked for, what must differ afterwards, what a row says, and what is run again."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from lab import interrupt
from migration.drain.restart import MOVED
from proof.model import Stage, Summary
from proof.summary import summarize
from rehearsal import back
from rehearsal import proven as proven_module
from rehearsal.back import FILE, OF_STAGE_0, SHORT_FILE, TURNS, Turn, meant_of, parse_turns, returned_of, retyped_of
from rehearsal.driver import RehearsalError
from rehearsal.forms import Form
from rehearsal.incidents import RESTARTED_AT, Incidents
from rehearsal.turn_rows import TurnAt, TurnRow, still_good, verdict
from rehearsal.world import CHOSEN, TYPE_LABEL, Meant, World, compare
from tests.proof.made import PODS, made_run
from tests.rehearsal.test_world import GROUP, NODE, world

COMMIT = "c0ffee"
CONFIGURATION: dict[str, Any] = {
    "cluster": "pet",
    "to": "main",
    "pools": [{"name": name, "group": f"nodes-{name}.pet"} for name in "ab"],
}
INCIDENTS = Incidents(
    deployments=("shop/web",),
    stateful_set="shop/db",
    scaled="shop/cart",
    replicas=5,
    group="nodes-a.pet",
    instance="i-1",
    shut=("tools/license",),
)


@pytest.mark.parametrize(
    ("text", "turns"), [("", (3, 4, 5, 6, 7.1)), ("3", (3,)), ("6,3", (6, 3)), ("7.1,7", (7.1, 7))]
)
def test_turns_are_stages_at_which_the_new_side_carries_and_one_member_moved(
    text: str, turns: tuple[float, ...]
) -> None:
    assert parse_turns(text) == turns


@pytest.mark.parametrize("text", ["2", "8", "7.2", "3.1", "3,", "3,3", "x", "3..5", "-3"])
def test_other_turns_are_refused_with_what_can_be_asked_for(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be stages with commas between, each once, of 3, 4, 5, 6, 7\.1, 7"):
        parse_turns(text)


def row(turn: int, *, ok: bool = True, commit: str = COMMIT, reasons: tuple[str, ...] = ()) -> TurnRow:
    return TurnRow(turn=turn, ok=ok, commit=commit, reasons=reasons, begin="2026-11-22T10:00:00Z", seconds=100.0)


def test_a_turn_is_still_good_only_if_it_was_ok_with_this_very_program() -> None:
    assert still_good([row(3)], 3, COMMIT)
    assert not still_good([row(3)], 4, COMMIT)
    assert not still_good([row(3, ok=False)], 3, COMMIT)
    assert not still_good([row(3, commit="other")], 3, COMMIT)
    assert not still_good([row(3, commit="")], 3, "")


def test_turns_that_are_missing_or_not_ok_are_named() -> None:
    rows = [row(3), row(4, ok=False, reasons=("a probe failed", "and more")), row(5, commit="other")]
    assert verdict(rows, (3, 4, 5, 6), COMMIT) == [
        "turn 4 is not ok: a probe failed",
        "turn 5 was not run",
        "turn 6 was not run",
    ]
    assert verdict(rows, (3,), COMMIT) == []


# What must differ


def meant(turn: int, incidents: Incidents = INCIDENTS) -> list[Meant]:
    return meant_of(turn, incidents, CONFIGURATION)


def lived() -> tuple[World, World]:
    """A world before a turn at 3 and after one that left nothing but what the incidents did."""

    def workload(replicas: int, **annotations: str) -> dict[str, Any]:
        return {"replicas": replicas, "ready": replicas, "annotations": annotations, "spec": "1"}

    def one(instance: str, record: str, replicas: int, **restarted: str) -> World:
        return world(
            groups={f"nodes-{name}.pet": GROUP for name in "ab"},
            instances={"nodes-a.pet": {instance: "vpc-1"}, "nodes-b.pet": {"i-2": "vpc-1"}},
            parameters={"/pet/migration/record": record, "/pet/pki/ca.key": "1"},
            workloads={
                "Deployment shop/web": workload(3, **restarted),
                "StatefulSet shop/db": workload(3, **restarted),
                "Deployment shop/cart": workload(replicas),
                "Deployment tools/license": workload(1),
            },
        )

    return one("i-1", "1", 4), one("i-9", "2", 5, **{RESTARTED_AT: "now"})


def test_what_the_incidents_did_is_meant_and_nothing_else_differs() -> None:
    before, after = lived()
    compared = compare(before, after, meant(3))
    assert compared.wrong == ()
    assert {one.reason for one in compared.allowed} == {
        "it says where the migration is, and was",
        "it was restarted before the turn",
        "it was scaled up before the turn",
        "a machine of it was lost before the turn",
    }


def edited(after: World, edit: Callable[[dict[str, Any]], Any]) -> World:
    data = after.model_dump()
    edit(data)
    return World.model_validate(data)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (
            lambda w: w["workloads"]["Deployment shop/cart"].update(replicas=4, ready=4),
            "workloads / Deployment shop/cart / replicas: nothing differs, and something must",
        ),
        (
            lambda w: w["workloads"]["StatefulSet shop/db"].update(annotations={}),
            f"workloads / StatefulSet shop/db / annotations / {RESTARTED_AT}: nothing differs",
        ),
        (
            lambda w: w["instances"].update({"nodes-a.pet": {"i-1": "vpc-1"}}),
            "instances / nodes-a.pet: nothing differs",
        ),
        (
            lambda w: w["instances"].update({"nodes-b.pet": {"i-8": "vpc-1"}}),
            "instances / nodes-b.pet / i-2: was vpc-1, is absent",
        ),
        (lambda w: w["parameters"].update({"/pet/pki/ca.key": "2"}), "parameters / /pet/pki/ca.key: was 1, is 2"),
        (lambda w: w["parameters"].update({"/pet/members/a/ticket": "1"}), "ticket: was absent, is 1"),
        (lambda w: w["vpcs"].update({"vpc-2": {"cidrs": [], "dns": {}, "tags": {}}}), "vpcs / vpc-2: was absent"),
        (
            lambda w: w["groups"]["nodes-a.pet"]["tags"].update({"migration:hold": "{}"}),
            "groups / nodes-a.pet / tags / migration:hold: was absent",
        ),
        (
            lambda w: w["workloads"]["Deployment shop/web"]["annotations"].update({MOVED: "x/1"}),
            f"workloads / Deployment shop/web / annotations / {MOVED}: was absent",
        ),
    ],
)
def test_anything_else_and_anything_missing_is_named(edit: Callable[[dict[str, Any]], Any], told: str) -> None:
    before, after = lived()
    wrong = compare(before, edited(after, edit), meant(3)).wrong
    assert any(told in sentence for sentence in wrong), wrong


def test_a_deployment_that_drains_restart_may_keep_their_note() -> None:
    before, after = lived()
    noted = edited(after, lambda w: w["workloads"]["Deployment tools/license"].update(annotations={MOVED: "x/1"}))
    assert compare(before, noted, meant(3)).wrong == ()


def test_after_the_drain_every_old_machine_must_be_another_one() -> None:
    none_lost = INCIDENTS.model_copy(update={"group": "", "instance": ""})
    paths = [one.path for one in meant(6, none_lost) if one.path[0] == "instances"]
    assert paths == [("instances", "nodes-a.pet"), ("instances", "nodes-b.pet")]
    assert all(one.due for one in meant(6, none_lost) if one.path[0] == "instances")
    assert [one.path for one in meant(5, none_lost) if one.path[0] == "instances"] == []


def typed(label: str) -> World:
    """A world whose group has a mixed policy; `label`: its node's type, or that it is one of the policy's."""
    group = GROUP | {"types": ["m5.large", "m6i.large"]}
    return world(groups={"workers": group}, nodes={"workers": [NODE | {"labels": {TYPE_LABEL: label}}]})


@pytest.mark.parametrize(
    ("before", "after", "wrong"),
    [
        # Launched before its group had its policy: an awkward cluster's machines may be.
        ("m5a.large", CHOSEN, 0),
        ("m5a.large", "m5a.large", 0),
        ("m5a.large", "m7a.large", 1),
        (CHOSEN, "m5a.large", 1),
    ],
)
def test_another_machine_of_a_group_with_a_policy_is_as_that_says(before: str, after: str, wrong: int) -> None:
    assert len(compare(typed(before), typed(after), retyped_of(typed(before))).wrong) == wrong


def test_without_a_policy_every_type_stays() -> None:
    assert retyped_of(world(nodes={"workers": [NODE | {"labels": {TYPE_LABEL: "m5a.large"}}]})) == []


def test_of_a_member_that_came_back_its_machine_volume_and_template_differ_and_nothing_else() -> None:
    before, now = mock.Mock(), mock.Mock()
    before.groups = {"master-a.pet": mock.Mock(template="lt-1 version $Latest")}
    before.volumes = {
        "vol-1": mock.Mock(tags={"k8s.io/etcd/main": "master-a"}, attached=True),
        "vol-2": mock.Mock(tags={"k8s.io/etcd/main": "master-b"}, attached=True),
    }
    now.volumes = {
        "vol-8": mock.Mock(tags={"migration:member": "master-a", "migration:returned": "1"}, attached=True),
        "vol-9": mock.Mock(tags={"migration:member": "master-a", "migration:returned": "0"}, attached=False),
    }
    found = returned_of(before, now, {"master-a": "master-a.pet"})
    assert {one.path for one in found} == {
        ("instances", "master-a.pet"),
        ("groups", "master-a.pet", "tags", "migration:returned"),
        ("groups", "master-a.pet", "template"),
        ("templates", "lt-1", "latest"),
        ("volumes", "vol-8"),
        ("volumes", "vol-1", "attached"),
    }
    assert all(one.due and one.reason for one in found)
    assert returned_of(before, now, {}) == []


# A turn, with neither lab nor proof


class FakeWatch:
    def __init__(self, out: Path, summary: Summary) -> None:
        self.out, self._summary, self.ended = out, summary, ""

    def stop(self) -> Summary:
        self.ended = "stopped"
        return self._summary

    def abandon(self) -> None:
        self.ended = "abandoned"


class Quick(Turn):
    """A turn whose lab, proof and stages are made up."""

    fails_at: tuple[int, str] = (-1, "")
    interrupted = False
    made: FakeWatch

    def fresh_lab(self) -> None:
        self.reports.mkdir(parents=True, exist_ok=True)

    def watch(self, name: str) -> Any:
        return self.made

    def rest(self, watch: Any, seconds: float) -> None:
        return

    def move(self, target: int, watch: Any, *, preview: bool = True, again: bool = True) -> None:
        direction = "back" if self.stages and target < self.stages[-1].stage else "forward"
        stage = Stage(stage=target, name="x", direction=direction, second_up_due=again)
        self.stages.append(stage.but(second_up_changes=0 if again else None, seconds=1.0, changes={"same": 3}))
        if self.interrupted and target == 2:
            raise KeyboardInterrupt
        if (target, direction) == self.fails_at:
            raise RehearsalError("12 instances are missing")

    def configuration(self, stage: int) -> dict[str, Any]:
        return CONFIGURATION

    def _incidents(self, watch: Any) -> None:
        self.incidents = INCIDENTS


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> FakeWatch:
    """A good run of the proof."""
    out = tmp_path_factory.mktemp("proof")
    made_run(out)
    return FakeWatch(out, summarize(out).model_copy(update={"evictions": {"legacy": 2, "main": PODS}}))


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proven: FakeWatch) -> Iterator[Callable[..., Quick]]:
    before, after = lived()
    worlds = [before, before, after]
    monkeypatch.setattr(back, "POLL_S", 0.0)
    # The page is tested elsewhere, and its plots take seconds.
    monkeypatch.setattr(proven_module, "write_html", lambda report, out, path: path.write_text("a page"))
    monkeypatch.setattr(back, "recorded", lambda kubeconfig: worlds.pop(0) if len(worlds) > 1 else worlds[0])
    monkeypatch.setattr(back, "orphaned_processes", lambda directory, running: [])
    monkeypatch.setattr(back, "running_instances", lambda region: set())
    monkeypatch.setattr(back, "SETTLE_S", 0.0)

    def make(turn: int = 3, **more: Any) -> Quick:
        one = Quick(turn=turn, say=lambda text: None, **more)
        one.made = copy.copy(proven)
        return one

    with mock.patch.dict(os.environ, {"LAB_DIR": str(tmp_path / "lab"), "LAB_INDEX": "9"}):
        yield make


def test_a_turn_where_all_is_as_it_was_is_ok_and_its_row_says_what_it_did(quick: Callable[..., Quick]) -> None:
    turn = quick()
    found = turn.go(COMMIT)
    assert found.reasons == ()
    assert found.ok
    assert [(stage.stage, stage.direction, stage.second_up_changes) for stage in found.stages] == [
        *((number, "forward", None) for number in (0, 1, 2, 3)),
        *((number, "back", 0) for number in (2, 1, 0)),
    ]
    assert found.probes.due > 0
    assert (found.probes.failed, found.writes.acknowledged, found.writes.lost) == (0, 6700, 0)
    assert (found.evictions.forward, found.evictions.back) == (2, PODS)
    assert found.incidents == INCIDENTS.told
    assert found.differences is not None
    assert all(difference.meant for difference in found.differences)
    assert (turn.reports / found.report).read_text() == "a page"
    assert turn.made.ended == "stopped"


def test_a_short_turn_begins_where_a_cluster_without_a_record_may_and_owes_no_second_up(
    quick: Callable[..., Quick], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = lived()
    made = dict.fromkeys(OF_STAGE_0, "present")
    worlds = [before, before, edited(after, lambda w: w["objects"].update(made))]
    monkeypatch.setattr(back, "recorded", lambda kubeconfig: worlds.pop(0))
    found = quick(short=True).go(COMMIT)
    assert found.reasons == ()
    assert [(stage.stage, stage.direction) for stage in found.stages] == [
        (3, "forward"),
        *((number, "back") for number in (2, 1, 0)),
    ]
    assert {stage.second_up_changes for stage in found.stages} == {None}


def test_what_stage_0_makes_is_meant_only_where_the_recording_is_older() -> None:
    before, after = lived()
    made = edited(after, lambda w: w["objects"].update({OF_STAGE_0[0]: "present"}))
    untouched = meant_of(3, INCIDENTS, CONFIGURATION, untouched=True)
    assert compare(before, made, untouched).wrong == (
        f"objects / {OF_STAGE_0[1]}: nothing differs, and something must: stage 0 makes it",
    )
    assert compare(before, made, meant(3)).wrong == (f"objects / {OF_STAGE_0[0]}: was absent, is present",)


def test_a_difference_that_nobody_meant_makes_the_turn_not_ok_and_is_named(
    quick: Callable[..., Quick], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = lived()
    left = edited(after, lambda w: w["groups"]["nodes-b.pet"].update(maximum=1))
    worlds = [before, before, left]
    monkeypatch.setattr(back, "recorded", lambda kubeconfig: worlds.pop(0))
    found = quick().go(COMMIT)
    assert found.reasons == ("The world at 0 isn't as it was. groups / nodes-b.pet / maximum: was 10, is 1.",)
    assert not found.ok
    assert found.differences is not None
    assert [one.text for one in found.differences if one.meant is None] == [
        "groups / nodes-b.pet / maximum: was 10, is 1"
    ]


def test_a_world_that_needs_a_moment_to_be_as_it_was_is_given_it(
    quick: Callable[..., Quick], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = lived()
    worlds = [before, before, edited(after, lambda w: w["groups"]["nodes-b.pet"].update(running=0)), after]
    monkeypatch.setattr(back, "recorded", lambda kubeconfig: worlds.pop(0))
    monkeypatch.setattr(back, "SETTLE_S", 60.0)
    assert quick().go(COMMIT).ok
    assert worlds == []


def test_a_stage_that_fails_is_named_with_its_way_and_nothing_is_called_compared(quick: Callable[..., Quick]) -> None:
    turn = quick()
    turn.fails_at = (2, "back")
    found = turn.go(COMMIT)
    assert not found.ok
    assert found.reasons[0] == "Stage 2 (x), back: 12 instances are missing"
    assert "The world at 0 was not compared with the recording." in found.reasons
    assert found.differences is None
    assert turn.made.ended == "stopped"


def test_a_lab_that_does_not_come_up_is_a_row_too(quick: Callable[..., Quick], monkeypatch: pytest.MonkeyPatch) -> None:
    turn = quick()

    def refuses() -> None:
        raise RehearsalError("the lab did not come up: see above")

    monkeypatch.setattr(turn, "fresh_lab", refuses)
    found = turn.go(COMMIT)
    assert not found.ok
    assert found.reasons[0] == "the lab did not come up: see above"
    assert (found.report, found.stages) == ("", ())


def test_a_process_that_a_machine_left_behind_makes_the_turn_not_ok(
    quick: Callable[..., Quick], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(back, "orphaned_processes", lambda directory, running: ["process 7 (etcd) of i-3"])
    assert quick().go(COMMIT).reasons == ("Left over: process 7 (etcd) of i-3.",)


def test_interrupted_it_leaves_the_proof_to_the_lab_and_has_no_row(quick: Callable[..., Quick]) -> None:
    turn = quick()
    turn.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        turn.go(COMMIT)
    assert turn.made.ended == "abandoned"


def test_a_recording_that_shows_nothing_of_something_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(back, "world_now", lambda kubeconfig: world())
    with pytest.raises(
        RehearsalError, match=r"the recording shows no .*, no vpcs, .*: a comparison would prove nothing"
    ):
        back.recorded(tmp_path)


def test_the_recording_is_of_a_world_at_rest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before, after = lived()
    worlds = [before, after, after]
    monkeypatch.setattr(back, "recorded", lambda kubeconfig: worlds.pop(0))
    monkeypatch.setattr(back, "POLL_S", 0.0)
    assert back.at_rest(tmp_path) == after
    worlds[:] = [before, after]
    monkeypatch.setattr(back, "SETTLE_S", -1.0)
    with pytest.raises(RehearsalError, match="the world isn't at rest after"):
        back.at_rest(tmp_path)


# Several turns


class Turns:
    """Stands for `Turn`: which were run, and what they come to."""

    def __init__(self) -> None:
        self.ran: list[tuple[TurnAt, bool]] = []
        self.bad: set[TurnAt] = set()
        self.interrupted_at = 0

    def __call__(self, *, turn: int, say: Any, form: Form, short: bool) -> Any:
        self.ran.append((turn, short))

        def go(commit: str) -> TurnRow:
            if turn == self.interrupted_at:
                raise KeyboardInterrupt
            return row(turn, ok=turn not in self.bad, reasons=("a probe failed",) if turn in self.bad else ())

        return mock.Mock(go=go)


class Runs:
    """`back.run` with made-up turns in a folder."""

    def __init__(self, folder: Path) -> None:
        self.turns, self.downs, self.said = Turns(), 0, list[str]()
        self.report = folder / "report"

    def __call__(self, *turns: TurnAt, **how: bool) -> int:
        self.turns.ran.clear()
        self.said.clear()
        again, short = how.get("again", False), how.get("short", False)
        return back.run(self.said.append, turns or TURNS, again=again, short=short)

    def down(self, say: Any) -> int:
        self.downs += 1
        return 0

    def rows(self, name: str = FILE) -> list[tuple[int, bool]]:
        return [(one["turn"], one["ok"]) for one in json.loads((self.report / name).read_text())]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    one = Runs(tmp_path)
    monkeypatch.setattr(back, "make_folders", lambda: tmp_path)
    monkeypatch.setattr(back, "commit_of", lambda repository: COMMIT)
    monkeypatch.setattr(back, "Turn", one.turns)
    monkeypatch.setattr(back.up, "down", one.down)
    return one


def test_every_turn_is_run_and_has_its_row(runs: Runs) -> None:
    assert runs() == 0
    assert runs.rows() == [(3, True), (4, True), (5, True), (6, True), (7.1, True)]
    assert runs.said[-1] == f"ok: {runs.report / FILE}"
    assert runs.downs == 1


def test_what_was_ok_is_not_run_again_unless_it_is_asked_for(runs: Runs) -> None:
    runs.turns.bad = {4}
    assert runs() == 1
    assert "not ok: turn 4 is not ok: a probe failed" in runs.said
    runs.turns.bad = set()
    assert runs() == 0
    assert runs.turns.ran == [(4, False)]
    assert runs() == 0
    assert runs.turns.ran == []
    assert runs(3, again=True) == 0
    assert runs.turns.ran == [(3, False)]
    assert runs.rows() == [(3, True), (4, True), (5, True), (6, True), (7.1, True)]


def test_another_program_runs_all_again(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs()
    monkeypatch.setattr(back, "commit_of", lambda repository: "other")
    runs.turns.bad = set(TURNS)
    assert runs() == 1
    assert [turn for turn, _ in runs.turns.ran] == [3, 4, 5, 6, 7.1]


def test_nothing_is_ended_where_nothing_was_run(runs: Runs) -> None:
    runs()
    runs.downs = 0
    assert runs() == 0
    assert runs.downs == 0


def test_interrupted_it_keeps_the_rows_it_has_ends_the_lab_and_goes_on_next_time(runs: Runs) -> None:
    runs.turns.interrupted_at = 5
    with pytest.raises(KeyboardInterrupt):
        runs()
    assert runs.rows() == [(3, True), (4, True)]
    assert runs.downs == 1
    runs.turns.interrupted_at = 0
    assert runs() == 0
    assert [turn for turn, _ in runs.turns.ran] == [5, 6, 7.1]


def test_ctrl_c_that_python_lost_ends_it_before_the_next_turn(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "_pressed", True)
    with pytest.raises(KeyboardInterrupt):
        runs()
    assert runs.turns.ran == []


def test_short_turns_have_a_file_of_their_own(runs: Runs) -> None:
    assert runs(3, short=True) == 0
    assert runs.turns.ran == [(3, True)]
    assert runs.rows(SHORT_FILE) == [(3, True)]
    assert not (runs.report / FILE).exists()


def test_one_turn_asked_for_is_judged_alone(runs: Runs) -> None:
    runs.turns.bad = {4}
    runs()
    assert runs(3) == 0
    assert runs(4) == 1
