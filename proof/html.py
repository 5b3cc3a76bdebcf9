"""The report for people: one HTML file with everything in it, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from proof import charts
from proof.config import KINDS, Kind, listener_of, write_atomically
from proof.drawing import Book, Plot
from proof.model import IDLE, Cell, Report, Stage
from proof.series import read_series

TITLES = {
    "ingress_fresh": "Ingress, new connections",
    "ingress_kept": "Ingress, kept-alive",
    "api_fresh": "API, new connections",
    "api_kept": "API, kept-alive",
}
CHANGES = (("create", "created"), ("update", "updated"), ("replace", "replaced"), ("delete", "deleted"))


def write_html(report: Report, out: Path, path: Path) -> None:
    """Write the page for `report` to `path`; the plots come from the run's files in `out`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, render(report, plots(report, out)))


def plots(report: Report, out: Path) -> list[Plot]:
    """Every plot that has data."""
    series = read_series(out)
    if series is None:
        return []
    book = Book(
        series=series,
        windows=report.windows,
        names={stage.label: stage.name for stage in report.stages},
        sides=report.watched.sides if report.watched else (),
    )
    return charts.plots(book, report.drain)


def render(report: Report, drawn: Sequence[Plot]) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "ms": milliseconds,
        "duration": duration,
        "changes": changes,
        "predicted": predicted,
        "stage_label": stage_label,
        # Our own SVG: nothing of it comes from the cluster unescaped (matplotlib escapes labels).
        "svg": Markup,
    }
    cast(dict[str, Any], environment.filters).update(filters)
    probes: list[Cell] = [*report.idle.values(), *report.probes.values()]
    return environment.get_template("report.html").render(
        report=report,
        kinds=[(kind, title(kind)) for kind in (*KINDS, *_listeners(report))],
        due=sum(cell.due for cell in probes),
        failed=sum(cell.failed for cell in probes),
        failed_at={stage.label: failed_at(report, stage) for stage in report.stages},
        groups=list(dict.fromkeys(name for cpu in report.cpu.values() for name in cpu.groups)),
        plots=drawn,
        unwatched=report.due.not_watched,
    )


def title(kind: Kind) -> str:
    """A kind of probe as people read it."""
    name = listener_of(kind)
    return TITLES[kind] if name is None else f"Listener {name}, each anew"


def _listeners(report: Report) -> list[Kind]:
    """Kinds of the listeners that were probed, in the run or at rest."""
    return [kind for kind in dict.fromkeys((*report.idle, *report.probes)) if listener_of(kind) is not None]


def failed_at(report: Report, stage: Stage) -> int:
    """Failed probes within one stage."""
    return sum(cell.failed_by_window.get(stage.label, 0) for cell in report.probes.values())


def changes(stage: Stage) -> str:
    """What the engine did, in words."""
    told = [f"{stage.changes[key]} {done}" for key, done in CHANGES if stage.changes.get(key)]
    return ", ".join(told) or "nothing changed"


def predicted(stage: Stage) -> str:
    """How long its `up` was said to take beside how long it took; empty where nobody said anything."""
    said, took = stage.predicted_s, stage.up_s
    if said is None:
        return ""
    told = f"at least {duration(said.low)}" if said.high is None else f"{duration(said.low)} to {duration(said.high)}"
    unseen = f" (not seen: {'; '.join(said.unseen)})" if said.unseen else ""
    if took is None:
        return f"up: said {told}{unseen}, not over"
    more = "more" if stage.off_by_s > 0 else "less"
    off = f"{duration(abs(stage.off_by_s))} {more}" if stage.off_by_s else "within it"
    return f"up: {duration(took)}, said {told}{unseen}: {off}"


def stage_label(label: str) -> str:
    """A window's label as people read it."""
    return "at rest" if label == IDLE else label


def milliseconds(value: float | None) -> str:
    """A latency, or a dash where there is none."""
    return "–" if value is None else f"{value:.1f}"


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
