"""The adapter that docs/control-plane.md writes out works as it stands there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from migration.layouts import registry
from migration.layouts.contract import NewMachine
from migration.layouts.registry import LAYOUTS, layout_of, recognise
from migration.runtime.deadline import Permanent
from migration.settings.model import Pki, Units
from tests.unit.layouts.clusters import IDENTITY, encoded, evidence, group, plain

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "control-plane.md"
MOST_LINES = 150
OLD = "ROLE=control-plane\nETCD_NAME=master-a\nETCD_TICKET=\nPKI_LOCATION=ssm:/pet/pki\nTEAM=platform\n"


def example() -> str:
    [text] = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return text


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = ModuleType("example")
    exec(compile(example(), str(DOCUMENT), "exec"), module.__dict__)
    monkeypatch.setattr(registry, "LAYOUTS", {**LAYOUTS, "named-values": module.NamedValues()})
    name: Any = "named-values"
    return layout_of(name)


def test_it_is_short() -> None:
    assert len(example().splitlines()) <= MOST_LINES


def test_it_is_recognised_among_the_others(adapter: Any) -> None:
    seen = recognise(evidence(group("m", OLD), group("w", "ROLE=node\n")))
    assert (seen.layout, seen.members, seen.against) == ("named-values", ("m",), ())
    [reason] = recognise(evidence(group("m", OLD.replace("ETCD_TICKET", "TICKET")))).against
    assert reason.startswith("m's user data has no value ETCD_TICKET")


def test_only_named_values_change(adapter: Any) -> None:
    machine = NewMachine(original=encoded(OLD), identity=IDENTITY, pki=Pki(source="s3", bucket="keys"))
    assert plain(adapter.user_data(machine)) == (
        "ROLE=control-plane\nETCD_NAME=master-a-main\nETCD_TICKET=/pet/t\nPKI_LOCATION=s3://keys/pet/pki\nTEAM=platform\n"
    )
    with pytest.raises(Permanent, match="no value ETCD_NAME, ETCD_TICKET, PKI_LOCATION"):
        adapter.user_data(NewMachine(original=None, identity=IDENTITY))


def test_its_commands_may_run_twice(adapter: Any, tmp_path: Path) -> None:
    manifests = tmp_path / "etc/kubernetes/manifests"
    manifests.mkdir(parents=True)
    every = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    for name in every:
        (manifests / f"{name}.yaml").write_text(name)
    commands = adapter.commands(Units())

    def run(command: str) -> list[str]:
        # No process of the machine that runs this test is waited for.
        here = command.replace("/etc/kubernetes", str(tmp_path / "etc/kubernetes")).replace("pgrep -x", "false")
        for _ in range(2):
            subprocess.run(["sh", "-c", here], check=True, timeout=20)
        return sorted(one.stem for one in manifests.iterdir())

    assert run(commands.stop_servers) == ["etcd"]
    assert run(commands.start_servers) == sorted(every)
    assert run(commands.stop_etcd) == sorted(every[1:])
