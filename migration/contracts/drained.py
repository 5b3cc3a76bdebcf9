"""What `python -m migration drain` did, for machines."""

from __future__ import annotations

from typing import Literal

from migration.contracts.base import Contract
from migration.contracts.plan import DrainTerm


class PodLeft(Contract):
    """A pod (or an owner) that the drain left behind, and what somebody can do about it."""

    pod: str
    owner: str
    budget: str
    reason: str


class DrainReport(Contract):
    """One run of the drain command. Times in seconds, memory in MB (10^6 bytes).

    `outcome`: all that may move did (`done`); some may not (`blocked`); time or patience ran out (`unfinished`);
    somebody stopped it (`interrupted`). `pods` were to be moved at first, on `nodes` nodes. `evictions` counts the
    pods let go, `rejected429` answers that a budget allows none now, `throttled429` answers that the API server is
    busy, `server_errors` answers of 500 and above. `seconds` is the whole command's, looking and cordoning included;
    `evicting_seconds` lasts from the first eviction until the last pod that moved had left its node. `bound_seconds` is
    the least it could take, known before the first eviction, and `streaming_bound_seconds` what it is where budgets
    open for each pod that gets ready; `learnt_bound_seconds` is the former with the quickest starts of pods seen by the
    end. `terms` are its parts, longest first.
    """

    outcome: Literal["done", "blocked", "unfinished", "interrupted"]
    nodes: int
    pods: int
    evictions: int
    restarts: int
    rejected429: int
    throttled429: int
    server_errors: int
    seconds: float
    evicting_seconds: float
    bound_seconds: float
    streaming_bound_seconds: float
    learnt_bound_seconds: float
    terms: tuple[DrainTerm, ...]
    blocked: tuple[PodLeft, ...]
    cpu_seconds: float
    peak_memory_mb: float
