"""What a machine serves, asked by a handshake from here, or by the script that runs there: the very same answers."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from migration.clients.aws import Instance
from migration.contracts.members import USUAL_FILES, OnMachine
from migration.etcd.served import Served, reachable, version_of, versions_beside
from migration.runtime.deadline import Deadline, Retryable
from tests.unit.etcd.issuing import issued

HERE = Instance(id="i-a", ip="127.0.0.1", zone="a", vpc="v", group="g", state="running")


@dataclass
class Machines:
    """As much of AWS as is used: commands, which run here."""

    ran: list[str] = field(default_factory=list)
    output: str | None = None

    @property
    def ssm(self) -> Machines:
        return self

    def send_command(self, *, Parameters: dict[str, list[str]], **_: Any) -> dict[str, Any]:
        self.ran.append(Parameters["commands"][0])
        return {"Command": {"CommandId": "c"}}

    def get_command_invocation(self, **_: Any) -> dict[str, str]:
        said = self.output
        if said is None:
            done = subprocess.run(["bash", "-c", self.ran[-1]], capture_output=True, text=True, check=False)
            assert done.stderr == ""
            said = done.stdout
        return {"Status": "Success", "StandardOutputContent": said}


class Version(http.server.BaseHTTPRequestHandler):
    """An API server that says its version, or won't."""

    answer: str = json.dumps({"gitVersion": "v1.34.1"})
    code: int = 200

    def do_GET(self) -> None:
        self.send_response(self.code if self.path == "/version" else 404)
        self.end_headers()
        self.wfile.write(self.answer.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@dataclass
class Server:
    port: int
    pem: str
    handler: type[Version]
    context: ssl.SSLContext


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    assert shutil.which("python3")
    pem, key = issued("127.0.0.1", "api.pet", days=300)
    (tmp_path / "crt").write_text(pem)
    (tmp_path / "key").write_text(key)
    handler: type[Version] = type("One", (Version,), {})
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    listening.socket = context.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield Server(listening.server_port, pem, handler, context)
    listening.shutdown()
    listening.server_close()


def served(aws: Any, *, direct: bool, cluster: Any = None, files: OnMachine | None = None) -> Served:
    return Served(
        aws=aws,
        kubernetes=cluster,
        deadline=Deadline(30),
        alive=lambda: None,
        direct=direct,
        files=files or OnMachine.of(USUAL_FILES),
        timeout=2,
    )


def test_where_the_port_is_open_the_certificate_is_read_from_here(server: Server) -> None:
    aws = Machines()
    assert served(aws, direct=True).certificate(HERE, server.port, "api.pet").strip() == server.pem.strip()
    assert aws.ran == []


def test_otherwise_it_is_read_on_the_machine(server: Server) -> None:
    aws = Machines()
    assert served(aws, direct=False).certificate(HERE, server.port, "api.pet").strip() == server.pem.strip()
    assert len(aws.ran) == 1


def test_a_server_that_wants_a_clients_certificate_first_is_asked_on_its_machine(server: Server) -> None:
    server.context.maximum_version = ssl.TLSVersion.TLSv1_2
    server.context.verify_mode = ssl.CERT_REQUIRED
    aws = Machines()
    with pytest.raises(Retryable, match=rf"127\.0\.0\.1:{server.port} shows no certificate \(.*SSL"):
        served(aws, direct=True).certificate(HERE, server.port, "api.pet")
    assert len(aws.ran) == 1, "and there it has its own to show, where it lies at kubeadm's path"


def test_there_it_shows_the_certificate_that_the_configuration_names(server: Server, tmp_path: Path) -> None:
    server.context.maximum_version = ssl.TLSVersion.TLSv1_2
    server.context.verify_mode = ssl.CERT_REQUIRED
    clients = {name: tmp_path / f"client-{name}" for name in ("crt", "key")}
    for path, text in zip(clients.values(), issued("127.0.0.1", now=datetime.now(UTC)), strict=True):
        path.write_text(text)
    server.context.load_verify_locations(clients["crt"])
    files = OnMachine(ca=str(clients["crt"]), certificate=str(clients["crt"]), key=str(clients["key"]))
    found = served(Machines(), direct=False, files=files).certificate(HERE, server.port, "api.pet")
    assert found.strip() == server.pem.strip()


def free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("direct", [True, False])
def test_nobody_at_the_port_is_no_certificate(direct: bool) -> None:
    port = free()
    assert reachable("127.0.0.1", port, 1) is False
    with pytest.raises(Retryable, match=rf"127\.0\.0\.1:{port} shows no certificate \(ConnectionRefusedError"):
        served(Machines(), direct=direct).certificate(HERE, port, "api.pet")


def test_something_that_speaks_no_tls_shows_none() -> None:
    with socket.socket() as plain:
        plain.bind(("127.0.0.1", 0))
        plain.listen()
        port = plain.getsockname()[1]
        threading.Thread(target=lambda: [plain.accept()[0].sendall(b"SSH-2.0\r\n" * 20) for _ in "ab"]).start()
        with pytest.raises(Retryable, match=rf"127\.0\.0\.1:{port} shows no certificate \(SSLError"):
            served(Machines(), direct=True).certificate(HERE, port, "api.pet")


@pytest.mark.parametrize("output", ["", "bash: python3: command not found", "{}", '{"certificates": 3}'])
def test_a_machine_that_says_something_else_is_not_believed(output: str) -> None:
    aws = Machines(output=output)
    with pytest.raises(Retryable, match=r"what i-a \(127\.0\.0\.1\) serves can't be asked there"):
        served(aws, direct=False).certificate(HERE, 1, "api.pet")


class Answers:
    """A cluster whose servers answer /version so."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers
        self._server = ""

    def at(self, server: str) -> Answers:
        made = Answers(**self._answers)
        made._server = server.removeprefix("https://").partition(":")[0].replace(".", "_")
        return made

    def request(self, *_: Any, **__: Any) -> Any:
        found = self._answers.get(f"ip{self._server}", Retryable("silent"))
        if isinstance(found, Exception):
            raise found
        return found


def test_the_version_is_read_from_here_where_these_credentials_do(server: Server) -> None:
    aws = Machines()
    cluster = Answers(ip127_0_0_1={"gitVersion": "v1.34.2"})
    assert served(aws, direct=True, cluster=cluster).version(HERE, server.port) == "v1.34.2"
    assert aws.ran == []


@pytest.mark.parametrize("direct", [True, False])
def test_the_version_is_read_on_the_machine_otherwise(server: Server, direct: bool) -> None:
    aws = Machines()
    assert served(aws, direct=direct, cluster=Answers()).version(HERE, server.port) == "v1.34.1"
    assert len(aws.ran) == 1


@pytest.mark.parametrize(
    ("code", "answer", "said"),
    [(401, "{}", "HTTP 401"), (200, "hello", "JSONDecodeError"), (200, "{}", "KeyError"), (503, "", "HTTP 503")],
)
def test_a_version_that_is_not_said_cannot_be_read(server: Server, code: int, answer: str, said: str) -> None:
    server.handler.code, server.handler.answer = code, answer
    with pytest.raises(Retryable, match=rf"the API server at 127\.0\.0\.1:{server.port} is of can't be read \({said}"):
        served(Machines(), direct=False).version(HERE, server.port)


@pytest.mark.parametrize("answer", [{}, [], None, {"gitVersion": 3}, {"gitVersion": ""}])
def test_an_answer_without_a_version_is_none(answer: Any) -> None:
    cluster: Any = Answers(ip10_0_0_1=answer)
    with pytest.raises(Retryable, match="answers /version without a gitVersion"):
        version_of(cluster, "10.0.0.1", 6443)


def test_a_silent_server_is_said_and_not_counted_and_all_silent_are_no_answer() -> None:
    told: list[str] = []
    cluster: Any = Answers(ip10_0_0_1={"gitVersion": "v1.34.1"})
    voters = {"10.0.0.1": "a", "10.0.0.2": "b"}
    assert versions_beside(cluster, voters, 6443, told.append) == {"a": "v1.34.1"}
    assert told == ["warning: b: silent; it isn't counted among the API servers"]
    with pytest.raises(Retryable, match="no API server of a, b says its version"):
        versions_beside(Answers(), voters, 6443, told.append)  # pyright: ignore[reportArgumentType]
    with pytest.raises(Retryable, match="no API server of any voter says"):
        versions_beside(cluster, {}, 6443, told.append)
