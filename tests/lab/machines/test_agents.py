"""Which machines have an agent, and whom its commands reach."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lab.addresses import LabAddresses
from lab.machines import agent
from lab.machines.machine import Machine
from lab.machines.place import Place
from lab.machines.supervisor import Supervisor
from lab.settings import LabSettings


def attended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str, *, kubelet: bool) -> bool:
    """Whether this shape's supervisor gives a machine an agent that is only a Node's."""
    served: list[str] = []

    async def serve(machine: Machine, _: Any) -> None:
        served.append(machine.id)

    async def run() -> None:
        settings = LabSettings.model_validate({"shape": shape})
        supervisor = Supervisor(Place(directory=tmp_path, addresses=LabAddresses(index=9), settings=settings))
        nobody: Any = object()
        supervisor._session = nobody
        machine = Machine({"id": "i-1"}, supervisor.place, supervisor.gate, supervisor.nodes, kubelet=kubelet)
        machine.attended.set()

        async def boot() -> None: ...

        monkeypatch.setattr(machine, "boot", boot)
        await supervisor._live(machine)

    monkeypatch.setattr(agent, "serve", serve)
    asyncio.run(run())
    return served == ["i-1"]


@pytest.mark.parametrize(
    ("shape", "kubelet", "has"), [("pet", True, False), ("pet", False, True), ("awkward", True, True)]
)
def test_workers_have_an_agent_in_shape_awkward_and_members_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str, kubelet: bool, has: bool
) -> None:
    assert attended(tmp_path, monkeypatch, shape, kubelet=kubelet) is has


def test_only_where_workers_have_an_agent_python3_is_kept_to_the_labs_network(tmp_path: Path) -> None:
    for shape in ("pet", "awkward"):
        settings = LabSettings.model_validate({"shape": shape})
        place = Place(directory=tmp_path / shape, addresses=LabAddresses(index=9), settings=settings)
        place.make_shims()
        wrapper = (place.shims / "python3").read_text()
        assert ("PYTHONPATH" in wrapper) is (shape == "awkward")
