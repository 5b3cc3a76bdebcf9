"""A kind's objects kept current by a watch, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

from migration.clients.kubernetes import ApiFailure, Kind
from migration.runtime.deadline import Retryable

T = TypeVar("T")

GONE = 410
# Seconds before a broken watch or list is tried again.
PAUSE = 0.5


class WatchApi(Protocol):
    """What a store needs of the Kubernetes client."""

    def list_with_version(self, kind: Kind) -> tuple[list[dict[str, Any]], str]: ...
    def watch(self, kind: Kind, version: str) -> Iterator[tuple[str, dict[str, Any]]]: ...


class Store(Generic[T]):
    """The objects of a kind, parsed by `parse`, by UID. `changed` is set after every change.

    A cache: good for deciding what to ask next, never for deciding that something is done.
    """

    def __init__(
        self, api: WatchApi, kind: Kind, parse: Callable[[Mapping[str, Any]], T], changed: threading.Event
    ) -> None:
        self._api = api
        self._kind = kind
        self._parse = parse
        self._changed = changed
        self._lock = threading.Lock()
        self._items: dict[str, T] = {}
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

    def _fill(self) -> None:
        items, self._version = self._api.list_with_version(self._kind)
        parsed = {item["metadata"]["uid"]: self._parse(item) for item in items}
        with self._lock:
            self._items = parsed
        self._changed.set()

    def _follow(self) -> None:
        again = False
        while not self._stop.is_set():
            try:
                if again:
                    self._fill()
                    again = False
                for event, item in self._api.watch(self._kind, self._version):
                    self._take(event, item)
                    if self._stop.is_set():
                        return
            except ApiFailure as failure:
                again = failure.code == GONE or again
                self._stop.wait(PAUSE)
            except Retryable:
                self._stop.wait(PAUSE)

    def _take(self, event: str, item: Mapping[str, Any]) -> None:
        self._version = item["metadata"]["resourceVersion"]
        if event == "BOOKMARK":
            return
        uid = item["metadata"]["uid"]
        parsed = None if event == "DELETED" else self._parse(item)
        with self._lock:
            if parsed is None:
                self._items.pop(uid, None)
            else:
                self._items[uid] = parsed
        self._changed.set()
