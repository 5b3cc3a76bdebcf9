#!/usr/bin/env python3
"""Brings a member of a kubeadm cluster to life by the phases of this machine's own kubeadm; may run again any time.

Beside `member.py`: volume, ticket and vote are as everywhere. etcd's manifest comes with the join ticket, the servers'
only once this member votes. A kubelet starts whatever lies in its folder, before a volume is mounted, too: so it is
started here and not by systemd. What was made once is left alone: `kubeadm upgrade` may have changed it since.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
from typing import Any
from urllib.request import urlopen

import boto3
import member  # lies beside this file, on the machine as here
from member import DATA, ETC, HELD, IDENTITY, PATHS, PKI, PORTS, log, parameter, put, wait_for

BROUGHT = ETC / "kubeadm-member.yaml"  # what the user data says, JSON documents
FILLED = ETC / "kubeadm-member-filled.yaml"  # the same with what only this machine knows
WRITTEN = ETC / "manifests"  # kubeadm writes them there and nowhere else
MANIFESTS = pathlib.Path(PATHS.get("manifests", str(WRITTEN)))  # where this kubelet reads them
STOPPED = MANIFESTS.with_name(MANIFESTS.name + ".stopped")  # by a command: until one starts them again
WAITING = MANIFESTS.with_name(MANIFESTS.name + ".waiting")  # for this member's vote
DONE = ETC / "member-done"  # what was made on this machine
JOINING = pathlib.Path("/run/kubeadm-member-join.yaml")  # holds a token while kubeadm reads it
SERVERS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
KEYS = {
    **{f"{name.replace('/', '-')}.{kind}": f"{name}.{kind}"
       for name in ("ca", "etcd/ca", "front-proxy-ca") for kind in ("crt", "key")},
    "sa.key": "sa.key",
    "sa.pub": "sa.pub",
}  # fmt: skip
# As `kubeadm join` makes them; super-admin.conf stays with whoever made the cluster.
PHASES = ("certs all", *(f"kubeconfig {name}" for name in ("admin", "kubelet", "controller-manager", "scheduler")))
ENDS = "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/"
USUAL_PORTS = (2379, 2380)  # kubeadm's constants
Document = dict[str, Any]


def kubeadm(*words: str) -> tuple[int, str]:
    """How it ended, and what it said."""
    ran = subprocess.run(["kubeadm", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return ran.returncode, ran.stdout or ""


def phase(name: str) -> None:
    code, said = kubeadm("init", "phase", *name.split(), f"--config={FILLED}")
    log(said.strip())
    if code:
        sys.exit(f"kubeadm init phase {name} ended with {code}; this is tried again")


def keys(ssm: Any, node: str, address: str) -> None:
    """The cluster's CAs and service account keys into kubeadm's folder, where each control plane of it has them."""
    source = HELD.get("source", "ssm")
    if source == "kubeadm":
        wait_for("kubeadm's upload of the cluster's keys", lambda: downloaded(ssm, node, address), pause=10)
    elif source == "image":
        # Keys of CAs may be kept elsewhere: then all certificates come along, and kubeadm takes them as they are.
        for name in ("ca.crt", "etcd/ca.crt", "front-proxy-ca.crt", "sa.key", "sa.pub"):
            wait_for(f"{PKI / name}, which the image brings", (PKI / name).exists)
    else:
        for name, place in KEYS.items():
            put(PKI / place, member.held(ssm, name), 0o600 if place.endswith(".key") else 0o644)


def downloaded(ssm: Any, node: str, address: str) -> bool:
    """kubeadm's own download of its Secret. What opens it is in parameters, and here only while kubeadm reads it."""
    names = ("certificate-key", "token", "ca-cert-hash")
    values = {name: parameter(ssm, f"{HELD['prefix']}/{name}") for name in names}
    missing = [f"{HELD['prefix']}/{name}" for name, value in values.items() if not value]
    if missing:
        log(f"{', '.join(missing)} isn't there: kubeadm's upload can't be opened without")
        return False
    endpoint = {"advertiseAddress": address, "bindPort": PORTS["api"]}
    discovery = {
        "token": values["token"],
        "apiServerEndpoint": api(),
        "caCertHashes": [values["ca-cert-hash"]],
    }
    put(JOINING, json.dumps({
        "apiVersion": f"kubeadm.k8s.io/{version()}",
        "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": discovery},
        "nodeRegistration": {"name": node},
        "controlPlane": {"localAPIEndpoint": endpoint, "certificateKey": values["certificate-key"]},
    }))  # fmt: skip
    try:
        code, said = kubeadm("join", "phase", "control-plane-prepare", "download-certs", f"--config={JOINING}")
    finally:
        JOINING.unlink()
    if code == 0:
        return True
    log(said.strip()[-800:])
    log(
        f"kubeadm's upload can't be read. It and its token live for two hours: on a control plane of the cluster, "
        f"`kubeadm init phase upload-certs --upload-certs` and `kubeadm token create` make new ones ({ENDS}); put them "
        f"into {HELD['prefix']}/certificate-key and /token, and this goes on"
    )
    return False


