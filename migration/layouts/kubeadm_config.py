"""Reading kubeadm's configuration out of a machine's user data: what the cluster is, and who calls kubeadm there.

Only what is the same for every member is kept; a machine's own (address, name, etcd's first list) its boot fills in.
https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/ Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from pathlib import PurePosixPath
from typing import Any, cast
from urllib.parse import urlsplit

import yaml

from migration.clients.documents import Document, listed, mapping
from migration.discover import cloud_config

# kubeadm's constants, for what a configuration leaves out: cmd/kubeadm/app/constants and apis/kubeadm/v1beta4/defaults.
PKI, DATA, MANIFESTS = "/etc/kubernetes/pki", "/var/lib/etcd", "/etc/kubernetes/manifests"
API_PORT, CLIENT_PORT, PEER_PORT = 6443, 2379, 2380

_KUBEADM, _KUBELET = "kubeadm.k8s.io/", "kubelet.config.k8s.io/"
# Of a machine's own, and of one moment's: tokens and certificate keys among them, which are secrets.
_KEPT_OF_A_MACHINE = ("nodeRegistration", "patches", "timeouts")
_OWN_FLAGS = {
    "etcd": {"name", "initial-cluster", "initial-cluster-state"},
    "apiServer": {"advertise-address"},
    "kubelet": {"hostname-override", "node-ip", "provider-id"},
}
_URLS = ("listen-client-urls", "advertise-client-urls", "listen-peer-urls", "initial-advertise-peer-urls")
# What people's tooling replaces: @NAME@, ${NAME}, $NAME, {{ name }}, <NAME>, __NAME__.
_PLACEHOLDER = re.compile(r"@\w+@|\$\{?\w+\}?|\{\{.*?\}\}|<[A-Z][A-Z_ -]*>|__[A-Z_]+__")
_UNQUOTED = re.compile(r"(?m)^(\s*(?:- )?(?:[\w.-]+:\s+)?)((?:@\w+@|\{\{[^\n]*?\}\})[^\n'\"]*)$")
_CALL = re.compile(r"\bkubeadm\b[^\n;&|]{0,300}?\b(init|join)\b")
_MEMBER = re.compile(
    r"--control-plane\b|\bkubeadm\b[^\n;&|]{0,300}?\binit\b|kind:\s*[\"']?(?:Init|Cluster)Configuration\b"
    r"|^\s*controlPlane:",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one machine's user data says of kubeadm. Sentences are for people, as in a `Recognition`.

    `cluster`, `machine` and `kubelet` are what of ClusterConfiguration, of Init- or JoinConfiguration, and of
    KubeletConfiguration is the same for all members; None where it isn't there. `whole`: `cluster` can be used as it
    is. `callers` are the files and units that call kubeadm, `commands` what of `runcmd` doesn't.
    """

    is_cloud_config: bool
    is_member: bool
    cluster: Document | None = None
    whole: bool = False
    machine: Document = field(default_factory=dict[str, Any])
    kubelet: Document | None = None
    callers: tuple[str, ...] = ()
    commands: tuple[Any, ...] = ()
    calls: bool = False
    api_port: int | None = None
    against: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def pki(self) -> str:
        """The folder of certificates."""
        return str((self.cluster or {}).get("certificatesDir") or PKI).rstrip("/")

    @property
    def data(self) -> str:
        """etcd's data directory."""
        return str(mapping(self.cluster or {}, "etcd", "local").get("dataDir") or DATA).rstrip("/")

    @property
    def manifests(self) -> str:
        """The kubelet's folder of static pods."""
        return str((self.kubelet or {}).get("staticPodPath") or MANIFESTS).rstrip("/")

    @property
    def endpoint(self) -> str | None:
        """The host of the API's common name; None where it isn't said."""
        said = (self.cluster or {}).get("controlPlaneEndpoint")
        return urlsplit(f"//{said}").hostname if said else None

    def network(self, key: str) -> str | None:
        """A range of addresses of the cluster's network; None where it isn't said, or is a placeholder."""
        said = str(mapping(self.cluster or {}, "networking").get(key) or "")
        return None if not said or placeholders(said) else said

    def etcd_port(self, flag: str, usual: int) -> int | None:
        """The port of a flag of etcd's; None where no ClusterConfiguration is there to say."""
        if self.cluster is None:
            return None
        found = re.search(r":(\d+)(?=[,/]|$)", flags(mapping(self.cluster, "etcd", "local")).get(flag, ""))
        return int(found[1]) if found else usual


