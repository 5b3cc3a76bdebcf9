"""Leadership handed over against a leader that is killed, in pairs on one cluster: how long nothing is written."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lab import interrupt
from migration.clients.asynchronous import AsyncEtcd
from migration.clients.etcd import Etcd, Member
from migration.etcd.preflight import endpoint
from migration.runtime.deadline import Retryable
from rehearsal.benches.gaps import Spread, Tally, acknowledged, longest, tally
from rehearsal.benches.loops import Beside, OpenLoop, now
from rehearsal.benches.trio import KEY, Trio, led
from rehearsal.world import Fact

Kind = Literal["planned", "killed"]
KINDS: tuple[Kind, ...] = ("planned", "killed")

WRITE_S, READ_S = 0.005, 0.05
"""Between two writes, and two reads."""
TIMEOUT_S = 2.0
"""What a client waits for an answer: those of the proof's writer do."""
SETTLE_S = 0.5
"""Connections are opened, and writes flow, before anything is measured."""
WINDOW_S = 3.0
"""Rest before the event, and what is looked at after it, unless writes aren't back by then."""
BACK_S = 0.5
"""Writes are back when they have been acknowledged for so long."""
GIVE_UP_S = 20.0
TAIL_S = 0.3
POLL_S = 0.02


class Episode(Fact):
    """One change of the leader. None is: not measured, and `problem` says why.

    `gap_ms` is the longest time without an acknowledged write from the event on, `idle_ms` that in the rest before.
    `call_s` is how long the product's call took, of a planned one. Tallies are of what was due from the event on.
    """

    kind: Kind
    begin: float
    leader: str
    heir: str | None
    gap_ms: float | None
    idle_ms: float | None
    window_s: float
    call_s: float | None = None
    writes: Tally
    reads: Tally
    problem: str = ""


class Pair(Fact):
    """A planned change and a killed leader, one after the other."""

    planned: Episode
    killed: Episode

    @property
    def measured(self) -> bool:
        """Whether both have their gap, and the rest before it."""
        return None not in (self.planned.gap_ms, self.planned.idle_ms, self.killed.gap_ms, self.killed.idle_ms)


class Sum(Fact):
    """What episodes of one kind add up to."""

    gap_ms: Spread | None
    idle_ms: Spread | None
    writes: int
    failed_writes: int
    reads: int
    failed_reads: int
    skipped: int

    @classmethod
    def of(cls, episodes: Sequence[Episode]) -> Sum:
        """Those without a figure count for nothing in the spreads, and for all else."""
        return cls(
            gap_ms=Spread.of([one.gap_ms for one in episodes if one.gap_ms is not None]),
            idle_ms=Spread.of([one.idle_ms for one in episodes if one.idle_ms is not None]),
            writes=sum(one.writes.asked for one in episodes),
            failed_writes=sum(one.writes.failed for one in episodes),
            reads=sum(one.reads.asked for one in episodes),
            failed_reads=sum(one.reads.failed for one in episodes),
            skipped=sum(one.writes.skipped + one.reads.skipped for one in episodes),
        )


def ratio(pairs: Sequence[Pair]) -> float | None:
    """The planned gaps' median by the killed ones'; None where any pair has no figure, or there is none."""
    if not pairs or not all(one.measured for one in pairs):
        return None
    planned, killed = (Sum.of([getattr(one, kind) for one in pairs]).gap_ms for kind in KINDS)
    return None if planned is None or killed is None or not killed.median else planned.median / killed.median


