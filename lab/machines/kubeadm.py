"""`kubeadm` on a machine: the real one, with the machine's folder as its root, since its paths are built in.

It refuses loopback as a machine's address. So it is given the machine's other one (`addresses.alias`), as Kubernetes
is everywhere in the lab, and the address it is dialled at is among its certificates' names; what it has written is
then read with the address that listens.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import yaml

from lab.addresses import LOOPBACK, alias
from lab.machines import mounts
from lab.machines.place import Place
from lab.machines.processes import Ledger, spawn
from lab.machines.services import NICE_BOOTING
from lab.toolchain.errors import MissingTool

INSIDE = Path(__file__).with_name("inside.py")
LIMIT_S = 300.0
WRITTEN = ("*.conf", "manifests/*.yaml")
"""What kubeadm writes addresses into, below `/etc/kubernetes`."""


def configuration(text: str, ip: str, *, uploaded: bool = False) -> str:
    """A kubeadm configuration (any number of documents) for the machine with this address. Pure.

    `uploaded`: it is for the cluster to keep, where no machine's own address belongs. Raises ValueError for what isn't
    YAML.
    """
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise ValueError(f"the configuration isn't YAML: {error}") from error
    for document in documents:
        kind = document.get("kind")
        if kind in ("InitConfiguration", "JoinConfiguration"):
            holder = document if kind == "InitConfiguration" else document.get("controlPlane") or {}
            endpoint = holder.get("localAPIEndpoint") or {}
            if endpoint.get("advertiseAddress") == ip:
                endpoint["advertiseAddress"] = alias(ip)
        if kind == "ClusterConfiguration" and not uploaded:
            _name(document.setdefault("apiServer", {}), "certSANs", ip)
            etcd = document.setdefault("etcd", {})
            if "external" not in etcd:
                local = etcd.setdefault("local", {})
                _name(local, "serverCertSANs", ip)
                _name(local, "peerCertSANs", ip)
    return yaml.safe_dump_all(documents, sort_keys=False)


def _name(holder: dict[str, Any], key: str, ip: str) -> None:
    names = holder.setdefault(key, [])
    if ip not in names:
        names.append(ip)


def arguments_of(arguments: Sequence[str], root: Path, ip: str) -> tuple[list[str], str | None]:
    """kubeadm's arguments as it sees them in the machine, and the configuration's path there. Pure."""
    words: list[str] = []
    path = None
    following = False
    for word in arguments:
        word = word.replace(f"{root}/", "/")
        if following:
            path, following = word, False
            continue
        if word == "--config":
            following = True
        elif word.startswith("--config="):
            path = word.partition("=")[2]
        else:
            words.append(word if word != f"--apiserver-advertise-address={ip}" else word.replace(ip, alias(ip)))
    return words, path


async def call(arguments: Sequence[str], place: Place, instance: Mapping[str, Any]) -> tuple[int, str, str]:
    """Exit status, output and errors of kubeadm."""
    root, ip = place.root(instance["id"]), instance["private_ip"]
    words, path = arguments_of(arguments, root, ip)
    given = root / "run" / "kubeadm-configuration.yaml"
    try:
        program = place.tool("kubeadm")
        if path is not None:
            text = (root / path.lstrip("/")).read_text().replace(f"{root}/", "/")
            given.parent.mkdir(parents=True, exist_ok=True)
            given.write_text(configuration(text, ip, uploaded="upload-config" in words))
            words.append("--config=/run/kubeadm-configuration.yaml")
    except (OSError, ValueError, MissingTool) as error:
        return 1, "", f"kubeadm: {error}\n"
    await asyncio.to_thread(_name_the_api, place, instance)
    # A mounted folder leads out of the root: kubeadm, which only asks whether it is there, finds an empty one.
    for volume in mounts.mounted(place, instance).values():
        (root / str(place.volume(volume)).lstrip("/")).mkdir(parents=True, exist_ok=True)
    code, text = await _run([sys.executable, "-IS", str(INSIDE), str(root), str(program), *words], place, instance)
    for pattern in WRITTEN:
        for file in (root / "etc/kubernetes").glob(pattern):
            _translate(file, alias(ip), ip)
    return (code, text, "") if code == 0 else (code, "", text)


def _translate(file: Path, old: str, new: str) -> None:
    before = file.read_text()
    after = re.sub(rf"(?<![\d.]){re.escape(old)}(?![\d.])", new, before)
    if after != before:
        temporary = file.with_name(f".{file.name}.tmp")
        temporary.write_text(after)
        temporary.chmod(file.stat().st_mode & 0o777)
        temporary.replace(file)


def _name_the_api(place: Place, instance: Mapping[str, Any]) -> None:
    """Tells kubeadm where the API's name leads from here: no resolver of this lab can be at this host's port 53."""
    name = place.settings.api_name
    query = dns.message.make_query(name, dns.rdatatype.A)
    port, own = place.addresses.dns_port, instance["private_ip"]
    try:
        answer = dns.query.udp(query, LOOPBACK, port=port, source=own, timeout=2, ignore_unexpected=True)
    except (dns.exception.DNSException, OSError):
        return  # no network yet: a phase that needs the API says so itself
    found = [str(item) for records in answer.answer if records.rdtype == dns.rdatatype.A for item in records]
    hosts = place.root(instance["id"]) / "etc/hosts"
    hosts.parent.mkdir(parents=True, exist_ok=True)
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for address in found))


async def _run(argv: list[str], place: Place, instance: Mapping[str, Any]) -> tuple[int, str]:
    folder = place.folder(instance["id"])
    log = folder / "log" / "kubeadm.log"
    before = log.stat().st_size if log.exists() else 0
    environment = {**place.environment(instance), "HOME": "/root", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    child = spawn(argv, environment=environment, log=log, nice=NICE_BOOTING, directory=folder)
    ledger = Ledger(folder)
    name = f"kubeadm-{child.pid}"
    ledger.write(name, child.pid, argv)
    try:
        async with asyncio.timeout(LIMIT_S):
            while child.poll() is None:
                await asyncio.sleep(0.05)
    except TimeoutError:
        child.kill()
        child.wait()
        return 124, f"kubeadm: ended after {LIMIT_S:.0f} s\n"
    finally:
        ledger.forget(name)
    with log.open("rb") as stream:
        stream.seek(before)
        return child.returncode, stream.read().decode(errors="replace")
