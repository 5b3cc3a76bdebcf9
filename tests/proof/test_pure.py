"""The parts without a network: answers, marks, arithmetic of outages, budgets, etcd, configuration."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from migration.clients.etcd import Member, Status
from migration.runtime.deadline import Retryable
from proof import marks
from proof.budgets import BudgetBook, read_budget
from proof.config import ConfigError, LiveConfig, change_place, load, parse
from proof.etcd import EtcdBook, Sample, sample
from proof.http1 import Exchange, MalformedAnswer, request_head
from proof.model import CellSecond, FailedProbe, MemberSeen, VoterDown, label_at
from proof.summary import Tally, longest_outage, percentile
from proof.writer import Journal, compare, key_name, key_value, read_journal
from tests.proof.servers import budget


def asked() -> Exchange:
    return Exchange(request_head("shop.example:8080", "/?q", keep=True))


def parsed(data: bytes, step: int = 1) -> Exchange:
    exchange = asked()
    for at in range(0, len(data), step):
        exchange.feed(data[at : at + step])
    return exchange


@pytest.mark.parametrize(("keep", "connection"), [(True, "keep-alive"), (False, "close")])
def test_a_probe_sends_this_request_and_nothing_else(keep: bool, connection: str) -> None:
    assert Exchange(request_head("shop.example:8080", "/?q", keep=keep)).request.decode() == (
        f"GET /?q HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: proof\r\nAccept: */*\r\n"
        f"Connection: {connection}\r\n\r\n"
    )


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize(
    ("data", "body", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length:2\r\nConnection: close\r\n\r\nok", b"ok", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok", False),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nA: b\r\n\r\n",
            b"ok",
            False,
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", True),
    ],
)
def test_an_answer_is_whole_with_its_last_byte(step: int, data: bytes, body: bytes, closes: bool) -> None:
    early = asked()
    early.feed(data[:-1])
    assert early.answer is None
    answer = parsed(data, step).answer
    assert answer is not None
    assert (answer.body, answer.closes) == (body, closes)


def test_a_body_without_length_is_whole_when_the_connection_ends() -> None:
    parser = parsed(b"HTTP/1.1 200 OK\r\n\r\nok")
    assert parser.answer is None
    assert parser.end()
    assert parser.answer is not None
    assert parser.answer.body == b"ok"


def test_an_end_within_a_body_is_no_answer() -> None:
    assert not parsed(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok").end()


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nnocolon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and more",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    ],
)
def test_what_is_no_http_answer_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        parsed(data, 1000)


@pytest.mark.parametrize(
    ("failed_at", "longest"),
    [
        ([], 0.0),
        ([5.0], 0.1),
        ([5.0, 5.1, 5.2], 0.3),
        ([5.0, 5.2], 0.1),
        ([9.0, 5.1, 5.0], 0.2),
        ([0.0, 1.0, 1.1, 1.2, 1.3, 7.0, 7.1], 0.4),
    ],
)
def test_an_outage_lasts_from_the_first_failure_to_the_next_success(failed_at: list[float], longest: float) -> None:
    assert longest_outage(failed_at, 0.1) == longest


def test_a_request_without_any_result_counts_as_failed() -> None:
    tally = Tally(0.1)
    tally.add_second(CellSecond(due=10, sent=10, failed=1, ms=(1.0,) * 7))
    assert tally.cell().failed == 3
    assert tally.cell().why == {"no result was recorded": 2}


def test_failures_of_a_starved_prober_are_in_no_figure_of_the_clusters() -> None:
    tally = Tally(0.1, due=10, sent=9, failed=3)
    told = {"cell": "old/api_kept", "seq": 1, "peer": None, "elapsed_ms": 1.0, "window": "stage 7", "at": "10:00Z"}
    for t, phase, starved in ((1.0, "not_sent", True), (1.1, "answer", True), (5.0, "connect", False)):
        late = 300.0 if starved else 0.0
        tally.add_failure(
            FailedProbe.model_validate(
                told | {"t": t, "phase": phase, "detail": "x", "loop_late_ms": late, "starved": starved}
            )
        )
    tally.ms = [1.0] * 7
    cell = tally.cell()
    assert (cell.failed, cell.starved, cell.starved_by_window) == (3, 2, {"stage 7": 2})
    assert (cell.why, cell.failed_by_window, cell.longest_outage_s) == ({"connect: x": 1}, {"stage 7": 1}, 0.1)


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([float(n) for n in range(1, 101)], 99) == 99
    assert percentile([3.0, 1.0, 2.0], 50) == 2
    assert percentile([], 50) is None


def test_marks_delimit_windows_and_the_latest_begun_counts(tmp_path: Path) -> None:
    for at, text in [
        (10, "idle begin"),
        (40, "idle end"),
        (50, "stage 0 begin"),
        (60, "a note"),
        (70, "stage 0 end"),
        (71, "stage 1 begin"),
    ]:
        marks.add(tmp_path, text, at)
    with (tmp_path / marks.FILE).open("a") as stream:
        stream.write('{"t": 99, "te')
    found = marks.windows(marks.read(tmp_path))
    assert [(w.label, w.begin, w.end) for w in found] == [
        ("idle", 10, 40),
        ("stage 0", 50, 70),
        ("stage 1", 71, None),
    ]
    assert [label_at(found, t) for t in (5, 10, 39, 45, 69.9, 80)] == [
        None,
        "idle",
        "idle",
        None,
        "stage 0",
        "stage 1",
    ]


def test_a_stage_begun_again_after_a_crash_is_two_windows() -> None:
    found = marks.windows([marks.Mark(t=1, text="stage 3 begin"), marks.Mark(t=5, text="stage 3 begin")])
    assert [(w.begin, w.end) for w in found] == [(1, 5), (5, None)]


def started(*items: dict[str, Any]) -> BudgetBook:
    book = BudgetBook()
    book.listed([read_budget(item) for item in items], 0)
    return book


def test_a_budget_met_at_the_start_and_below_later_is_one_violation_with_its_worst_numbers() -> None:
    book = started(budget("web", 3, 3))
    assert [v.budget for v in book.seen("MODIFIED", read_budget(budget("web", 2, 3)), 5)] == ["shop/web"]
    assert book.seen("MODIFIED", read_budget(budget("web", 1, 3)), 6) == []
    book.seen("MODIFIED", read_budget(budget("web", 3, 3)), 8)
    assert [(v.begin, v.end, v.current, v.desired) for v in book.violations] == [(5, 8, 1, 3)]
    book.seen("MODIFIED", read_budget(budget("web", 2, 3)), 9)
    assert len(book.violations) == 2


def test_a_budget_unmet_at_the_start_or_made_later_is_not_judged() -> None:
    book = started(budget("bad", 0, 1), budget("web", 3, 3))
    book.seen("ADDED", read_budget(budget("later", 0, 1)), 1)
    book.seen("MODIFIED", read_budget(budget("bad", 0, 1)), 1)
    assert (book.watched, book.violations, book.unmet_at_start) == (1, [], {"shop/bad"})


def test_a_removed_budget_is_a_violation_whether_the_watch_or_a_new_list_tells() -> None:
    watched, listed = started(budget("web", 3, 3)), started(budget("web", 3, 3))
    watched.seen("DELETED", read_budget(budget("web", 3, 3)), 4)
    watched.listed([], 5)
    listed.listed([], 5)
    assert [v.removed for v in watched.violations] == [True]
    assert [v.removed for v in listed.violations] == [True]


def url(member: str) -> str:
    return f"https://{member}:2379"


class Members:
    """An etcd of three voters and a learner; `down` are member ids that don't answer."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.asked: list[str] = []

    async def members(self, endpoint: str) -> list[Member]:
        if endpoint in self.down:
            raise Retryable(endpoint)
        return [Member(id=n, name=f"m{n}", peer_urls=(), client_urls=(url(n),), learner=n == "4") for n in "1234"]

    async def status(self, endpoint: str) -> Status:
        self.asked.append(endpoint)
        if endpoint in self.down:
            raise Retryable(endpoint)
        return Status(id="1", leader="1", learner=False, term=7, raft_index=1, errors=(), version="3.6.14")


