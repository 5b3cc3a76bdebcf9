"""One long operation at a time: a Lease in the cluster, and whether our engine still lives.

A killed engine leaves its dynamic provider's host running for some seconds (`migration.runtime.host` ends it), and
once the stack's lock is freed a second host starts. So every long operation holds the Lease
`kube-system/vpc-migration`, renews it each 2 s, and stops acting once the lease is lost or the engine is gone. The
next operation waits until the lease is released or has expired, and names its holder meanwhile. A holder that couldn't
renew in time doesn't act either, but isn't lost yet: where nobody else has taken the lease, it goes on once it has
renewed it.

Expiry is judged by the waiting side's own clock, from when it last saw the lease change, as Kubernetes' own
leader election does: two machines' clocks never need to agree.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from migration.clients.kubernetes import LEASES, ApiFailure, Conflict, Kind
from migration.runtime.deadline import Permanent, Retryable
from migration.runtime.engine import Living, Orphaned

NAMESPACE = "kube-system"
NAME = "vpc-migration"
# Seconds. The expiry is that of leader election in Kubernetes (client-go's LeaseDuration): with 10 s, a drain that kept
# its API busy lost the lease to nobody.
RENEW = 2.0
EXPIRY = 15.0
# How long before its expiry a holder that couldn't renew stops acting: the other's clock starts no earlier.
MARGIN = 1.0
# How long it then waits for an API that a drain, or somebody else, keeps too busy, before it ends.
PATIENCE = 60.0
LOOK_AGAIN = 0.5


class LeaseApi(Protocol):
    """What the lease needs of the Kubernetes client."""

    def find(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None: ...
    def create(self, kind: Kind, body: dict[str, Any], namespace: str | None = None) -> dict[str, Any]: ...
    def replace(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]: ...
    def with_short_timeouts(self) -> LeaseApi: ...


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _spec(lease: Mapping[str, Any]) -> Mapping[str, Any]:
    return lease.get("spec") or {}


def _holder(lease: Mapping[str, Any]) -> str:
    return _spec(lease).get("holderIdentity") or ""


@dataclass
class Lease:
    """A lease taken, held or lost. `check` waits while it is too old to act on, and raises `Orphaned` if lost."""

    api: LeaseApi
    holder: str
    engine: Living | None = None
    clock: Callable[[], float] = time.monotonic
    sleeper: Callable[[float], None] = time.sleep
    log: Callable[[str], None] = lambda text: None
    identity: str = field(init=False)
    _renewed: float = field(init=False, default=float("-inf"))
    _lost: str = field(init=False, default="")
    _told_late: bool = field(init=False, default=False)
    _seen: tuple[Any, ...] | None = field(init=False, default=None)
    _seen_at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        # Two operations of one host carry different marks: a lease is one operation's, not a process's.
        self.identity = f"{self.holder} #{uuid.uuid4().hex[:8]}"

    def check(self) -> None:
        """Return while acting is safe, which needs a lease that was renewed in time; until it is, wait.

        Raises `Orphaned` when another has the lease, it wasn't renewed for `PATIENCE` longer, or the engine is gone.
        """
        self.ask_engine()
        while not self._lost and (late := self.clock() - self._renewed - (EXPIRY - MARGIN)) > 0:
            if late > PATIENCE:
                self._lost = f"the lease {NAMESPACE}/{NAME} could not be renewed for {EXPIRY - MARGIN + PATIENCE:g} s"
                break
            if not self._told_late:
                self._told_late = True
                self.log(f"nothing is changed until the API lets the lease {NAMESPACE}/{NAME} be renewed")
            self.sleeper(LOOK_AGAIN)
            self.ask_engine()
        if self._lost:
            raise Orphaned(f"{self.holder} stops here: {self._lost}; what is done stays done, run the same up again")

    def ask_engine(self) -> None:
        """Look whether the engine still lives."""
        if not self._lost and self.engine is not None and not self.engine.lives():
            self._lost = f"{self.engine} is gone"

    def take(self) -> str | None:
        """Try once to take the lease: None when it is ours now, else the holder's name."""
        found = self.api.find(LEASES, NAME, NAMESPACE)
        began = self.clock()
        try:
            if found is None:
                self.api.create(LEASES, self._body(None), NAMESPACE)
            else:
                other = _holder(found)
                if other not in ("", self.identity) and not self._expired(found):
                    return other
                self.api.replace(LEASES, self._body(found))
        except Conflict:
            # Somebody else was quicker; whoever it is shows at the next try.
            return "another operation that begins now"
        self._renewed = began
        return None

    def renew(self) -> None:
        """Renew once. An API that doesn't answer is tolerated: `check` knows how long."""
        self.ask_engine()
        if self._lost:
            return
        began = self.clock()
        try:
            found = self.api.find(LEASES, NAME, NAMESPACE)
            if found is not None and _holder(found) != self.identity:
                self._lost = f"the lease {NAMESPACE}/{NAME} is now held by {_holder(found) or 'nobody'}"
                return
            if found is None:
                self.api.create(LEASES, self._body(None), NAMESPACE)
            else:
                self.api.replace(LEASES, self._body(found))
        except (Retryable, ApiFailure):
            return
        self._renewed, self._told_late = began, False

    def release(self) -> None:
        """Give the lease back if it is still ours, so that the next holder needn't wait for its expiry."""
        try:
            found = self.api.find(LEASES, NAME, NAMESPACE)
            if found is not None and _holder(found) == self.identity:
                body = self._body(found)
                body["spec"]["holderIdentity"] = ""
                self.api.replace(LEASES, body)
        except (Retryable, ApiFailure):
            # It expires by itself.
            return

    @property
    def lost(self) -> bool:
        """Whether acting has to stop."""
        return bool(self._lost)

    def _expired(self, found: Mapping[str, Any]) -> bool:
        spec = _spec(found)
        seen = (spec.get("holderIdentity"), spec.get("renewTime"), found["metadata"].get("resourceVersion"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self.clock()
            return False
        return self.clock() - self._seen_at > float(spec.get("leaseDurationSeconds") or EXPIRY)

    def _body(self, found: dict[str, Any] | None) -> dict[str, Any]:
        metadata: dict[str, Any] = {"name": NAME, "namespace": NAMESPACE}
        before: Mapping[str, Any] = {}
        if found is not None:
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
            before = _spec(found)
        now = _now()
        same = before.get("holderIdentity") == self.identity
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": int(EXPIRY),
                "acquireTime": before.get("acquireTime") if same else now,
                "renewTime": now,
                "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if same else 1),
            },
        }


