"""Counts etcd's healthy voters while members are exchanged.

A voter is healthy when it answers for itself, without errors, and knows a leader. The member list is asked
of whoever answers, and every member on that list is then asked directly, so the configured endpoints need
not follow each swap. When nobody answers at all the voters can't be counted: that is `blind`, kept apart
from "unhealthy", because an endpoint behind a security group that was closed again looks the same. The
verdict refuses a proof that was blind for long.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2

from proof.config import EtcdConfig


class EtcdUnreachable(Exception):
    """One endpoint did not answer, or answered with an error."""


@dataclass(frozen=True, kw_only=True)
class Member:
    id: str
    name: str
    client_urls: tuple[str, ...]
    learner: bool


@dataclass(frozen=True, kw_only=True)
class Status:
    leader: str
    """Member id of the leader as this member knows it; "0" when it knows none."""
    term: int
    errors: tuple[str, ...] = ()


class EtcdClient(Protocol):
    """What the sampler asks. Both raise EtcdUnreachable."""

    async def members(self, endpoint: str) -> list[Member]: ...
    async def status(self, endpoint: str) -> Status: ...


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at the cluster; `healthy` is None when nobody answered."""

    healthy: int | None
    voters: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    unhealthy: tuple[str, ...] = ()
    leader: str | None = None
    term: int = 0


async def sample(client: EtcdClient, endpoints: list[str]) -> Sample:
    """Ask whoever answers for the list, then each voter for itself (twice before calling it unhealthy)."""
    members = None
    for endpoint in endpoints:
        try:
            members = await client.members(endpoint)
            break
        except EtcdUnreachable:
            continue
    if members is None:
        return Sample(healthy=None)
    voters = [member for member in members if not member.learner]
    states = await asyncio.gather(*(_state(client, member) for member in voters))
    names = {member.id: member.name or member.id for member in members}
    good = [state for state in states if state is not None]
    newest = max(good, key=lambda state: state.term, default=None)
    return Sample(
        healthy=len(good),
        voters=tuple(sorted(names[member.id] for member in voters)),
        learners=tuple(sorted(names[member.id] for member in members if member.learner)),
        unhealthy=tuple(
            sorted(names[member.id] for member, state in zip(voters, states, strict=True) if state is None)
        ),
        leader=None if newest is None else names.get(newest.leader, newest.leader),
        term=0 if newest is None else newest.term,
    )


async def _state(client: EtcdClient, member: Member) -> Status | None:
    for _ in range(2):
        for url in member.client_urls:
            try:
                status = await client.status(url)
            except EtcdUnreachable:
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
    _leader: tuple[str | None, int] | None = None
    _blind_since: float | None = None
    _unhealthy: tuple[str, ...] = ()

    def add(self, seen: Sample, at: float) -> list[tuple[str, dict[str, Any]]]:
        """Take one sample; returns what is worth an event."""
        self.samples += 1
        if seen.healthy is None:
            self.blind_samples += 1
            self._blind_since = at if self._blind_since is None else self._blind_since
            if self.healthy_at_start is not None:
                self.longest_blind_s = max(self.longest_blind_s, at - self._blind_since)
            return []
        if self._blind_since is not None:
            if self.healthy_at_start is not None:
                self.longest_blind_s = max(self.longest_blind_s, at - self._blind_since)
            self._blind_since = None
        events: list[tuple[str, dict[str, Any]]] = []
        if self.healthy_at_start is None:
            self.healthy_at_start = seen.healthy
            self.members_before = seen.voters
        if (seen.voters, seen.learners) != (self.members_after, self.learners_after):
            events.append(("etcd_members", {"voters": list(seen.voters), "learners": list(seen.learners)}))
        self.members_after, self.learners_after = seen.voters, seen.learners
        if self.min_healthy is None or seen.healthy < self.min_healthy:
            self.min_healthy, self.min_healthy_at = seen.healthy, at
        if seen.unhealthy != self._unhealthy:
            self._unhealthy = seen.unhealthy
            events.append(("etcd_health", {"healthy": seen.healthy, "unhealthy": list(seen.unhealthy)}))
        if seen.leader is not None:
            now = (seen.leader, seen.term)
            if self._leader is not None and now != self._leader and seen.term >= self._leader[1]:
                self.leader_changes += 1
                events.append(("etcd_leader", {"leader": seen.leader, "term": seen.term}))
            self._leader = now
        return events

    def as_json(self) -> dict[str, Any]:
        return {
            "members_before": list(self.members_before),
            "members_after": list(self.members_after),
            "learners_after": list(self.learners_after),
            "healthy_voters_at_start": self.healthy_at_start,
            "min_healthy_voters": self.min_healthy,
            "min_healthy_at": self.min_healthy_at,
            "leader_changes": self.leader_changes,
            "samples": self.samples,
            "blind_samples": self.blind_samples,
            "longest_blind_s": round(self.longest_blind_s, 1),
        }


class GatewayClient:
    """etcd's JSON gateway over mutual TLS. Ids come as decimal strings."""

    def __init__(self, config: EtcdConfig) -> None:
        tls = ssl.create_default_context(cafile=config.ca)
        tls.load_cert_chain(config.cert, config.key)
        transport = httpx2.AsyncHTTPTransport(verify=tls, local_address=config.source_address)
        self._client = httpx2.AsyncClient(transport=transport, timeout=config.timeout_s)

    async def _post(self, endpoint: str, path: str) -> dict[str, Any]:
        if self._client.is_closed:
            raise EtcdUnreachable(f"{endpoint}: not asked any more")
        try:
            answer = await self._client.post(f"{endpoint.rstrip('/')}{path}", json={})
            answer.raise_for_status()
            return answer.json()
        except (httpx2.HTTPError, OSError, ValueError) as error:
            raise EtcdUnreachable(f"{endpoint}: {type(error).__name__} {error}".strip()) from None

    async def members(self, endpoint: str) -> list[Member]:
        answer = await self._post(endpoint, "/v3/cluster/member/list")
        return [
            Member(
                id=str(item["ID"]),
                name=item.get("name", ""),
                client_urls=tuple(item.get("clientURLs", ())),
                learner=bool(item.get("isLearner", False)),
            )
            for item in answer.get("members", [])
        ]

    async def status(self, endpoint: str) -> Status:
        answer = await self._post(endpoint, "/v3/maintenance/status")
        return Status(
            leader=str(answer.get("leader", "0")),
            term=int(answer.get("raftTerm", 0)),
            errors=tuple(str(error) for error in answer.get("errors", ())),
        )

    async def close(self) -> None:
        await self._client.aclose()


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
        self._client, self._endpoints, self._period = client, list(endpoints), 1 / rate_hz

    async def run(self) -> None:
        while True:
            begun = time.monotonic()
            client = self._client
            seen = await sample(client, self._endpoints) if client is not None else None
            # A look through a client that was exchanged, and closed, meanwhile says nothing about the voters.
            if seen is not None and client is self._client:
                for kind, data in self.book.add(seen, time.time()):
                    self._event(kind, time.time(), **data)
            await asyncio.sleep(max(0.05, self._period - (time.monotonic() - begun)))