def test_every_voter_is_asked_itself_and_learners_do_not_count() -> None:
    client = Members()
    client.down = {url("2")}
    seen = asyncio.run(sample(client, [url("2"), url("1")]))
    assert (seen.healthy, seen.leader) == (2, "m1")
    assert seen.members == tuple(
        MemberSeen(name=f"m{n}", address=n, learner=n == "4", healthy=n != "2") for n in "1234"
    )
    assert client.asked.count(url("2")) == 2


def test_no_answer_at_all_is_blind_not_zero() -> None:
    client = Members()
    client.down = {url("1")}
    assert asyncio.run(sample(client, [url("1")])).healthy is None


def seen_etcd(healthy: int | None, leader: str = "a", term: int = 2, voters: str = "abc") -> Sample:
    """The last of the voters are those that aren't healthy."""
    if healthy is None:
        return Sample(members=None)
    members = (MemberSeen(name=name, address="", healthy=at < healthy) for at, name in enumerate(voters))
    return Sample(members=tuple(members), leader=leader, term=term)


def test_etcd_keeps_the_minimum_the_leaders_and_how_long_it_was_blind() -> None:
    book = EtcdBook()
    samples = [
        seen_etcd(None),
        seen_etcd(3),
        seen_etcd(None),
        seen_etcd(None),
        seen_etcd(2, "b", 3),
        seen_etcd(3, "b", 3, "bcd"),
    ]
    for at, one in enumerate(samples):
        book.add(one, float(at))
    assert book.facts(5.0).model_dump(mode="json") == {
        "due_from": 0.0,
        "members_before": ["a", "b", "c"],
        "members_after": ["b", "c", "d"],
        "learners_after": [],
        "healthy_voters_at_start": 3,
        "min_healthy_voters": 2,
        "min_healthy_at": 4.0,
        "leader_changes": 1,
        "samples": 6,
        "blind_samples": 3,
        "longest_blind_s": 3.0,
        "blind_s": 4.0,
        "down": [{"member": "c", "begin": 4.0, "seconds": 1.0, "ended": True, "window": None}],
    }


