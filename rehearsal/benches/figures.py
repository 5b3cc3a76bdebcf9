"""`make figures`: README's headline, tables and plots of docs/performance.md, from the reports in `.lab/report`.

Between two marks of a page stands what one report says; where there is none, what stood there stays. Nothing in a
table is typed by hand.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from lab.environment import REPOSITORY, make_folders
from lab.profiles import LARGE
from proof.model import IDLE, Report
from rehearsal.benches import swap, up_rows
from rehearsal.benches.drain import model as drain
from rehearsal.benches.written import Aim, Header
from rehearsal.forms import Form

README, PAGE = REPOSITORY / "README.md", REPOSITORY / "docs" / "performance.md"
PLOTS = REPOSITORY / "docs" / "figures"
BEGIN, END = "<!-- figures: {} -->", "<!-- end of figures -->"

Found = TypeVar("Found", bound=BaseModel)
Cells = Sequence[str]


def main() -> int:
    """Write the pages anew; 1 where there is no report at all, or one that can't be read."""
    reports, problems = make_folders() / "report", list[str]()
    texts, written = {page: page.read_text() for page in (README, PAGE)}, list[str]()
    for page, mark, name, model, section in SECTIONS:
        path = reports / f"{name}.json"
        try:
            found = model.model_validate_json(path.read_text())
        except FileNotFoundError:
            print(f"{name}: no {path}: what the page says stays")
            continue
        except ValidationError as error:
            problems.append(f"{path} can't be read as this version writes it: run its command again ({error.title})")
            continue
        lines = list(section(found))
        plot = path.with_suffix(".svg")
        if plot.exists():
            PLOTS.mkdir(exist_ok=True)
            shutil.copyfile(plot, PLOTS / plot.name)
            lines += ["", f"![{name}]({PLOTS.name}/{plot.name})"]
        texts[page] = placed(texts[page], mark, lines)
        written.append(mark)
    for problem in problems:
        print(f"figures: {problem}", file=sys.stderr)
    if written:
        for page, text in texts.items():
            page.write_text(text)
        print(f"{PAGE.name} and {README.name}: {', '.join(written)}")
    return 0 if written and not problems else 1


def placed(text: str, name: str, lines: Iterable[str]) -> str:
    """The page with a section's lines between its marks. Raises ValueError where the page has no such marks. Pure."""
    begin = BEGIN.format(name)
    found, count = re.subn(
        re.escape(begin) + r"\n.*?" + re.escape(END),
        lambda _: "\n".join([begin, *(line.rstrip() for line in lines), END]),
        text,
        count=1,
        flags=re.DOTALL,
    )
    if not count:
        raise ValueError(f"the page has no mark {begin} with {END} after it")
    return found


