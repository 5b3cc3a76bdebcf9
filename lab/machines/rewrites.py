"""What the systemd stand-in changes in a command line before it starts a program: one table, each with its reason.

Everything not in this table runs exactly as the machine's unit file says. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lab.addresses import LOOPBACK, alias, hidden_port

EGRESS_FILE = "egress.yaml"
CLOUD_CONTROLLER = "aws-cloud-controller-manager"
TOOLS = frozenset({"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", CLOUD_CONTROLLER})
KUBELET = "kubelet"
"""Isn't started: a KWOK node stands for it (nodes.py)."""


class RewriteError(OSError):
    """A command line that can't be made to run here."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """The machine a command line is rewritten for."""

    ip: str
    instance: str
    folder: Path
    """Of the machine, outside its root."""
    connect_socket: Path
    """Where the network process answers this machine's CONNECT requests."""


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    program: str
    flag: str
    value: Callable[[str | None, Host], str | None]
    """The new value, given the old one (None where the flag isn't there); None leaves the flag out."""
    reason: str


def _listen(urls: str | None, host: Host) -> str | None:
    if urls is None:
        return None
    hidden: list[str] = []
    for url in urls.split(","):
        parts = urlsplit(url)
        rewritten = f"{parts.scheme}://{host.ip}:{hidden_port(parts.port or 0)}"
        if rewritten not in hidden:
            hidden.append(rewritten)
    return ",".join(hidden)


def _own_etcd(urls: str | None, host: Host) -> str | None:
    if urls is None:
        return None
    return ",".join(_own(url, host) for url in urls.split(","))


def _own(url: str, host: Host) -> str:
    parts = urlsplit(url)
    if parts.hostname not in (LOOPBACK, "localhost") or parts.port is None:
        return url
    return f"{parts.scheme}://{host.ip}:{hidden_port(parts.port)}"


def _hidden(port: str | None, host: Host) -> str:
    return str(hidden_port(int(port or 6443)))


def _ip(value: str | None, host: Host) -> str:
    return host.ip


_FORWARDER = "the network's forwarder listens on the machine's public port; the process is hidden behind it"
_OWN_LOOPBACK = "all machines share one 127.0.0.1, so each listens on its own address"

TABLE = (
    Rewrite(program="etcd", flag="listen-client-urls", value=_listen, reason=_FORWARDER),
    Rewrite(program="etcd", flag="listen-peer-urls", value=_listen, reason=_FORWARDER),
    Rewrite(program="etcd", flag="listen-metrics-urls", value=_listen, reason=_OWN_LOOPBACK),
    Rewrite(program="kube-apiserver", flag="secure-port", value=_hidden, reason=_FORWARDER),
    Rewrite(program="kube-apiserver", flag="bind-address", value=_ip, reason=_OWN_LOOPBACK),
    Rewrite(
        program="kube-apiserver",
        flag="advertise-address",
        value=lambda v, h: alias(v or h.ip),
        reason="Kubernetes refuses loopback as the advertised address",
    ),
    Rewrite(program="kube-apiserver", flag="etcd-servers", value=_own_etcd, reason=_OWN_LOOPBACK),
    Rewrite(
        program="kube-apiserver",
        flag="egress-selector-config-file",
        value=lambda v, h: str(h.folder / EGRESS_FILE),
        reason="there is no pod network on this host: the network process dials Services and pods (webhooks)",
    ),
    Rewrite(program="kube-controller-manager", flag="bind-address", value=_ip, reason=_OWN_LOOPBACK),
    Rewrite(program="kube-scheduler", flag="bind-address", value=_ip, reason=_OWN_LOOPBACK),
    Rewrite(program=CLOUD_CONTROLLER, flag="bind-address", value=_ip, reason=_OWN_LOOPBACK),
)


def rewrite(argv: Sequence[str], host: Host, tool: Callable[[str], Path]) -> list[str]:
    """The command line to really start. `tool` finds a control-plane program of the lab (it may raise)."""
    program = Path(argv[0]).name
    if program not in TOOLS:
        return list(argv)
    words = list(argv[1:])
    for entry in (e for e in TABLE if e.program == program):
        old, position, width = _find(words, entry.flag)
        new = entry.value(old, host)
        words[position : position + width] = [] if new is None else [f"--{entry.flag}={new}"]
    return [str(tool(program)), *words]


METADATA = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


def metadata_at_its_address(environment: Mapping[str, str], ip: str) -> dict[str, str]:
    """The metadata service's variable for a program whose SDK forgets an endpoint's path: Go's."""
    told = environment.get(METADATA)
    return {METADATA: f"http://{ip}:{urlsplit(told).port}"} if told else {}


def rewrite_environment(argv: Sequence[str], environment: dict[str, str], host: Host) -> dict[str, str]:
    """The same changes to variables. Of etcd's: it takes every flag as `ETCD_FLAG`, too, and refuses both at once.

    Raises RewriteError for a configuration file, of which it reads all else instead.
    """
    if Path(argv[0]).name == CLOUD_CONTROLLER:
        return {**environment, **metadata_at_its_address(environment, host.ip)}
    if Path(argv[0]).name != "etcd":
        return environment
    if "ETCD_CONFIG_FILE" in environment or _find(argv, "config-file")[2]:
        raise RewriteError("etcd's --config-file isn't understood by the lab: flags and variables are")
    changed = dict(environment)
    for entry in (e for e in TABLE if e.program == "etcd"):
        variable = "ETCD_" + entry.flag.upper().replace("-", "_")
        if variable in changed:
            changed[variable] = entry.value(changed[variable], host) or ""
    return changed


def _find(words: Sequence[str], flag: str) -> tuple[str | None, int, int]:
    """A flag's value, where it stands, and in how many words (0: missing, to be added at the end)."""
    for position, word in enumerate(words):
        if word == f"--{flag}" and position + 1 < len(words):
            return words[position + 1], position, 2
        if word.startswith(f"--{flag}="):
            return word.partition("=")[2], position, 1
    return None, len(words), 0


def egress_configuration(socket: Path) -> str:
    """The API server's egress selector: pods, Services and nodes through the network process; the rest directly.

    https://kubernetes.io/docs/tasks/extend-kubernetes/setup-konnectivity/ (EgressSelectorConfiguration)
    """
    return f"""\
apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport:
      uds:
        udsName: {socket}
- name: controlplane
  connection:
    proxyProtocol: Direct
- name: etcd
  connection:
    proxyProtocol: Direct
"""
