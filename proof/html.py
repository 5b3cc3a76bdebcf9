"""The report for people: one HTML file with everything in it, no script, nothing fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from proof import charts
from proof.config import KINDS, write_atomically

TITLES = {
    "ingress_fresh": "Ingress, new connections",
    "ingress_kept": "Ingress, kept-alive",
    "api_fresh": "API, new connections",
    "api_kept": "API, kept-alive",
}


def write_html(report: dict[str, Any], out: Path, path: Path) -> None:
    """Write the page for `report` to `path`; the plots come from the run's files in `out`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, render(report, plots(report, out)))


def plots(report: dict[str, Any], out: Path) -> list[tuple[str, str, str]]:
    """(title, what it shows, SVG) for each plot that has data."""
    series = charts.read_series(out)
    if series is None:
        return []
    windows = report.get("windows", [])
    drawn = [
        ("Latency and failures", "Each band is a stage; a red line is a request without its answer.",
         charts.latency(series, windows)),
        ("Who answered", "Share of answers by balancer address: this is the traffic moving.",
         charts.answered_by(series, windows)),
        ("Writes and budgets", "Keys acknowledged by the API; a red line is a budget below what it asks for.",
         charts.writes(series, windows)),
        ("CPU", "Where a slow answer comes from when it is the machine that is short of time.",
         charts.cpu(series, windows)),
    ]  # fmt: skip
    return [(title, text, svg) for title, text, svg in drawn if svg is not None]


def render(report: dict[str, Any], drawn: list[tuple[str, str, str]]) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ms"] = lambda value: "–" if value is None else f"{value:.1f}"
    environment.filters["duration"] = duration
    # Places in the order in which they first appear, the same in every row.
    places = list(dict.fromkeys(p for kind in KINDS for p in report["probes"][kind].get("by_place", {})))
    stage_labels = [window["label"] for window in report.get("windows", [])]
    return environment.get_template("report.html").render(
        report=report,
        kinds=[(kind, TITLES[kind]) for kind in KINDS],
        places=places,
        labels=list(dict.fromkeys(stage_labels)),
        # Markup: our own SVG, nothing of it comes from the cluster unescaped (matplotlib escapes labels).
        plots=[(title, text, Markup(svg)) for title, text, svg in drawn],
    )


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