def version() -> str:
    """Of kubeadm's configuration: the newest that this kubeadm reads, v1beta4 from 1.31 on."""
    said = kubeadm("version", "-o", "short")[1].strip()
    minor = int(said.lstrip("v").split(".")[1])
    return "v1beta4" if minor >= 31 else "v1beta3"


def api() -> str:
    """Host and port that nodes ask: as the user data has them, or else the API's name and the servers' own port."""
    found: list[Document] = [json.loads(part) for part in BROUGHT.read_text().split("\n---\n")]
    said = next((one.get("controlPlaneEndpoint") for one in found if one["kind"] == "ClusterConfiguration"), None)
    host, _, port = (said or IDENTITY["api_names"][0]).partition(":")
    return f"{host}:{port or PORTS['api']}"


def documents() -> list[Document]:
    """kubeadm's configuration and the kubelet's: the user data's, or else what the cluster itself keeps of them."""
    known = DONE / "documents"
    if known.exists():
        return json.loads(known.read_text())
    found: list[Document] = [json.loads(part) for part in BROUGHT.read_text().split("\n---\n")]
    kinds = {one["kind"] for one in found}
    if "ClusterConfiguration" not in kinds:
        code, said = kubeadm("init", "phase", "certs", "apiserver-kubelet-client", f"--cert-dir={PKI}",
                             f"--kubernetes-version={kubeadm('version', '-o', 'short')[1].strip()}")  # fmt: skip
        if code:
            sys.exit(f"kubeadm makes no certificate to ask the cluster with: {said.strip()}")
        cluster = kept("kubeadm-config", "ClusterConfiguration")
        local = part(part(cluster, "etcd"), "local")
        for key, there, here in (
            ("certificatesDir", cluster.get("certificatesDir", "/etc/kubernetes/pki"), str(PKI)),
            ("etcd.local.dataDir", local.get("dataDir", "/var/lib/etcd"), str(DATA)),
        ):
            if there != here:
                sys.exit(
                    f"the cluster's kubeadm-config has {key} {there}, and this machine was made for {here}: write "
                    f"ClusterConfiguration into the old member's user data, so that it is known before"
                )
        found.append(cluster)
        if "KubeletConfiguration" not in kinds:
            found.append(kept("kubelet-config", "kubelet"))
    put(known, json.dumps(found))
    return found


def kept(name: str, key: str) -> Document:
    """A document of the cluster, asked with a certificate that this machine made from the cluster's CA."""
    import yaml  # cloud-init's, so every machine that reads user data has it

    trust = member.ssl.create_default_context(cafile=str(PKI / "ca.crt"))
    trust.load_cert_chain(str(PKI / "apiserver-kubelet-client.crt"), str(PKI / "apiserver-kubelet-client.key"))
    url = f"https://{api()}/api/v1/namespaces/kube-system/configmaps/{name}"

    def found() -> str:
        with urlopen(url, timeout=10, context=trust) as answer:
            return json.load(answer)["data"][key]

    return yaml.safe_load(wait_for(f"{name} of the cluster", found, pause=5))


def part(document: Document, key: str) -> Document:
    return document.get(key) or dict[str, Any]()


def flags(holder: Document) -> list[tuple[str, str]]:
    """A component's own, whichever way its version writes them: a mapping before v1beta4, a list since."""
    found: Any = holder.get("extraArgs") or []
    return list(found.items()) if hasattr(found, "items") else [(one["name"], one["value"]) for one in found]


