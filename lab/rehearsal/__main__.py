"""`python -m lab rehearse` and `python -m lab sabotage`."""

from __future__ import annotations

import argparse
import os
import sys

from lab.rehearsal.run import Rehearsal, RehearsalError, parse_stages
from lab.rehearsal.watch import WatchError


def say(text: str) -> None:
    """A line for the person at the terminal, now."""
    print(text, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 only if the report is ok (or, for sabotage, every break was caught)."""
    parser = argparse.ArgumentParser(prog="python -m lab")
    commands = parser.add_subparsers(dest="command", required=True)
    rehearse = commands.add_parser("rehearse", help="the whole migration on a fresh lab, with a report")
    rehearse.add_argument("--stages", default=os.environ.get("STAGES", ""), help="0..n stops after stage n")
    sabotage = commands.add_parser("sabotage", help="break one thing at a time and see the proof say so")
    sabotage.add_argument("--only", default="", help="names of breaks, with commas between")
    options = parser.parse_args(argv)
    try:
        if options.command == "sabotage":
            from lab.rehearsal.sabotage import run

            return run(say, [name for name in options.only.split(",") if name])
        return _rehearse(parse_stages(options.stages))
    except (ValueError, RehearsalError, WatchError) as error:
        print(f"python -m lab {options.command}: {error}", file=sys.stderr)
        return 2


def _rehearse(last: int) -> int:
    rehearsal = Rehearsal(last=last, say=say)
    report = rehearsal.go()
    say("")
    for reason in report["reasons"]:
        say(f"not ok: {reason}")
    say(f"{'ok' if report['ok'] else 'NOT OK'} after {report['seconds']:.0f} s: {rehearsal.reports / 'rehearsal.html'}")
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
