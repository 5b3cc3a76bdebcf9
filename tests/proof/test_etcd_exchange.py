"""Exchanging etcd's client while a look is under way: members change while the proof watches."""

from __future__ import annotations

import asyncio

import pytest

from migration.clients.etcd import Member, Status
from migration.runtime.deadline import Retryable
from proof.etcd import EtcdSampler, sample

VOTERS = [
    Member(id=str(n), name=f"m{n}", peer_urls=(), client_urls=(f"https://m{n}",), learner=False) for n in range(3)
]


class Client:
    """Answers until it is closed in the middle of a look."""

    def __init__(self) -> None:
        self.closed, self.asked = False, asyncio.Event()

    async def members(self, endpoint: str) -> list[Member]:
        self.asked.set()
        return VOTERS

    async def status(self, endpoint: str) -> Status:
        await asyncio.sleep(0.05)
        if self.closed:
            raise Retryable("closed")
        leader = "0" if self.closed else "1"
        return Status(id="1", leader=leader, learner=False, term=1, raft_index=1, errors=(), version="3.6.14")


def test_a_look_through_a_client_that_was_exchanged_counts_no_voter_as_missing() -> None:
    async def scene() -> int | None:
        sampler, first = EtcdSampler(lambda *a, **k: None), Client()
        sampler.use(first, ["https://m0"], 20.0)
        watching = asyncio.create_task(sampler.run())
        await first.asked.wait()
        sampler.use(Client(), ["https://m0"], 20.0)
        first.closed = True
        async with asyncio.timeout(10):
            while sampler.book.min_healthy is None:
                assert not watching.done()
                await asyncio.sleep(0.05)
        watching.cancel()
        return sampler.book.min_healthy

    assert asyncio.run(scene()) == 3


class Leaderless:
    """Three voters that know no leader in the first so many answers of each."""

    def __init__(self, answers: int) -> None:
        self.left = {f"https://m{n}": answers for n in range(3)}

    async def members(self, endpoint: str) -> list[Member]:
        return VOTERS

    async def status(self, endpoint: str) -> Status:
        self.left[endpoint] -= 1
        leader = "0" if self.left[endpoint] >= 0 else "1"
        return Status(id="1", leader=leader, learner=False, term=1, raft_index=1, errors=(), version="3.6.14")


@pytest.mark.parametrize(("answers", "healthy"), [(0, 3), (1, 3), (2, 0)])
def test_a_leadership_that_is_handed_over_takes_no_voter_away_and_one_that_is_lost_takes_all(
    answers: int, healthy: int
) -> None:
    assert asyncio.run(sample(Leaderless(answers), ["https://m0"])).healthy == healthy
