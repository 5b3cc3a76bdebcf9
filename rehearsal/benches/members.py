"""A migration of all members on the lab, with clients that write at etcd and through the API's balancer all along."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import boto3

from lab import interrupt
from migration.clients.asynchronous import REFUSALS, AsyncEtcd, AsyncKubernetes
from migration.clients.etcd import Member, Status, client_trust
from migration.clients.kubeconfig import read_kubeconfig
from migration.clients.kubernetes import CONFIG_MAPS, NAMESPACES, Conflict
from migration.contracts.members import MemberSwapResult, StepTook
from migration.contracts.packed import unpack
from migration.names import member_name
from migration.runtime.deadline import Retryable
from migration.stages.table import last_before_traffic, swapped
from proof.etcd import Sample, sample
from proof.writer import REQUEST_TIMEOUT_S, config_map, read_back, remove
from rehearsal.benches.gaps import Gap, Tally, acknowledged, by_second, gaps, longest, tally
from rehearsal.benches.loops import Beside, OpenLoop, now
from rehearsal.driver import Driver, RehearsalError
from rehearsal.stack import standing_at
from rehearsal.watch import running_members
from rehearsal.world import Fact

NAMESPACE, KEY = "bench-swap", b"bench-swap"
ETCD_S, API_S = 0.01, 0.04
"""Between two writes at etcd, and through the balancer."""
LOOK_S, LOOK_TIMEOUT_S = 0.1, 1.0
"""Between two looks at who votes and leads, and what a member may take to answer."""
SETTLE_S, TAIL_S = 3.0, 3.0
REST_S = 120.0
"""About as long as the migration takes. A shorter rest has a shorter longest gap: what is beyond it is longer then."""
SHOWN = 8


class Placed(Fact):
    """A time without an acknowledged write, and during which step of which member it began."""

    at: float
    ms: float
    during: str


class Stream(Fact):
    """One kind of writes. Lengths are in ms, None where they couldn't be measured.

    `idle_ms` is the longest gap in the rest before, `gap_ms` that of the migration, `beyond_idle_ms` how much longer.
    `second_ms` is the longest that begins in each second of the migration.
    """

    period_ms: float
    idle_ms: float | None
    gap_ms: float | None
    beyond_idle_ms: float | None
    longest: tuple[Placed, ...]
    resting: Tally
    moving: Tally
    second_ms: tuple[float, ...]


class Look(Fact):
    """Who led, and in which of etcd's terms, from `at` on."""

    at: float
    leader: str
    term: int


class MemberTime(Fact):
    """How long a member's swap took (seconds), as the product says itself."""

    name: str
    began: float
    seconds: float
    steps: tuple[StepTook, ...]


class Moved(Fact):
    """The migration of all members. `begin` is when the stage's `up` began, `seconds` how long it took.

    `leader_changes` is None where who leads was never seen; `transfers` is what the product says it asked for. Of what
    the API acknowledged, `lost_writes` were not there afterwards; None where that couldn't be read.
    """

    stage: int
    begin: float
    seconds: float
    rest_s: float
    members: tuple[MemberTime, ...]
    etcd: Stream
    balancer: Stream
    lost_writes: int | None
    leaders: tuple[Look, ...]
    leader_changes: int | None
    transfers: int
    looks: int
    blind_looks: int


def changes(leaders: Sequence[Look]) -> int | None:
    """How often leadership changed between the first look and the last; None where fewer than two saw a leader.

    Terms count too: somebody who led and was gone between two looks has left one behind.
    """
    if len(leaders) < 2:
        return None
    seen = sum(one.leader != other.leader for one, other in itertools.pairwise(leaders))
    return max(seen, leaders[-1].term - leaders[0].term)


def changed(leaders: Sequence[Look]) -> tuple[Look, ...]:
    """Only the looks that saw something else than the one before."""
    kept: list[Look] = []
    for one in leaders:
        if not kept or (one.leader, one.term) != (kept[-1].leader, kept[-1].term):
            kept.append(one)
    return tuple(kept)


def during(members: Sequence[MemberTime], at: float) -> str:
    """Which step of which member a moment lies in."""
    if not members:
        return "the product says nothing of its steps"
    for member in members:
        for step in member.steps:
            if step.began <= at < step.began + step.seconds:
                return f"{member.name}: {step.name}"
    if at < members[0].began:
        return "before the first member"
    return "between members" if at < members[-1].began else "after the last member"


def asked(seen: Sample, successors: Mapping[str, str]) -> list[str]:
    """Addresses of the members that a client asks: as API servers do, which go with their member.

    One that goes is asked as long as it leads, or the one that comes has no vote; one that doesn't answer isn't asked.
    """
    voting = {one.name for one in seen.voters}
    return [
        one.address
        for one in seen.voters
        if one.healthy and (seen.leader == one.name or successors.get(one.name) not in voting)
    ]