def _table(head: Cells, rows: Iterable[Cells]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _seen(header: Header) -> Iterator[str]:
    yield f"`{header.command}`, {header.at}, commit {header.commit[:12]}, {header.machine}."
    yield ""


def told_aims(aims: Iterable[Aim]) -> Iterator[str]:
    """A row an aim; one without a figure isn't kept."""
    yield ""
    yield from _table(
        ("figure", "seen", "aim", "kept"),
        (
            (
                aim.name,
                "not measured" if aim.measured is None else f"{aim.measured:,.3g}",
                f"{aim.sign} {aim.limit:g}",
                "yes" if aim.kept else "**no**",
            )
            for aim in aims
        ),
    )


def _or_dash(value: float | None, form: str = "{:,.1f}") -> str:
    return "–" if value is None else form.format(value)


def headline(report: Report) -> Iterator[str]:
    """The large rehearsal in a few lines, for those who read nothing else."""
    if not report.ok:
        yield "The last large rehearsal was not ok: [performance](docs/performance.md) says what it showed, and why."
        return
    moved, commit = report.drain, report.versions.get("commit") or "unknown"
    yield f"**{moved.nodes} nodes and {moved.pods:,} pods, from stage 0 to 8, in {report.seconds / 60:,.0f} min: ok.** "
    yield from _proven(report)
    yield f"{report.peak_rss_mb / 1000:.1f} GB. `make rehearse PROFILE=large`, {(report.begin or 'when?')[:10]}, "
    yield f"{_machine(report)}, commit {commit[:12]}; "
    yield "more in [performance](docs/performance.md)."


def _machine(report: Report) -> str:
    return report.versions.get("machine", "machine unknown")


def _proven(report: Report) -> Iterator[str]:
    probes = report.probes.values()
    due, failed = sum(one.due for one in probes), sum(one.failed for one in probes)
    yield f"{due:,} probes, {failed:,} failed; {report.writes.acknowledged:,} writes, {report.writes.lost} lost;"
    yield f"{report.budgets.watched} budgets, {report.budgets.violations} violations; at least"
    yield f"{report.etcd.min_healthy_voters} healthy etcd voters."


def rehearsed(report: Report) -> Iterator[str]:
    """The whole way at one size: what was proven, and each stage."""
    yield f"{report.begin}, {_machine(report)}: **{_verdict(report)}** after "
    yield f"{report.seconds:,.0f} s, {report.peak_rss_mb:,} MB at the peak."
    yield from _proven(report)
    yield ""
    moved = report.drain
    bound = _or_dash(moved.lower_bound_s)
    yield f"Drain: {moved.nodes} nodes, {moved.pods:,} pods, {moved.evictions:,} evictions, {moved.rejected_429} "
    yield f"refused by a budget, {moved.seconds:,.0f} s; bound {bound} s."
    yield ""
    yield from _table(
        ("stage", "up s", "predicted s", "with preview and second up, s", "changes", "machine %"),
        (
            (
                stage.title.removeprefix("Stage "),
                _or_dash(stage.up_s),
                _span(stage.predicted_s.low, stage.predicted_s.high) if stage.predicted_s else "–",
                _or_dash(stage.seconds),
                str(sum(count for kind, count in stage.changes.items() if kind != "same")),
                _or_dash(report.cpu[stage.label].machine if stage.label in report.cpu else None, "{:.0f}"),
            )
            for stage in report.stages
        ),
    )
    yield ""
    busiest = max(report.cpu, key=lambda name: report.cpu[name].machine * report.cpu[name].seconds, default=None)
    if busiest is not None:
        users = sorted(report.cpu[busiest].groups.items(), key=lambda item: -item[1].cpu)
        yield f"Most was computed in {busiest}, on average (percent of one processor): "
        yield ", ".join(f"{name} {use.cpu:.0f}" for name, use in users if use.cpu >= 1) + "."
        yield ""
    late = max((one.worst_late_ms for one in report.probes.values()), default=None)
    rest = max((one.worst_late_ms for one in report.idle.values()), default=None)
    yield f"The prober's worst lateness: {_or_dash(rest)} ms at rest (window `{IDLE}`), {_or_dash(late)} ms in all."


def _verdict(report: Report) -> str:
    if report.ok:
        return "ok"
    first, *others = report.reasons or ("without a reason",)
    return f"not ok: {first}" + (f" ({len(others)} reasons more)" if others else "")


def _span(low: float, high: float | None) -> str:
    return f"≥ {low:,.0f}" if high is None else f"{low:,.0f}–{high:,.0f}"


def drained(report: drain.Report) -> Iterator[str]:
    """This drain beside kubectl's."""
    yield from _seen(report.header)
    for scale in report.scales:
        bound = scale.bound
        yield f"**{scale.world.nodes} nodes, {scale.world.pods:,} pods, seed {scale.world.seed}**"
        if bound is not None and scale.calibration is not None:
            first = bound.terms[0]
            yield f"LB {bound.seconds:,.1f} s: {first.budget} ⌈{first.pods} / {first.at_once}⌉ × "
            yield f"{first.round_seconds:.1f} s = {first.seconds:,.1f} s; P/q {bound.rate_seconds:,.1f} s with q = "
            yield f"{scale.calibration.per_second:.1f}/s; streaming floor {bound.streaming_seconds:,.1f} s."
        yield ""
        yield from _table(
            ("run", "wall s", "÷ LB", "pods/s", "429s", "violations", "p99 of writes, s", "own CPU s", "own MB"),
            (_run(run, scale.ratios.get(run.name)) for run in scale.runs),
        )
        yield ""
    yield from told_aims(report.aims)
    yield from (f"- {one}" for one in report.trouble)


def _run(run: drain.Run, ratio: float | None) -> Cells:
    return (
        run.name + ("" if run.ok else " (doesn't count)"),
        f"{run.wall:,.1f}",
        _or_dash(ratio, "{:.2f}"),
        f"{run.rate:.1f}",
        str(run.refused),
        str(len(run.violations)),
        _or_dash(run.p99, "{:.2f}"),
        f"{run.cpu.commands:.1f}",
        _or_dash(run.memory_mb, "{:.0f}"),
    )


def brought_up(report: up_rows.Report) -> Iterator[str]:
    """`preview` and `up` beside an engine that has nothing to do."""
    yield from _seen(report.header)
    yield from _table(
        (
            *(
                "groups",
                "stage",
                "resources",
                "up s",
                "of it waited",
                "up without waits ÷ floor",
                "no-change up ÷ floor",
            ),
            *("preview ÷ floor", "calls a group", "bytes a resource"),
        ),
        (
            (
                str(row.groups),
                f"{row.stage} {row.name}",
                str(sum(row.resources.values())),
                _or_dash(row.up),
                _or_dash(row.waited),
                _or_dash(row.up_ratio, "{:.2f}"),
                _or_dash(row.again_ratio, "{:.2f}"),
                _or_dash(row.preview_ratio, "{:.2f}"),
                _or_dash(row.calls_a_group),
                _or_dash(row.state.each if row.state else None, "{:,.0f}"),
            )
            for row in report.rows
        ),
    )
    yield ""
    yield from _table(("figure", "aim", "seen", "missed at stages"), _over_stages(report.aims))
    yield ""
    yield from (f"- {one}" for one in report.errors)


def _over_stages(aims: Iterable[Aim]) -> Iterator[Cells]:
    """An aim that each stage has is one row; one that was measured nowhere says so."""
    whats: dict[str, list[tuple[str, Aim]]] = {}
    for aim in aims:
        stage, each, what = aim.name.partition(up_rows.OF_STAGE)
        whats.setdefault(what if each else aim.name, []).append((stage.partition(",")[0] if each else "all", aim))
    for what, found in whats.items():
        seen = sorted(aim.measured for _, aim in found if aim.measured is not None)
        missed = [
            stage.removeprefix("stage ") + ("" if aim.measured is not None else " (not measured)")
            for stage, aim in found
            if not aim.kept
        ]
        yield (
            what,
            f"{found[0][1].sign} {found[0][1].limit:,g}",
            "–".join(f"{one:,.3g}" if one < 1000 else f"{one:,.0f}" for one in dict.fromkeys((seen[0], seen[-1])))
            if seen
            else "not measured",
            ", ".join(missed) if missed else "none",
        )


def swapped(found: swap.Found) -> Iterator[str]:
    """Leadership handed over against lost, and all members moved under writes."""
    yield from _seen(found.header)
    rows = [(name, one) for name, one in (("planned transfer", found.planned), ("SIGKILL", found.killed)) if one]
    yield from _table(
        ("leader", "pairs", "gap median ms", "p95", "worst", "at rest", "writes failed", "reads failed"),
        (
            (
                name,
                str(len(found.pairs)),
                *(
                    _or_dash(value)
                    for value in (
                        (one.gap_ms.median, one.gap_ms.p95, one.gap_ms.worst) if one.gap_ms else (None, None, None)
                    )
                ),
                _or_dash(one.idle_ms.median if one.idle_ms else None),
                f"{one.failed_writes} of {one.writes:,}",
                f"{one.failed_reads} of {one.reads:,}",
            )
            for name, one in rows
        ),
    )
    yield ""
    if found.moved is not None:
        moved = found.moved
        each = ", ".join(f"{one.name} {one.seconds:.0f} s" for one in moved.members)
        yield f"Three members moved in {moved.seconds:,.0f} s ({each}); {moved.leader_changes} leader changes."
        yield ""
        yield from _table(
            ("writes", "longest gap ms", "at rest ms", "beyond", "failed"),
            (
                (
                    name,
                    _or_dash(one.gap_ms),
                    _or_dash(one.idle_ms),
                    _or_dash(one.beyond_idle_ms),
                    f"{one.moving.failed} of {one.moving.asked:,}",
                )
                for name, one in (("at etcd", moved.etcd), ("through the balancer", moved.balancer))
            ),
        )
    yield from told_aims(found.aims)
    yield from (f"- {one}" for one in (*found.problems, *found.doubts))


Section = tuple[Path, str, str, type[BaseModel], Callable[[BaseModel], Iterator[str]]]


def _section(
    name: str, model: type[Found], told: Callable[[Found], Iterator[str]], page: Path = PAGE, mark: str = ""
) -> Section:
    def section(found: BaseModel) -> Iterator[str]:
        assert isinstance(found, model)
        return told(found)

    return page, mark or name, name, model, section


SECTIONS: tuple[Section, ...] = (
    _section(Form(profile=LARGE).report, Report, headline, README, "headline"),
    _section(Form(profile=LARGE).report, Report, rehearsed),
    _section(Form().report, Report, rehearsed),
    _section(drain.NAME, drain.Report, drained),
    _section(up_rows.NAME, up_rows.Report, brought_up),
    _section(swap.NAME, swap.Found, swapped),
)
"""Where a section stands, by page and mark; of which report, what that is, and what is told of it."""


if __name__ == "__main__":
    sys.exit(main())
