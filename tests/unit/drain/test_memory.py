"""What is kept of a pod is small, however large it is. `python -m tests.unit.drain.test_memory` measures 10,000."""

from __future__ import annotations

import json
import resource
import tracemalloc
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from migration.clients.kubernetes import CHUNK, PODS, Kind
from migration.drain.index import Changes, Index
from migration.drain.model import Pod, pod_of
from migration.drain.plan import Rules, View
from migration.drain.store import everything
from migration.drain.wire import BudgetWire, PodWire
from tests.unit.drain.server import State

T = TypeVar("T", PodWire, BudgetWire)


class Pages:
    """So many pods, as the API writes them, a page at a time. `size` is what one takes as JSON."""

    def __init__(self, pods: int) -> None:
        self.pods = pods
        self.pod = json.dumps(next(iter(State(1, 1, 1, 1).objects["pods"].values())))
        self.size = len(self.pod)

    def pages(self, kind: Kind, item: type[T]) -> Iterator[tuple[list[T], str]]:
        decoder = msgspec.json.Decoder(list[item])
        name: str = json.loads(self.pod)["metadata"]["name"]
        for begin in range(0, self.pods, CHUNK):
            named = (self.pod.replace(name, f"app-0-{n}") for n in range(begin, min(begin + CHUNK, self.pods)))
            yield decoder.decode(f"[{','.join(named)}]"), "1"

    def events(self, kind: Kind, version: str, item: type[T]) -> Iterator[tuple[str, T]]:
        raise AssertionError("nothing is followed here")


def kept(pods: int) -> tuple[int, int, dict[str, Pod], Index]:
    """Bytes kept of so many pods by the list and by the index, and a pod's JSON, in bytes."""
    pages = Pages(pods)
    tracemalloc.start()
    found, _ = everything(pages, PODS, PodWire, pod_of)
    facts = View(nodes=frozenset({"old-0"}), pods=(), budgets=(), owners={})
    index = Index(Rules(tier="rest"), facts)
    index.apply(Changes(pods=list(found.items()), facts=facts))
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return now, pages.size, found, index


def test_a_pod_and_its_place_in_the_plan_take_less_than_its_json() -> None:
    now, size, found, index = kept(1500)
    assert size > 4000
    assert len(found) == len(index.placed) == 1500
    assert now / 1500 < 3000


if __name__ == "__main__":
    total, json_bytes, *_ = kept(10_000)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(f"10,000 pods of {json_bytes} bytes of JSON: {total / 1e6:.1f} MB kept, {peak:.0f} MB at most in all")