def stream(
    loop: OpenLoop, period: float, rest: tuple[float, float], moving: tuple[float, float], members: Sequence[MemberTime]
) -> Stream:
    """What a loop's writes say of the rest and of the migration."""
    at = acknowledged(loop.asked)
    idle, gap, found = longest(at, *rest), longest(at, *moving), gaps(at, *moving) or []
    top = sorted(found, key=lambda one: -one.ms)[:SHOWN]
    return Stream(
        period_ms=period * 1000,
        idle_ms=None if idle is None else idle.ms,
        gap_ms=None if gap is None else gap.ms,
        beyond_idle_ms=None if gap is None or idle is None else round(max(0.0, gap.ms - idle.ms), 1),
        longest=tuple(_placed(one, members) for one in top),
        resting=tally(loop.asked, loop.skipped, *rest),
        moving=tally(loop.asked, loop.skipped, *moving),
        second_ms=by_second(at, *moving),
    )


def _placed(gap: Gap, members: Sequence[MemberTime]) -> Placed:
    # The middle: a gap begins with the last good answer, which is before what made it.
    return Placed(at=round(gap.begin, 3), ms=gap.ms, during=during(members, gap.begin + gap.ms / 2000))


def times(results: Sequence[MemberSwapResult]) -> tuple[MemberTime, ...]:
    """Members in the order in which they were moved; one whose steps aren't known has none."""
    found = [
        MemberTime(
            name=one.name or "",
            began=one.steps[0].began,
            seconds=round(one.steps[-1].began + one.steps[-1].seconds - one.steps[0].began, 1),
            steps=one.steps,
        )
        for one in results
        if one.state == "new" and one.steps
    ]
    return tuple(sorted(found, key=lambda one: one.began))


