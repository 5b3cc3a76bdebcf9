"""What listens on a member's machine: its certificates, and which version its API server is of.

Asked by a TLS handshake where the ports are open to the operator, and otherwise on the machine itself through Systems
Manager, as `migration.etcd.over_ssm` asks etcd. No certificate is verified here: what is wrong with one is what is
asked.
"""

from __future__ import annotations

import json
import shlex
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import msgspec

from migration.clients.kubernetes import ApiFailure, Kubernetes
from migration.contracts.members import OnMachine
from migration.etcd.machine import shell
from migration.runtime.deadline import Deadline, Permanent, Retryable

if TYPE_CHECKING:
    from migration.clients.aws import Aws, Instance

CONNECT = 3.0
"""Seconds. A closed port of a security group drops what is sent: it answers no sooner than this."""

# Runs on the machine. etcd shows its certificate to clients that show one, under TLS 1.2 to nobody else; the API server
# says its version to everybody unless anonymous requests are switched off, and then to its own client of kubelets.
_SCRIPT = """
import http.client, json, os, socket, ssl, sys
host, name, ports, api, etcd = json.loads(sys.argv[1])
folder = os.path.dirname(etcd[0])
kubelets = [os.path.join(folder, "apiserver-kubelet-client" + end) for end in (".crt", ".key")]

def context(pair):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if os.path.exists(pair[0]):
        made.load_cert_chain(*pair)
    return made

said = {"certificates": {}, "wrong": {}, "version": ""}
for port in ports:
    try:
        with socket.create_connection((host, port), timeout=8) as plain:
            with context(kubelets if port == api else etcd).wrap_socket(plain, server_hostname=name) as secure:
                said["certificates"][str(port)] = ssl.DER_cert_to_PEM_cert(secure.getpeercert(True))
    except (OSError, ValueError) as error:
        said["wrong"][str(port)] = repr(error)
if api:
    try:
        connection = http.client.HTTPSConnection(host, api, context=context(kubelets), timeout=8)
        connection.request("GET", "/version")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        if answer.status == 200:
            said["version"] = json.loads(text)["gitVersion"]
        else:
            said["wrong"]["version"] = "HTTP %d" % answer.status
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        said["wrong"]["version"] = repr(error)
print(json.dumps(said))
"""


class _Said(msgspec.Struct):
    """What the script prints: PEM by port, the API server's version, and by port what went wrong."""

    certificates: dict[str, str]
    wrong: dict[str, str]
    version: str


@dataclass(frozen=True, kw_only=True)
class Served:
    """Asks members' machines. `direct` is whether their ports may be open to this machine at all."""

    aws: Aws
    kubernetes: Kubernetes
    deadline: Deadline
    alive: Callable[[], None]
    direct: bool
    files: OnMachine
    timeout: float = CONNECT

    def certificate(self, machine: Instance, port: int, name: str) -> str:
        """PEM of what is shown at a port of a machine, to a client that asks for the host `name`.

        Raises `Retryable` with the reason where nothing is shown, or the machine can't be asked.
        """
        if self.direct:
            try:
                return shown(machine.ip, port, name, self.timeout)
            except OSError:
                pass  # not open to this machine, or only to clients with a certificate: asked there
        said = self._ask(machine, name, [port], 0)
        found = said.certificates.get(str(port))
        if found is None:
            raise Retryable(
                f"{machine.ip}:{port} shows no certificate ({said.wrong.get(str(port), 'no reason given')})"
            )
        return found

    def version(self, machine: Instance, port: int) -> str:
        """The version of the API server on a machine, ``v1.34.1``. Raises `Retryable` where it can't be read."""
        if self.direct and reachable(machine.ip, port, self.timeout):
            try:
                return version_of(self.kubernetes, machine.ip, port)
            except Retryable:
                pass  # its certificate lacks the address, or these credentials aren't enough: asked there
        said = self._ask(machine, machine.ip, [], port)
        if not said.version:
            why = said.wrong.get("version", "no reason given")
            raise Retryable(f"which version the API server at {machine.ip}:{port} is of can't be read ({why})")
        return said.version

    def _ask(self, machine: Instance, name: str, ports: list[int], api: int) -> _Said:
        question = json.dumps([machine.ip, name, ports, api, [self.files.certificate, self.files.key]])
        command = f"python3 - {shlex.quote(question)} <<'END'{_SCRIPT}END"
        try:
            said = shell(self.aws, machine.id, command, self.deadline, self.alive)
            return msgspec.json.decode(said.strip().splitlines()[-1], type=_Said)
        except (Permanent, msgspec.MsgspecError, IndexError) as error:
            raise Retryable(f"what {machine.id} ({machine.ip}) serves can't be asked there: {error}") from error


def shown(address: str, port: int, name: str, timeout: float) -> str:
    """PEM of what a TLS server shows to a client without a certificate of its own. Raises `OSError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((address, port), timeout=timeout) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        found = secure.getpeercert(binary_form=True)
    if found is None:
        raise ssl.SSLError("no certificate was shown")
    return ssl.DER_cert_to_PEM_cert(found)


def reachable(address: str, port: int, timeout: float) -> bool:
    """Whether a port takes connections from this machine."""
    try:
        socket.create_connection((address, port), timeout=timeout).close()
    except OSError:
        return False
    return True


def version_of(cluster: Kubernetes, address: str, port: int) -> str:
    """What one API server, asked directly, says it is. Raises `Retryable` where it doesn't say."""
    try:
        said = cluster.at(f"https://{address}:{port}").request("GET", "/version", repeat=frozenset(), patience=0.0)
    except (ApiFailure, msgspec.DecodeError) as failure:
        raise Retryable(
            f"which version the API server at {address}:{port} is of can't be read ({failure})"
        ) from failure
    found: object = cast(dict[str, object], said).get("gitVersion") if isinstance(said, dict) else None
    if not isinstance(found, str) or not found:
        raise Retryable(f"the API server at {address}:{port} answers /version without a gitVersion")
    return found


def versions_beside(
    cluster: Kubernetes, voters: Mapping[str, str], port: int, log: Callable[[str], None]
) -> dict[str, str]:
    """Versions of the API servers on voters' machines, by member; `voters` are names by address.

    One that doesn't answer serves nobody, so it makes no mixture: it is left out, and said, since a member whose server
    is broken is one to be moved. Raises `Retryable` where none answers.
    """
    found: dict[str, str] = {}
    for address, name in voters.items():
        try:
            found[name] = version_of(cluster, address, port)
        except Retryable as reason:
            log(f"warning: {name}: {reason}; it isn't counted among the API servers")
    if not found:
        raise Retryable(f"no API server of {', '.join(sorted(voters.values())) or 'any voter'} says its version")
    return found
