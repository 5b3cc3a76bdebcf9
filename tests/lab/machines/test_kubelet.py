from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.addresses import LabAddresses
from lab.machines.machine import Machine
from lab.machines.place import Place, find_tool
from lab.machines.processes import everything
from lab.settings import LabSettings
from lab.toolchain.pins import ETCD, KUBERNETES
from tests.lab.machines.test_machine import NoGate, Registered, files, until

CONFIGURATION = (
    "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nstaticPodPath: /etc/kubernetes/manifests\n"
)
KUBELET = "[Service]\nExecStart=/usr/local/bin/kubelet --config=/var/lib/kubelet/config.yaml\nRestart=always\n"
PROGRAM = '#!/bin/sh\necho "$0 $*" >> $LAB_DIR/started\nexec sleep 60\n'


def manifest(name: str = "kube-scheduler", *arguments: str, image: str | None = None, **spec: Any) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "kube-system"},
            "spec": {
                "hostNetwork": True,
                "containers": [
                    {
                        "name": name,
                        "image": image or f"registry.k8s.io/{name}:v{KUBERNETES}",
                        "command": [name, *arguments],
                    }
                ],
                **spec,
            },
        }
    )


def machine(
    tmp_path: Path, *more: tuple[str, str, str], configuration: str = CONFIGURATION, tool: Any = None
) -> Machine:
    fake = tmp_path / "tools"
    fake.mkdir(exist_ok=True)
    for name in ("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager"):
        (fake / name).write_text(PROGRAM)
        (fake / name).chmod(0o755)
    place = Place(
        directory=tmp_path,
        addresses=LabAddresses(index=9),
        settings=LabSettings(instance_boot_s=0),
        tool=tool or (lambda name: fake / name),
    )
    place.make_shims()
    document = {
        "write_files": files(
            ("/etc/systemd/system/kubelet.service", KUBELET, "0644"),
            ("/var/lib/kubelet/config.yaml", configuration, "0644"),
            *more,
        ),
        "runcmd": [["systemctl", "enable", "--now", "kubelet"]],
    }
    data = "#cloud-config\n" + yaml.safe_dump(document)
    instance = {
        "id": "i-1", "private_ip": "127.19.1.4", "zone": "eu-central-1a", "vpc": "vpc-1",
        "user_data": base64.b64encode(data.encode()).decode(), "volumes": [],
    }  # fmt: skip
    return Machine(instance, place, NoGate(), Registered())


SCHEDULER = ("/etc/kubernetes/manifests/kube-scheduler.yaml", manifest("kube-scheduler", "--v=1"), "0600")


def started(one: Machine) -> list[str]:
    path = one.place.directory / "started"
    tools = f"{one.place.directory / 'tools'}/"
    return [line.removeprefix(tools) for line in path.read_text().splitlines()] if path.exists() else []


async def ticked(one: Machine, true: Any) -> None:
    while not true():
        await one.tick()
        await asyncio.sleep(0.02)


def runs(one: Machine) -> list[str]:
    return sorted(everything(one.place.machines).get("i-1", {}))


def test_a_manifest_is_started_restarted_changed_and_ended_with_its_file(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path, SCHEDULER)
        await one.boot()
        assert one.pods is not None
        await ticked(one, lambda: started(one) == ["kube-scheduler --v=1 --bind-address=127.19.1.4"])
        identity = one.running()["pod-kube-scheduler-kube-scheduler"].identity
        assert identity is not None
        identity.send(9)  # type: ignore[arg-type]
        await ticked(one, lambda: len(started(one)) == 2)

        file = one.root / "etc/kubernetes/manifests/kube-scheduler.yaml"
        file.write_text(manifest("kube-scheduler", "--v=2"))
        await ticked(one, lambda: len(started(one)) == 3)
        assert started(one)[2].startswith("kube-scheduler --v=2")
        assert runs(one) == ["pod-kube-scheduler-kube-scheduler"]

        # As `mv manifests/x.yaml /root/`: the usual way to stop a static pod, and back to start it.
        file.rename(one.root / "root/kube-scheduler.yaml")
        await ticked(one, lambda: runs(one) == [] and not one.running())
        (one.root / "root/kube-scheduler.yaml").rename(file)
        await ticked(one, lambda: len(started(one)) == 4)
        await one.stop(2)
        assert everything(tmp_path / "machines") == {}

    asyncio.run(run())


