"""A bare cluster's parts by themselves: certificates, flags, names, and the endpoint that spreads."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from lab.addresses import LOOPBACK
from lab.bare import commands
from lab.bare.cluster import GROUPS, bare, free_ports, group_of, names
from lab.bare.commands import Ports
from lab.bare.entry import spread
from lab.bare.nodes import node
from lab.bare.pki import Pki
from lab.machines.kwok import stages
from lab.toolchain.errors import MissingTool

PORTS = Ports(client=(1, 2, 3), peer=(4, 5, 6), api=(7, 8, 9), entry=10)


def _usages(path: Path) -> set[x509.ObjectIdentifier]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_every_connection_can_be_authenticated_both_ways(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    pki.write()
    server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
    assert _usages(tmp_path / "apiserver.crt") == {server}
    assert _usages(tmp_path / "etcd.crt") == {server, client}
    assert _usages(tmp_path / "apiserver-etcd-client.crt") == {client}
    certificate = x509.load_pem_x509_certificate((tmp_path / "etcd.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == [LOOPBACK]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_each_api_server_asks_its_own_member_first() -> None:
    flags = commands.apiserver(Path, Pki(Path("pki")), PORTS, 1)
    assert "--etcd-servers=https://127.0.0.1:2,https://127.0.0.1:3,https://127.0.0.1:1" in flags
    assert "--secure-port=8" in flags


def test_everything_listens_on_loopback_only() -> None:
    pki = Pki(Path("pki"))
    flags = [*commands.etcd(Path, pki, Path("data"), PORTS, 0), *commands.apiserver(Path, pki, PORTS, 0)]
    listening = [flag for flag in flags if flag.startswith(("--listen-", "--bind-address"))]
    assert len(listening) == 3
    assert all(LOOPBACK in flag for flag in listening)
    quiet = [*commands.controller_manager(Path, pki, Path("k")), *commands.scheduler(Path, Path("k"))]
    assert quiet.count("--secure-port=0") == 2


def test_every_process_is_of_a_known_group() -> None:
    assert {group_of(name) for name in names()} == set(GROUPS)
    assert (group_of("api-2"), group_of("controller-manager")) == ("api", "controller-manager")


def test_free_ports_are_different_ones() -> None:
    assert len(set(free_ports(10))) == 10


def test_a_missing_tool_is_said_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingTool, match="make setup"), bare(tmp_path, print):
        pass
    assert not (tmp_path / "bare").exists()


def test_a_node_holds_what_a_kubelet_does() -> None:
    made = node("old-001", {"bench/side": "old"}, number=300)
    assert made["status"]["allocatable"]["pods"] == "110"
    assert made["status"]["addresses"][0]["address"] == "10.200.1.51"


def test_a_pod_may_say_how_long_it_takes_to_start() -> None:
    [ready] = [
        stage
        for stage in yaml.safe_load_all(stages(0.5))
        if stage["kind"] == "Stage" and stage["metadata"]["name"] == "pod-ready"
    ]
    assert ready["spec"]["delay"]["durationMilliseconds"] == 500
    assert "lab/start" in ready["spec"]["delay"]["durationFrom"]["expressionFrom"]


def test_connections_go_to_each_target_in_turn() -> None:
    async def whole() -> list[bytes]:
        entry, *targets = free_ports(4)
        servers = [await asyncio.start_server(_says(str(port).encode()), LOOPBACK, port) for port in targets]
        task = asyncio.create_task(spread(entry, targets))
        await asyncio.sleep(0)
        answers: list[bytes] = []
        for _ in range(6):
            reader, writer = await asyncio.open_connection(LOOPBACK, entry)
            answers.append(await reader.read())
            writer.close()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for server in servers:
            server.close()
        assert answers[:3] == [str(port).encode() for port in targets]
        return answers

    answers = asyncio.run(whole())
    assert answers[3:] == answers[:3]


def _says(word: bytes):
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(word)
        await writer.drain()
        writer.close()

    return handle


def test_an_entry_that_cant_listen_says_so() -> None:
    async def twice() -> None:
        server = await asyncio.start_server(_says(b""), LOOPBACK, 0)
        port = server.sockets[0].getsockname()[1]
        try:
            await spread(port, [1])
        finally:
            server.close()

    with pytest.raises(OSError, match="port"):
        asyncio.run(twice())