def change(holder: Document, listed: bool, values: dict[str, str]) -> None:
    """These flags instead of what there was of them; the others keep their order and may be given several times."""
    told = [*((name, value) for name, value in flags(holder) if name not in values), *values.items()]
    holder["extraArgs"] = [{"name": name, "value": value} for name, value in told] if listed else dict(told)


def fill(found: list[Document], address: str, node: str, settings: dict[str, str]) -> list[Document]:
    """The documents with what only this machine knows, and etcd as the ticket says."""
    filled: list[Document] = json.loads(json.dumps(found))
    by_kind = {one["kind"]: one for one in filled}
    cluster, init = by_kind["ClusterConfiguration"], by_kind["InitConfiguration"]
    init.setdefault("apiVersion", cluster["apiVersion"])
    init["localAPIEndpoint"] = {"advertiseAddress": address, "bindPort": PORTS["api"]}
    registration = init.setdefault("nodeRegistration", {})
    registration["name"] = node
    server = cluster.setdefault("apiServer", {})
    names: list[str] = server.get("certSANs") or list[str]()
    server["certSANs"] = [*names, *(one for one in IDENTITY["api_names"] if one not in names)]
    local = cluster.setdefault("etcd", {}).setdefault("local", {})
    clients, peers = PORTS["clients"], PORTS["peers"]
    urls = {
        "listen-client-urls": f"https://127.0.0.1:{clients},https://{address}:{clients}",
        "advertise-client-urls": f"https://{address}:{clients}",
        "listen-peer-urls": f"https://{address}:{peers}",
        "initial-advertise-peer-urls": f"https://{address}:{peers}",
    }
    usual = (clients, peers) == USUAL_PORTS and not set(urls) & set(dict(flags(local)))
    told = {
        "name": IDENTITY["member"],
        "initial-cluster": settings["ETCD_INITIAL_CLUSTER"],
        "initial-cluster-state": settings["ETCD_INITIAL_CLUSTER_STATE"],
        **({} if usual else urls),
    }
    listed = cluster["apiVersion"].rpartition("/")[2] not in ("v1beta1", "v1beta2", "v1beta3")
    change(local, listed, told)
    return filled


def write(address: str, node: str, settings: dict[str, str]) -> None:
    filled = fill(documents(), address, node, settings)
    put(FILLED, "\n---\n".join(json.dumps(one, indent=1) for one in filled) + "\n")


def encryption(cluster: Document) -> pathlib.Path | None:
    """Where the API server's encryption configuration lies on the machine; None where it has none."""
    server = part(cluster, "apiServer")
    told = dict(flags(server)).get("encryption-provider-config")
    if told is None:
        return None
    volumes: list[Document] = server.get("extraVolumes") or list[Document]()
    for volume in volumes:
        inside, outside = str(volume["mountPath"]).rstrip("/"), str(volume["hostPath"]).rstrip("/")
        if told == inside or told.startswith(f"{inside}/"):
            return pathlib.Path(outside + told[len(inside) :])
    return pathlib.Path(told)


def encrypt(ssm: Any) -> None:
    """What Secrets are encrypted with, where the user data doesn't bring it: from where the cluster's keys are."""
    cluster = next(one for one in documents() if one["kind"] == "ClusterConfiguration")
    path = encryption(cluster)
    if path is None or path.exists():
        return
    source = HELD.get("source", "ssm")
    if source == "image":
        wait_for(f"{path}, which the image brings", path.exists)
    elif source == "kubeadm":
        name = f"{HELD['prefix']}/encryption.yaml"
        put(path, wait_for(f"{name} in ssm", lambda: parameter(ssm, name)))
    else:
        put(path, member.held(ssm, "encryption.yaml"))


def settle(*names: str) -> None:
    """Manifests to where the kubelet reads them, if that isn't where kubeadm writes them."""
    if MANIFESTS != WRITTEN:
        MANIFESTS.mkdir(parents=True, exist_ok=True)
        for name in names:
            put(MANIFESTS / f"{name}.yaml", (WRITTEN / f"{name}.yaml").read_text())
            (WRITTEN / f"{name}.yaml").unlink()


def aside(name: str, folder: pathlib.Path) -> None:
    manifest = MANIFESTS / f"{name}.yaml"
    if manifest.exists():
        folder.mkdir(parents=True, exist_ok=True)
        manifest.replace(folder / manifest.name)


