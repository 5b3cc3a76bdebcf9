"""`python -m migration watch`, for a real cluster: the proof with a line on the screen, until Ctrl-C, then
the report.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from proof.config import ConfigError, write_atomically
from proof.html import write_html
from proof.model import EXIT_DOUBTED, Due, Parts, Status, Summary
from proof.priority import prefer_this_process
from proof.report import build
from proof.run import STATUS, Run
from proof.summary import read

EXIT_USAGE = 2


def line(status: Status) -> str:
    """One second of a run in one line."""
    parts = [
        status.window or "-",
        f"places {','.join(status.places) or 'none'}",
        f"due {status.due}",
        f"failed {status.failed}",
    ]
    if status.not_sent:
        parts.append(f"not sent {status.not_sent}")
    if status.writes:
        parts.append(f"writes {status.writes.acknowledged} (gap {status.writes.gap_s:.1f} s)")
    parts.append(f"budgets {status.budgets.violations} of {status.budgets.watched} violated")
    if status.etcd.min_healthy_voters is not None:
        parts.append(f"etcd min {status.etcd.min_healthy_voters}")
    if status.pods:
        parts.append("pods " + ", ".join(f"{count} on {side}" for side, count in status.pods.items()))
    if status.last_failure:
        parts.append(f"last: {status.last_failure}")
    return "  ".join(parts)


async def _watch(
    config: Path, out: Path, seconds: float | None, every: float, show: Callable[[Status], None]
) -> Summary:
    run = Run(config, out)
    run.priority = prefer_this_process()

    async def display() -> None:
        while True:
            await asyncio.sleep(every)
            status = read(out / STATUS, Status)
            if status is not None:
                show(status)

    display_task = asyncio.create_task(display())
    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, run.stop)
    try:
        return await run.until_stopped()
    finally:
        display_task.cancel()


def main(argv: list[str] | None = None) -> int:
    """Watch a cluster. Exit status 0 when nothing was lost, 1 when something was, 2 when it can't be watched, 3 when
    this machine was too busy to tell.
    """
    parser = argparse.ArgumentParser(prog="watch", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON or YAML, see docs/ and proof/config.py")
    parser.add_argument("--out", type=Path, help="directory of this run (default: ./proof-<time>)")
    parser.add_argument("--seconds", type=float, help="stop by itself after this long")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between lines")
    args = parser.parse_args(argv)
    out = args.out or Path(f"proof-{datetime.now():%Y%m%d-%H%M%S}")

    def show(status: Status) -> None:
        print(f"{datetime.now():%H:%M:%S}  {line(status)}", flush=True)

    try:
        summary = asyncio.run(_watch(args.config, out, args.seconds, args.every, show))
    except (ConfigError, OSError) as error:
        print(f"watch: {error}", file=sys.stderr)
        return EXIT_USAGE
    report = build(summary, Parts(profile="watch", due=Due.of(summary)))
    write_atomically(out / "report.json", report.model_dump_json(indent=1))
    write_html(report, out, out / "report.html")
    if report.due.not_watched:
        print(f"not watched, and so not shown: {', '.join(report.due.not_watched)}")
    for reason in report.reasons:
        print(reason)
    told = "ok" if report.ok else "not to be believed" if report.exit_status == EXIT_DOUBTED else "not ok"
    print(f"{told}: {out / 'report.html'}")
    return report.exit_status


if __name__ == "__main__":
    sys.exit(main())
