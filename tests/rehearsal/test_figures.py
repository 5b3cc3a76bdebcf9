"""The tables of docs/performance.md: placed between their marks, one for each report, and never by half."""

from __future__ import annotations

from pathlib import Path

import pytest

from proof.model import Predicted, Report, Stage
from rehearsal.benches import figures, up_rows
from rehearsal.benches.written import Aim, Header

PAGE = "before\n<!-- figures: up -->\nold\n<!-- end of figures -->\nafter\n"


def test_a_section_takes_the_place_of_what_stood_between_its_marks() -> None:
    text = figures.placed(PAGE, "up", ["new", "lines"])
    assert text == "before\n<!-- figures: up -->\nnew\nlines\n<!-- end of figures -->\nafter\n"


def test_the_same_again_changes_nothing() -> None:
    once = figures.placed(PAGE, "up", ["new"])
    assert figures.placed(once, "up", ["new"]) == once


def test_a_page_without_the_marks_is_told() -> None:
    with pytest.raises(ValueError, match=r"no mark <!-- figures: swap -->"):
        figures.placed(PAGE, "swap", ["new"])


def test_the_pages_have_a_place_for_every_report() -> None:
    for page, mark, *_ in figures.SECTIONS:
        text = page.read_text()
        assert figures.placed(text, mark, ["here"]) != text


def test_a_headline_says_that_it_went_wrong() -> None:
    lines = "".join(figures.headline(Report(reasons=("no probes",))))
    assert "not ok" in lines
    assert "min" not in lines


def test_a_headline_names_what_it_does_not_know() -> None:
    lines = "".join(figures.headline(Report(ok=True)))
    assert "machine unknown, commit unknown" in lines
    assert "when?" in lines


def test_what_was_not_measured_says_so() -> None:
    stage = Stage(stage=2, name="shared", predicted_s=Predicted(low=3, high=None, unseen=("pods",)))
    lines = "\n".join(figures.rehearsed(Report(stages=(stage,), reasons=("no probes",))))
    assert "not ok: no probes" in lines
    assert "| 2 (shared) | – | ≥ 3 | – | 0 | – |" in lines
    assert "machine unknown" in lines


def test_a_missed_aim_is_told_and_so_is_one_without_a_figure() -> None:
    aims = (
        Aim(name="a", limit=1, measured=2),
        Aim(name="b", limit=1, measured=None),
        Aim(name="c", limit=1, measured=1),
    )
    rows = [line for line in figures.told_aims(aims) if line.startswith(("| a", "| b", "| c"))]
    assert [row.rsplit("|", 2)[1].strip() for row in rows] == ["**no**", "**no**", "yes"]
    assert "not measured" in rows[1]


def test_an_aim_that_each_stage_has_is_one_row_that_names_the_stages_that_missed_it() -> None:
    report = up_rows.report(Header.now("x"), [], 72, (0, 1), [])
    aims = [aim.model_copy(update={"measured": 1.4}) if aim.name.startswith("stage 0") else aim for aim in report.aims]
    lines = list(figures.brought_up(report.model_copy(update={"aims": tuple(aims)})))
    assert "| up without its waits ÷ floor | ≤ 1.5 | 1.4 | 1 (not measured) |" in lines
    assert "| changes of a second up | ≤ 0 | 1.4 | 0, 1 (not measured) |" in lines
    assert "| t(72 groups) ÷ t(12): previews | ≤ 4 | not measured | all (not measured) |" in lines


def test_a_reports_plot_lies_beside_its_page_and_is_shown_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, reports = tmp_path / "page.md", tmp_path / "report"
    reports.mkdir()
    page.write_text(PAGE)
    (reports / "rehearsal.json").write_text(Report().model_dump_json())
    monkeypatch.setattr(figures, "make_folders", lambda: tmp_path)
    monkeypatch.setattr(figures, "PAGE", page)
    monkeypatch.setattr(figures, "README", page)
    monkeypatch.setattr(figures, "PLOTS", tmp_path / "figures")
    monkeypatch.setattr(figures, "SECTIONS", ((page, "up", "rehearsal", Report, lambda _: iter(["told"])),))
    assert figures.main() == 0
    assert "told\n<!-- end" in page.read_text()
    (reports / "rehearsal.svg").write_text("<svg/>")
    assert figures.main() == 0
    assert "told\n\n![rehearsal](figures/rehearsal.svg)\n<!-- end" in page.read_text()
    assert (tmp_path / "figures" / "rehearsal.svg").read_text() == "<svg/>"
