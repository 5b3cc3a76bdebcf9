from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from lab import toolchain
from lab.addresses import LabAddresses
from lab.machines.kubeadm import INSIDE, arguments_of, configuration
from lab.machines.machine import Machine
from lab.machines.manifests import Where, read_manifest
from lab.machines.place import Place
from lab.settings import LabSettings
from lab.toolchain.pins import ETCD, KUBERNETES
from tests.lab.machines.test_machine import NoGate, Registered

IP = "127.19.1.4"
INIT = f"""\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {{advertiseAddress: {IP}, bindPort: 6443}}
nodeRegistration: {{name: one, criSocket: "unix:///run/containerd/containerd.sock"}}
"""
CLUSTER = f"""\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v{KUBERNETES}
certificatesDir: /etc/kubernetes/pki
etcd: {{local: {{imageTag: {ETCD}-0, dataDir: /var/lib/etcd}}}}
"""


def machine(tmp_path: Path, tool: Path | None = None) -> Machine:
    place = Place(
        directory=tmp_path,
        addresses=LabAddresses(index=9),
        settings=LabSettings(instance_boot_s=0),
        **({"tool": lambda _: tool} if tool else {}),
    )
    place.make_shims()
    return Machine(
        {"id": "i-1", "private_ip": IP, "zone": "eu-central-1a", "volumes": []}, place, NoGate(), Registered()
    )


def test_the_machines_other_address_is_advertised_and_its_own_is_in_the_certificates() -> None:
    init, cluster = yaml.safe_load_all(configuration(f"{INIT}---\n{CLUSTER}", IP))
    assert init["localAPIEndpoint"]["advertiseAddress"] == "10.19.1.4"
    assert cluster["apiServer"]["certSANs"] == [IP]
    assert cluster["etcd"]["local"]["serverCertSANs"] == cluster["etcd"]["local"]["peerCertSANs"] == [IP]
    assert list(yaml.safe_load_all(configuration(yaml.safe_dump(cluster), IP))) == [cluster]


def test_what_the_cluster_keeps_names_no_machine() -> None:
    _, cluster = yaml.safe_load_all(configuration(f"{INIT}---\n{CLUSTER}", IP, uploaded=True))
    assert cluster == yaml.safe_load(CLUSTER)


def test_a_foreign_address_and_an_etcd_elsewhere_stay_as_they_are() -> None:
    external = "kind: ClusterConfiguration\netcd: {external: {endpoints: [https://a:2379]}}\n"
    assert yaml.safe_load(configuration(external, IP))["etcd"] == {"external": {"endpoints": ["https://a:2379"]}}
    assert yaml.safe_load(configuration(INIT, "127.19.9.9"))["localAPIEndpoint"]["advertiseAddress"] == IP
    with pytest.raises(ValueError, match="isn't YAML"):
        configuration("a: [", IP)


def test_kubeadm_is_given_paths_as_it_sees_them() -> None:
    root = Path("/lab/i-1/root")
    words = [
        "init",
        "--config",
        f"{root}/etc/k.yaml",
        f"--cert-dir={root}/etc/pki",
        f"--apiserver-advertise-address={IP}",
    ]
    given, path = arguments_of(words, root, IP)
    assert (given, path) == (["init", "--cert-dir=/etc/pki", "--apiserver-advertise-address=10.19.1.4"], "/etc/k.yaml")
    assert arguments_of(["--config=/etc/x"], root, IP) == ([], "/etc/x")


def test_what_kubeadm_says_and_how_it_ends_is_its_callers(tmp_path: Path) -> None:
    missing = asyncio.run(machine(tmp_path, tmp_path / "none").call("kubeadm", ["init", "--config=/etc/none.yaml"]))
    assert missing.code == 1 and "none.yaml" in missing.stderr


def test_a_host_that_allows_neither_root_nor_namespaces_is_a_sentence_with_a_remedy(tmp_path: Path) -> None:
    script = (
        "import ctypes, importlib.util, os, sys\n"
        f"spec = importlib.util.spec_from_file_location('inside', {str(INSIDE)!r})\n"
        "inside = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(inside)\n"
        "def refuse(*_): raise PermissionError(1, 'no')\n"
        "os.chroot = refuse\n"
        "class Library:\n    unshare = staticmethod(lambda _: -1)\n"
        "ctypes.CDLL = lambda *a, **k: Library()\n"
        f"inside.main({str(tmp_path)!r}, '/bin/true')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "user namespace" in done.stderr and "unprivileged_userns_clone" in done.stderr


needs_kubeadm = pytest.mark.skipif(
    toolchain.find("kubeadm") is None, reason="kubeadm isn't built: python3 -m lab tool kubeadm"
)


@pytest.mark.lab
@needs_kubeadm
def test_the_real_kubeadm_writes_what_the_machine_can_run(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path)
        await one.boot()
        file = one.root / "etc/kubernetes/kubeadm.yaml"
        file.parent.mkdir(parents=True)
        # As cloud-init would have written it: with the machine's paths moved.
        file.write_text(f"{INIT}---\n{CLUSTER}".replace("/etc/kub", f"{one.root}/etc/kub"))
        for phase in ("certs all", "kubeconfig all", "etcd local", "control-plane all", "kubelet-start"):
            answer = await one.call("kubeadm", ["init", "phase", *phase.split(), f"--config={file}"])
            assert answer.code == 0, answer
        assert "10.19.1.4" not in (one.root / "etc/kubernetes/controller-manager.conf").read_text()
        where = Where(root=one.root, scratch=tmp_path / "scratch", ip=IP, node="one")
        texts = {path.name: path.read_text() for path in (one.root / "etc/kubernetes/manifests").iterdir()}
        assert len(texts) == 4
        for text in texts.values():
            assert "10.19.1.4" not in text and str(tmp_path) not in text
            assert read_manifest(text, where).namespace == "kube-system"
        assert f"--listen-peer-urls=https://{IP}:2380" in texts["etcd.yaml"]
        for name in ("apiserver", "etcd/server", "etcd/peer"):
            pem = (one.root / f"etc/kubernetes/pki/{name}.crt").read_bytes()
            names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName)
            assert IP in [str(address) for address in names.value.get_values_for_type(x509.IPAddress)]
        assert "staticPodPath: /etc/kubernetes/manifests" in (one.root / "var/lib/kubelet/config.yaml").read_text()
        wrong = await one.call("kubeadm", ["init", "phase", "nonsense"])
        assert wrong.code != 0 and "nonsense" in wrong.stderr

    asyncio.run(run())


@pytest.mark.lab
@needs_kubeadm
@pytest.mark.skipif(os.getuid() != 0, reason="without root every other test goes this way")
def test_without_the_right_to_change_the_root_a_user_namespace_gives_it(tmp_path: Path) -> None:
    program = toolchain.tool_path("kubeadm")
    script = (
        "import importlib.util, os\n"
        f"spec = importlib.util.spec_from_file_location('inside', {str(INSIDE)!r})\n"
        "inside = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(inside)\n"
        "real, calls = os.chroot, []\n"
        "def first_refused(path):\n"
        "    calls.append(path)\n"
        "    if len(calls) == 1: raise PermissionError(1, 'no')\n"
        "    real(path)\n"
        "os.chroot = first_refused\n"
        f"inside.main({str(tmp_path)!r}, {str(program)!r}, 'version', '-o', 'short')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if "user namespace" in done.stderr:
        pytest.skip("this host allows no user namespaces")
    assert done.stdout == f"v{KUBERNETES}\n", done.stderr