def measure(
    count: int, directory: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> tuple[Pair, ...]:
    """So many pairs on a cluster of their own. Raises `RehearsalError` where it doesn't become whole again."""
    found: list[Pair] = []
    trio = Trio(directory=directory, folder=directory / "bench-etcd", environment=environment)
    with trio, Beside() as beside:
        for number in range(1, count + 1):
            interrupt.check()
            # One kind mustn't always be the first after a restart.
            order = KINDS if number % 2 else KINDS[::-1]
            seen = {kind: Change(trio=trio, beside=beside, kind=kind).episode() for kind in order}
            found.append(Pair(planned=seen["planned"], killed=seen["killed"]))
            say(f"   pair {number} of {count}: {told(found[-1].planned)}; {told(found[-1].killed)}")
    return tuple(found)


def told(episode: Episode) -> str:
    """An episode in a few words."""
    gap = "not measured" if episode.gap_ms is None else f"{episode.gap_ms:.0f} ms"
    failed = f"{episode.writes.failed} of {episode.writes.asked} writes failed"
    return f"{episode.kind} {gap}, {failed}{f' ({episode.problem})' if episode.problem else ''}"


@dataclass(kw_only=True)
class Change:
    """One change of the leader, and what its clients see: they ask those two that survive it."""

    trio: Trio
    beside: Beside
    kind: Kind
    _open: list[AsyncEtcd] = field(init=False)

    def episode(self) -> Episode:
        """Rest, the event, and what follows until the cluster is whole again."""
        members = self.trio.whole()
        with self.trio.etcd() as etcd:
            leader = led(etcd, members, members[0])
            if leader is None:
                raise Retryable("nobody leads a cluster that is whole")
            survivors = [one for one in members if one.id != leader.id]
            writing, reading = self.beside.wait(self._loops([endpoint(one) for one in survivors]))
            running = [self.beside.begin(one.run()) for one in (writing, reading)]
            time.sleep(SETTLE_S)
            rest = now()
            time.sleep(WINDOW_S)
            event, problem, call = now(), "", None
            try:
                call = self._act(leader, survivors[0])
            except Retryable as refused:
                problem = str(refused)
            self._until_back(writing, event)
            end = now()
            time.sleep(TAIL_S)
            for one in (writing, reading):
                self.beside.tell(one.stop)
            for one in running:
                one.result()
            self.beside.wait(self._close())
            heir = self._heir(etcd, members, survivors)
        if self.kind == "killed":
            self.trio.buried(leader.name)
            self.trio.start(leader.name)
        if not problem and (heir is None or heir.id == leader.id):
            problem = f"{leader.name} was to lead no more, and {'nobody' if heir is None else heir.name} does"
        at = acknowledged(writing.asked)
        gap, idle = longest(at, event, end), longest(at, rest, event)
        if gap is None and not problem:
            problem = f"no write was acknowledged for {GIVE_UP_S:.0f} s"
        return Episode(
            kind=self.kind,
            begin=round(event, 3),
            leader=leader.name,
            heir=None if heir is None else heir.name,
            gap_ms=None if gap is None or problem else gap.ms,
            idle_ms=None if idle is None else idle.ms,
            window_s=round(end - event, 2),
            call_s=call,
            writes=tally(writing.asked, writing.skipped, event, end),
            reads=tally(reading.asked, reading.skipped, event, end),
            problem=problem,
        )

    def _act(self, leader: Member, heir: Member) -> float | None:
        """Hand over, as the product does; or kill. Seconds of the product's call. Raises `Retryable`."""
        if self.kind == "killed":
            self.trio.kill(leader.name)
            return None
        with self.trio.etcd() as etcd:
            began = time.monotonic()
            etcd.transfer_leadership(endpoint(leader), heir.id)
            return round(time.monotonic() - began, 4)

    def _until_back(self, writing: OpenLoop, event: float) -> None:
        """The window is over, and writes have been acknowledged for a while; or they don't come back."""
        since: float | None = None
        while now() - event < GIVE_UP_S:
            interrupt.check()
            time.sleep(POLL_S)
            flows = writing.last is not None and writing.last > event and now() - writing.last < BACK_S / 2
            since = None if not flows else since or now()
            if since is not None and now() - since > BACK_S and now() - event > WINDOW_S:
                return

    @staticmethod
    def _heir(etcd: Etcd, members: Sequence[Member], survivors: Sequence[Member]) -> Member | None:
        """Who leads now, by the word of one that survived."""
        try:
            return led(etcd, members, survivors[0])
        except Retryable:
            return None

    async def _loops(self, endpoints: Sequence[str]) -> tuple[OpenLoop, OpenLoop]:
        """A client an endpoint, with connections of its own; they are asked in turn."""
        clients = [(AsyncEtcd(self.trio.trust, timeout=TIMEOUT_S, connections=None), one) for one in endpoints]
        self._open = [client for client, _ in clients]
        writers, readers = itertools.cycle(clients), itertools.cycle(clients)

        async def write(number: int) -> None:
            client, at = next(writers)
            await client.put(at, KEY, str(number).encode())

        async def read(_: int) -> None:
            client, at = next(readers)
            await client.read(at, KEY)

        return OpenLoop(write, WRITE_S, (Retryable,)), OpenLoop(read, READ_S, (Retryable,))

    async def _close(self) -> None:
        for client in self._open:
            await client.close()
