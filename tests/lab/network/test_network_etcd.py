"""Three real etcd members behind the forwarder, with certificates that name their own address only."""

from __future__ import annotations

import asyncio
import base64
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from lab.network.fabric import Pair
from tests.lab.network.pki import Authority
from tests.lab.network.world import Net, World, network, tool

pytestmark = pytest.mark.lab

MEMBERS = ["127.17.1.4", "127.17.2.4", "127.17.3.4"]


def start_member(ip: str, folder: Path, initial: str) -> subprocess.Popen[bytes]:
    """As the supervisor starts it: advertised on the public ports, listening on the hidden ones of its own address."""
    pki = str(folder / "pki")
    command = [
        tool("etcd"), "--name", ip, "--data-dir", str(folder / "data"), "--log-level", "error",
        "--listen-peer-urls", f"https://{ip}:12380", "--initial-advertise-peer-urls", f"https://{ip}:2380",
        "--listen-client-urls", f"https://{ip}:12379", "--advertise-client-urls", f"https://{ip}:2379",
        "--initial-cluster", initial, "--initial-cluster-state", "new", "--unsafe-no-fsync",
        "--peer-client-cert-auth", "--peer-trusted-ca-file", f"{pki}/ca.crt",
        "--peer-cert-file", f"{pki}/tls.crt", "--peer-key-file", f"{pki}/tls.key",
        "--client-cert-auth", "--trusted-ca-file", f"{pki}/ca.crt",
        "--cert-file", f"{pki}/tls.crt", "--key-file", f"{pki}/tls.key",
    ]  # fmt: skip
    log = (folder / "log").open("wb")
    return subprocess.Popen(command, env={"LAB_MACHINE_IP": ip}, stdout=log, stderr=log, cwd=folder)


class Client:
    """Speaks the JSON gateway from a member's address, through the forwarder."""

    def __init__(self, ip: str, pki: Path) -> None:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(str(pki / "tls.crt"), str(pki / "tls.key"))
        transport = httpx.AsyncHTTPTransport(verify=context, local_address=ip)
        self._http = httpx.AsyncClient(base_url=f"https://{ip}:2379", transport=transport, timeout=8)

    async def put(self, key: str, timeout_s: float = 8) -> bool:
        body = {k: base64.b64encode(v.encode()).decode() for k, v in (("key", key), ("value", "x"))}
        try:
            answer = await self._http.post("/v3/kv/put", json=body, timeout=timeout_s)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[tuple[Net, dict[str, Client]]]:
    world, authority = World(), Authority()
    for ip in MEMBERS:
        world.instance(ip)
        authority.write(folder / ip / "pki", [ip])
    initial = ",".join(f"{ip}=https://{ip}:2380" for ip in MEMBERS)
    async with network(world) as net:
        members = [start_member(ip, folder / ip, initial) for ip in MEMBERS]
        try:
            yield net, {ip: Client(ip, folder / ip / "pki") for ip in MEMBERS}
        finally:
            for member in members:
                member.kill()
            for member in members:
                member.wait()


async def until_written(client: Client, key: str) -> None:
    for _ in range(60):
        if await client.put(key, timeout_s=2):
            return
        await asyncio.sleep(0.25)
    raise AssertionError(f"{key} was never written")


def test_members_with_own_address_certificates_form_and_a_cut_member_is_lost_and_comes_back(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path) as (net, clients):
            one, two, three = MEMBERS
            for ip in MEMBERS:
                await until_written(clients[ip], f"formed-{ip}")
            peers = {(h.source, h.target) for f in net.fabric.flows for h in f.plan.hops if h.port == 2380}
            assert {(a, b) for a in MEMBERS for b in MEMBERS if a != b} <= peers  # each as itself, through here

            for other in (one, two):
                assert net.fabric.set_pair(three, other, Pair(cut=True)) > 0
            await until_written(clients[one], "without-three")
            assert not await clients[three].put("alone", timeout_s=3)

            for other in (one, two):
                net.fabric.set_pair(three, other, Pair())
            await until_written(clients[three], "back")

    asyncio.run(scenario())
