"""Counts etcd's healthy voters while members are exchanged.

A voter is healthy when it answers for itself, without errors, and knows a leader. The member list is asked
of whoever answers, and every member on that list is then asked directly, so the configured endpoints need
not follow each swap. When nobody answers at all the voters can't be counted: that is `blind`, kept apart
from "unhealthy", because an endpoint behind a security group that was closed again looks the same. The
verdict refuses a proof that was blind for long; it is blind as well while it doesn't look, for want of a
certificate or because it has died.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from migration.clients.asynchronous import AsyncEtcd
from migration.clients.etcd import Member, Status
from migration.runtime.deadline import Retryable
from proof.config import EtcdConfig
from proof.model import EtcdSeen, MemberSeen, VoterDown

CHANGED = "etcd_changed"
LOOK_S = 8.0
"""Two looks may be so far apart before the time between them is blind: one takes longer while a voter is silent."""
AGAIN_S = 0.3
"""Between the two times a voter is asked. Handing the leadership over leaves all of them without a leader for some
milliseconds, more on a busy machine; one that is lost leaves them so for at least an election timeout, 1 s."""
MOST_DOWN = 100


class EtcdClient(Protocol):
    """What the sampler asks (`migration.clients.asynchronous.AsyncEtcd`). Both raise Retryable."""

    async def members(self, endpoint: str) -> list[Member]: ...
    async def status(self, endpoint: str) -> Status: ...


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at the cluster; `members` is None when nobody answered."""

    members: tuple[MemberSeen, ...] | None
    leader: str | None = None
    term: int = 0

    @property
    def voters(self) -> tuple[MemberSeen, ...]:
        return tuple(member for member in self.members or () if not member.learner)

    @property
    def healthy(self) -> int | None:
        """Voters that answer for themselves; None when nobody answered at all."""
        return None if self.members is None else sum(member.healthy for member in self.voters)


async def sample(client: EtcdClient, endpoints: list[str]) -> Sample:
    """Ask whoever answers for the list, then each voter for itself; twice before calling it unhealthy."""
    members = None
    for endpoint in endpoints:
        try:
            members = await client.members(endpoint)
            break
        except Retryable:
            continue
    if members is None:
        return Sample(members=None)
    voters = [member for member in members if not member.learner]
    states = dict(zip((v.id for v in voters), await asyncio.gather(*(_state(client, v) for v in voters)), strict=True))
    newest = max((state for state in states.values() if state is not None), key=lambda state: state.term, default=None)
    names = {member.id: _name(member) for member in members}
    return Sample(
        members=tuple(
            sorted(
                (
                    MemberSeen(
                        name=_name(member),
                        address=_address(member),
                        learner=member.learner,
                        healthy=member.learner or states[member.id] is not None,
                    )
                    for member in members
                ),
                key=lambda member: member.name,
            )
        ),
        leader=None if newest is None else names.get(newest.leader, newest.leader),
        term=0 if newest is None else newest.term,
    )


def _name(member: Member) -> str:
    return member.name or member.id


def _address(member: Member) -> str:
    """Where it can be reached; one that has not started yet has said where its peers will find it."""
    return next((urlsplit(url).hostname or "" for url in (*member.client_urls, *member.peer_urls)), "")


async def _state(client: EtcdClient, member: Member) -> Status | None:
    for again in (False, True):
        if again:
            await asyncio.sleep(AGAIN_S)
        for url in member.client_urls:
            try:
                status = await client.status(url)
            except Retryable:
                continue
            if status.leader not in ("", "0") and not status.errors:
                return status
    return None