def read(user_data: str) -> Said:
    """What plain user data says."""
    document = cloud_config.document(user_data)
    files = cloud_config.files(user_data)
    texts = {path: _uncommented(text) for path, text in files.items()}
    unseen: list[str] = []
    found: list[Document] = []
    configurations = {
        path: text
        for path, text in files.items()
        if (_KUBEADM in text or _KUBELET in text) and not text.startswith("#!")
    }
    for path, text in (configurations or {"its user data": user_data}).items():
        read_here = list(documents_in(text))
        if not read_here and path in configurations:
            unseen.append(f"{path} names kubeadm's configuration and isn't YAML that can be read")
        found += read_here
    by_kind: dict[str, Document] = {}
    for one in found:
        by_kind.setdefault(str(one["kind"]), one)
    callers = _callers(texts, set(configurations))
    commands: list[Any] = list(document.get("runcmd") or ())
    kept = tuple(one for one in commands if not _calls(_text_of(one), callers))
    machine = by_kind.get("InitConfiguration") or by_kind.get("JoinConfiguration") or {}
    everything = "\n".join([_uncommented(user_data), *texts.values()])
    joins = machine.get("controlPlane") is not None
    # Tooling writes one script for both: only what is configured, or said at the call, tells members from workers.
    is_member = bool({"InitConfiguration", "ClusterConfiguration"} & by_kind.keys() or joins) or (
        "JoinConfiguration" not in by_kind and "kubeadm" in everything and bool(_MEMBER.search(everything))
    )
    calls = bool(callers) or len(kept) < len(commands)
    if not is_member:
        return Said(is_cloud_config=bool(document), is_member=False, calls=calls, unseen=tuple(unseen))
    against: list[str] = []
    kubelet = by_kind.get("KubeletConfiguration")
    cluster, whole = _cluster(by_kind.get("ClusterConfiguration"), against, unseen)
    return Said(
        is_cloud_config=bool(document),
        is_member=True,
        cluster=cluster,
        whole=whole,
        machine=_machine(machine, against),
        kubelet=kubelet,
        callers=tuple(callers),
        commands=kept,
        calls=calls,
        api_port=_api_port(machine, cluster),
        against=(*against, *_early(document, callers)),
        unseen=tuple(unseen),
    )


def documents_in(text: str) -> Iterator[Document]:
    """kubeadm's and the kubelet's documents in a text of YAML, placeholders of templates and all."""
    for attempt in (text, _UNQUOTED.sub(lambda one: f"{one[1]}{json.dumps(one[2].rstrip())}", text)):
        try:
            found: list[object] = list(yaml.safe_load_all(attempt))
        except (yaml.YAMLError, ValueError, TypeError):
            continue
        for one in found:
            known: Document = cast("Document", one) if isinstance(one, dict) else dict[str, Any]()
            if str(known.get("apiVersion", "")).startswith((_KUBEADM, _KUBELET)) and known.get("kind"):
                yield known
        return


def flags(holder: Document) -> dict[str, str]:
    """A component's `extraArgs`: a mapping before v1beta4, a list since. The last one of a name counts."""
    found: Any = holder.get("extraArgs") or {}
    if isinstance(found, Mapping):
        return {str(name): str(value) for name, value in cast("Mapping[str, Any]", found).items()}
    return {str(one["name"]): str(one.get("value", "")) for one in cast("list[Document]", found)}


def placeholders(value: object) -> list[str]:
    """What in a document a template's tooling was to replace, each once, in order."""
    return list(dict.fromkeys(one for text in _strings(value) for one in _PLACEHOLDER.findall(text)))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in cast("Mapping[str, object]", value).values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in cast("list[object]", value):
            yield from _strings(one)


def _without(holder: Document, names: Iterable[str], key: str = "extraArgs") -> dict[str, Any]:
    """The holder with flags left out, in whichever way they are written."""
    found: Any = holder.get(key)
    if not found:
        return dict(holder)
    if isinstance(found, Mapping):
        pairs = cast("Mapping[str, Any]", found).items()
        return {**holder, key: {name: value for name, value in pairs if name not in names}}
    return {**holder, key: [one for one in cast("list[Document]", found) if str(one.get("name")) not in names]}


def _cluster(found: Document | None, against: list[str], unseen: list[str]) -> tuple[Document | None, bool]:
    """ClusterConfiguration without what is one machine's, and whether it can be used as it is."""
    if found is None:
        unseen.append(
            "its user data has no ClusterConfiguration: ports, folders and flags are taken to be kubeadm's own, and a "
            "new member reads kubeadm-config from the cluster"
        )
        return None, False
    if mapping(found, "etcd").get("external"):
        against.append("its etcd is external, on machines of its own; that is the layout separate-etcd")
    etcd, server = mapping(found, "etcd", "local"), mapping(found, "apiServer")
    own_urls = [name for name in _URLS if _own(flags(etcd).get(name, ""))]
    local = _literal_names(_without(etcd, {*_OWN_FLAGS["etcd"], *own_urls}), "serverCertSANs", "peerCertSANs")
    cluster = {
        **found,
        "apiServer": _literal_names(_without(server, _OWN_FLAGS["apiServer"]), "certSANs"),
        "etcd": {**mapping(found, "etcd"), "local": local},
    }
    data = str(etcd.get("dataDir") or DATA).rstrip("/")
    for flag, needs in (("data-dir", "leave the flag out: dataDir says it"), ("wal-dir", "keep both in one folder")):
        said = flags(etcd).get(flag)
        if said is not None and not f"{said}/".startswith(f"{data}/"):
            against.append(f"its etcd's --{flag} is {said}, outside of its data directory {data}; {needs}")
    for url in flags(server).get("etcd-servers", "").split(","):
        if url and urlsplit(url).hostname not in ("127.0.0.1", "localhost"):
            against.append(f"its API server asks etcd at {url}, and not at its own machine; leave etcd-servers out")
    _endpoint(found, against)
    left = placeholders(cluster)
    if left:
        unseen.append(
            f"its ClusterConfiguration has {', '.join(left)}, which its own boot fills in: a new member reads "
            f"kubeadm-config from the cluster instead"
        )
    return cluster, not left


