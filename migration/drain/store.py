"""A kind's objects kept current by a watch, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from migration.clients.kubernetes import ApiFailure, Kind
from migration.drain.wire import BudgetWire, PodWire
from migration.runtime.deadline import Retryable

T = TypeVar("T")
W = TypeVar("W", PodWire, BudgetWire)

GONE = 410
# Seconds before a broken watch or list is tried again.
PAUSE = 0.5


class WatchApi(Protocol):
    """What a store needs of the Kubernetes client."""

    def pages(self, kind: Kind, item: type[W]) -> Iterator[tuple[list[W], str]]: ...
    def events(self, kind: Kind, version: str, item: type[W]) -> Iterator[tuple[str, W]]: ...


class Store(Generic[W, T]):
    """The objects of a kind, read as `wire` and made by `parse`, by UID. `changed` is set after every change.

    `changes` are handed out once each, in the order they came; what is handed out anew after a list is all of it.
    A cache: good for deciding what to ask next, never for deciding that something is done.
    """

    def __init__(
        self, api: WatchApi, kind: Kind, wire: type[W], parse: Callable[[W], T], changed: threading.Event
    ) -> None:
        self._api = api
        self._kind = kind
        self._wire: type[W] = wire
        self._parse = parse
        self._changed = changed
        self._lock = threading.Lock()
        self._items: dict[str, T] = {}
        self._changes: list[tuple[str, T | None]] = []
        self._version = ""
        self._stop = threading.Event()

    def start(self) -> None:
        """List once, here, so that a refusal is the caller's; then follow in the background."""
        self._fill()
        threading.Thread(target=self._follow, name=f"watch {self._kind.plural}", daemon=True).start()

    def close(self) -> None:
        """Follow no longer; the thread ends with its current watch, within half a minute."""
        self._stop.set()

    def items(self) -> list[T]:
        """What is known now."""
        with self._lock:
            return list(self._items.values())

    def changes(self) -> list[tuple[str, T | None]]:
        """What became of which objects (by UID; None: gone) since this was asked before."""
        with self._lock:
            found, self._changes = self._changes, []
            return found

    def _fill(self) -> None:
        parsed, self._version = everything(self._api, self._kind, self._wire, self._parse)
        with self._lock:
            self._changes += [(uid, None) for uid in self._items.keys() - parsed.keys()]
            self._changes += parsed.items()
            self._items = parsed
        self._changed.set()

    def _follow(self) -> None:
        again = False
        while not self._stop.is_set():
            try:
                if again:
                    self._fill()
                    again = False
                for event, item in self._api.events(self._kind, self._version, self._wire):
                    self._take(event, item)
                    if self._stop.is_set():
                        return
            except ApiFailure as failure:
                again = failure.code == GONE or again
                self._stop.wait(PAUSE)
            except Retryable:
                self._stop.wait(PAUSE)

    def _take(self, event: str, item: W) -> None:
        self._version = item.metadata.resource_version
        if event == "BOOKMARK":
            return
        uid = item.metadata.uid
        parsed = None if event == "DELETED" else self._parse(item)
        with self._lock:
            self._changes.append((uid, parsed))
            if parsed is None:
                self._items.pop(uid, None)
            else:
                self._items[uid] = parsed
        self._changed.set()


def everything(api: WatchApi, kind: Kind, wire: type[W], parse: Callable[[W], T]) -> tuple[dict[str, T], str]:
    """All objects of a kind by UID, as etcd holds them now (never from a cache), and the list's version.

    A list that took so long that its version is gone is begun anew.
    """
    while True:
        found: dict[str, T] = {}
        version = ""
        try:
            for items, seen in api.pages(kind, wire):
                version = seen
                found.update({item.metadata.uid: parse(item) for item in items})
        except ApiFailure as failure:
            if failure.code != GONE or not found:
                raise
        else:
            return found, version