class AtMembers:
    """etcd's members, each asked from its own address, as its API server is: no other way is open all along."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._trust = trust
        self._clients: dict[tuple[str, float], AsyncEtcd] = {}

    def at(self, endpoint: str, timeout: float) -> AsyncEtcd:
        """The client of one member."""
        key = endpoint, timeout
        if key not in self._clients:
            self._clients[key] = AsyncEtcd(
                self._trust, timeout=timeout, source_address=urlsplit(endpoint).hostname, connections=None
            )
        return self._clients[key]

    async def members(self, endpoint: str) -> list[Member]:
        """As `AsyncEtcd.members`."""
        return await self.at(endpoint, LOOK_TIMEOUT_S).members(endpoint)

    async def status(self, endpoint: str) -> Status:
        """As `AsyncEtcd.status`."""
        return await self.at(endpoint, LOOK_TIMEOUT_S).status(endpoint)

    async def close(self) -> None:
        """Close all of them."""
        for one in self._clients.values():
            await one.close()


@dataclass(kw_only=True)
class Follower:
    """Who votes and leads, all along, and whom a client asks."""

    etcd: AtMembers
    port: int
    successors: Mapping[str, str]
    endpoints: list[str]
    leaders: list[Look] = field(default_factory=list[Look])
    looks: int = 0
    blind: int = 0
    writing_at: list[str] = field(default_factory=list[str])

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            begun = now()
            self._take(await sample(self.etcd, self.endpoints))
            await asyncio.sleep(max(0.0, LOOK_S - (now() - begun)))

    def _take(self, seen: Sample) -> None:
        self.looks += 1
        if seen.members is None:
            self.blind += 1
            return
        if seen.leader is not None:
            self.leaders.append(Look(at=round(now(), 3), leader=seen.leader, term=seen.term))
        # Whoever votes is asked next time; of those that have left nobody answers.
        self.endpoints = [self._url(one.address) for one in seen.voters]
        self.writing_at = [self._url(address) for address in asked(seen, self.successors)] or self.writing_at

    def _url(self, address: str) -> str:
        return f"https://{address}:{self.port}"


@dataclass(kw_only=True)
class Migration(Driver):
    """The lab up to the stage before members move, and that one with clients beside it."""

    def prepare(self) -> None:
        """The lab stands where members move next: one that is on its way there is gone on with."""
        before = swapped().number - 1
        here = standing_at(self.program)
        if here is not None and here <= before and self.lab_at(here):
            self.stands_at = first = here
        else:
            self.fresh_lab()
            # A cluster without a record may begin there, in one `up`.
            first = last_before_traffic().number
        for stage in range(first, before + 1):
            self._to(stage)

    def _to(self, stage: int) -> None:
        interrupt.check()
        stack = f"stage-{stage}"
        if stage != self.stands_at:
            self.engine.plain("stack", "rename", stack, "-s", f"stage-{self.stands_at}")
            self.stands_at = stage
        self.say(f"stage {stage}: {self.engine.run('up', stack).seconds:.0f} s")

    def measure(self, rest_s: float = REST_S) -> Moved:
        """The migration, after a rest. Raises `FAILURES`."""
        layout, ssm = self.settings.control_plane, boto3.client("ssm")
        port = layout.etcd_client_port
        configuration = self.configuration(self.stands_at)
        etcd = AtMembers(client_trust(ssm, configuration["etcd"]["certificates"]))
        here = running_members(boto3.client("ec2"), layout.etcd_role)
        follower = Follower(
            etcd=etcd,
            port=port,
            successors=successors(configuration),
            endpoints=[f"https://{one}:{port}" for one in here],
        )
        kubernetes = AsyncKubernetes(read_kubeconfig(str(self.directory / "kubeconfig")), timeout=REQUEST_TIMEOUT_S)
        run = f"b{int(time.time())}"
        with Beside() as beside:
            at_etcd, through = beside.wait(_loops(follower, kubernetes, run))
            following = beside.begin(follower.run())
            running = [beside.begin(one.run()) for one in (at_etcd, through)]
            time.sleep(SETTLE_S)
            if not follower.writing_at:
                raise RehearsalError(
                    f"etcd at {', '.join(follower.endpoints) or 'no machine'} isn't there to be written to"
                )
            self.say(f"at rest for {rest_s:.0f} s, with clients")
            rest = now()
            time.sleep(rest_s)
            began = now()
            self._to(swapped().number)
            ended = now()
            time.sleep(TAIL_S)
            for one in (at_etcd, through):
                beside.tell(one.stop)
            for one in running:
                one.result()
            following.cancel()
            lost = beside.wait(_read_back(kubernetes, run, through))
            beside.wait(etcd.close())
        results = self._results()
        members = times(results)
        return Moved(
            stage=self.stands_at,
            begin=round(began, 3),
            seconds=round(ended - began, 1),
            rest_s=round(began - rest, 1),
            members=members,
            etcd=stream(at_etcd, ETCD_S, (rest, began), (began, ended), members),
            balancer=stream(through, API_S, (rest, began), (began, ended), members),
            lost_writes=lost,
            leaders=changed([one for one in follower.leaders if one.at >= began]),
            leader_changes=changes([one for one in follower.leaders if one.at >= began]),
            transfers=sum(one.leader_changes for one in results),
            looks=follower.looks,
            blind_looks=follower.blind,
        )

    def _results(self) -> list[MemberSwapResult]:
        """What the swaps say of themselves in the stack's state."""
        found = self.engine.resources(f"stage-{self.stands_at}")
        return [
            MemberSwapResult.model_validate(unpack(one["outputs"]["result"]))
            for one in found
            if one["type"].endswith(":MemberSwap")
        ]


def successors(configuration: Mapping[str, Any]) -> dict[str, str]:
    """New members' names by the old ones', from a stack's configuration."""
    before, after = (configuration["sides"][configuration[key]].get("suffix", "") for key in ("from", "to"))
    return {member_name(one["name"], before): member_name(one["name"], after) for one in configuration["members"]}


async def _loops(follower: Follower, kubernetes: AsyncKubernetes, run: str) -> tuple[OpenLoop, OpenLoop]:
    """Writes at etcd, at its members in turn, and through the balancer."""
    try:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await kubernetes.create(NAMESPACES, body)
    except Conflict:
        pass

    async def at_etcd(number: int) -> None:
        here = follower.writing_at
        if not here:
            raise Retryable("no member of etcd is known")
        at = here[number % len(here)]
        await follower.etcd.at(at, REQUEST_TIMEOUT_S).put(at, KEY, str(number).encode())

    async def through(number: int) -> None:
        await kubernetes.create(CONFIG_MAPS, config_map(NAMESPACE, run, number), NAMESPACE)

    return OpenLoop(at_etcd, ETCD_S, (Retryable,)), OpenLoop(through, API_S, REFUSALS)


async def _read_back(kubernetes: AsyncKubernetes, run: str, loop: OpenLoop) -> int | None:
    """How many acknowledged keys aren't there, or hold something else; None where they can't be read. Removes them."""
    seen = await read_back(kubernetes, NAMESPACE, run, [one.number for one in loop.asked if not one.error])
    await remove(kubernetes, NAMESPACE, run)
    await kubernetes.close()
    return len(seen.lost) if seen.complete else None
