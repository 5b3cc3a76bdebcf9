"""One run of the proof: everything at once in one process, until it is told to stop, then the read-back and
the summary.

Blocking work (syncing files, reading /proc) happens in one worker thread; the event loop belongs to the
probes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
import signal
import ssl
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightkube.config.kubeconfig import SingleConfig

from migration.clients.asynchronous import REFUSALS, AsyncEtcd, AsyncKubernetes
from migration.clients.kubeconfig import KubeconfigError, client_identity, read_kubeconfig, server_trust
from migration.clients.kubernetes import NAMESPACES
from proof import etcd, marks, writer
from proof.budgets import BudgetWatcher
from proof.config import (
    LIVEZ,
    Api,
    ConfigError,
    Ingress,
    Listener,
    LiveConfig,
    Place,
    ProofConfig,
    Target,
    listener_kind,
    write_atomically,
)
from proof.cpu import CpuSampler
from proof.http2 import PROTOCOL
from proof.identity import OBJECT, Answerer
from proof.model import (
    Budgets,
    BudgetsNow,
    CellTotals,
    CpuSecond,
    End,
    Meta,
    Owners,
    Status,
    Summary,
    VotersNow,
    Watched,
    Writes,
    WritesNow,
    label_at,
)
from proof.names import NameWatcher
from proof.owners import OwnerWatcher
from proof.pods import PodWatcher
from proof.priority import as_others, prefer_this_process
from proof.prober import Address, Prober, address_of
from proof.recorder import SECONDS, DiskRecorder
from proof.resolver import NoResolver, Query, StubResolver, is_address, server_query
from proof.summary import CONFIGURED, END, META, summarize

STOP = "stop"
STATUS = "status.json"
SUMMARY = "summary.json"
IDENTIFY_S = 10.0
"""How long the cluster may take to say who it is, before a run is refused."""


def addresses(config: ProofConfig, single: SingleConfig | None) -> dict[str, Address]:
    """The probed targets with their TLS contexts. Raises ConfigError."""
    found: dict[str, Address] = {}
    try:
        if config.ingress is not None:
            found["ingress"] = _ingress(config.ingress)
        if config.api is not None:
            found |= _api(config.api, single)
        found |= {listener_kind(one.name): _ingress(one) for one in config.listeners}
    except OSError as error:
        raise ConfigError(
            f"certificates can't be read ({error}); check ca, client_cert and client_key of ingress, api and "
            "listeners, and the kubeconfig"
        ) from None
    return found


def _ingress(target: Ingress | Listener) -> Address:
    tls = _own_tls(target) if target.url.startswith("https:") else None
    answerer = None if target.answers is None else Answerer(text=target.answers.encode())
    return replace(address_of(target, tls), answerer=answerer)


def _api(target: Api, single: SingleConfig | None) -> dict[str, Address]:
    """The API as its clients use it: known to it, on new connections and, by HTTP/2, on kept ones.

    To anonymous clients an API server shows no object, and ends their HTTP/2 connections after each answer (feature
    gate UnauthenticatedHTTP2DOSMitigation).
    """
    user = single.user if single is not None else None
    token = user.token if user is not None and target.client_cert is None else None
    plain, kept = (_api_tls(target, single) for _ in range(2)) if target.url.startswith("https:") else (None, None)
    if kept is not None:
        kept.set_alpn_protocols([PROTOCOL, "http/1.1"])
    return {
        "api": address_of(target, plain, kept, path=OBJECT, token=token),
        LIVEZ: address_of(target, plain, kept, path="/livez", token=token),
    }


def _api_tls(target: Api, single: SingleConfig | None) -> ssl.SSLContext:
    if target.client_cert is not None:
        context = _own_tls(target) if target.ca is not None or single is None else server_trust(single)
        context.load_cert_chain(target.client_cert, target.client_key)
        return context
    context = client_identity(single) if single is not None else None
    if context is None and single is not None and single.user is not None and single.user.token:
        context = server_trust(single)
    if context is None:
        raise ConfigError(
            "api: its probes read an object, which takes a client certificate or a token, and the kubeconfig has "
            "neither; give a kubeconfig with one, or client_cert and client_key"
        )
    if target.ca is not None:
        context.load_verify_locations(target.ca)
    return context


def _own_tls(target: Target) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=target.ca)
    if target.client_cert is not None:
        context.load_cert_chain(target.client_cert, target.client_key)
    return context


async def cluster_of(kube: AsyncKubernetes, patience_s: float = IDENTIFY_S) -> str:
    """The UID by which the kubeconfig's cluster is known. Raises ConfigError where it doesn't say."""
    until = time.monotonic() + patience_s
    while True:
        try:
            found = await kube.get(NAMESPACES, "kube-system", timeout=5.0)
            return str(found["metadata"]["uid"])
        except (*REFUSALS, KeyError, TypeError) as error:
            if time.monotonic() >= until:
                raise ConfigError(
                    f"kubeconfig: its cluster doesn't say who it is ({error}); the right to get the namespace "
                    "kube-system is needed"
                ) from None
        await asyncio.sleep(0.5)


class Run:
    """Use `await Run(config_path, out).until_stopped()`."""

    def __init__(self, config_path: Path, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        if (out / SECONDS).exists():
            raise ConfigError(f"--out: {out} holds an earlier run; name another directory, or move that one away")
        self.out = out
        self.live = LiveConfig(config_path)
        config = self.live.current
        try:
            self._single = read_kubeconfig(config.kubeconfig) if config.kubeconfig else None
        except KubeconfigError as error:
            raise ConfigError(f"kubeconfig: {error}; name a file with a current context") from None
        if config.etcd is not None:
            try:
                etcd.trust(config.etcd)
            except OSError as error:
                raise ConfigError(f"etcd: its certificates can't be read ({error}); check ca, cert, key") from None
        self._addresses = addresses(config, self._single)
        if self._single is None and (config.writer is not None or config.budgets or config.owners):
            raise ConfigError(
                "kubeconfig: is missing; writer, budgets and owners need it "
                "(or set writer: null, budgets: false, owners: false)"
            )
        self.name = secrets.token_hex(4)
        self.priority: tuple[str, ...] = ()
        self._stop = asyncio.Event()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="proof")

    def stop(self) -> None:
        self._stop.set()

    async def until_stopped(self) -> Summary:
        """Probe until SIGTERM, SIGINT or the file `stop` in the output directory; returns the summary."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        (self.out / STOP).unlink(missing_ok=True)
        config = self.live.current
        kube = AsyncKubernetes(self._single) if self._single is not None else None
        try:
            cluster = await self._identify(kube)
        except ConfigError:
            if kube is not None:
                await kube.close()
            raise
        epoch, start = time.time(), loop.time()
        self.recorder = DiskRecorder(
            self.out, lambda at: epoch + (at - start), max(config.probe.timeout_s, config.probe.api_timeout_s)
        )
        write_atomically(
            self.out / META,
            Meta(run=self.name, begin=epoch, config=watched(config, cluster, self.priority)).model_dump_json(),
        )
        self.recorder.event("run_begin", epoch, run=self.name)
        self._configured()
        self.prober = Prober(config, self._addresses, self.recorder)
        names = dict.fromkeys(address.host for address in self._addresses.values() if not is_address(address.host))
        self.names = NameWatcher(list(names), self.recorder.event)
        self.writer = self._make_writer(kube)
        self.budgets = BudgetWatcher(kube, self.recorder.event) if kube is not None and config.budgets else None
        self.pods = PodWatcher(kube, config.sides, self.recorder.event) if kube is not None and config.sides else None
        self.owners = OwnerWatcher(kube, self.recorder.event) if kube is not None and config.owners else None
        self.etcd = etcd.EtcdSampler(self.recorder.event)
        self.cpu = CpuSampler(config.cpu_groups)
        self._etcd_client: AsyncEtcd | None = None
        await self._set_etcd()
        # What exists now lives as long as the run: a full collection must not walk it while a probe waits.
        gc.collect()
        gc.freeze()
        # Last, because all of the above takes time in which a probe that was already due would be late.
        self._set_places()
        workers = [
            asyncio.create_task(self._guard(name, work))
            for name, work in (
                ("budgets", self.budgets.run() if self.budgets else None),
                ("pods", self.pods.run() if self.pods else None),
                ("owners", self.owners.run() if self.owners else None),
                ("etcd", self.etcd.run()),
            )
            if work is not None
        ]
        writing = asyncio.create_task(self._guard("writer", self.writer.run())) if self.writer else None
        try:
            await self._each_second()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return await self._finish(kube, writing)

    async def _identify(self, kube: AsyncKubernetes | None) -> str | None:
        """Which cluster must answer API probes; None where there are none. Raises ConfigError."""
        api = self.live.current.api
        if api is None:
            return None
        told = await cluster_of(kube) if kube is not None else api.cluster
        if told is None:
            raise ConfigError("api: which cluster must answer isn't known; give a kubeconfig, or api.cluster, its UID")
        if api.cluster not in (None, told):
            raise ConfigError(f"api: must be answered by cluster {api.cluster}, and the kubeconfig leads to {told}")
        answerer = Answerer(text=told.encode(), cluster=True)
        self._addresses["api"] = replace(self._addresses["api"], answerer=answerer)
        return told

    def _configured(self) -> None:
        """Write down what the configuration says from now on: what was due is judged by it (`proof.due`)."""
        places = [place.model_dump() for place in self.live.current.places]
        self.recorder.event(CONFIGURED, time.time(), places=places)

    async def _guard(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        # A watcher that dies must be seen in the report, and must not take the probes with it.
        try:
            await work
        except Exception as error:  # noqa: BLE001 - see above
            self.recorder.event("watcher_died", time.time(), watcher=name, detail=f"{type(error).__name__}: {error}")

    def _make_writer(self, kube: AsyncKubernetes | None) -> writer.Writer | None:
        config = self.live.current.writer
        if kube is None or config is None:
            return None
        return writer.Writer(kube, config, self.name, self.out, self.recorder.event)

    def _set_places(self) -> None:
        queries: dict[str, Query] = {}

        def resolver(place: Place) -> StubResolver:
            queries[place.name] = server_query(place.resolver, place.source_address)
            return StubResolver(queries[place.name])

        try:
            started, stopped = self.prober.set_places(self.live.current.places, resolver)
        except NoResolver as error:
            raise ConfigError(f"places: {error}") from None
        for name in stopped:
            self.names.stop(name)
            self.recorder.event("place_stopped", time.time(), place=name)
        for name in started:
            self.names.start(name, queries[name])
            self.recorder.event("place_started", time.time(), place=name)

    async def _set_etcd(self) -> None:
        old, config = self._etcd_client, self.live.current.etcd
        self._etcd_client = None
        if config is not None:
            self.etcd.book.due(time.time())
            try:
                self._etcd_client = etcd.connect(config)
            except OSError as error:
                self.recorder.event("config_refused", time.time(), detail=f"etcd: certificates can't be read: {error}")
            else:
                self.etcd.use(self._etcd_client, config.endpoints, config.rate_hz)
        if self._etcd_client is None:
            self.etcd.use(None, [], 1.0)
        if old is not None:
            await old.close()

    async def _each_second(self) -> None:
        loop = asyncio.get_running_loop()
        tick = loop.time()
        while not self._stop.is_set():
            tick = max(tick + 1.0, loop.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), tick - loop.time())
            if (self.out / STOP).exists():
                self._stop.set()
            before = self.live.current
            if self.live.changed():
                self._configured()
                try:
                    self._set_places()
                except ConfigError as error:
                    self.live.problem = str(error)
                self.cpu.groups = self.live.current.cpu_groups
                if self.live.current.etcd != before.etcd:
                    await self._set_etcd()
            if self.live.problem:
                self.recorder.event("config_refused", time.time(), detail=self.live.problem)
                self.live.problem = None
            await self._flush()

    async def _flush(self, *, everything: bool = False) -> None:
        now = time.time()
        if not everything:
            writes, pods = self._writes(), self._pods()
            if writes is not None:
                self.recorder.sample(now, "writes", writes.model_dump())
            if pods is not None:
                self.recorder.sample(now, "pods", pods)
        lines = self.recorder.take(now, everything=everything)
        status = self._status(now)

        def write() -> CpuSecond | None:
            self.recorder.write(lines)
            if self.writer is not None:
                self.writer.journal.sync()
            write_atomically(self.out / STATUS, status.model_dump_json())
            # The last flushes follow each other at once: no time in which CPU could be told.
            return None if everything else self.cpu.sample()

        sampled = await asyncio.get_running_loop().run_in_executor(self._threads, write)
        if sampled is not None:
            self.recorder.sample(now, "cpu", sampled.model_dump())

    async def _finish(self, kube: AsyncKubernetes | None, writing: asyncio.Task[None] | None) -> Summary:
        probed_until = time.time()
        await self.prober.stop()
        self.names.stop_all()
        as_others()
        if self.writer is not None and writing is not None:
            self.writer.stop()
            await writing
        end = time.time()
        await self._flush(everything=True)
        if self.owners is not None:
            await self.owners.last_look()
        writes = await self._read_back(kube, end) if kube is not None else None
        facts = End(
            run=self.name,
            end=end,
            names=self.names.facts(),
            budgets=self.budgets.facts() if self.budgets else Budgets(),
            etcd=self.etcd.book.facts(probed_until) if self.live.current.etcd or self.etcd.book.samples else None,
            peak_rss_mb=round(self.cpu.peak_rss_mb),
            writes=writes,
            owners=self.owners.book.facts() if self.owners else Owners(),
            probed_until=probed_until,
            evictions=self.pods.book.evictions() if self.pods else {},
        )
        self.recorder.event("run_end", end)
        await self._flush(everything=True)
        self.recorder.close()
        if kube is not None:
            await kube.close()
        if self._etcd_client is not None:
            await self._etcd_client.close()
        write_atomically(self.out / END, facts.model_dump_json())
        summary = summarize(self.out)
        write_atomically(self.out / SUMMARY, summary.model_dump_json(indent=1))
        self._threads.shutdown()
        return summary

    async def _read_back(self, kube: AsyncKubernetes, end: float) -> Writes | None:
        """What became of the writes; None where there was no writer."""
        config = self.live.current.writer
        if self.writer is None or config is None:
            return None
        _, numbers = writer.read_journal(self.out / writer.JOURNAL)
        result = await writer.read_back(kube, config.namespace, self.name, numbers)
        if not config.keep and result.complete:
            try:
                await writer.remove(kube, config.namespace, self.name)
            except REFUSALS as error:
                self.recorder.event("write_cleanup_failed", time.time(), detail=str(error))
        seconds = end - self.writer.started_at if self.writer.started_at is not None else 0.0
        return Writes(
            acknowledged=result.acknowledged,
            lost=len(result.lost),
            lost_keys=tuple(writer.key_name(self.name, n) for n in result.lost[:100]),
            read_back=result.complete,
            problem=result.problem,
            longest_gap_s=round(self.writer.longest_gap_s, 2),
            longest_gap_begin=self.writer.longest_gap_begin,
            max_gap_s=config.max_gap_s,
            retries=self.writer.errors,
            per_second=round(result.acknowledged / seconds, 1) if seconds > 0 else 0.0,
            min_per_second=config.min_rate,
        )

    def _writes(self) -> WritesNow | None:
        if self.writer is None:
            return None
        return WritesNow(acknowledged=self.writer.acknowledged, gap_s=round(self.writer.gap_s, 2))

    def _pods(self) -> dict[str, int] | None:
        return None if self.pods is None else self.pods.counts()

    def _status(self, now: float) -> Status:
        cells = {
            name: CellTotals(**vars(totals))
            for name, totals in self.recorder.totals.items()
            if not name.endswith(f"/{LIVEZ}")
        }
        book = self.etcd.book
        return Status(
            t=round(now, 1),
            window=label_at(marks.windows(marks.read(self.out)), now),
            places=tuple(self.prober.active),
            due=sum(cell.due for cell in cells.values()),
            failed=sum(cell.failed for cell in cells.values()),
            not_sent=sum(cell.due - cell.sent for cell in cells.values()),
            reopened=sum(cell.reopened for cell in cells.values()),
            cells=cells,
            last_failure=self.recorder.last_failure,
            worst_late_ms=round(self.recorder.worst_late_ms, 1),
            writes=self._writes(),
            budgets=BudgetsNow(
                watched=self.budgets.book.watched if self.budgets else 0,
                violations=len(self.budgets.book.violations) if self.budgets else 0,
            ),
            etcd=VotersNow(min_healthy_voters=book.min_healthy, voters=book.members_after),
            pods=self._pods(),
        )


def watched(config: ProofConfig, cluster: str | None, priority: tuple[str, ...]) -> Watched:
    """What the report says of the configuration, of the cluster that must answer, and of the prober's priority."""
    return Watched(
        ingress=config.ingress.url if config.ingress else None,
        api=config.api.url if config.api else None,
        rate_hz=config.probe.rate_hz,
        timeout_s=config.probe.timeout_s,
        api_timeout_s=config.probe.api_timeout_s,
        places=tuple(place.name for place in config.places),
        writer=config.writer,
        budgets=config.budgets,
        owners=config.owners,
        etcd=config.etcd is not None,
        sides=config.sides,
        cluster=cluster,
        answers=config.ingress.answers if config.ingress else None,
        priority=priority,
        max_late_s=config.probe.max_late_s,
        listeners=tuple(one.name for one in config.listeners),
        listener_rate_hz=config.probe.listener_rate_hz,
    )


def run(config_path: Path, out: Path) -> Summary:
    """Run until stopped; the summary. Raises ConfigError before anything is sent."""

    async def main() -> Summary:
        one = Run(config_path, out)
        one.priority = prefer_this_process()
        return await one.until_stopped()

    return asyncio.run(main())
