"""How many requests were due: by configuration and marks, whatever the prober did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proof import marks
from proof.config import ConfigError, Place, parse
from proof.due import Configured, Span, Spans, active_spans, split
from proof.model import Window
from proof.report import build
from proof.summary import summarize
from proof.watch import main as watch
from tests.proof.made import BEGIN, begin_of, configured, made_run


def at(t: float, *places: Place) -> Configured:
    return Configured(t=t, places=places)


OLD, NEW = Place(name="old"), Place(name="new")
OFF = Place(name="new", active=False)


def spans(*told: Configured, edges: tuple[tuple[float, str, bool], ...] = ()) -> dict[str, list[tuple[float, float]]]:
    found = active_spans(told, edges, 0, 1000)
    return {name: [(span.begin, span.end) for span in each] for name, each in found.by_place.items()}


def test_a_place_is_due_from_when_the_configuration_has_it_active_until_it_is_switched_off() -> None:
    assert spans(at(0, OLD, OFF), at(100, OLD, NEW), at(700, OLD, OFF)) == {"old": [(0, 1000)], "new": [(100, 700)]}


def test_a_place_that_is_only_gone_from_the_file_goes_on_being_due() -> None:
    assert spans(at(0, OLD, NEW), at(100, OLD)) == {"old": [(0, 1000)], "new": [(0, 1000)]}


def test_a_place_that_was_never_active_has_no_time() -> None:
    assert spans(at(0, OLD, OFF)) == {"old": [(0, 1000)], "new": []}


def test_a_marked_place_is_due_whether_or_not_the_configuration_was_read() -> None:
    assert spans(at(0, OLD), edges=((100, "new", True), (400, "new", False))) == {
        "old": [(0, 1000)],
        "new": [(100, 400)],
    }


def test_a_place_whose_addresses_change_begins_again() -> None:
    moved = Place(name="old", source_address="127.0.0.9")
    assert spans(at(0, OLD), at(300, moved)) == {"old": [(0, 300), (300, 1000)]}


def test_time_times_rate_is_due_less_what_a_beginning_takes() -> None:
    found = Spans({"old": (Span(begin=0, end=306),)})
    assert found.requests("old", (Span(begin=0, end=1000),), 10) == 3000
    assert found.requests("old", (Span(begin=0, end=5),), 10) == 0
    assert found.requests("new", (Span(begin=0, end=1000),), 10) == 0


def test_a_run_is_cut_into_its_rest_and_the_time_around_it() -> None:
    idle, around = split([Window(label="idle", begin=100, end=130), Window(label="idle", begin=900, end=None)], 0, 1000)
    assert idle == (Span(begin=100, end=130), Span(begin=900, end=1000))
    assert around == (Span(begin=0, end=100), Span(begin=130, end=900))


def rewritten(out: Path, keep: Any) -> list[str]:
    """The made run with only those lines of its seconds."""
    parts = made_run(out)
    kept = [line for n, line in enumerate((out / "seconds.jsonl").read_text().splitlines(keepends=True)) if keep(n)]
    (out / "seconds.jsonl").write_text("".join(kept))
    return list(build(summarize(out), parts).reasons)


def test_the_made_run_owes_nothing(tmp_path: Path) -> None:
    assert rewritten(tmp_path, lambda n: True) == []


def test_one_probe_an_hour_is_not_taken_for_a_watch(tmp_path: Path) -> None:
    # A prober that only ever came round to a few seconds of nine minutes.
    reasons = rewritten(tmp_path, lambda n: n % 100 == 0)
    assert "ingress_fresh from old: only 50 requests were made where 4790 were due." in reasons
    with pytest.raises(ConfigError, match=r"probe.rate_hz: .* greater than or equal to 1"):
        parse({"places": [{"name": "old"}], "probe": {"rate_hz": 1 / 3600}}, "proof.json")


def test_a_place_that_was_marked_and_never_probed_is_named_for_every_kind(tmp_path: Path) -> None:
    parts = made_run(tmp_path)
    marks.add(tmp_path, "place corp begin", begin_of(2))
    reasons = list(build(summarize(tmp_path), parts).reasons)
    assert [reason.split(":")[0] for reason in reasons] == [
        f"{kind} from corp" for kind in ("ingress_fresh", "ingress_kept", "api_fresh", "api_kept")
    ]
    assert reasons[0] == "ingress_fresh from corp: only 0 requests were made where 4140 were due."


def test_the_mark_of_a_place_is_no_window(tmp_path: Path) -> None:
    marks.add(tmp_path, "place new begin", 5)
    marks.add(tmp_path, "stage 1 begin", 6)
    assert [window.label for window in marks.windows(marks.read(tmp_path))] == ["stage 1"]


def test_at_rest_everything_is_due_as_well(tmp_path: Path) -> None:
    reasons = rewritten(tmp_path, lambda n: not 5 <= n < 30)
    assert "Before stage 0 (idle), api_kept from old: only 50 requests were made where 240 were due." in reasons


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"places": [{"name": "a"}], "writer": None, "budgets": False, "owners": False}, "nothing is to be watched"),
        ({"places": [], "ingress": {"url": "http://shop/"}}, "would be probed from nowhere"),
    ],
)
def test_a_watch_of_nothing_does_not_start(
    tmp_path: Path, config: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "proof.json").write_text(json.dumps(config))
    assert watch(["--config", str(tmp_path / "proof.json"), "--out", str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err


def test_of_a_run_that_wrote_down_no_configuration_every_place_was_due_all_along(tmp_path: Path) -> None:
    parts = made_run(tmp_path)
    events = tmp_path / "events.jsonl"
    events.write_text("".join(line for line in events.open() if '"configured"' not in line))
    reasons = list(build(summarize(tmp_path), parts).reasons)
    assert any(reason.startswith("ingress_fresh from new: only ") for reason in reasons)
    assert configured(BEGIN)["places"][0] == {"name": "old", "active": False}
