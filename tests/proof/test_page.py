"""The page people read, and the data of its plots, from a run's files."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from proof import charts, drawing, marks
from proof.drawing import Book, Plot
from proof.html import duration, plots, render, write_html
from proof.model import Drain, EtcdChange, Gate, MemberSeen, Parts, Predicted, Report, Stage, Summary, Window
from proof.report import build
from proof.series import DrainSpan, drain_span, read_series
from proof.summary import summarize
from tests.proof.made import DRAIN_BEGIN, DRAIN_S, PODS, SIDES, begin_of, made_run


class Text(HTMLParser):
    """What a reader sees, one element's text after the other; plots and styles left out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("svg", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("svg", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.found.append(data.strip())


def text_of(page: str) -> str:
    reader = Text()
    reader.feed(page)
    return re.sub(r"\s+", " ", " ".join(reader.found))


def report_of(out: Path, parts: Parts) -> Report:
    return build(summarize(out), parts)


def titled(title: str, drawn: list[Plot]) -> Plot:
    return next(plot for plot in drawn if plot.title == title)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Parts]:
    """A good run's files, only read."""
    out = tmp_path_factory.mktemp("made")
    return out, made_run(out)


@pytest.fixture(scope="module")
def page(made: tuple[Path, Parts]) -> str:
    out, parts = made
    write_html(report_of(out, parts), out, out / "report.html")
    return (out / "report.html").read_text()


@pytest.fixture(scope="module")
def drawn(made: tuple[Path, Parts]) -> list[Plot]:
    out, parts = made
    return plots(report_of(out, parts), out)


def test_gates_are_told_as_sentences_with_their_sign_and_position(tmp_path: Path) -> None:
    parts = made_run(tmp_path)
    refused = Gate(position="before", check="ingress-quiet", ok=False, detail="3 flows are still open")
    stages = [stage.but(gates=(refused,)) if stage.stage == 6 else stage for stage in parts.stages]
    report = report_of(tmp_path, parts.model_copy(update={"stages": tuple(stages)}))
    text = text_of(render(report, []))
    assert "✓ permissions held before it: all 61 AWS actions and 38 Kubernetes verbs are allowed" in text
    assert "✓ records-in-sync held after it: shop.apps.pet.lab.internal" in text
    assert "✗ ingress-quiet did not hold before it: 3 flows are still open" in text
    assert "{" not in text


def test_why_it_is_not_ok_stands_on_top(tmp_path: Path) -> None:
    text = text_of(render(report_of(tmp_path, made_run(tmp_path, broken=True)), []))
    assert text.startswith("not ok · migration proof Migration proof ✗ not ok")
    why = "ingress_fresh from connected: 30 of 5400 requests failed (stage 6: 30)"
    places = [text.index(part) for part in ("Why it is not ok", why, "30 failed of", "Stages")]
    assert places == sorted(places)
    assert "30 probes failed" in text
    assert "127.10.16.4:8080: refused" in text


def test_a_good_run_says_so_and_nothing_of_why_not(tmp_path: Path) -> None:
    page = render(report_of(tmp_path, made_run(tmp_path)), [])
    assert "✓ ok" in page
    assert "Why it is not ok" not in page


def test_the_page_says_what_was_judged_against_what(tmp_path: Path) -> None:
    text = text_of(render(report_of(tmp_path, made_run(tmp_path)), []))
    assert "262 ready pods before, 262 after, 0 with fewer than due" in text
    assert "longest gap 0.9 s of 5 s allowed" in text
    assert "no voter was ever silent" in text
    assert "the API of cluster 6f1c0d2e-0000-4000-8000-000000000001" in text
    assert "Not watched" not in text


def test_a_machine_that_was_too_busy_is_told_from_a_loss(tmp_path: Path) -> None:
    parts = made_run(tmp_path)
    events = tmp_path / "events.jsonl"
    late = {"t": begin_of(7), "event": "probe_failed", "cell": "old/api_kept", "seq": 1, "phase": "not_sent"}
    late |= {"detail": "late", "peer": None, "elapsed_ms": 0.0, "loop_late_ms": 400.0, "starved": True}
    events.write_text(events.read_text() + json.dumps(late) + "\n")
    report = report_of(tmp_path, parts)
    text = text_of(render(report, []))
    assert (report.exit_status, report.believable) == (3, False)
    assert "? not to be believed" in text
    assert "Why it is not to be believed" in text
    assert "(stage 7: 1)" in text


def test_what_was_not_due_is_not_shown_as_zero(tmp_path: Path) -> None:
    text = text_of(render(build(Summary(), Parts(due=Parts().due.model_copy(update={"etcd": False}))), []))
    assert "voters" not in text
    assert "? lost of 0 writes" in text


def test_the_page_stands_alone_with_every_plot_for_a_wide_and_a_narrow_window(page: str) -> None:
    titles = ("Who answered", "Drain", "Control plane", "Latency and failures", "Writes and budgets", "CPU")
    for title in titles:
        assert f"<h2>{title}</h2>" in page
    assert page.count('class="plot wide"') == page.count('class="plot narrow"') == len(titles)
    assert "@media print" in page
    for fetched in ("<script", 'src="', "<link", "url(http"):
        assert fetched not in page


