"""`make bench-swap`: what leadership costs handed over and lost, and what clients see while all members are moved.

Writes `.lab/report/swap.json` and `swap.svg`. Exit status 0 where everything was measured, whether or not an aim is
missed; 1 where something wasn't; 2 where it can't be begun; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from lab import interrupt, up
from lab.environment import child_environment, make_folders
from lab.toolchain import MissingTool
from rehearsal.benches.gaps import Spread
from rehearsal.benches.members import Migration, Moved
from rehearsal.benches.pairs import Pair, Sum, measure
from rehearsal.benches.pairs import ratio as ratio_of
from rehearsal.benches.swap_plot import draw
from rehearsal.benches.written import Aim, Header, write
from rehearsal.driver import FAILURES, Say
from rehearsal.world import Fact

NAME = "swap"
LEAST = 20
RATIO, AT_ETCD_MS, THROUGH_MS, CHANGES = 0.05, 150.0, 500.0, 1
"""Aims: planned gap by killed one, gaps beyond idle, leader changes of a migration."""
DOUBTED = 0.05
"""Where more of a loop's requests weren't sent in time, gaps are this machine's as much as etcd's."""


class Found(Fact):
    """All that was seen. `problems`: why something wasn't; what is None wasn't measured, and is a breach. `doubts`: why
    figures are no better than the machine was.

    `planned` and `killed` add up the `pairs`, whose ratio is that of their medians.
    """

    header: Header
    wanted_pairs: int
    pairs: tuple[Pair, ...] = ()
    planned: Sum | None = None
    killed: Sum | None = None
    ratio: float | None = None
    moved: Moved | None = None
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    aims: tuple[Aim, ...] = ()
    missed: tuple[str, ...] = ()

    @property
    def measured(self) -> bool:
        """Whether every aim has its figure, of as many pairs as were asked for."""
        whole = len(self.pairs) == self.wanted_pairs and not self.problems
        return whole and bool(self.aims) and all(one.measured is not None for one in self.aims)


def judged(
    header: Header, wanted: int, seen: tuple[Pair, ...], moved: Moved | None, problems: tuple[str, ...]
) -> Found:
    """The figures with their aims."""
    ratio = ratio_of(seen) if len(seen) == wanted else None
    aims = (
        Aim(name="write gap at a planned transfer ÷ at a killed leader, medians", limit=RATIO, measured=ratio),
        Aim(
            name="longest write gap of the members' migration beyond idle, at etcd (ms)",
            limit=AT_ETCD_MS,
            measured=moved.etcd.beyond_idle_ms if moved else None,
        ),
        Aim(
            name="longest write gap of the members' migration beyond idle, through the balancer (ms)",
            limit=THROUGH_MS,
            measured=moved.balancer.beyond_idle_ms if moved else None,
        ),
        Aim(
            name="leader changes of the members' migration",
            limit=CHANGES,
            measured=moved.leader_changes if moved else None,
        ),
    )
    return Found(
        header=header,
        wanted_pairs=wanted,
        pairs=seen,
        planned=Sum.of([one.planned for one in seen]) if seen else None,
        killed=Sum.of([one.killed for one in seen]) if seen else None,
        ratio=ratio,
        moved=moved,
        problems=problems,
        doubts=doubts(seen, moved),
        aims=aims,
        missed=tuple(str(one) for one in aims if not one.kept),
    )


def doubts(seen: Sequence[Pair], moved: Moved | None) -> tuple[str, ...]:
    """A sentence for each loop that this machine was too busy for."""
    tallies = {
        "planned transfers": [one.planned.writes for one in seen],
        "killed leaders": [one.killed.writes for one in seen],
        "the migration, at etcd": [moved.etcd.resting, moved.etcd.moving] if moved else [],
        "the migration, through the balancer": [moved.balancer.resting, moved.balancer.moving] if moved else [],
    }
    found: list[str] = []
    for what, parts in tallies.items():
        skipped, due = sum(one.skipped for one in parts), sum(one.skipped + one.asked for one in parts)
        if skipped > DOUBTED * due:
            found.append(f"{what}: {skipped} of {due} writes weren't sent in time; measure again on a quieter machine")
    return tuple(found)


def run(say: Say, count: int) -> int:
    """Measure, write after each part, tell; the exit status. Ctrl-C ends what was started."""
    header = Header.now(f"PAIRS={count} make bench-swap")
    directory = make_folders()
    seen: tuple[Pair, ...] = ()
    moved, problems, begun = None, list[str](), False
    try:
        say(f"{count} pairs: leadership handed over, and a leader killed, on three members of their own")
        try:
            seen = measure(count, directory, child_environment(), say)
        except (*FAILURES, MissingTool) as failure:
            problems.append(f"the pairs: {failure}")
        write(NAME, judged(header, count, seen, None, (*problems, "the migration: not over yet")))
        say("all members of the lab's control plane, moved under writes")
        begun = True
        try:
            migration = Migration(say=say)
            migration.prepare()
            moved = migration.measure()
        except (*FAILURES, MissingTool) as failure:
            problems.append(f"the migration: {failure}")
    except KeyboardInterrupt:
        say("interrupted: ending what was started")
        if begun:
            up.down(say)
        raise
    found = judged(header, count, seen, moved, tuple(problems))
    path = write(NAME, found)
    plot = draw(found.pairs, found.moved, path.with_suffix(".svg"))
    tell(say, found)
    if moved is not None:
        up.down(say)
    elif begun:
        say("the lab still runs, and the next run goes on with it; `make lab-down` ends it")
    say(f"{'measured' if found.measured else 'NOT MEASURED'}: {path}, {plot}")
    return 0 if found.measured else 1


def tell(say: Say, found: Found) -> None:
    """The figures in some lines."""
    for name, one in (("planned", found.planned), ("killed", found.killed)):
        if one is not None:
            say(
                f"{name}: gap {_spread(one.gap_ms)}, at rest {_spread(one.idle_ms)}; failed: {one.failed_writes} of "
                f"{one.writes} writes, {one.failed_reads} of {one.reads} reads; {one.skipped} not sent in time"
            )
    if found.moved is not None:
        moved = found.moved
        for where, one in (("at etcd", moved.etcd), ("through the balancer", moved.balancer)):
            first = one.longest[0] if one.longest else None
            say(
                f"{where}: longest gap {_ms(one.gap_ms)} ({first.during if first else 'nothing was acknowledged'}), at "
                f"rest {_ms(one.idle_ms)}; {one.moving.failed} of {one.moving.asked} writes failed"
            )
            for failure in one.moving.failures:
                say(f"   {failure.count} × {failure.words}")
        say("members: " + ", ".join(f"{one.name} {one.seconds:.0f} s" for one in moved.members))
        say(f"leaders: {' → '.join(one.leader for one in moved.leaders)}; acknowledged and lost: {moved.lost_writes}")
    for problem in found.problems:
        say(f"not measured: {problem}")
    for doubt in found.doubts:
        say(f"doubtful: {doubt}")
    for aim in found.aims:
        say(str(aim))


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "not measured"
    return f"median {spread.median:.0f} ms, p95 {spread.p95:.0f} ms, worst {spread.worst:.0f} ms"


def _ms(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.0f} ms"


def parse_pairs(text: str) -> int:
    """How many pairs are asked for. Raises `ValueError` with a sentence."""
    if not text.isdecimal() or int(text) < LEAST:
        raise ValueError(f"PAIRS={text!r}: must be a number of at least {LEAST}: fewer have no 95th percentile")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m rehearsal.benches.swap", description=__doc__)
    parser.add_argument("--pairs", default=os.environ.get("PAIRS") or str(LEAST), help="of a planned and a lost leader")
    options = parser.parse_args(argv)
    try:
        count = parse_pairs(options.pairs)
    except ValueError as error:
        print(f"python -m rehearsal.benches.swap: {error}", file=sys.stderr)
        return 2
    interrupt.install()
    try:
        return run(lambda text: print(text, flush=True), count)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        return 130


if __name__ == "__main__":
    sys.exit(main())
