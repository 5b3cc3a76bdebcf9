from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.machines.manifests import IMAGES, ManifestError, Where, kubelet_options, program_of, read_manifest
from lab.machines.units import command
from lab.toolchain.pins import ETCD, KUBERNETES

ROOT = Path("/lab/i-1/root")
WHERE = Where(root=ROOT, scratch=Path("/lab/i-1/containers"), ip="127.10.0.4", node="ip-1")


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    etcd = {
        "name": "etcd",
        "image": f"registry.k8s.io/etcd:{ETCD}-0",
        "command": ["etcd", "--data-dir=/var/lib/etcd", "--cert-file=/etc/kubernetes/pki/etcd/server.crt"],
        "volumeMounts": [
            {"name": "data", "mountPath": "/var/lib/etcd"},
            {"name": "certs", "mountPath": "/etc/kubernetes/pki/etcd"},
        ],
        **(container or {}),
    }
    volumes = [
        {"name": "data", "hostPath": {"path": "/srv/etcd", "type": "DirectoryOrCreate"}},
        {"name": "certs", "hostPath": {"path": "/etc/kubernetes/pki/etcd", "type": "Directory"}},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "etcd", "namespace": "kube-system", "labels": {"tier": "control-plane"}},
        "spec": {"hostNetwork": True, "containers": [etcd], "volumes": volumes, **spec},
    }


def words(document: dict[str, Any]) -> list[str]:
    unit = read_manifest(yaml.safe_dump(document), WHERE).containers[0]
    return command(unit.start[0], unit.environment)


def test_mounted_paths_become_the_machines_and_others_the_containers_own() -> None:
    document = pod({"args": ["--other=/etc/elsewhere", "--url=https://127.0.0.1:2379"]})
    assert words(document) == [
        "etcd",
        f"--data-dir={ROOT}/srv/etcd",
        f"--cert-file={ROOT}/etc/kubernetes/pki/etcd/server.crt",
        "--other=/lab/i-1/containers/pod-etcd-etcd/etc/elsewhere",
        "--url=https://127.0.0.1:2379",
    ]


def test_a_file_that_a_script_of_the_machine_wrote_means_the_same() -> None:
    text = yaml.safe_dump(pod())
    moved = text.replace("/var/lib/etcd", f"{ROOT}/var/lib/etcd").replace("/etc/kub", f"{ROOT}/etc/kub")
    assert moved != text
    assert read_manifest(moved, WHERE) == read_manifest(text, WHERE)


def test_folders_are_made_or_waited_for_as_the_host_path_says() -> None:
    read = read_manifest(yaml.safe_dump(pod()), WHERE)
    assert read.folders == (ROOT / "srv/etcd",)
    assert read.needed == (ROOT / "etc/kubernetes/pki/etcd",)
    assert (read.name, read.namespace, read.labels) == ("etcd", "kube-system", {"tier": "control-plane"})


def test_an_empty_volume_is_shared_by_the_pods_containers() -> None:
    both = [
        {
            "name": name,
            "image": f"registry.k8s.io/{program}:v{KUBERNETES}",
            "args": ["--dir=/run/x"],
            "volumeMounts": [{"name": "x", "mountPath": "/run/x"}],
        }
        for name, program in (("a", "kube-apiserver"), ("b", "kube-scheduler"))
    ]
    document = pod(containers=both, volumes=[{"name": "x", "emptyDir": {}}])
    read = read_manifest(yaml.safe_dump(document), WHERE)
    shared = WHERE.scratch / "pod-etcd" / "x"
    assert [unit.start[0].split() for unit in read.containers] == [
        ["kube-apiserver", f"--dir={shared}"],
        ["kube-scheduler", f"--dir={shared}"],
    ]
    assert read.folders == (shared,)