def test_every_plot_names_the_stages_and_the_drain_its_lower_bound(drawn: list[Plot]) -> None:
    for plot in drawn:
        for stage in ("at rest|rest", "0 baseline", "3 workers", "6 workloads", "8 cleanup"):
            assert re.search(f">(?:{stage})</text>", plot.wide), (plot.title, stage)
        for stage in "0123456789"[:9]:
            assert f">{stage}</text>" in plot.narrow, (plot.title, stage)
    drain = titled("Drain", drawn)
    assert [key.label for key in drain.legend] == ["legacy", "main", "lower bound"]
    assert f"The last of the {PODS} on legacy was gone after" in drain.text
    assert "At best 22 s: shop/web lets 1 of 6 go" in drain.text


def book_of(made: tuple[Path, Parts], **changes: Any) -> Book:
    series = read_series(made[0])
    assert series is not None
    return replace(Book(series=series, windows=summarize(made[0]).windows, sides=SIDES), **changes)


def test_without_a_lower_bound_none_is_drawn(made: tuple[Path, Parts]) -> None:
    drain = charts.drained(book_of(made), Drain(pods=PODS))
    assert drain is not None
    assert [key.label for key in drain.legend] == ["legacy", "main"]
    assert "At best" not in drain.text


def test_who_answered_is_coloured_by_side(drawn: list[Plot]) -> None:
    who = titled("Who answered", drawn)
    assert [(key.label, key.colour) for key in who.legend] == [("legacy", drawing.SIDES[0]), ("main", drawing.SIDES[1])]
    # Three addresses a side, two targets, each in its side's colour.
    for colour in drawing.SIDES[:2]:
        assert who.wide.count(f"fill: {colour}") == 6


def test_an_answer_from_an_address_of_no_side_is_named_elsewhere(made: tuple[Path, Parts]) -> None:
    book = book_of(made)
    book.series.peers["ingress"]["198.51.100.9"][3] += 1
    who = charts.answered_by(book)
    assert who is not None
    assert [key.label for key in who.legend] == ["legacy", "main", "elsewhere"]


def test_a_run_without_sides_names_the_addresses_and_has_no_drain(made: tuple[Path, Parts]) -> None:
    book = book_of(made, sides=())
    who = charts.answered_by(book)
    assert who is not None
    assert "127.10.0.4" in [key.label for key in who.legend]
    assert charts.drained(book, Drain()) is None


def test_a_run_that_saw_no_etcd_and_no_pods_has_its_other_plots(made: tuple[Path, Parts]) -> None:
    book = book_of(made)
    book.series.etcd.clear()
    book.series.pods.clear()
    titles = [plot.title for plot in charts.plots(book, Drain())]
    assert titles == ["Who answered", "Latency and failures", "Writes and budgets", "CPU"]


def test_the_drain_lasts_from_the_first_pod_gone_to_the_last(made: tuple[Path, Parts]) -> None:
    book = book_of(made)
    span = drain_span(book.series.pods, book.windows)
    assert span is not None
    assert (span.side, span.pods) == ("legacy", PODS)
    assert abs(span.begin - begin_of(6) - DRAIN_BEGIN) <= 1
    assert span.end is not None and abs(span.end - begin_of(6) - DRAIN_BEGIN - DRAIN_S) <= 1


@pytest.mark.parametrize(
    ("counts", "span"),
    [
        # A little comes and goes before; the stage begins with 9, and 9 is what it has to move.
        ([(0, 10), (5, 9), (12, 4), (15, 0)], DrainSpan(side="old", begin=12, pods=9, end=15)),
        ([(0, 10), (12, 4), (15, 2)], DrainSpan(side="old", begin=12, pods=10, end=None)),
        ([(0, 4), (12, 10)], None),
        ([(0, 4)], None),
    ],
)
def test_a_drain_begins_in_the_stage_in_which_it_ends(counts: list[tuple[float, int]], span: DrainSpan | None) -> None:
    windows = (Window(label="stage 5", begin=0, end=10), Window(label="stage 6", begin=10, end=None))
    assert drain_span([(t, {"old": count}) for t, count in counts], windows) == span


def test_a_member_is_one_row_also_before_it_has_a_name() -> None:
    def member(name: str, address: str, **more: bool) -> MemberSeen:
        return MemberSeen(name=name, address=address, **more)

    a = member("a", "10.0.0.1")
    changes = [
        EtcdChange(t=0, members=(a,), leader="a"),
        EtcdChange(t=5, members=(a, member("123", "10.1.0.1", learner=True)), leader="a"),
        EtcdChange(t=8, members=(member("a", "10.0.0.1", healthy=False), member("b", "10.1.0.1")), leader="b"),
        EtcdChange(t=9, members=None, leader=None),
    ]
    rows = charts.member_rows(changes, 12)
    assert [(row.label, row.stretches, row.leading) for row in rows] == [
        ("a", ((0, 8, "voter"), (8, 9, "unhealthy")), ((0, 8, "leader"),)),
        ("b", ((5, 8, "learner"), (8, 9, "voter")), ((8, 9, "leader"),)),
    ]


