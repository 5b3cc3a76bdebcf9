"""`python -m proof`: run, mark, place, stop, status, summary, report."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from pydantic import ValidationError

from proof import marks
from proof.config import ConfigError, change_place, write_atomically
from proof.model import Parts

EXIT_USAGE = 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m proof", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    def command(name: str, help_: str, *, config: bool = False, out: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_, description=help_)
        if config:
            sub.add_argument("--config", type=Path, required=True, help="JSON or YAML file, see proof/config.py")
        if out:
            sub.add_argument("--out", type=Path, required=True, help="directory of the run")
        return sub

    command("run", "probe, write and watch until SIGTERM or `stop`, then sum up", config=True)
    mark = command("mark", "name a moment: `stage 3 begin`, `stage 3 end`, `idle begin`, or any note")
    mark.add_argument("text", nargs="+")
    place = command("place", "add a place to the configuration, or switch it on or off", config=True, out=False)
    place.add_argument("name")
    place.add_argument("--source")
    place.add_argument("--resolver")
    place.add_argument("--off", action="store_true")
    stop = command("stop", "ask the run to end, and wait for its summary")
    stop.add_argument("--wait", type=float, default=120.0, help="seconds")
    command("status", "the run's live numbers")
    command("summary", "sum up the files again (also of a run that was killed)")
    report = command("report", "JSON and HTML of a run with the stages' own facts")
    report.add_argument("--parts", type=Path, help="JSON with profile, versions, stages, drain, leftovers …")
    report.add_argument("--json", type=Path, dest="json_file")
    report.add_argument("--html", type=Path, dest="html_file")
    return top


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0, 1 when a report is not ok, 2 when the command can't be carried out, 3 when a report is not to be
    believed, since the machine was too busy."""
    args = parser().parse_args(argv)
    try:
        return _COMMANDS[args.command](args)
    except (ConfigError, OSError) as error:
        print(f"proof {args.command}: {error}", file=sys.stderr)
        return EXIT_USAGE


def _run(args: argparse.Namespace) -> int:
    from proof.run import SUMMARY, run

    summary = run(args.config, args.out)
    failed = sum(kind.failed for part in (summary.probes, summary.idle) for kind in part.values())
    writes = summary.writes
    print(f"proof: {failed} failed probes, {writes.lost} of {writes.acknowledged} writes lost, {args.out / SUMMARY}")
    return 0


def _mark(args: argparse.Namespace) -> int:
    args.out.mkdir(parents=True, exist_ok=True)
    marks.add(args.out, " ".join(args.text))
    return 0


def _place(args: argparse.Namespace) -> int:
    changes = {"source_address": args.source, "resolver": args.resolver}
    given = {key: value for key, value in changes.items() if value is not None}
    change_place(args.config, args.name, active=not args.off, **given)
    return 0


def _stop(args: argparse.Namespace) -> int:
    (args.out / "stop").touch()
    until = time.monotonic() + args.wait
    while not (args.out / "summary.json").exists():
        if time.monotonic() >= until:
            print(f"proof stop: no summary in {args.out} after {args.wait:g} s; is the run alive?", file=sys.stderr)
            return EXIT_USAGE
        time.sleep(0.2)
    return 0


def _status(args: argparse.Namespace) -> int:
    print((args.out / "status.json").read_text(encoding="utf-8"))
    return 0


def _summary(args: argparse.Namespace) -> int:
    from proof.summary import summarize

    text = summarize(args.out).model_dump_json(indent=1)
    write_atomically(args.out / "summary.json", text)
    print(text)
    return 0


def _report(args: argparse.Namespace) -> int:
    from proof.html import write_html
    from proof.report import build
    from proof.summary import summarize

    report = build(summarize(args.out), _parts(args.parts))
    if args.json_file:
        write_atomically(args.json_file, report.model_dump_json(indent=1))
    if args.html_file:
        write_html(report, args.out, args.html_file)
    for reason in report.reasons:
        print(reason)
    print("ok" if report.ok else f"not ok: {len(report.reasons)} reasons")
    return report.exit_status


def _parts(path: Path | None) -> Parts:
    if path is None:
        return Parts()
    try:
        return Parts.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ConfigError(f"--parts: {path} can't be used: {error}") from None


_COMMANDS = {
    "run": _run,
    "mark": _mark,
    "place": _place,
    "stop": _stop,
    "status": _status,
    "summary": _summary,
    "report": _report,
}

if __name__ == "__main__":
    sys.exit(main())