def _endpoint(cluster: Document, against: list[str]) -> None:
    said = str(cluster.get("controlPlaneEndpoint") or "")
    if not said:
        against.append(
            "its ClusterConfiguration has no controlPlaneEndpoint, so nodes know the API by one member's address, "
            "which goes with it; give the cluster the API's name (kubeadm-config, and the kubelets' and kube-proxy's "
            "kubeconfigs) and write it there"
        )
        return
    try:
        IPv4Address(urlsplit(f"//{said}").hostname or "")
    except AddressValueError:
        return
    against.append(
        f"its controlPlaneEndpoint {said} is an address, which stays behind in the old VPC; give the cluster a name "
        f"that can be led elsewhere"
    )


def _own(urls: str) -> bool:
    """Whether URLs name a machine of their own: another host than everywhere or here."""
    hosts = [urlsplit(url).hostname for url in urls.split(",") if url]
    return any(host not in ("0.0.0.0", "127.0.0.1", "localhost") for host in hosts)


def _literal_names(holder: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Without the names that a template has room for: each machine's own are added by kubeadm."""
    shorter = {key: [one for one in holder[key] if not placeholders(one)] for key in keys if holder.get(key)}
    return {**holder, **shorter}


def _machine(found: Document, against: list[str]) -> Document:
    kept = {key: found[key] for key in _KEPT_OF_A_MACHINE if found.get(key)}
    registration = {
        key: value for key, value in mapping(found, "nodeRegistration").items() if key != "name" and value is not None
    }
    kept["nodeRegistration"] = _without(registration, _OWN_FLAGS["kubelet"], "kubeletExtraArgs")
    left = placeholders(kept)
    if left:
        against.append(
            f"its nodeRegistration has {', '.join(left)}, which its own boot fills in and a new one doesn't know; "
            f"write the values, or use the layout custom"
        )
    return {**({"apiVersion": found["apiVersion"]} if "apiVersion" in found else {}), **kept}


def _api_port(machine: Document, cluster: Document | None) -> int | None:
    endpoint = mapping(machine, "localAPIEndpoint") or mapping(machine, "controlPlane", "localAPIEndpoint")
    said = flags(mapping(cluster or {}, "apiServer")).get("secure-port") or endpoint.get("bindPort")
    if said is not None:
        return int(said) if str(said).isdigit() else None
    return API_PORT if machine or cluster else None


def _uncommented(text: str) -> str:
    """What a shell reads: no comments, and continued lines as one."""
    return "\n".join(line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#"))


def _text_of(command: object) -> str:
    return command if isinstance(command, str) else " ".join(str(one) for one in cast("list[object]", command))


def _callers(texts: Mapping[str, str], configurations: set[str]) -> list[str]:
    """The files that call kubeadm, or what does: scripts, and units that start them."""
    found = [path for path, text in texts.items() if path not in configurations and _CALL.search(text)]
    grown = True
    while grown:
        more = [
            path
            for path, text in texts.items()
            if path not in found and path not in configurations and _names(text, found)
        ]
        found += more
        grown = bool(more)
    return found


def _names(text: str, callers: Iterable[str]) -> bool:
    """Whether a text names one of these files by its path, or a unit by its name."""
    for path in callers:
        place = PurePosixPath(path)
        name = re.escape(place.stem if place.suffix in (".service", ".timer") else path)
        if re.search(rf"(?<![\w./-]){name}(?![\w/-])", text):
            return True
    return False


def _calls(text: str, callers: Iterable[str]) -> bool:
    return bool(_CALL.search(_uncommented(text))) or _names(text, callers)


def _early(document: Document, callers: list[str]) -> list[str]:
    """What `bootcmd` starts runs at every boot beside the new one."""
    commands: Iterable[Any] = listed(document, "bootcmd")
    return [
        f"bootcmd calls kubeadm ({_text_of(one)[:60]}) at every boot; call it from runcmd, which is replaced"
        for one in commands
        if _calls(_text_of(one), callers)
    ]
