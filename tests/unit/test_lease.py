"""One long operation at a time, and none without its engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from migration.clients.kubernetes import Conflict, Kind, Unreachable
from migration.runtime.deadline import Permanent
from migration.runtime.engine import Orphaned
from migration.runtime.lease import EXPIRY, MARGIN, PATIENCE, Lease, held, wait_for


@dataclass
class Api:
    """The one Lease object. `down` answers nothing."""

    item: dict[str, Any] | None = None
    version: int = 0
    down: bool = False
    holders: list[str] = field(default_factory=list)

    def with_short_timeouts(self) -> Api:
        return self

    def find(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        if self.down:
            raise Unreachable("no answer")
        return self.item

    def create(self, kind: Kind, body: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        if self.item is not None:
            raise Conflict(409, {}, "create")
        return self._write(body)

    def replace(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
        assert self.item is not None
        if body["metadata"]["resourceVersion"] != self.item["metadata"]["resourceVersion"]:
            raise Conflict(409, {}, "replace")
        return self._write(body)

    def _write(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.item = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self.holders.append(body["spec"]["holderIdentity"])
        return self.item


@dataclass
class Clock:
    now: float = 0.0
    then: Callable[[float], None] = lambda now: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.then(self.now)


@dataclass
class Engine:
    alive: bool = True

    def __str__(self) -> str:
        return "the engine (process 7)"

    def lives(self) -> bool:
        return self.alive


def lease(api: Api, clock: Clock, holder: str = "drain", *, engine: Engine | None = None) -> Lease:
    return Lease(api, holder, engine, clock, clock.sleep)


def test_a_free_lease_is_taken_and_given_back() -> None:
    api, clock = Api(), Clock()
    with held(api, holder="drain", clock=clock, sleeper=clock.sleep, renew_every=3600) as mine:
        mine.check()
        assert api.item is not None
        assert api.item["spec"]["holderIdentity"].startswith("drain #")
        assert api.item["spec"]["leaseDurationSeconds"] == 15
    assert api.item["spec"]["holderIdentity"] == ""


def test_a_second_holder_waits_and_names_the_first() -> None:
    api, clock = Api(), Clock()
    first, second = lease(api, clock, "drain rest"), lease(api, clock, "taint")
    assert first.take() is None
    told: list[str] = []
    # The first renews every 2 s until 30 s, then lets go.
    clock.then = lambda now: first.renew() if now < 30 else first.release()
    wait_for(second, told.append, sleeper=clock.sleep, give_up=100)
    assert clock.now == 30
    assert len(told) == 3
    assert all("drain rest #" in line for line in told)


def test_a_killed_holders_lease_is_taken_once_it_has_expired() -> None:
    api, clock = Api(), Clock()
    assert lease(api, clock, "dead").take() is None
    wait_for(lease(api, clock, "next"), lambda text: None, sleeper=clock.sleep, give_up=100)
    assert EXPIRY < clock.now < EXPIRY + 3


def test_the_waiting_side_gives_up_with_a_sentence() -> None:
    api, clock = Api(), Clock()
    first = lease(api, clock, "drain")
    first.take()
    clock.then = lambda now: first.renew()
    with pytest.raises(Permanent, match="gave up after 60 s waiting for drain #"):
        wait_for(lease(api, clock, "next"), lambda text: None, sleeper=clock.sleep, give_up=60)


def test_two_operations_of_one_process_are_two_holders() -> None:
    api, clock = Api(), Clock()
    assert lease(api, clock, "same").take() is None
    assert lease(api, clock, "same").take() is not None


def test_an_api_outage_shorter_than_the_expiry_is_tolerated() -> None:
    api, clock = Api(), Clock()
    mine = lease(api, clock)
    mine.take()
    api.down = True
    clock.now = EXPIRY - MARGIN - 0.5
    mine.renew()
    mine.check()
    api.down = False
    mine.renew()
    clock.now += EXPIRY - MARGIN
    mine.check()


def test_nothing_is_done_from_before_another_may_begin_until_the_lease_is_renewed() -> None:
    api, clock, told = Api(), Clock(), list[str]()
    mine = lease(api, clock)
    mine.log = told.append
    mine.take()
    api.down = True
    clock.now = EXPIRY - MARGIN + 0.1

    def answers(now: float) -> None:
        api.down = now < 40
        mine.renew()

    clock.then = answers
    mine.check()
    assert 40 <= clock.now < 41
    assert told == ["nothing is changed until the API lets the lease kube-system/vpc-migration be renewed"]
    mine.check()
    assert len(told) == 1


def test_an_outage_that_does_not_end_ends_acting() -> None:
    api, clock = Api(), Clock()
    mine = lease(api, clock)
    mine.take()
    api.down = True
    clock.then = lambda now: mine.renew()
    clock.now = EXPIRY - MARGIN + 0.1
    with pytest.raises(Orphaned, match="could not be renewed for 74 s"):
        mine.check()
    assert EXPIRY - MARGIN + PATIENCE < clock.now < EXPIRY + PATIENCE


@pytest.mark.parametrize("lets_go", [False, True])
def test_who_was_late_and_finds_that_another_has_had_the_lease_does_nothing_more(lets_go: bool) -> None:
    api, clock = Api(), Clock()
    mine, other = lease(api, clock), lease(api, clock, "next")
    mine.take()
    assert other.take() is not None  # from here on it counts
    clock.now = EXPIRY + 1

    def takes(now: float) -> None:
        if now > EXPIRY + 3:
            if lets_go:
                other.release()
            mine.renew()
        else:
            other.take()

    clock.then = takes
    with pytest.raises(Orphaned, match="now held by nobody" if lets_go else "now held by next #"):
        mine.check()


def test_an_engine_that_goes_while_its_lease_is_late_ends_the_wait() -> None:
    api, clock, engine = Api(), Clock(), Engine()
    mine = lease(api, clock, engine=engine)
    mine.take()
    clock.now = EXPIRY
    clock.then = lambda now: setattr(engine, "alive", False)
    with pytest.raises(Orphaned, match=r"the engine \(process 7\) is gone"):
        mine.check()
    assert clock.now < EXPIRY + 1


def test_once_lost_it_stays_lost() -> None:
    api, clock = Api(), Clock()
    mine = lease(api, clock)
    mine.take()
    clock.now = 100
    with pytest.raises(Orphaned):
        mine.check()
    mine.renew()
    with pytest.raises(Orphaned):
        mine.check()


def test_a_lease_that_another_took_is_noticed_by_the_next_renewal() -> None:
    api, clock = Api(), Clock()
    mine = lease(api, clock)
    mine.take()
    assert api.item is not None
    api.item["spec"]["holderIdentity"] = "somebody else"
    mine.renew()
    with pytest.raises(Orphaned, match="now held by somebody else"):
        mine.check()
    mine.release()
    assert api.item["spec"]["holderIdentity"] == "somebody else"


def test_an_engine_that_is_gone_ends_acting() -> None:
    api, clock, engine = Api(), Clock(), Engine()
    mine = lease(api, clock, engine=engine)
    mine.take()
    mine.check()
    engine.alive = False
    with pytest.raises(Orphaned, match=r"the engine \(process 7\) is gone"):
        mine.check()


def test_an_operation_whose_engine_is_gone_does_not_wait_for_the_lease() -> None:
    api, clock = Api(), Clock()
    lease(api, clock, "first").take()
    clock.then = lambda now: None
    with pytest.raises(Orphaned, match=r"the engine \(process 7\) is gone"):
        wait_for(lease(api, clock, engine=Engine(alive=False)), lambda text: None, sleeper=clock.sleep, give_up=100)
    assert api.item is not None
    assert api.item["spec"]["holderIdentity"].startswith("first #")


def test_an_api_that_comes_up_late_is_waited_for() -> None:
    api, clock = Api(down=True), Clock()
    told: list[str] = []

    def then(now: float) -> None:
        api.down = now < 5

    clock.then = then
    wait_for(lease(api, clock), told.append, sleeper=clock.sleep, give_up=100)
    assert clock.now == 5
    assert told == ["waiting for the Kubernetes API: no answer"]