def runs(program: str) -> bool:
    """Whether a static pod's program runs, by the container runtime or, where that can't be asked, by its process."""
    if shutil.which("crictl"):
        label = "--label=io.kubernetes.pod.namespace=kube-system"
        asked = subprocess.run(["crictl", "ps", "-q", f"--name=^{program}$", label], stdout=subprocess.PIPE, text=True)
        if asked.returncode == 0:
            return bool(asked.stdout.strip())
    lines = subprocess.run(["ps", "-eo", "args="], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return any(line.split()[0].rpartition("/")[2] == program for line in lines if line.split())


def start(address: str, node: str, settings: dict[str, str]) -> None:
    """etcd as a static pod, by kubeadm's own phase."""
    fresh = not (DATA / "member").exists()
    if fresh:
        for name in SERVERS:
            aside(name, WAITING)
        (STOPPED / "etcd.yaml").unlink(missing_ok=True)
    stopped = (STOPPED / "etcd.yaml").exists()
    if fresh or not (stopped or (MANIFESTS / "etcd.yaml").exists()):
        write(address, node, settings)
        phase("etcd local")
        settle("etcd")
    elif stopped:
        log(f"etcd was stopped here: it is started when {STOPPED}/etcd.yaml is moved to {MANIFESTS}")
    done = DONE / "kubelet"
    if not done.exists():
        phase("kubelet-start")
        put(done, "")
    subprocess.run(["systemctl", "start", "kubelet"], check=True)


def stop() -> None:
    """etcd ends, so that its data can go aside."""
    aside("etcd", STOPPED)
    wait_for("etcd to end", lambda: not runs("etcd"))


def serve() -> None:
    """The servers, now that this member votes: made once; those that a command stopped stay so."""
    done = DONE / "servers"
    if not done.exists():
        phase("control-plane all")
        settle(*SERVERS)
        put(done, "")
    for name in SERVERS:
        waiting = WAITING / f"{name}.yaml"
        if waiting.exists():
            waiting.replace(MANIFESTS / waiting.name)


def mark() -> None:
    """The node is known as a control plane; its kubelet's certificate is the one that it renews itself."""

    def marked() -> bool:
        code, said = kubeadm("init", "phase", "mark-control-plane", f"--config={FILLED}")
        if code:
            log(said.strip()[-400:])
        return code == 0

    wait_for("the API to know this node", marked, pause=5)
    code, said = kubeadm("init", "phase", "kubelet-finalize", "all", f"--config={FILLED}")
    if code:
        log(f"the kubelet keeps the certificate that it began with: {said.strip()[-400:]}")


def main() -> None:
    address = wait_for("this machine's metadata", lambda: member.metadata("local-ipv4"))
    # AWS's cloud controller looks for a node by this name.
    node = wait_for("this machine's name", lambda: member.metadata("local-hostname")).split()[0]
    session: Any = boto3.Session(region_name=IDENTITY["region"])
    ssm, ec2 = session.client("ssm"), session.client("ec2")
    mounted = subprocess.run(["mountpoint", "-q", str(member.VOLUME)]).returncode == 0
    subprocess.run(["systemctl", "disable", *([] if mounted else ["--now"]), "kubelet"])
    # A volume that moves comes when the member's old machine has gone: until it serves again a vote is missing, so
    # everything else is made before.
    if not (DONE / "pki").exists():
        keys(ssm, node, address)
        encrypt(ssm)
        own = f"{IDENTITY['member']}=https://{address}:{PORTS['peers']}"
        write(address, node, {"ETCD_INITIAL_CLUSTER": own, "ETCD_INITIAL_CLUSTER_STATE": "existing"})
        for name in PHASES:
            phase(name)
        put(DONE / "pki", "")
    instance = member.metadata("instance-id")
    volume = member.own_volume(ec2, instance)
    if member.MOVES:
        member.take_over(ssm, instance, volume)
    DATA.chmod(0o700)
    member.heal(ec2, address)
    member.vote(ssm, address, lambda settings: start(address, node, settings), stop)
    serve()
    log(f"{IDENTITY['member']} serves on {address}")
    mark()


if __name__ == "__main__":
    sys.exit(main())