def test_a_stage_on_the_way_back_is_told_from_the_same_stage_on_the_way_forward(tmp_path: Path) -> None:
    parts = made_run(tmp_path)
    back = Stage(stage=4, name="traffic-both", direction="back", second_up_changes=0, seconds=9.0)
    marks.add(tmp_path, f"{back.label} begin", begin_of(8) + 30)
    failed = {"t": begin_of(8) + 40, "event": "probe_failed", "cell": "connected/api_kept", "seq": 1}
    failed |= {"phase": "connect", "detail": "refused", "peer": None, "elapsed_ms": 1.0, "loop_late_ms": 0.0}
    with (tmp_path / "events.jsonl").open("a") as sink:
        sink.write(json.dumps(failed) + "\n")
    report = report_of(tmp_path, parts.model_copy(update={"stages": (*parts.stages, back)}))
    assert report.probes["api_kept"].failed_by_window == {"stage 4, back": 1}
    text = text_of(render(report, []))
    assert "traffic-both on the way back, 9.0 s nothing changed · a second up changed nothing · 1 probes failed" in text
    assert "4 traffic-both 1 min 00 s 3 created, 4 updated · a second up changed nothing · no probe failed" in text
    latency = titled("Latency and failures", plots(report, tmp_path))
    assert ">4←" in latency.wide
    assert ">4</text>" in latency.narrow


def test_a_second_up_that_was_not_due_is_no_fault_of_the_stage(tmp_path: Path) -> None:
    parts = made_run(tmp_path)
    last = {**dict(parts.stages[8]), "second_up_changes": None}
    for due, marked in ((False, False), (True, True)):
        stages = (Stage.model_validate(last | {"second_up_due": due}),)
        page = render(report_of(tmp_path, parts.model_copy(update={"stages": stages})), [])
        assert ('class="stage bad"' in page) is marked
        assert "no second up was made" in text_of(page)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (3.24, "3.2 s"), (61, "1 min 01 s"), (59.9, "1 min 00 s"), (7380, "2 h 03 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def predicted_run(folder: Path, took: float | None, said: Predicted | None) -> Report:
    """The made run, whose stage 5 was said to take so long and took so long."""
    parts = made_run(folder)
    stages = [one.but(up_s=took, predicted_s=said) if one.stage == 5 else one for one in parts.stages]
    return report_of(folder, parts.model_copy(update={"stages": tuple(stages)}))


SAID = Predicted(low=210, high=725, terms=("old balancers quiet 3 min to 8 min 5 s (max(2 × 5 s TTL, 3 periods))",))


@pytest.mark.parametrize(
    ("took", "told", "noted"),
    [
        (400.0, "up: 6 min 40 s, said 3 min 30 s to 12 min 05 s: within it", None),
        (785.0, "up: 13 min 05 s, said 3 min 30 s to 12 min 05 s: 1 min 00 s more", "took 785 s, 60 s more than"),
        (200.0, "up: 3 min 20 s, said 3 min 30 s to 12 min 05 s: 10.0 s less", "took 200 s, 10 s less than"),
        (None, "up: said 3 min 30 s to 12 min 05 s, not over", None),
    ],
)
def test_what_was_said_of_a_stage_stands_beside_what_it_took(
    tmp_path: Path, took: float | None, told: str, noted: str | None
) -> None:
    report = predicted_run(tmp_path, took, SAID)
    assert told in text_of(render(report, []))
    notes = [one.detail for one in report.notes if one.event == "not as predicted"]
    assert len(notes) == (0 if noted is None else 1)
    assert noted is None or noted in notes[0]


def test_a_stage_that_took_longer_than_said_is_no_failure(tmp_path: Path) -> None:
    report = predicted_run(tmp_path, 9_000.0, SAID)
    assert (report.ok, report.reasons) == (True, ())


def test_without_an_upper_end_only_less_is_off_and_what_was_not_seen_is_said(tmp_path: Path) -> None:
    hidden = SAID.model_copy(update={"high": None, "unseen": ("drain: AWS doesn't answer",)})
    report = predicted_run(tmp_path, 9_000.0, hidden)
    told = "up: 2 h 30 min, said at least 3 min 30 s (not seen: drain: AWS doesn't answer): within it"
    assert told in text_of(render(report, []))
    assert not report.notes


def test_where_nothing_was_said_nothing_stands_there(tmp_path: Path) -> None:
    report = predicted_run(tmp_path, 400.0, None)
    assert "said" not in text_of(render(report, []))
    assert not report.notes


def test_a_report_from_before_predictions_is_read(tmp_path: Path) -> None:
    report = predicted_run(tmp_path, 400.0, SAID)
    old = json.loads(report.model_dump_json())
    for stage in old["stages"]:
        del stage["up_s"], stage["predicted_s"]
    assert all(one.predicted_s is None and not one.off_by_s for one in Report.model_validate(old).stages)
    assert Report.model_validate_json(report.model_dump_json()) == report
