"""The data plane's line to AWS: states in, target health and metrics out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec

from lab.network.balancers import Balancers, Report
from lab.network.parsing import parse
from lab.network.relay import Flows
from lab.network.state import APPLICATION, NETWORK, LoadBalancer, State
from lab.settings import LabSettings
from lab.timings import drawn

log = logging.getLogger(__name__)

# The contract allows 20. The HTTP client may repeat a broken poll by itself, and then asks a restarted AWS for a
# revision that it won't have for long: this is how late such a restart is noticed.
_WAIT_S = 5
_SAY_ALL_S = 5.0
_BACKOFF_S = (0.1, 2.0)
_NAMESPACE = "AWS/NetworkELB"
_APPLICATION = "AWS/ApplicationELB"


class Backplane:
    """Reads states by long poll for as long as it runs; a failing AWS leaves the last one standing."""

    def __init__(self, url: str, apply: Callable[[State], None]) -> None:
        self._url = url
        self._apply = apply
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_WAIT_S + 10))
        self.revision = -1
        self.lost = 0
        self.connected = asyncio.Event()

    async def close(self) -> None:
        await self._session.close()

    async def follow(self) -> None:
        """Applies each new state. Waits out an AWS that isn't there, with bounded back-off."""
        backoff = _BACKOFF_S[0]
        while True:
            started = time.perf_counter()
            try:
                state = await self._next()
            except (aiohttp.ClientError, TimeoutError, OSError, KeyError, ValueError) as error:
                if self.connected.is_set():
                    log.warning("AWS's backplane: %s", error or type(error).__name__)
                    self.lost += 1
                self.connected.clear()
                self.revision = -1  # it may come back as another one, counting from the start
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, _BACKOFF_S[1])
                continue
            backoff = _BACKOFF_S[0]
            if state.revision != self.revision:
                self.revision = state.revision
                started = time.perf_counter()
                self._apply(state)
            self.connected.set()
            # While an engine makes hundreds of resources there is a revision every few ms: take one in a while
            # instead of each, so that reading about packets never delays packets.
            await asyncio.sleep(min(0.25, max(0.03, 4 * (time.perf_counter() - started))))

    async def _next(self) -> State:
        query = {"after": str(self.revision), "wait": str(_WAIT_S), "omit": "user_data"}
        async with self._session.get(f"{self._url}/_backplane/state", params=query) as response:
            response.raise_for_status()
            return parse(msgspec.json.decode(await response.read()))

    async def report_health(self, balancers: Balancers) -> None:
        """Posts what changed at once, and everything now and then: AWS may have been restarted meanwhile."""
        said_all = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(balancers.changed.wait(), _SAY_ALL_S)
            await asyncio.sleep(0.02)  # several at once
            await self.connected.wait()
            everything = time.monotonic() - said_all >= _SAY_ALL_S
            report = balancers.report(everything=everything)
            if everything:
                said_all = time.monotonic()
            if not report:
                continue
            try:
                await self._post(report)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("target health not reported: %s", error or type(error).__name__)
                said_all = 0.0
                balancers.changed.set()
                await asyncio.sleep(_BACKOFF_S[1])

    async def _post(self, report: Report) -> None:
        async with self._session.post(f"{self._url}/_backplane/target-health", json=report) as response:
            response.raise_for_status()


class Metrics:
    """One datum of each metric per balancer and period, by CloudWatch's ordinary API, from a thread."""

    def __init__(self, environment: dict[str, str], settings: LabSettings) -> None:
        self._environment = environment
        self._settings = settings
        self._later: set[asyncio.Task[None]] = set()
        self._client: Any = None
        self._seen: dict[str, int] = {}
        self.put_total = 0

    async def put_for_ever(self, read: Callable[[], State], flows: Flows, balancers: Balancers) -> None:
        while True:
            await asyncio.sleep(self._settings.metric_period_s)
            state = read()
            network = self.collect(state, flows, balancers)
            application = self.collect(state, flows, balancers, APPLICATION)
            if self._settings.metric_lag_s:
                task = asyncio.create_task(self._put_late(network, application))
                self._later.add(task)
                task.add_done_callback(self._later.discard)
            else:
                await self._put_both(network, application)

    async def _put_late(self, *both: list[dict[str, Any]]) -> None:
        """CloudWatch shows data later than they are of."""
        period = int(both[0][0]["Timestamp"].timestamp()) if both[0] else 0
        await asyncio.sleep(drawn(self._settings.metric_lag_s, self._settings.seed, "metrics", period))
        await self._put_both(*both)

    async def _put_both(self, network: list[dict[str, Any]], application: list[dict[str, Any]]) -> None:
        try:
            for namespace, data in ((_NAMESPACE, network), (_APPLICATION, application)):
                if data:
                    await asyncio.to_thread(self._put, namespace, data)
                    self.put_total += 1
        except Exception:  # boto3's errors are made at run time; a metric missed is not a packet missed
            log.exception("metrics not put")

    def collect(self, state: State, flows: Flows, balancers: Balancers, kind: str = NETWORK) -> list[dict[str, Any]]:
        """The data of the period that ends now, for balancers of one type. Zero is said too, as AWS does for these."""
        data: list[dict[str, Any]] = []
        now = datetime.now(UTC)

        def add(metric: str, dimensions: dict[str, str], value: float) -> None:
            data.append(
                {
                    "MetricName": metric,
                    "Dimensions": [{"Name": k, "Value": v} for k, v in dimensions.items()],
                    "Timestamp": now,
                    "Value": value,
                    "Unit": "Count",
                }
            )

        for balancer in state.load_balancers.values():
            if balancer.type != kind:
                continue
            web = kind == APPLICATION
            total = (balancers.requests.by_balancer if web else flows.new_by_balancer).get(balancer.arn, 0)
            name = {"LoadBalancer": balancer.dimension}
            new, active = ("RequestCount", "ActiveConnectionCount") if web else ("NewFlowCount", "ActiveFlowCount")
            add(new, name, total - self._seen.get(balancer.arn, 0))
            add(active, name, flows.active_by_balancer.get(balancer.arn, 0))
            self._seen[balancer.arn] = total
            healthy = 0
            for arn in _groups(balancer):
                group = state.target_groups.get(arn)
                if group is not None:
                    hosts = balancers.healthy_hosts(group.arn)
                    healthy += hosts
                    add("HealthyHostCount", {"TargetGroup": group.dimension, **name}, hosts)
            add("HealthyHostCount", name, healthy)
        return data

    def _put(self, namespace: str, data: list[dict[str, Any]]) -> None:
        if self._client is None:
            import boto3  # a third of a second, and only here

            self._client = boto3.client(
                "cloudwatch",
                endpoint_url=self._environment["AWS_ENDPOINT_URL"],
                region_name=self._environment["AWS_REGION"],
                aws_access_key_id=self._environment["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self._environment["AWS_SECRET_ACCESS_KEY"],
            )
        for start in range(0, len(data), 500):
            self._client.put_metric_data(Namespace=namespace, MetricData=data[start : start + 500])


def _groups(balancer: LoadBalancer) -> tuple[str, ...]:
    """The target groups of a balancer, each once."""
    return tuple(dict.fromkeys(arn for listener in balancer.listeners for arn in listener.target_groups))