def wait_for(
    lease: Lease,
    log: Callable[[str], None],
    *,
    sleeper: Callable[[float], None],
    give_up: float,
) -> None:
    """Take the lease, waiting at most `give_up` seconds; names what it waits for at once and then every 10 s."""
    began = lease.clock()
    told = float("-inf")
    while True:
        try:
            other = lease.take()
            if other is None:
                return
            awaited = f"{other}, which holds the lease {NAMESPACE}/{NAME}"
        except Retryable as error:
            awaited = f"the Kubernetes API: {error}"
        except ApiFailure as error:
            raise Permanent(f"the lease {NAMESPACE}/{NAME} can't be taken: {error}") from error
        lease.ask_engine()
        if lease.lost:
            raise Orphaned(f"{lease.holder} stops here: {lease.engine} is gone")
        if lease.clock() - began > give_up:
            raise Permanent(
                f"gave up after {give_up:g} s waiting for {awaited}; wait for it to finish, or end that process, "
                f"and run the same up again"
            )
        if lease.clock() - told >= 10:
            told = lease.clock()
            log(f"waiting for {awaited}")
        sleeper(1.0)


@contextmanager
def held(
    api: LeaseApi,
    *,
    holder: str,
    engine: Living | None = None,
    log: Callable[[str], None] = lambda text: None,
    give_up: float = 3600.0,
    clock: Callable[[], float] = time.monotonic,
    sleeper: Callable[[float], None] = time.sleep,
    renew_every: float = RENEW,
) -> Generator[Lease, None, None]:
    """Hold the cluster's one lease while the block runs; give `Lease.check` to the operation as `alive`.

    `engine` is the engine that asked for this operation, None where there is none.
    """
    lease = Lease(api.with_short_timeouts(), holder, engine, clock, sleeper, log)
    wait_for(lease, log, sleeper=sleeper, give_up=give_up)
    finished = threading.Event()

    def keep() -> None:
        while not finished.wait(renew_every) and not lease.lost:
            lease.renew()

    renewer = threading.Thread(target=keep, name="lease", daemon=True)
    renewer.start()
    try:
        yield lease
    finally:
        finished.set()
        renewer.join(timeout=EXPIRY)
        lease.release()
