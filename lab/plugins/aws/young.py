"""EC2 may not know yet what it made a moment ago: calls that name such an id are asked again, as the provider does.

Source: EC2 API reference, Eventual consistency: retry with an exponential backoff on `…NotFound` of new resources.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

YOUNG_S = 20.0
"""For how long a new id may be unknown."""
PAUSE_S = 0.3
_ID = re.compile(r"\b[a-z]+-[0-9a-f]{17}\b")


class Young:
    """The ids that a client's answers brought, and when."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}

    def watch(self, client: Any) -> None:
        """Makes a client ask again about ids of its own making."""
        service = client.meta.service_model.service_name
        client.meta.events.register(f"after-call.{service}", self._note)
        client.meta.events.register(f"provide-client-params.{service}", self._given_up)
        client.meta.events.register(f"needs-retry.{service}", self._again)

    def _note(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        if model.name.startswith("Create"):
            now = self._clock()
            for found in _ID.findall(str(parsed)):
                self._seen.setdefault(found, now)

    def _given_up(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """Of what is deleted, not to be known is the truth."""
        if model.name.startswith("Delete"):
            for gone in _ID.findall(str(params)):
                self._seen.pop(gone, None)

    def _again(self, response: tuple[Any, dict[str, Any]] | None, **_: Any) -> float | None:
        """Seconds to wait before asking again; None: the answer stands."""
        error = (response[1] if response else {}).get("Error", {})
        if "NotFound" not in str(error.get("Code", "")):
            return None
        now = self._clock()
        young = [one for one in _ID.findall(str(error.get("Message", ""))) if now - self._seen.get(one, -1e9) < YOUNG_S]
        return PAUSE_S if young else None
