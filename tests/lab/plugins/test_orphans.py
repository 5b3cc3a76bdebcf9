"""The real engine, killed while an operation waits: its host ends by itself, and lets nobody pass for the engine."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from lab.addresses import REGION
from lab.environment import REPOSITORY
from tests.lab.plugins.driving import Engine, engine_in
from tests.lab.plugins.waiting import PROGRAM, Running, gone, running, targets, until, world_of

pytestmark = [pytest.mark.lab, pytest.mark.timeout(200)]

# A leased operation that waits until it is stopped, as a module of its own, since providers are found by name.
WAITS = """
import os, sys, time
from pathlib import Path
from typing import ClassVar
from migration.contracts.base import Inputs, Result, Wanted
from providers.operation import OperationProvider, OperationResource

class WaitsInputs(Inputs):
    shown: ClassVar[str] = "thing"
    wanted: Wanted[str]
    def say(self): return self.wanted

class WaitsResult(Result):
    pass

def run(inputs, previous, context):
    told = Path(os.environ["TOLD"])
    told.write_text("waits")
    try:
        while True:
            context.alive()
            time.sleep(0.2)
    except BaseException as error:
        told.write_text(f"{type(error).__name__}: {error}")
        raise

sys.modules["migration.operations.waits"] = sys.modules[__name__]

class WaitsProvider(OperationProvider):
    inputs_type, result_type = WaitsInputs, WaitsResult
    operation, leased = "waits", True

class Waits(OperationResource, module="migration", name="Waits"):
    provider_class = WaitsProvider
"""
WAITING = """
import os
from migration.contracts.base import Connection
from waits import Waits, WaitsInputs

Waits("waits", WaitsInputs(
    cluster="pet",
    connection=Connection(region="eu-central-1", kubeconfig=os.environ["KUBECONFIG"]),
    timeout_seconds=90,
    wanted="to be stopped",
))
"""


def ends_within_10_s(first: Running) -> None:
    launcher, host = first.host()
    where, _, port = host.cmdline()[-1].rpartition(":")
    time.sleep(3)
    assert not gone(host), "its engine lives"
    first.kill()
    with socket.create_server((where, int(port))):
        took = until(lambda: gone(host) and gone(launcher), 10, f"{host} and {launcher} gone")
    print(f"the host ended {took:.1f} s after its engine")


@pytest.fixture
def world(aws_url: str, tmp_path: Path) -> Iterator[tuple[str, dict[str, str], str]]:
    with world_of(aws_url, tmp_path) as found:
        yield found


def test_the_host_of_a_killed_engine_ends_though_another_listens_at_its_port(
    tmp_path: Path, aws_url: str, world: tuple[str, dict[str, str], str]
) -> None:
    _, asked, arn = world
    session: Any = boto3.Session("lab", "lab", region_name=REGION)
    elb = session.client("elbv2", endpoint_url=aws_url)
    with running(engine_in(tmp_path, PROGRAM, asked)) as first:
        until(lambda: targets(elb, arn), 60, "it waits for its target")
        ends_within_10_s(first)


def test_an_operation_of_a_killed_engine_stops_acting_and_gives_its_lease_back(
    tmp_path: Path, world: tuple[str, dict[str, str], str]
) -> None:
    url, asked, _ = world
    told, modules = tmp_path / "told", tmp_path / "modules"
    modules.mkdir()
    (modules / "waits.py").write_text(WAITS)
    path = f"{REPOSITORY}:{modules}"
    engine: Engine = engine_in(tmp_path, WAITING, {**asked, "TOLD": str(told), "PYTHONPATH": path})

    def holder() -> str:
        lease = httpx.get(f"{url}/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/vpc-migration").json()
        return lease["spec"]["holderIdentity"]

    with running(engine) as first:
        until(told.exists, 60, "it runs")
        assert holder().startswith("waits")
        ends_within_10_s(first)
    assert told.read_text().startswith("Orphaned: ")
    assert f"the engine (process {first.process.pid}, at 127.0.0.1:" in told.read_text()
    assert holder() == ""
