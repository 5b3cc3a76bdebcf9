"""Every listener of the new balancers is tried by a real connection: on loopback, as the balancers' addresses."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from migration.clients.aws import Instance
from migration.contracts.gates import BalancerRef, NewBalancersAnswer, SideRef
from migration.gates import Live, answers, look
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable
from tests.unit.etcd.issuing import issued


def balancer(name: str) -> BalancerRef:
    return BalancerRef(arn=f"arn:x:loadbalancer/net/{name}/1", dns_name=f"{name}.elb.example", target_groups=("tg",))


@dataclass
class World:
    """Two balancers with one address on loopback; commands of machines run here."""

    listeners: dict[str, list[tuple[int, str]]]
    address: bool = True
    running: tuple[str, ...] = ("i-a",)
    ran: list[str] = field(default_factory=list)

    @property
    def elbv2(self) -> Any:
        def described(LoadBalancerArn: str) -> Any:
            name = LoadBalancerArn.split("/")[-2]
            return {"Listeners": [{"Port": port, "Protocol": way} for port, way in self.listeners[name]]}

        return SimpleNamespace(describe_listeners=described)

    @property
    def ec2(self) -> Any:
        found = [{"PrivateIpAddress": "127.0.0.1"}] if self.address else []

        def interfaces(Filters: list[dict[str, Any]]) -> Any:
            assert Filters[0]["Values"][0] in ("ELB net/web/1", "ELB net/api/1")
            return {"NetworkInterfaces": found}

        return SimpleNamespace(describe_network_interfaces=interfaces)

    def instances_of_groups(self, groups: Any) -> list[Instance]:
        return [
            Instance(id=one, ip="10.0.0.1", zone="a", vpc="v", group=next(iter(groups)), state="running")
            for one in self.running
        ]

    @property
    def ssm(self) -> World:
        return self

    def send_command(self, *, Parameters: dict[str, list[str]], **_: Any) -> dict[str, Any]:
        self.ran.append(Parameters["commands"][0])
        return {"Command": {"CommandId": "c"}}

    def get_command_invocation(self, **_: Any) -> dict[str, str]:
        done = subprocess.run(["bash", "-c", self.ran[-1]], capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return {"Status": "Success", "StandardOutputContent": done.stdout}

    def ask(self, *, from_here: bool = True) -> str:
        clients: Any = SimpleNamespace(aws=self, kubernetes=None)
        new = SideRef(
            name="main", suffix="-main", cidr="10.1.0.0/16", vpc_id="v", ingress=balancer("web"), api=balancer("api")
        )
        question = NewBalancersAnswer(new=new, from_here=from_here, member_groups=("masters",))
        return look(question, Live("pet", Context(log=lambda _: None, deadline=Deadline(5), clients=clients)))


@pytest.fixture
def door() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SECONDS", 1.0)


def test_listeners_that_take_connections_answer_and_udp_is_said_not_to_be_tried(door: int, server: Any) -> None:
    world = World({"web": [(door, "TCP"), (53, "UDP")], "api": [(server, "TCP")]})
    assert world.ask() == "2 listeners' addresses answer this machine; not tried, being UDP: ingress 53"
    assert world.ran == []


def test_one_that_doesnt_is_named_with_its_address(door: int, server: Any) -> None:
    nobody = closed()
    world = World({"web": [(door, "TCP"), (nobody, "TCP")], "api": [(server, "TCP")]})
    with pytest.raises(Retryable, match=rf"ingress 127\.0\.0\.1:{nobody} .*refused.* don't answer this machine"):
        world.ask()


def test_the_api_and_tls_listeners_must_speak_tls(door: int) -> None:
    # A port that takes connections and never answers a handshake is no API.
    world = World({"web": [(door, "TCP")], "api": [(door, "TCP")]})
    with pytest.raises(Retryable, match=rf"api 127\.0\.0\.1:{door}"):
        world.ask()


def test_without_a_way_from_here_members_machines_are_asked(door: int, server: Any) -> None:
    world = World({"web": [(door, "TCP")], "api": [(server, "TCP")]})
    assert world.ask(from_here=False) == "2 listeners' addresses answer i-a"
    assert len(world.ran) == 1
    world.listeners["web"] = [(closed(), "TCP")]
    with pytest.raises(Retryable, match="don't answer i-a"):
        world.ask(from_here=False)
    world.running = ()
    with pytest.raises(Permanent, match="no machine of masters runs from which the new balancers could be tried"):
        world.ask(from_here=False)


def test_a_balancer_without_an_address_answers_nobody(door: int) -> None:
    with pytest.raises(Retryable, match="has no address yet"):
        World({"web": [(door, "TCP")], "api": []}, address=False).ask()


@pytest.fixture
def server(tmp_path: Any) -> Iterator[int]:
    """A port that speaks TLS."""
    pem, key = issued("127.0.0.1", "api.pet", days=300)
    (tmp_path / "crt").write_text(pem)
    (tmp_path / "key").write_text(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                taken, _ = listening.accept()
                context.wrap_socket(taken, server_side=True).close()
            except (ssl.SSLError, ConnectionError):
                continue
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1]
    listening.close()