def test_an_unknown_image_is_an_error_in_log_and_status_and_keeps_nothing_else_from_running(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        vip = manifest("kube-vip", image="ghcr.io/kube-vip/kube-vip:v1.0.0")
        one = machine(tmp_path, SCHEDULER, ("/etc/kubernetes/manifests/vip.yaml", vip, "0600"))
        await one.boot()
        await ticked(one, lambda: len(started(one)) == 1)
        assert one.pods is not None
        status = one.pods.status()
        assert "ghcr.io/kube-vip/kube-vip:v1.0.0" in status["vip.yaml"]["error"]
        assert status["kube-scheduler.yaml"]["error"] is None
        for _ in range(5):
            await one.tick()
        said = [record for record in caplog.records if "kube-vip" in record.getMessage()]
        assert len(said) == 1 and said[0].levelname == "ERROR"
        await one.stop(2)

    asyncio.run(run())


def test_a_pod_waits_for_a_folder_it_needs(tmp_path: Path) -> None:
    async def run() -> None:
        volume = {"name": "pki", "hostPath": {"path": "/etc/pki", "type": "Directory"}}
        text = manifest("kube-scheduler", volumes=[volume])
        one = machine(tmp_path, ("/etc/kubernetes/manifests/a.yaml", text, "0600"))
        await one.boot()
        assert one.pods is not None
        pods = one.pods
        await ticked(one, lambda: "isn't there" in str(pods.status().get("a.yaml", {}).get("error")))
        assert started(one) == []
        (one.root / "etc/pki").mkdir()
        await ticked(one, lambda: len(started(one)) == 1)
        assert pods.status()["a.yaml"]["error"] is None
        await one.stop(2)

    asyncio.run(run())


def test_a_copy_of_a_manifest_in_the_same_folder_does_not_run_and_does_not_end_the_first(tmp_path: Path) -> None:
    async def run() -> None:
        copy = ("/etc/kubernetes/manifests/old.bak", SCHEDULER[1], "0600")
        one = machine(tmp_path, SCHEDULER, copy)
        await one.boot()
        assert one.pods is not None
        pods = one.pods
        await ticked(one, lambda: "already" in str(pods.status().get("old.bak", {}).get("error")) and started(one))
        (one.root / "etc/kubernetes/manifests/old.bak").unlink()
        await ticked(one, lambda: "old.bak" not in pods.pods)
        assert runs(one) == ["pod-kube-scheduler-kube-scheduler"] and len(started(one)) == 1
        await one.stop(2)

    asyncio.run(run())


def test_a_stopped_kubelet_follows_nothing_and_ends_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path, SCHEDULER)
        await one.boot()
        await ticked(one, lambda: len(started(one)) == 1)
        assert (await one.call("systemctl", ["stop", "kubelet"])).code == 0
        (one.root / "etc/kubernetes/manifests/kube-scheduler.yaml").unlink()
        for _ in range(10):
            await one.tick()
            await asyncio.sleep(0.02)
        assert runs(one) == ["pod-kube-scheduler-kube-scheduler"]
        assert (await one.call("systemctl", ["start", "kubelet"])).code == 0
        await ticked(one, lambda: runs(one) == [])

    asyncio.run(run())


def test_a_later_supervisor_takes_over_pods_and_ends_those_whose_manifest_changed_or_went(tmp_path: Path) -> None:
    async def run() -> None:
        manager = manifest("kube-controller-manager")
        others = ("/etc/kubernetes/manifests/m.yaml", manager, "0600")
        server = ("/etc/kubernetes/manifests/s.yaml", manifest("kube-apiserver"), "0600")
        one = machine(tmp_path, SCHEDULER, others, server)
        await one.boot()
        await ticked(one, lambda: len(started(one)) == 3)
        before = {name: service.identity for name, service in one.running().items()}
        folder = one.root / "etc/kubernetes/manifests"
        (folder / "m.yaml").unlink()
        (folder / "s.yaml").write_text(manifest("kube-apiserver", "--v=3"))
        later = machine(tmp_path, SCHEDULER, others, server)
        await later.boot()
        await ticked(later, lambda: len(started(later)) == 4)
        after = later.running()
        assert after["pod-kube-scheduler-kube-scheduler"].identity == before["pod-kube-scheduler-kube-scheduler"]
        assert "--v=3" in started(later)[3]
        assert runs(later) == ["pod-kube-apiserver-kube-apiserver", "pod-kube-scheduler-kube-scheduler"]
        await later.stop(2)

    asyncio.run(run())


