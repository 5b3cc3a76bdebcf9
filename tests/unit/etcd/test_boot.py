"""A new member's boot: when its etcd may start, and with which data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.etcd.boot_script import Waits, boot_script


class Ssm:
    """Parameters, and what happened."""

    class exceptions:
        class ParameterNotFound(Exception):
            pass

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get_parameter(self, Name: str, WithDecryption: bool) -> dict[str, Any]:
        if Name not in self.values:
            raise self.exceptions.ParameterNotFound
        return {"Parameter": {"Value": self.values[Name]}}

    def ticket(self, member_id: str, initial: str = "a=https://a:2380") -> None:
        self.values["/pet/t"] = json.dumps({"initial_cluster": initial, "state": "existing", "member_id": member_id})


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Ssm, Path, list[str]]:
    """The script as it lies on a machine whose root is `tmp_path`."""
    module = boot_script(tmp_path)
    commands: list[str] = []
    monkeypatch.setattr(module.subprocess, "run", lambda words, **_: commands.append(" ".join(words)))
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    return module, Ssm(), tmp_path, commands


def environment(root: Path) -> dict[str, str]:
    lines = (root / "etc/kubernetes/member.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def started(root: Path) -> None:
    """What etcd leaves in its directory once it has started."""
    (root / "var/lib/etcd/data/member").mkdir()


def test_a_new_member_starts_with_exactly_its_ticket(machine: Any) -> None:
    module, ssm, root, commands = machine
    ssm.ticket("7", "a=https://a:2380,d=https://d:2380")
    assert module.join(ssm, "10.0.0.4") == "7"
    found = environment(root)
    assert found["ETCD_INITIAL_CLUSTER"] == "a=https://a:2380,d=https://d:2380"
    assert found["ETCD_INITIAL_CLUSTER_STATE"] == "existing"
    assert found["MEMBER_NAME"] == "d"
    assert commands == ["systemctl daemon-reload", "systemctl start etcd"]


def test_its_ports_are_those_of_its_identity_and_of_nothing_else(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module, ssm, root, _ = machine
    asked: list[str] = []

    class Trust:
        def load_cert_chain(self, *_: str) -> None: ...

    def urlopen(request: Any, **_: Any) -> Any:
        asked.append(request.full_url)
        raise OSError

    monkeypatch.setattr(module.ssl, "create_default_context", lambda **_: Trust())
    monkeypatch.setattr(module.urllib.request, "urlopen", urlopen)
    ssm.ticket("7")
    module.join(ssm, "10.0.0.4")
    started(root)
    ssm.values.clear()
    module.join(ssm, "10.0.0.4")  # its data knows the cluster, so the environment is its own
    assert environment(root)["ETCD_INITIAL_CLUSTER"] == "d=https://10.0.0.4:7001"
    assert environment(root)["API_ETCD_SERVERS"] == "https://127.0.0.1:4001"
    assert "https://10.0.0.4:8443" in module.kubeconfig("10.0.0.4", b"ca", b"certificate", b"key")
    assert not module.votes("10.0.0.4")
    assert asked == ["https://10.0.0.4:4001/v3/maintenance/status"]


def test_without_a_ticket_it_waits(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module, ssm, _, commands = machine
    waits = iter(range(3))

    def sleep(_: float) -> None:
        assert commands == []
        if next(waits) == 2:
            ssm.ticket("7")

    monkeypatch.setattr(module.time, "sleep", sleep)
    assert module.join(ssm, "10.0.0.4") == "7"


def test_after_a_restart_it_needs_no_ticket(machine: Any) -> None:
    module, ssm, root, commands = machine
    ssm.ticket("7")
    module.join(ssm, "10.0.0.4")
    started(root)
    ssm.values.clear()
    assert module.join(ssm, "10.0.0.4") == "7"
    assert (root / "var/lib/etcd/data/member").exists()
    assert commands[-1] == "systemctl start etcd"


def test_the_data_of_another_membership_goes_aside_and_is_not_deleted(machine: Any) -> None:
    module, ssm, root, _ = machine
    ssm.ticket("7")
    module.join(ssm, "10.0.0.4")
    started(root)
    ssm.ticket("8", "a=https://a:2380,d=https://new:2380")
    assert module.join(ssm, "10.0.0.5") == "8"
    assert (root / "var/lib/etcd/data.7/member").exists()
    assert not (root / "var/lib/etcd/data/member").exists()
    assert environment(root)["ETCD_INITIAL_CLUSTER"] == "a=https://a:2380,d=https://new:2380"


def test_a_ticket_written_again_for_the_same_membership_touches_no_data(machine: Any) -> None:
    module, ssm, root, _ = machine
    ssm.ticket("7")
    module.join(ssm, "10.0.0.4")
    started(root)
    ssm.ticket("7", "another=order")
    module.join(ssm, "10.0.0.4")
    assert (root / "var/lib/etcd/data/member").exists()


def test_a_restart_after_the_ticket_ended_needs_none_and_an_empty_volume_waits_for_a_new_one(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, ssm, root, commands = machine
    ssm.ticket("7")
    module.join(ssm, "10.0.0.4")
    started(root)
    ssm.values.clear()
    module.join(ssm, "10.0.0.4")
    (root / "var/lib/etcd/data/member").rmdir()
    commands.clear()

    def sleep(_: float) -> None:
        raise Waits

    monkeypatch.setattr(module.time, "sleep", sleep)
    with pytest.raises(Waits):
        module.join(ssm, "10.0.0.4")
    assert commands == []


def test_taken_out_and_added_anew_while_it_waits_it_begins_again(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module, ssm, root, commands = machine
    ssm.ticket("7")
    answers = iter([False, False, True])

    def votes(_: str) -> bool:
        if not (root / "var/lib/etcd/data/member").exists():
            started(root)
        answer = next(answers)
        if not answer:
            ssm.ticket("8")
        return answer

    monkeypatch.setattr(module, "votes", votes)
    module.vote(ssm, "10.0.0.4")
    assert commands.count("systemctl stop etcd") == 1
    assert (root / "var/lib/etcd/data.7/member").exists()
