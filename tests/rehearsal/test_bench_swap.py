"""The bench of leadership: how gaps are computed, what isn't measured, what the verdict says; and two real pairs."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Future
from pathlib import Path

import pytest

from lab import processes
from lab.environment import child_environment
from lab.toolchain import ensure
from migration.contracts.members import MemberSwapResult, StepTook
from proof.etcd import Sample
from proof.model import MemberSeen
from rehearsal.benches import pairs, swap
from rehearsal.benches.gaps import Asked, Gap, Spread, Tally, by_second, gaps, longest, tally
from rehearsal.benches.loops import Beside, OpenLoop
from rehearsal.benches.members import (
    Look,
    MemberTime,
    Moved,
    Stream,
    asked,
    changed,
    changes,
    during,
    stream,
    successors,
    times,
)
from rehearsal.benches.pairs import Episode, Pair, ratio
from rehearsal.benches.swap import Found, judged, parse_pairs
from rehearsal.benches.swap_plot import draw
from rehearsal.benches.trio import NAMES
from rehearsal.benches.written import Header
from rehearsal.machine import Machine
from tests.samples import configuration

NOTHING = Tally(asked=0, failed=0, failures=(), skipped=0)
HEADER = Header(
    at="2027-01-01T00:00:00Z",
    command="make bench-swap",
    commit="c0ffee",
    machine=Machine(processors=2, memory_mb=8000, load=0.1, kernel="6", python="3.11"),
)


# Gaps


def test_a_gap_is_the_time_between_two_acknowledgements_around_the_event() -> None:
    at = [9.0, 9.9, 11.5, 11.6, 14.0, 15.0]
    assert longest(at, 10.0, 13.0) == Gap(begin=9.9, ms=1600.0)
    assert longest(at, 10.0, 14.5) == Gap(begin=11.6, ms=2400.0)


def test_a_gap_that_the_next_event_makes_is_not_the_rests() -> None:
    assert longest([0.0, 0.5, 1.0, 1.5, 1.99, 4.0, 4.1], 0.0, 2.0) == Gap(begin=0.0, ms=500.0)


@pytest.mark.parametrize(
    ("at", "why"),
    [
        ([], "no writes at all"),
        ([11.0, 12.0, 14.0], "none before"),
        ([9.0, 9.5], "none since"),
        ([9.0, 14.0], "none within"),
        ([9.0, 11.0, 12.0], "they never came back"),
    ],
)
def test_what_has_no_writes_before_within_and_after_it_is_not_measured(at: list[float], why: str) -> None:
    assert longest(at, 10.0, 13.0) is None, why
    assert gaps(at, 10.0, 13.0) is None
    assert by_second(at, 10.0, 13.0) == (0.0, 0.0, 0.0)


def test_each_second_has_its_longest_gap() -> None:
    assert by_second([9.9, 10.1, 10.2, 11.9, 12.0, 12.9, 13.1], 10.0, 13.0) == (1700.0, 100.0, 900.0)


def test_failures_are_counted_by_what_was_said_wherever_it_was_said() -> None:
    seen = [
        Asked(number=0, due=1.0, ended=1.1, error="etcd at https://127.0.0.1:1 says: raft proposal dropped"),
        Asked(number=1, due=2.0, ended=2.1, error="etcd at https://127.0.0.1:2 says: raft proposal dropped"),
        Asked(number=2, due=2.5, ended=2.6),
        Asked(number=3, due=9.0, ended=9.1, error="outside"),
    ]
    found = tally(seen, [2.2, 9.5], 0.5, 3.0)
    assert (found.asked, found.failed, found.skipped) == (3, 2, 1)
    assert [(one.words, one.count) for one in found.failures] == [("etcd says: raft proposal dropped", 2)]


def test_a_spread_of_nothing_is_none() -> None:
    assert Spread.of([]) is None
    assert Spread.of([float(one) for one in range(1, 21)]) == Spread(count=20, median=10.5, p95=19.0, worst=20.0)


# Loops


def test_an_open_loop_asks_on_time_whatever_becomes_of_those_before() -> None:
    async def go() -> OpenLoop:
        gate, begun = asyncio.Event(), list[int]()

        async def ask(number: int) -> None:
            begun.append(number)
            if len(begun) == 5:
                gate.set()
            await gate.wait()
            if number == 1:
                raise OSError("refused")

        loop = OpenLoop(ask, 0.001, (OSError,))
        running = asyncio.ensure_future(loop.run())
        # Nobody is answered until the fifth has asked.
        await gate.wait()
        loop.stop()
        await running
        return loop

    loop = asyncio.run(go())
    assert len(loop.asked) >= 5
    assert [one.error for one in loop.asked if one.number == 1] in (["refused"], [])
    assert loop.last is not None


def test_what_runs_beside_ends_with_its_block() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    waiting: list[Future[None]] = []
    with pytest.raises(KeyboardInterrupt), Beside() as beside:
        waiting.append(beside.begin(forever()))
        raise KeyboardInterrupt
    assert waiting[0].cancelled()


# Pairs


def episode(kind: pairs.Kind, gap: float | None, idle: float | None = 8.0) -> Episode:
    return Episode(
        kind=kind,
        begin=1.0,
        leader="a",
        heir="b",
        gap_ms=gap,
        idle_ms=idle,
        window_s=3.0,
        writes=NOTHING,
        reads=NOTHING,
        problem="" if gap is not None else "no write",
    )


def pair(planned: float | None = 20.0, killed: float | None = 1600.0) -> Pair:
    return Pair(planned=episode("planned", planned), killed=episode("killed", killed))


def test_the_ratio_is_that_of_the_medians_of_pairs_that_are_whole() -> None:
    assert ratio([pair(10.0, 1000.0), pair(20.0, 1600.0), pair(90.0, 2000.0)]) == 20.0 / 1600.0
    assert ratio([]) is None
    assert ratio([pair(), pair(planned=None)]) is None
    assert ratio([pair(), pair(killed=None)]) is None
    assert ratio([Pair(planned=episode("planned", 20.0, None), killed=episode("killed", 1600.0))]) is None


# The migration


def seen(leader: str, *names: str, unhealthy: str = "", learner: str = "") -> Sample:
    return Sample(
        members=tuple(
            MemberSeen(name=one, address=f"ip-{one}", healthy=one != unhealthy, learner=one == learner) for one in names
        ),
        leader=leader,
        term=2,
    )


NEXT = {"a": "d", "b": "e", "c": "f"}


def test_a_member_that_goes_is_asked_until_its_successor_votes_and_it_leads_no_more() -> None:
    assert asked(seen("a", "a", "b", "c"), NEXT) == ["ip-a", "ip-b", "ip-c"]
    assert asked(seen("a", "a", "b", "c", "d", learner="d"), NEXT) == ["ip-a", "ip-b", "ip-c"]
    assert asked(seen("a", "a", "b", "c", "d"), NEXT) == ["ip-a", "ip-b", "ip-c", "ip-d"]
    assert asked(seen("d", "a", "b", "c", "d"), NEXT) == ["ip-b", "ip-c", "ip-d"]
    assert asked(seen("d", "b", "c", "d", unhealthy="c"), NEXT) == ["ip-b", "ip-d"]
    assert asked(Sample(members=None), NEXT) == []


def test_successors_are_those_of_the_stacks_configuration() -> None:
    assert set(successors(configuration()).values()) == {f"{one}-main" for one in successors(configuration())}


def look(leader: str, term: int) -> Look:
    return Look(at=1.0, leader=leader, term=term)


def test_leader_changes_are_seen_by_name_and_by_term_and_not_where_nobody_led() -> None:
    assert changes([look("a", 2), look("a", 2)]) == 0
    assert changes([look("a", 2), look("d", 3), look("d", 3)]) == 1
    assert changes([look("a", 2), look("a", 4)]) == 2, "two elections between two looks"
    assert changes([look("a", 2)]) is None
    assert changes([]) is None
    assert changed([look("a", 2), look("a", 2), look("d", 3)]) == (look("a", 2), look("d", 3))


def member(name: str, began: float, *steps: str) -> MemberTime:
    took = tuple(StepTook(name=one, began=began + number, seconds=1.0) for number, one in enumerate(steps))
    return MemberTime(name=name, began=began, seconds=float(len(steps)), steps=took)


def test_a_gap_is_told_by_the_step_that_it_lies_in() -> None:
    moved = [member("d", 10.0, "ready", "promoted"), member("e", 20.0, "ready")]
    assert during(moved, 11.5) == "d: promoted"
    assert during(moved, 5.0) == "before the first member"
    assert during(moved, 15.0) == "between members"
    assert during(moved, 25.0) == "after the last member"
    assert during([], 5.0) == "the product says nothing of its steps"


def test_members_times_are_the_products_own_and_a_member_without_steps_has_none() -> None:
    steps = (StepTook(name="ready", began=10.0, seconds=1.0), StepTook(name="verified", began=11.0, seconds=2.5))
    results = [
        MemberSwapResult(state="new", name="e", steps=(StepTook(name="ready", began=20.0, seconds=1.0),)),
        MemberSwapResult(state="new", name="d", steps=steps),
        MemberSwapResult(state="old"),
        MemberSwapResult(state="new", name="f"),
    ]
    assert [(one.name, one.seconds) for one in times(results)] == [("d", 3.5), ("e", 1.0)]


def loop_of(at: list[float]) -> OpenLoop:
    async def nothing(_: int) -> None:
        return

    loop = OpenLoop(nothing, 0.01, ())
    loop.asked += [Asked(number=number, due=one - 0.001, ended=one) for number, one in enumerate(at)]
    return loop


def test_what_is_beyond_idle_is_the_difference_and_never_negative() -> None:
    at = [0.0, 1.0, 2.0, 3.0, 5.0, 6.0, 7.0]
    found = stream(loop_of(at), 0.01, (0.5, 2.5), (2.5, 6.5), [member("d", 3.0, "ready", "promoted")])
    assert (found.idle_ms, found.gap_ms, found.beyond_idle_ms) == (1000.0, 2000.0, 1000.0)
    assert found.longest[0].during == "d: promoted"
    assert stream(loop_of([0.0, 1.0, 3.0, 4.0, 5.0]), 0.01, (0.5, 3.5), (3.5, 4.5), []).beyond_idle_ms == 0.0


def test_a_migration_without_a_single_write_is_not_measured() -> None:
    found = stream(loop_of([]), 0.01, (0.0, 2.0), (2.0, 6.0), [])
    assert (found.idle_ms, found.gap_ms, found.beyond_idle_ms, found.longest) == (None, None, None, ())


# The verdict


def moved_in(beyond: float | None = 20.0, changes_seen: int | None = 1) -> Moved:
    one = Stream(
        period_ms=10.0,
        idle_ms=30.0,
        gap_ms=None if beyond is None else 30.0 + beyond,
        beyond_idle_ms=beyond,
        longest=(),
        resting=NOTHING,
        moving=NOTHING,
        second_ms=(30.0, 50.0),
    )
    return Moved(
        stage=7,
        begin=1.0,
        seconds=2.0,
        rest_s=2.0,
        members=(member("d", 1.0, "ready"),),
        etcd=one,
        balancer=one,
        lost_writes=0,
        leaders=(look("a", 2), look("d", 3)),
        leader_changes=changes_seen,
        transfers=1,
        looks=20,
        blind_looks=0,
    )


def test_all_aims_kept_is_measured_and_nothing_missed() -> None:
    found = judged(HEADER, 2, (pair(), pair()), moved_in(), ())
    assert (found.measured, found.missed) == (True, ())


def test_a_machine_too_busy_to_write_in_time_is_a_doubt_and_names_what_it_was_too_busy_for() -> None:
    busy = NOTHING.model_copy(update={"asked": 90, "skipped": 10})
    one = pair()
    slow = one.model_copy(update={"killed": one.killed.model_copy(update={"writes": busy})})
    assert judged(HEADER, 1, (one,), moved_in(), ()).doubts == ()
    [said] = judged(HEADER, 1, (slow,), moved_in(), ()).doubts
    assert said.startswith("killed leaders: 10 of 100 writes weren't sent in time")


def test_a_missed_aim_is_measured_and_said() -> None:
    found = judged(HEADER, 1, (pair(planned=500.0),), moved_in(600.0, 3), ())
    assert found.measured
    assert [one.partition(":")[0] for one in found.missed] == [
        "write gap at a planned transfer ÷ at a killed leader, medians",
        "longest write gap of the members' migration beyond idle, at etcd (ms)",
        "longest write gap of the members' migration beyond idle, through the balancer (ms)",
        "leader changes of the members' migration",
    ]


@pytest.mark.parametrize(
    "found",
    [
        judged(HEADER, 1, (), moved_in(), ()),
        judged(HEADER, 2, (pair(),), moved_in(), ()),
        judged(HEADER, 1, (pair(planned=None),), moved_in(), ()),
        judged(HEADER, 1, (pair(),), None, ()),
        judged(HEADER, 1, (pair(),), moved_in(None), ()),
        judged(HEADER, 1, (pair(),), moved_in(changes_seen=None), ()),
        judged(HEADER, 1, (pair(),), moved_in(), ("the migration: it broke off",)),
        Found(header=HEADER, wanted_pairs=0),
    ],
    ids=["no pairs", "too few", "no gap", "no migration", "no writes", "no leader seen", "a problem", "nothing"],
)
def test_what_could_not_be_measured_is_a_breach(found: Found) -> None:
    assert not found.measured


@pytest.mark.parametrize("text", ["19", "0", "-3", "many", "2.5", ""])
def test_too_few_pairs_are_refused_in_a_sentence_before_anything_starts(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"^PAIRS='.*': must be a number of at least 20"):
        parse_pairs(text)
    assert swap.main(["--pairs", text]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_plot_is_drawn_of_whatever_there_is(tmp_path: Path) -> None:
    for number, (seen_pairs, moved) in enumerate([((), None), ((pair(), pair(None, None)), moved_in())]):
        path = draw(seen_pairs, moved, tmp_path / f"{number}.svg")
        assert "</svg>" in path.read_text()


# Real


@pytest.mark.lab
@pytest.mark.timeout(180)
def test_two_pairs_on_a_real_cluster_have_their_gaps_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure(print, ["etcd"])
    monkeypatch.setattr(pairs, "WINDOW_S", 0.5)
    told: list[str] = []
    found = pairs.measure(2, tmp_path, child_environment(), told.append)
    assert len(found) == len(told) == 2
    for one in found:
        assert one.planned.problem == one.killed.problem == ""
        assert one.measured
        for episode_seen in (one.planned, one.killed):
            assert episode_seen.heir not in (None, episode_seen.leader)
            assert episode_seen.writes.asked and episode_seen.reads.asked
    assert ratio(found) is not None
    shape = json.loads(judged(HEADER, 2, found, None, ()).model_dump_json())
    assert set(shape["pairs"][0]["killed"]) == set(Episode.model_fields)
    assert shape["planned"]["gap_ms"]["count"] == 2
    assert [processes.find(tmp_path, f"bench-etcd-{name}") for name in NAMES] == [None] * 3
    assert not (tmp_path / "bench-etcd").exists()