def test_environment_is_given_and_expanded_as_a_kubelet_does() -> None:
    container = {
        "command": ["etcd", "--name=$(NAME)", "--ip=$(IP)", "--unknown=$(NONE)", "--price=$$(NAME) $5"],
        "env": [
            {"name": "NAME", "value": "m"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "BOTH", "value": "$(NAME)-x"},
        ],
    }
    unit = read_manifest(yaml.safe_dump(pod(container)), WHERE).containers[0]
    assert unit.environment == {"NAME": "m", "IP": "127.10.0.4", "BOTH": "m-x"}
    assert command(unit.start[0], {}) == [
        "etcd",
        "--name=m",
        "--ip=127.10.0.4",
        "--unknown=$(NONE)",
        "--price=$(NAME) $5",
    ]


def test_a_container_is_restarted_and_ended_as_its_pod_says() -> None:
    unit = read_manifest(yaml.safe_dump(pod()), WHERE).containers[0]
    assert (unit.name, unit.restart, unit.stop_s) == ("pod-etcd-etcd", "always", 30)
    once = pod(restartPolicy="Never", terminationGracePeriodSeconds=5)
    unit = read_manifest(yaml.safe_dump(once), WHERE).containers[0]
    assert (unit.restart, unit.stop_s) == ("no", 5)


def test_every_image_of_the_table_is_run_at_the_labs_version_only() -> None:
    assert program_of(f"registry.k8s.io/etcd:{ETCD}-0") == "etcd"
    for image, program in IMAGES.items():
        version = ETCD if program == "etcd" else KUBERNETES
        assert program_of(f"{image}:v{version}") == program
        with pytest.raises(ManifestError, match=rf"{program} is {version}"):
            program_of(f"{image}:v9.9.9")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("registry.k8s.io/etcd", "has no tag"),
        ("localhost:5000/etcd", "has no tag"),
        ("registry.k8s.io/etcd:latest", f"etcd is {ETCD}"),
        ("ghcr.io/kube-vip/kube-vip:v1.0.0", f"unknown.*registry.k8s.io/kube-scheduler:v{KUBERNETES}"),
        ("docker.io/etcd:3.6.16", "unknown"),
    ],
)
def test_an_image_the_lab_does_not_have_is_refused_with_those_it_has(image: str, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        program_of(image)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "isn't a v1 Pod"),
        ({"apiVersion": "v1", "kind": "Pod"}, r"metadata.name ''.*hostNetwork.*containers is empty"),
        (pod(hostNetwork=False), "hostNetwork"),
        (pod(initContainers=[{"name": "x"}]), "initContainers"),
        (pod({"command": ["/bin/sh", "-c", "exec etcd"]}), "command '/bin/sh'.*only etcd"),
        (pod({"volumeMounts": [{"name": "none", "mountPath": "/x"}]}), "'none': there is no such volume"),
        (pod(volumes=[{"name": "data", "configMap": {"name": "x"}}]), "'data'.*hostPath and emptyDir"),
        (pod(volumes=[{"name": "data", "hostPath": {"path": "/x", "type": "Socket"}}]), "type 'Socket'"),
        (pod({"envFrom": [{"secretRef": {"name": "x"}}]}), "envFrom"),
        (pod({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {}}}]}), "env A.*fieldRef"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(document: dict[str, Any], words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        read_manifest(yaml.safe_dump(document), WHERE)


@pytest.mark.parametrize("text", ["", "a: [", "- a\n"])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        read_manifest(text, WHERE)


def test_a_kubelets_flag_comes_before_its_file_and_neither_means_no_static_pods() -> None:
    assert kubelet_options({}, None).manifests is None
    assert kubelet_options({}, "staticPodPath: /a\n").manifests == "/a"
    assert kubelet_options({"pod-manifest-path": "/b"}, "staticPodPath: /a\n").manifests == "/b"
    assert kubelet_options({}, "").register
    assert not kubelet_options({}, "registerNode: false\n").register
    assert not kubelet_options({"register-node": "false"}, None).register
    with pytest.raises(ManifestError, match="must be a mapping"):
        kubelet_options({}, "- a\n")