@dataclass
class EtcdBook:
    """What the samples add up to. Pure; `at` in epoch seconds."""

    healthy_at_start: int | None = None
    min_healthy: int | None = None
    min_healthy_at: float | None = None
    members_before: tuple[str, ...] = ()
    members_after: tuple[str, ...] = ()
    learners_after: tuple[str, ...] = ()
    leader_changes: int = 0
    samples: int = 0
    blind_samples: int = 0
    longest_blind_s: float = 0.0
    blind_s: float = 0.0
    due_from: float | None = None
    _saw_at: float | None = None
    _missed: bool = False
    _down_since: dict[str, float] = field(default_factory=dict[str, float])
    _down: list[VoterDown] = field(default_factory=list[VoterDown])
    _leader: tuple[str | None, int] | None = None
    _told: tuple[tuple[MemberSeen, ...] | None, str | None] | None = None

    def add(self, seen: Sample, at: float) -> bool:
        """Take one sample; true when it shows something else than the one before."""
        self.samples += 1
        self.due(at)
        if seen.healthy is None:
            self.blind_samples += 1
            self._missed = True
        else:
            self._saw(at)
            self._count(seen, seen.healthy, at)
            self._follow(seen, at)
        before, self._told = self._told, (seen.members, seen.leader)
        return before != self._told

    def due(self, at: float) -> None:
        """From now on the voters must be seen."""
        if self.due_from is None:
            self.due_from = self._saw_at = at

    def _saw(self, at: float) -> None:
        """The voters are seen; what lies between two such looks was blind if it was long, or nobody answered."""
        blind = at - self._saw_at if self._saw_at is not None else 0.0
        missed, self._saw_at, self._missed = self._missed, at, False
        if missed or blind > LOOK_S:
            self.longest_blind_s = max(self.longest_blind_s, blind)
            self.blind_s += blind

    def _follow(self, seen: Sample, at: float) -> None:
        """Which voters are down, and since when. A voter that left the list is down no more."""
        down = {voter.name for voter in seen.voters if not voter.healthy}
        for name in [name for name in self._down_since if name not in down]:
            self._down.append(self._stretch(name, at, ended=True))
            del self._down_since[name]
        for name in down:
            self._down_since.setdefault(name, at)

    def _stretch(self, name: str, at: float, *, ended: bool) -> VoterDown:
        begin = self._down_since[name]
        return VoterDown(member=name, begin=round(begin, 3), seconds=round(at - begin, 1), ended=ended)

    def _count(self, seen: Sample, healthy: int, at: float) -> None:
        voters = tuple(member.name for member in seen.voters)
        if self.healthy_at_start is None:
            self.healthy_at_start, self.members_before = healthy, voters
        self.members_after = voters
        self.learners_after = tuple(member.name for member in seen.members or () if member.learner)
        if self.min_healthy is None or healthy < self.min_healthy:
            self.min_healthy, self.min_healthy_at = healthy, at
        if seen.leader is not None:
            now = (seen.leader, seen.term)
            if self._leader is not None and now != self._leader and seen.term >= self._leader[1]:
                self.leader_changes += 1
            self._leader = now

    def facts(self, at: float) -> EtcdSeen:
        """What it adds up to until now. Nothing is added afterwards."""
        if self._saw_at is not None:
            self._saw(at)
        down = [*self._down, *(self._stretch(name, at, ended=False) for name in self._down_since)]
        return EtcdSeen(
            due_from=self.due_from,
            members_before=self.members_before,
            members_after=self.members_after,
            learners_after=self.learners_after,
            healthy_voters_at_start=self.healthy_at_start,
            min_healthy_voters=self.min_healthy,
            min_healthy_at=self.min_healthy_at,
            leader_changes=self.leader_changes,
            samples=self.samples,
            blind_samples=self.blind_samples,
            longest_blind_s=round(self.longest_blind_s, 1),
            blind_s=round(self.blind_s, 1),
            # The longest, in order of time.
            down=tuple(
                sorted(sorted(down, key=lambda one: -one.seconds)[:MOST_DOWN], key=lambda one: (one.begin, one.member))
            ),
        )


def trust(config: EtcdConfig) -> ssl.SSLContext:
    """The configured certificates. Raises OSError."""
    context = ssl.create_default_context(cafile=config.ca)
    context.load_cert_chain(config.cert, config.key)
    return context


def connect(config: EtcdConfig) -> AsyncEtcd:
    """A client with the configured certificates. Raises OSError."""
    return AsyncEtcd(trust(config), timeout=config.timeout_s, source_address=config.source_address)


class EtcdSampler:
    """Samples at a fixed rate. `use` exchanges the client when the configuration changes."""

    def __init__(self, event: Callable[..., None]) -> None:
        self._event = event
        self._client: EtcdClient | None = None
        self._endpoints: list[str] = []
        self._period = 0.5
        self._learned: list[str] = []
        self.book = EtcdBook()

    def use(self, client: EtcdClient | None, endpoints: list[str], rate_hz: float) -> None:
        """Ask through `client` from now on; None can't ask, which is no reason why nothing should be due."""
        self._client, self._endpoints, self._period = client, list(endpoints), 1 / rate_hz

    async def run(self) -> None:
        while True:
            begun = time.monotonic()
            client = self._client
            seen = await sample(client, self._endpoints) if client is not None else None
            # A look through a client that was exchanged, and closed, meanwhile says nothing about the voters.
            if seen is not None and client is self._client:
                at = time.time()
                if self.book.add(seen, at):
                    members = None if seen.members is None else [member.model_dump() for member in seen.members]
                    self._event(CHANGED, at, members=members, leader=seen.leader)
            await asyncio.sleep(max(0.05, self._period - (time.monotonic() - begun)))
