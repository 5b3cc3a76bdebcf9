"""How many evictions may wait for the disruption controller, and who goes first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from migration.drain.index import Index
from migration.drain.inflight import InFlight
from migration.drain.model import Pod
from migration.drain.plan import Lane, Rules, View
from migration.drain.window import AT_FIRST, AT_MOST, EVERY, LARGEST, Window
from tests.unit.drain.world import Clock, World

RULES = Rules(tier="rest")


class Seen:
    """A window over a StatefulSet and a Deployment, and what of their evictions the controller has seen."""

    def __init__(self) -> None:
        self.world = World()
        self.world.deploy("db", 3, kind="StatefulSet", grace_seconds=4.0)
        self.world.deploy("web", 90)
        for name in ("db", "web"):
            self.world.protect(name, 0)
        self.index = Index(RULES, View(nodes=frozenset(), pods=(), budgets=(), owners={}))
        self.index.apply(self.world.changes())
        self.clock = Clock()
        self.flight = InFlight(self.clock)
        self.window = Window(self.index, self.flight, self.clock)

    @property
    def lanes(self) -> list[Lane]:
        return list(self.index.lanes.values())

    def lane(self, name: str) -> Lane:
        return self.index.lanes[f"apps/{name}"]

    def room(self, in_hand: int = 0) -> int | None:
        return self.window.room(self.lanes, in_hand)

    def evict(self, pods: list[Pod]) -> Callable[[], None]:
        """Let these of `web` go; what is returned shows the controller's answer."""
        budget = next(one for one in self.world.view().budgets if one.key == "apps/web")
        for pod in pods:
            self.flight.send("apps/web", pod)
            self.flight.answer("apps/web", pod, let_go=True)
        self.flight.see(replace(budget, disrupted={pod.name: self.world.now() for pod in pods}))
        return lambda: self.flight.see(replace(budget, disrupted={}))


def test_evictions_wait_in_a_window_and_those_in_hand_count() -> None:
    seen = Seen()
    assert seen.room() == AT_FIRST
    assert seen.room(in_hand=1) == AT_FIRST - 1
    answered = seen.evict(list(seen.lane("web").pods[:AT_FIRST]))
    assert seen.room() == 0
    answered()
    assert seen.room() == AT_FIRST


def test_it_grows_while_it_is_used_and_seen_in_good_time_and_not_beyond_what_is_allowed() -> None:
    seen = Seen()
    for _ in range(2 * LARGEST):
        pods = list(seen.lane("web").pods[: seen.window.size])
        answered = seen.evict(pods)
        seen.room()
        answered()
        seen.clock.sleep(EVERY)
        seen.room()
    assert seen.window.size == LARGEST
    unused = Seen()
    for _ in range(5):
        unused.clock.sleep(EVERY)
        unused.room()
    assert unused.window.size == AT_FIRST


def test_nothing_goes_while_the_controller_is_behind_and_less_afterwards_but_it_stops_no_drain() -> None:
    seen = Seen()
    answered = seen.evict(list(seen.lane("web").pods[:2]))
    seen.clock.sleep(2.1)  # half of the grace is 2 s
    assert seen.room() == 0
    answered()
    assert seen.room() == AT_FIRST // 2
    seen.evict(list(seen.lane("web").pods[2:4]))
    seen.clock.sleep(2.1)
    assert seen.room() == 0
    seen.clock.sleep(AT_MOST)
    assert (seen.room(), seen.room(in_hand=1)) == (1, 0)


def test_without_a_set_that_a_budget_counts_nothing_is_bounded() -> None:
    seen = Seen()
    web = [seen.lane("web")]
    assert seen.window.room(web, 0) is None
    assert [seen.window.first(lane) for lane in (seen.lane("db"), seen.lane("web"))] == [True, False]
