"""What the lab's AWS knows beyond moto: the revision, the clock and timers, health reports, commands, activities.

One lock serialises everything that reads or writes moto's models: API calls, the backplane and the ticker. That is
what makes a snapshot consistent and moto's unguarded dictionaries safe; a call takes a few milliseconds.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from moto.acm.models import AWSCertificateManagerBackend, acm_backends
from moto.autoscaling.models import AutoScalingBackend, autoscaling_backends
from moto.ec2.models import EC2Backend, ec2_backends
from moto.elbv2.models import ELBv2Backend, elbv2_backends
from moto.moto_api._internal.models import moto_api_backend
from moto.route53.models import Route53Backend, route53_backends

from lab.addresses import ACCOUNT_ID, REGION
from lab.settings import LabSettings

ADDRESS_REST_S = 60.0
"""A freed address isn't handed out again for this long: whoever spoke to its last owner must have noticed by then."""
TERMINATED_VISIBLE_S = 60.0
"""How long the backplane lists a terminated instance (the API lists it longer, as AWS does: about an hour)."""


class Moves:
    """When something moved: of what is older than asked for, only the last."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def add(self, now: float, keep_s: float) -> None:
        """Something moves now; what moved before the last `keep_s` seconds is asked for no more, but for the last."""
        self._times.append(now)
        while len(self._times) > 1 and self._times[1] <= now - keep_s:
            del self._times[0]

    def last(self, until: float = math.inf) -> float:
        """The last time up to then; minus infinity for none."""
        return max((one for one in self._times if one <= until), default=-math.inf)


class World:
    """The state beside moto's. Every public attribute is guarded by `lock`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.settings = LabSettings()
        self.clock: Callable[[], float] = time.time
        self.generation = 0
        """Counts how often the account was emptied."""
        self._first_revision = 0
        self._clear()

    def _clear(self) -> None:
        self.revision = self._first_revision + 1
        self.reconcile_wanted = True
        self.health: dict[str, dict[str, dict[str, Any]]] = {}
        """Target group ARN → "id:port" → {"state", "reason"}, as reported by whoever plays the balancers."""
        self.terminated: dict[str, float] = {}
        """Instance id → when it was terminated (epoch seconds)."""
        self.activities: dict[str, list[dict[str, Any]]] = {}
        """Auto Scaling group name → its activities, newest first."""
        self.commands: dict[str, list[dict[str, Any]]] = {}
        """Instance id → SSM commands it hasn't fetched yet."""
        self.invocations: dict[tuple[str, str], dict[str, Any]] = {}
        """(command id, instance id) → GetCommandInvocation's answer."""
        self.mounted: dict[str, str] = {}
        """Volume id → the instance that has it mounted, as its machine reported."""
        self.changes: dict[str, dict[str, Any]] = {}
        """Route 53 change id → {"submitted": epoch, "comment"}."""
        self.calls: Counter[tuple[str, str]] = Counter()
        """How many calls that change something were accepted, by access key and action."""
        self.moves: defaultdict[str, Moves] = defaultdict(Moves)
        """By service, what its own calls changed; by the empty name, what may be of any service."""
        self.asked: Counter[tuple[str, str]] = Counter()
        """How many calls came, refused ones too, by what the caller says it is and action (`ec2:DescribeVpcs`)."""
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.snapshot_cache: tuple[int, dict[str, Any], dict[str | None, bytes]] | None = None
        """Revision, what the backplane shows of it, and that as JSON by what is left out."""

    def reset(self, settings: LabSettings | None = None) -> None:
        """An empty account again (tests). The revision goes on rising, so that no poller misses it."""
        with self.lock:
            moto_api_backend.reset()
            self._first_revision = self.revision
            self.generation += 1
            self.settings = settings or LabSettings()
            self._clear()
            self.changed.notify_all()

    def bump(self, service: str = "") -> None:
        """Something the backplane shows has changed, of that service or of any: wakes every poller and the ticker."""
        with self.lock:
            self.revision += 1
            self.moves[service].add(self.clock(), self.settings.lag_s)
            self.reconcile_wanted = True
            self.changed.notify_all()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Runs `action` under the lock, `seconds` from now, by the ticker."""
        with self.lock:
            heapq.heappush(self._timers, (self.clock() + seconds, next(self._order), action))
            self.changed.notify_all()

    def run_due(self) -> None:
        """Runs the timers that are due. Called under the lock."""
        while self._timers and self._timers[0][0] <= self.clock():
            heapq.heappop(self._timers)[2]()

    def next_due(self) -> float | None:
        """Seconds until the next timer; None without any. Called under the lock."""
        return max(0.0, self._timers[0][0] - self.clock()) if self._timers else None

    @property
    def ec2(self) -> EC2Backend:
        return ec2_backends[ACCOUNT_ID][REGION]

    @property
    def elbv2(self) -> ELBv2Backend:
        return elbv2_backends[ACCOUNT_ID][REGION]

    @property
    def acm(self) -> AWSCertificateManagerBackend:
        return acm_backends[ACCOUNT_ID][REGION]

    @property
    def autoscaling(self) -> AutoScalingBackend:
        return autoscaling_backends[ACCOUNT_ID][REGION]

    @property
    def route53(self) -> Route53Backend:
        return route53_backends[ACCOUNT_ID]["aws"]


WORLD = World()
"""moto's backends are one set a process, so this is too."""