def test_a_worker_without_a_folder_of_manifests_has_no_static_pods(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path, configuration="kind: KubeletConfiguration\n")
        await one.boot()
        assert one.kubelet and one.pods is None
        assert (await one.call("crictl", ["ps"])).code == 1

    asyncio.run(run())


def test_the_usual_folder_counts_without_configuration_where_it_is_there(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path, SCHEDULER, configuration="kind: KubeletConfiguration\n")
        await one.boot()
        assert one.pods is not None
        await ticked(one, lambda: len(started(one)) == 1)
        await one.stop(2)

    asyncio.run(run())


def test_a_kubelet_without_its_configuration_does_not_start(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path)
        await one.boot()
        await one.call("systemctl", ["stop", "kubelet"])
        (one.root / "var/lib/kubelet/config.yaml").unlink()
        assert (await one.call("systemctl", ["start", "kubelet"])).code == 5
        assert not one.kubelet

    asyncio.run(run())


def test_crictl_lists_containers_and_one_that_it_stops_comes_back_as_another(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path, SCHEDULER)
        await one.boot()
        await ticked(one, lambda: len(started(one)) == 1)
        identifier = (await one.call("crictl", ["ps", "-q", "--name", "kube-sched"])).stdout.strip()
        listed = json.loads((await one.call("crictl", ["ps", "-o", "json"])).stdout)["containers"]
        assert [c["id"] for c in listed] == [identifier]
        assert listed[0]["labels"]["io.kubernetes.pod.name"].startswith("kube-scheduler-ip-127-19-1-4")
        assert (await one.call("crictl", ["ps", "-q", "--name=etcd"])).stdout == ""
        assert "Running" in (await one.call("crictl", ["ps"])).stdout
        assert (await one.call("crictl", ["stop", "none"])).code == 1
        assert (await one.call("crictl", ["stop", identifier])).code == 0
        await ticked(one, lambda: len(started(one)) == 2)
        assert (await one.call("crictl", ["ps", "-q"])).stdout.strip() not in ("", identifier)
        assert (await one.call("crictl", ["exec", identifier])).code == 1
        await one.stop(2)

    asyncio.run(run())


@pytest.mark.lab
def test_a_real_etcd_runs_from_its_manifest_on_its_machines_folder_and_hidden_port(tmp_path: Path) -> None:
    text = yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "etcd", "namespace": "kube-system"},
            "spec": {
                "hostNetwork": True,
                "containers": [
                    {
                        "name": "etcd",
                        "image": f"registry.k8s.io/etcd:{ETCD}-0",
                        "command": [
                            "etcd", "--name=$(NODE)", "--data-dir=/var/lib/etcd", "--unsafe-no-fsync",
                            "--listen-client-urls=http://127.0.0.1:2379,http://127.19.1.4:2379",
                            "--advertise-client-urls=http://127.19.1.4:2379",
                            "--listen-peer-urls=http://127.19.1.4:2380",
                            "--initial-advertise-peer-urls=http://127.19.1.4:2380",
                            "--initial-cluster=$(NODE)=http://127.19.1.4:2380",
                        ],
                        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/etcd"}],
                    }
                ],
                "volumes": [{"name": "data", "hostPath": {"path": "/var/lib/etcd", "type": "DirectoryOrCreate"}}],
            },
        }
    )  # fmt: skip

    def healthy() -> bool:
        try:
            with urllib.request.urlopen("http://127.19.1.4:12379/health", timeout=2) as answer:
                return json.load(answer)["health"] == "true"
        except OSError:
            return False

    async def run() -> None:
        one = machine(tmp_path, ("/etc/kubernetes/manifests/etcd.yaml", text, "0600"), tool=find_tool)
        await one.boot()
        await ticked(one, healthy)
        assert (one.root / "var/lib/etcd/member").is_dir()
        await one.stop(5)
        await until(lambda: not healthy())

    asyncio.run(run())
