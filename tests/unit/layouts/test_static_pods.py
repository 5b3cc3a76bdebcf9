"""The commands for static pods, run by a real shell: a folder, and a container runtime that knows what lies in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from migration.layouts import static_pods
from migration.layouts.contract import Commands
from migration.layouts.static_pods import STOPPED, static_pod_commands
from migration.settings.model import Units

PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
# What runs is what has a manifest, but for what somebody holds on to.
CRICTL = """#!/bin/sh
for word in "$@"; do case $word in --name=*) name=$(echo "$word" | tr -cd a-z-); name=${name#--name};; esac; done
echo "$name" >> ROOT/asked
if [ -e ROOT/pods/$name.yaml ] || [ -e ROOT/held-$name ]; then echo 0123; fi
"""


class Machine:
    """A machine whose kubelet follows `folder`."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.aside = root, root / "pods", root / f"pods{STOPPED}"
        self.folder.mkdir()
        for name in PODS:
            (self.folder / f"{name}.yaml").write_text(f"{name}'s")
        (root / "bin").mkdir()
        self.program("crictl", CRICTL.replace("ROOT", str(root)))
        self.program("systemctl", f'#!/bin/sh\necho "$@" >> {root}/systemctl\n')

    def program(self, name: str, text: str) -> None:
        (self.root / "bin" / name).write_text(text)
        (self.root / "bin" / name).chmod(0o755)

    @property
    def commands(self) -> Commands:
        return static_pod_commands(Units.model_validate({"staticPods": str(self.folder)}), "member-boot")

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(["sh", "-c", command], capture_output=True, text=True, env={"PATH": path}, timeout=60)

    def well(self, command: str) -> None:
        ran = self.run(command)
        assert ran.returncode == 0, ran.stderr

    def running(self) -> set[str]:
        return {file.stem for file in self.folder.iterdir()}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_servers_stop_and_start_and_etcd_stays(machine: Machine) -> None:
    for _ in range(2):
        machine.well(machine.commands.stop_servers)
        assert machine.running() == {"etcd"}
    for _ in range(2):
        machine.well(machine.commands.start_servers)
        assert machine.running() == set(PODS)
    assert [file.read_text() for file in sorted(machine.folder.iterdir())] == [f"{name}'s" for name in sorted(PODS)]
    assert (machine.root / "systemctl").read_text().split("\n")[0] == "start kubelet"


def test_clients_of_the_api_server_stop_before_it(machine: Machine) -> None:
    machine.well(machine.commands.stop_servers)
    asked = list(dict.fromkeys((machine.root / "asked").read_text().split()))
    assert asked == ["kube-scheduler", "kube-controller-manager", "kube-apiserver"]


@pytest.mark.parametrize("way", ["pause_etcd", "stop_etcd"])
def test_etcd_ends_and_comes_back(machine: Machine, way: str) -> None:
    for _ in range(2):
        machine.well(getattr(machine.commands, way))
        assert machine.running() == set(PODS) - {"etcd"}
    for _ in range(2):
        machine.well(machine.commands.start_etcd)
        assert machine.running() == set(PODS)


def test_a_pod_that_ends_slowly_is_waited_for(machine: Machine) -> None:
    (machine.root / "held-etcd").touch()
    after_three = "test $(wc -l < ROOT/asked) -lt 3 || rm -f ROOT/held-etcd\n"
    machine.program("crictl", (CRICTL + after_three).replace("ROOT", str(machine.root)))
    machine.well(machine.commands.stop_etcd)
    assert (machine.root / "asked").read_text().split() == ["etcd"] * 4


def test_a_pod_that_does_not_end_is_a_failure_with_what_to_look_at(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static_pods, "STOP_SECONDS", 1)
    (machine.root / "held-etcd").touch()
    ran = machine.run(machine.commands.stop_etcd)
    assert ran.returncode == 1
    assert "etcd still runs after 1 s" in ran.stderr and "systemctl status kubelet" in ran.stderr
    # The same command goes on where this one ended.
    (machine.root / "held-etcd").unlink()
    machine.well(machine.commands.stop_etcd)


def test_without_a_runtime_to_ask_the_processes_say_what_runs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static_pods, "STOP_SECONDS", 0)
    machine.program("crictl", "#!/bin/sh\nexit 1\n")
    machine.program("ps", '#!/bin/sh\necho "COMMAND"; echo "/usr/bin/etcd --name=a"; echo "etcdctl get"\n')
    assert "etcd still runs" in machine.run(machine.commands.stop_etcd).stderr
    machine.program("ps", '#!/bin/sh\necho "etcdctl get"; echo "vi /etc/etcd"; echo "kubelet --etcd x"\n')
    machine.well(machine.commands.stop_etcd)


def test_what_was_never_there_cannot_be_started(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_pods, "START_SECONDS", 1)
    (machine.folder / "kube-scheduler.yaml").unlink()
    ran = machine.run(machine.commands.enable_servers)
    assert ran.returncode == 1
    assert f"neither {machine.folder} nor {machine.aside} has kube-scheduler.yaml" in ran.stderr


def test_what_says_why_a_member_does_not_come_up(machine: Machine) -> None:
    assert machine.commands.logs == "journalctl -u member-boot -u kubelet; crictl ps -a"