def test_a_voter_of_four_that_is_dead_to_the_end_has_its_name_and_its_time() -> None:
    book = EtcdBook()
    for at in range(100):
        book.add(seen_etcd(3) if at < 20 else seen_etcd(3, voters="abcd"), float(at))
    facts = book.facts(100.0)
    assert facts.min_healthy_voters == facts.healthy_voters_at_start == 3
    assert facts.down == (VoterDown(member="d", begin=20.0, seconds=80.0, ended=False),)


def test_a_voter_that_left_the_list_is_down_no_more() -> None:
    book = EtcdBook()
    for at, one in enumerate([seen_etcd(3), seen_etcd(2), seen_etcd(2), *[seen_etcd(2, voters="ab")] * 50]):
        book.add(one, float(at))
    assert [(one.member, one.seconds, one.ended) for one in book.facts(53.0).down] == [("c", 2.0, True)]


@pytest.mark.parametrize(("before", "after"), [(0, 60), (60, 0), (20, 40)])
def test_time_in_which_the_voters_were_due_and_not_looked_at_is_blind(before: int, after: int) -> None:
    book = EtcdBook()
    book.due(0.0)
    if before != 60:  # a first look, then none, as of a sampler without a client, or one that died
        book.add(seen_etcd(3), float(before))
    facts = book.facts(60.0)
    assert (facts.longest_blind_s, facts.blind_s) == (float(max(before, after)), 60.0)


def test_looks_half_a_second_apart_are_not_blind() -> None:
    book = EtcdBook()
    book.due(0.0)
    for at in range(60):
        book.add(seen_etcd(3), at / 2)
    assert book.facts(30.0).blind_s == 0.0


def test_a_write_is_lost_when_its_key_is_missing_or_holds_something_else() -> None:
    found: dict[str, str | None] = {key_name("r", n): key_value("r", n) for n in range(5)}
    del found[key_name("r", 1)]
    found[key_name("r", 3)] = key_value("r", 4)
    assert compare("r", [0, 1, 2, 3], found) == [1, 3]


def test_only_what_is_whole_in_the_journal_was_acknowledged(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", "r")
    for n in range(3):
        journal.note(n)
    assert journal.counted == 0
    journal.sync()
    assert journal.counted == 3
    journal.close()
    with (tmp_path / "j").open("a") as stream:
        stream.write("3")
    assert read_journal(tmp_path / "j") == ("r", [0, 1, 2])


def test_a_configuration_tells_every_error_at_once() -> None:
    data = {
        "places": [{"name": "old", "source_address": "nowhere"}, {"name": "new", "resolver": "host:53"}],
        "ingress": {"url": "shop.example"},
        "probes": 1,
    }
    with pytest.raises(ConfigError) as caught:
        parse(data, "proof.json")
    for key in ("places.0.source_address", "places.1.resolver", "ingress.url", "probes"):
        assert key in str(caught.value)


def test_two_places_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="old is there twice"):
        parse({"places": [{"name": "old"}, {"name": "old"}]}, "proof.json")


@pytest.mark.parametrize("name", ["proof.json", "proof.yaml"])
def test_a_place_is_added_and_switched_off_while_the_file_is_in_use(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps({"places": [{"name": "old"}]}))
    live = LiveConfig(path)
    assert not live.changed()
    change_place(path, "new", source_address="127.30.0.10")
    assert live.changed()
    assert [(p.name, p.source_address, p.active) for p in live.current.places] == [
        ("old", None, True),
        ("new", "127.30.0.10", True),
    ]
    change_place(path, "new", active=False)
    assert live.changed()
    assert [p.active for p in load(path).places] == [True, False]


def test_a_file_that_became_invalid_leaves_the_last_good_one_in_force(tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    path.write_text(json.dumps({"places": [{"name": "old"}]}))
    live = LiveConfig(path)
    path.write_text("{")
    assert not live.changed()
    assert [p.name for p in live.current.places] == ["old"]
    assert live.problem is not None
