"""`python -m lab.network` as `lab up` runs it, over an AWS that is only a backplane."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from lab.settings import LabSettings
from tests.lab.network.world import ADDRESSES, OPERATOR, World, greeting, record, server

pytestmark = pytest.mark.lab

API = LabSettings().api_name
ONE, TWO = "127.17.1.4", "127.17.2.4"


class Aws:
    """Answers long polls with the world as it is, and keeps what is reported."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.health: dict[str, Any] = {}
        self.metrics: list[str] = []

    async def state(self, request: web.Request) -> web.Response:
        for _ in range(int(request.query["wait"]) * 20):
            if self.world.raw["revision"] > int(request.query["after"]):
                break
            await asyncio.sleep(0.05)
        return web.json_response(self.world.raw)

    async def target_health(self, request: web.Request) -> web.Response:
        for arn, targets in (await request.json()).items():
            self.health.setdefault(arn, {}).update(targets)
        return web.Response()

    async def cloudwatch(self, request: web.Request) -> web.Response:
        self.metrics.append((await request.read()).decode("latin-1"))
        return web.Response(status=200)

    def changed(self) -> None:
        self.world.raw["revision"] += 1

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application()
        app.add_routes(
            [
                web.get("/_backplane/state", self.state),
                web.post("/_backplane/target-health", self.target_health),
                web.post("/{rest:.*}", self.cloudwatch),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", ADDRESSES.aws_port).start()
        try:
            yield
        finally:
            await runner.cleanup()


async def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never happened: {what}")


@asynccontextmanager
async def process(folder: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    environ = {**os.environ, "LAB_INDEX": str(ADDRESSES.index), "LAB_DIR": str(folder)}
    with (folder / "network.log").open("wb") as log:
        started = subprocess.Popen([sys.executable, "-m", "lab.network"], env=environ, stdout=log, stderr=log)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


async def get(path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=ADDRESSES.network_url, timeout=5) as http:
        return await http.get(path)


async def is_ready() -> bool:
    try:
        return (await get("/ready")).status_code == 200
    except httpx.HTTPError:
        return False


async def until_ready(started: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(200):
        if await is_ready():
            return
        assert started.poll() is None, (folder / "network.log").read_text()
        await asyncio.sleep(0.05)
    raise AssertionError((folder / "network.log").read_text())


def world() -> tuple[World, str]:
    built = World()
    targets = [(built.instance(ip), 6443) for ip in (ONE, TWO)]
    group = built.target_group("api", "legacy", 6443, targets)
    built.balancer("api", "legacy", 6443, group)
    name = built.raw["load_balancers"][0]["dns_name"]
    built.zone("pet.lab.internal", [record(API, "CNAME", name)], ["vpc-legacy"])
    return built, group


def test_the_process_serves_reports_obeys_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text(json.dumps({"health_interval_s": 0.1, "metric_period_s": 0.3}))
    built, group = world()
    aws = Aws(built)

    async def scenario() -> None:
        async with aws.serving(), process(tmp_path) as started, server(ONE, 16443), server(TWO, 16443) as second:
            await until_ready(started, tmp_path)
            states = aws.health.setdefault(group, {})
            await until(lambda: [t["state"] for t in states.values()] == ["healthy"] * 2, "both reported healthy")
            assert (await greeting("127.0.0.1", ADDRESSES.api_port)).split()[0] in (ONE, TWO)
            await until(lambda: any("NewFlowCount" in body for body in aws.metrics), "metrics put")

            second.close()
            await until(lambda: states["i-127-17-2-4:6443"]["state"] == "unhealthy", "reported unhealthy")
            assert (await greeting("127.0.0.1", ADDRESSES.inside_api_port(ADDRESSES.legacy_cidr))).split()[0] == ONE

            async with httpx.AsyncClient(base_url=ADDRESSES.network_url) as http:
                reader, writer = await asyncio.open_connection(ONE, 6443, local_addr=(OPERATOR, 0))
                await reader.readline()
                assert len((await http.get("/flows")).json()["direct"]) == 1
                cut = {"a": OPERATOR, "b": ONE, "mode": "cut"}
                assert (await http.post("/pairs", json=cut)).json() == {"reset": 1}
                with pytest.raises(ConnectionResetError):
                    await reader.readline()
                assert (await http.post("/pairs", json={**cut, "mode": "bend"})).status_code == 400
                await http.post("/pairs", json={**cut, "mode": "heal"})
                assert (await greeting(ONE, 6443, source=OPERATOR)) == f"{ONE} {OPERATOR}"
                writer.close()

            listening = (await get("/listeners")).json()
            assert not listening["failed"]
            assert all(Path(path).exists() for path in listening["connect"])
            started.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(started.wait, 10) == 0
            assert not any(Path(path).exists() for path in listening["connect"])
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(ONE, 6443)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_the_network_goes_on_without_aws_and_follows_it_again(tmp_path: Path) -> None:
    built, _ = world()
    aws = Aws(built)

    async def scenario() -> None:
        async with process(tmp_path) as started, server(ONE, 16443):
            async with aws.serving():
                await until_ready(started, tmp_path)
                assert await greeting(ONE, 6443, source=OPERATOR) == f"{ONE} {OPERATOR}"
            assert await greeting(ONE, 6443, source=OPERATOR) == f"{ONE} {OPERATOR}"
            built.raw["revision"] = 0  # another one, counting from the start
            built.instance("127.17.3.4")
            async with aws.serving(), server("127.17.3.4", 16443):
                for _ in range(100):
                    try:
                        assert await greeting("127.17.3.4", 6443, source=OPERATOR) == f"127.17.3.4 {OPERATOR}"
                        break
                    except ConnectionRefusedError:
                        await asyncio.sleep(0.1)
                else:
                    raise AssertionError("the new instance was never seen")

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_moment_in_which_it_was_held_up_is_told_with_whose_doing_it_was(tmp_path: Path) -> None:
    built, _ = world()

    async def scenario() -> None:
        async with Aws(built).serving(), process(tmp_path) as started:
            await until_ready(started, tmp_path)
            before = len((await get("/stats")).json()["stalls"])
            started.send_signal(signal.SIGSTOP)
            await asyncio.sleep(1)
            started.send_signal(signal.SIGCONT)
            await until_ready(started, tmp_path)
            stats = (await get("/stats")).json()
            assert stats["worst_stall_s"] >= 0.8
            assert len(stats["stalls"]) > before
            assert "held up for" in stats["stalls"][before]
            assert "held up for" in (tmp_path / "network.log").read_text()

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('{"health_intervals": 1, "metric_period_s": "often"}', ["health_intervals", "metric_period_s='often'"]),
        ("[]", ["should be an object"]),
    ],
)
def test_settings_it_can_not_use_are_named_in_a_sentence(tmp_path: Path, settings: str, words: list[str]) -> None:
    (tmp_path / "lab.json").write_text(settings)
    environ = {**os.environ, "LAB_INDEX": str(ADDRESSES.index), "LAB_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "lab.network"], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words)
