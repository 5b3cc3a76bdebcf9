"""The samplers that read from outside: etcd's gateway over TLS, and the CPU of groups of processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from migration.clients.etcd import Member
from migration.runtime.deadline import Retryable
from proof.config import EtcdConfig, ProcessGroup
from proof.cpu import CpuSampler
from proof.etcd import EtcdSampler, connect
from proof.model import GroupUse
from tests.proof.servers import certificates
from tests.proof.test_probes import until


async def gateway(folder: Path, term: list[int]) -> tuple[web.AppRunner, EtcdConfig]:
    """etcd's JSON gateway for one voter and one learner, answering as etcd 3.6 does (numbers as text)."""
    ca, tls = certificates(folder, "localhost")
    url = ""

    async def members(_: web.Request) -> web.Response:
        voter = {"ID": "7", "name": "a", "clientURLs": [url]}
        return web.json_response(
            {"members": [voter, {"ID": "8", "isLearner": True, "peerURLs": ["https://127.0.0.8:2380"]}]}
        )

    async def status(_: web.Request) -> web.Response:
        return web.json_response({"header": {"member_id": "7"}, "leader": "7", "raftTerm": str(term[0])})

    app = web.Application()
    app.router.add_post("/v3/cluster/member/list", members)
    app.router.add_post("/v3/maintenance/status", status)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    url = f"https://localhost:{runner.addresses[0][1]}"
    pem = str(folder / "server.pem")
    return runner, EtcdConfig(
        endpoints=[url], ca=str(ca), cert=pem, key=pem, source_address="127.0.0.1", rate_hz=20, timeout_s=5
    )


def test_the_gateway_is_read_and_a_server_that_is_gone_is_unreachable(tmp_path: Path) -> None:
    async def main() -> None:
        events: list[tuple[str, dict[str, Any]]] = []
        term = [2]
        runner, config = await gateway(tmp_path, term)
        client = connect(config)
        assert (await client.members(config.endpoints[0]))[1] == Member(
            id="8", name="", peer_urls=("https://127.0.0.8:2380",), client_urls=(), learner=True
        )
        sampler = EtcdSampler(lambda kind, at, **data: events.append((kind, data)))
        sampler.use(client, config.endpoints, config.rate_hz)
        task = asyncio.create_task(sampler.run())
        await until(lambda: sampler.book.samples >= 2)
        term[0] = 3
        await until(lambda: sampler.book.leader_changes == 1)
        assert (sampler.book.min_healthy, sampler.book.members_after, sampler.book.learners_after) == (
            1,
            ("a",),
            ("8",),
        )
        await runner.cleanup()
        with pytest.raises(Retryable):
            await client.status(config.endpoints[0])
        await until(lambda: sampler.book.blind_samples >= 1)
        assert sampler.book.min_healthy == 1
        voter = {"name": "a", "address": "localhost", "learner": False, "healthy": True}
        learner = {"name": "8", "address": "127.0.0.8", "learner": True, "healthy": True}
        # Told once for each change: the same members after a new term are no change.
        assert events == [
            ("etcd_changed", {"members": [learner, voter], "leader": "a"}),
            ("etcd_changed", {"members": None, "leader": None}),
        ]
        task.cancel()
        await client.close()

    asyncio.run(main())


def test_cpu_is_counted_for_the_process_of_a_pid_file_with_its_children(tmp_path: Path) -> None:
    busy = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    parent = subprocess.Popen([sys.executable, "-c", busy], start_new_session=True)
    try:
        (tmp_path / "busy.pid").write_text(f"{parent.pid} 4711\n")  # as the lab writes it: pid and start time
        (tmp_path / "none.pid").write_text("not a number")
        groups = {
            "busy": ProcessGroup(pidfiles=[str(tmp_path / "*.pid")]),
            "nobody": ProcessGroup(match=["no such command line"]),
        }
        sampler = CpuSampler(groups)
        seen = sampler.sample()
        while not seen.groups["busy"].cpu:
            sampler._scanned = 0.0  # look for members again: the child takes a moment to be there
            seen = sampler.sample()
        assert seen.groups["busy"].rss_mb > 0
        assert seen.groups["nobody"] == GroupUse()
        assert sampler.peak_rss_mb > 0
    finally:
        os.killpg(parent.pid, 9)
        parent.wait()
