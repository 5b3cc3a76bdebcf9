"""What machines of the new VPC reach is tried by the very command that they get: it runs here, against loopback."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pydantic import TypeAdapter, ValidationError

from migration.clients.aws import Instance
from migration.clients.kubernetes import NODES, Kind
from migration.contracts.gates import NewMachinesReach
from migration.gates import Live, look, reach
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable
from migration.settings.model import Door

NEW, OLD, MEMBER = "i-new", "i-old", "i-member"
GROUPS = {"new": (NEW, "127.0.0.2"), "old": (OLD, "127.0.0.3"), "members": (MEMBER, "127.0.0.4")}


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def pod(node: str, image: str, *, ip: str = "127.0.0.5", port: int | None = None, **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"image": image}
    if port is not None:
        container["ports"] = [{"containerPort": port}]
    return {
        "metadata": {"name": "web"},
        "spec": {"nodeName": node, "containers": [container], **spec},
        "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]},
    }


@dataclass
class World:
    """A machine of each kind. What a machine doesn't reach are ports that its commands find closed (`shut`)."""

    door: int
    pods: list[dict[str, Any]]
    shut: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    gone: set[str] = field(default_factory=set[str])
    agentless: set[str] = field(default_factory=set[str])
    nodes: tuple[str, ...] = tuple(GROUPS)
    region: str = "eu-central-1"
    ran: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    answer: str | None = None

    def instances_of_groups(self, groups: Any) -> list[Instance]:
        return [
            Instance(id=GROUPS[one][0], ip=GROUPS[one][1], zone="a", vpc="v", group=one, state="running")
            for one in groups
            if GROUPS[one][0] not in self.gone
        ]

    def list(self, kind: Kind) -> list[dict[str, Any]]:
        if kind is not NODES:
            return self.pods
        return [
            # Its address is another one of its machine's than EC2 calls the first.
            {
                "metadata": {"name": one},
                "spec": {"providerID": f"aws:///a/{GROUPS[one][0]}"},
                "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.9"}]},
            }
            for one in self.nodes
        ]

    @property
    def sts(self) -> Any:
        return SimpleNamespace(get_caller_identity=lambda: {"Account": "123456789012"})

    @property
    def ssm(self) -> Any:
        return self

    def send_command(self, *, InstanceIds: list[str], Parameters: dict[str, list[str]], **_: Any) -> Any:
        if InstanceIds[0] in self.agentless:
            raise ClientError({"Error": {"Code": "InvalidInstanceId", "Message": "not valid"}}, "SendCommand")
        command = Parameters["commands"][0]
        for port in self.shut.get(InstanceIds[0], ()):
            command = command.replace(f", {port}]", ", 1]")
        self.ran.append((InstanceIds[0], command))
        return {"Command": {"CommandId": "c"}}

    def get_command_invocation(self, **_: Any) -> dict[str, str]:
        if self.answer is not None:
            return {"Status": "Success", "StandardOutputContent": self.answer}
        done = subprocess.run(["bash", "-c", self.ran[-1][1]], capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return {"Status": "Success", "StandardOutputContent": done.stdout}

    def ask(self, **changed: Any) -> str:
        question = NewMachinesReach.model_validate(
            {
                "by": "ssm",
                "zones": ("a",),
                "new_groups": ("new",),
                "old_groups": ("old",),
                "member_groups": ("members",),
                "api": "localhost",
                "names": (),
                "reach": (),
                "connected": (),
                "resolver_rules": (),
                **changed,
            }
        )
        clients: Any = SimpleNamespace(aws=self, kubernetes=self)
        return look(question, Live("pet", Context(log=lambda _: None, deadline=Deadline(5), clients=clients)))


def no_apis(live: Live) -> Iterator[str]:
    yield from ()


def here(live: Live) -> str:
    return "localhost"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Everything answers; kubelets, pods and the registry each at a port of their own, on every loopback address."""
    monkeypatch.setattr(reach, "SECONDS", 2.0)
    monkeypatch.setattr(reach, "ASKING_SECONDS", 10.0)
    monkeypatch.setattr(reach, "apis", no_apis)
    listening = [socket.create_server(("0.0.0.0", 0)) for _ in range(3)]
    kubelet, at_pod, registry = (one.getsockname()[1] for one in listening)
    monkeypatch.setattr(reach, "KUBELET", kubelet)
    monkeypatch.setattr(reach, "registry_of_account", here)
    monkeypatch.setattr(reach, "HTTPS", registry)
    image = f"localhost:{registry}/web:1"
    monkeypatch.setattr(reach, "SCRIPT", reach.SCRIPT.replace('"TLS"', '"NEVER"'))
    yield World(door=at_pod, pods=[pod(one, image, port=at_pod) for one in GROUPS])
    for one in listening:
        one.close()


def test_everything_that_answers_is_counted_and_what_can_not_be_tried_is_said(world: World) -> None:
    said = world.ask(connected=("corp",), resolver_rules=("rslvr-rr-1",))
    assert said.startswith("6 ways were tried from i-new (a), i-member (a); untested: connected networks (corp)")
    assert said.endswith("names of resolver rules (rslvr-rr-1), which aren't known")


def test_skipping_says_that_nothing_was_tried(world: World) -> None:
    assert "nothing was tried" in world.ask(by="skip")
    assert world.ran == []


def test_egress_without_the_registrys_port_is_refused_by_name(world: World) -> None:
    port = reach.HTTPS
    world.shut[NEW] = {port}
    with pytest.raises(Retryable, match=rf"i-new \(a\) doesn't reach the registry localhost:{port}: .*refused.*egress"):
        world.ask()


def test_what_the_old_side_does_not_reach_either_is_said_and_no_reason_to_refuse(world: World) -> None:
    world.shut = {NEW: {reach.HTTPS}, MEMBER: {reach.HTTPS}}
    assert f"the other side doesn't reach either: the registry localhost:{reach.HTTPS}" in world.ask()


def test_kubelets_must_answer_both_ways(world: World) -> None:
    world.shut = {NEW: {reach.KUBELET}}
    with pytest.raises(Retryable, match=r"i-new \(a\) doesn't reach kubelets of old nodes 127\.0\.0\.3"):
        world.ask()
    world.shut = {MEMBER: {reach.KUBELET}}
    with pytest.raises(Retryable, match=r"i-member \(a\) doesn't reach the new node's kubelet 127\.0\.0\.2"):
        world.ask()


def test_pods_of_the_other_side_must_answer(world: World) -> None:
    world.shut = {NEW: {world.door}}
    with pytest.raises(Retryable, match=r"i-new \(a\) doesn't reach pods of old nodes 127\.0\.0\.5"):
        world.ask()
    world.shut = {MEMBER: {world.door}}
    with pytest.raises(Retryable, match=r"i-member \(a\) doesn't reach pods of new nodes"):
        world.ask()


def test_one_of_several_pods_is_enough_and_those_without_a_port_are_said_untested(world: World) -> None:
    world.pods.append(pod("old", "localhost/x", port=free()))
    assert "6 ways" in world.ask()
    world.pods = [pod("old", "localhost/x", port=world.door, hostNetwork=True)]
    assert "pods of old nodes, where none is ready with a TCP port" in world.ask()


def test_an_old_member_that_is_no_node_has_no_way_to_pods(world: World) -> None:
    world.nodes = ("new", "old")
    assert "untested: the way from old nodes to new pods, i-member being no node" in world.ask()


def test_configured_targets_and_the_apis_name_must_answer_whatever_the_old_side_sees(world: World) -> None:
    nobody = free()
    with pytest.raises(Retryable, match=rf"doesn't reach migration:sides.<new>.reach 127\.0\.0\.1:{nobody}"):
        world.ask(reach=(f"127.0.0.1:{nobody}",))
    with pytest.raises(Retryable, match=r"doesn't reach the API's name api\.pet\.invalid"):
        world.ask(api="api.pet.invalid")
    # A name that resolves nowhere is no name that the new VPC lacks; of a wildcard a name is tried.
    assert "doesn't reach either: the name migration-tries.pet.invalid" in world.ask(names=("*.pet.invalid",))


def test_a_machine_without_an_agent_is_named_with_the_remedy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "ASKING_SECONDS", 0.5)
    world.agentless = {NEW}
    with pytest.raises(Permanent, match=r"doesn't reach i-new of new in a .*SSM agent.*tryFromMachines: skip"):
        world.ask()


def test_an_answer_that_is_cut_or_of_something_else_is_no_success(world: World) -> None:
    for text in ("", "{", "[]", '{"tried": 1, "wrong": {}}'):
        world.answer = text
        with pytest.raises(Permanent, match="i-new"):
            world.ask()


def test_where_no_machine_runs_nothing_is_taken_for_well(world: World) -> None:
    world.gone = {NEW}
    with pytest.raises(Retryable, match="no machine of new runs"):
        world.ask()
    world.gone = {MEMBER}
    with pytest.raises(Permanent, match="no machine of members runs"):
        world.ask()
    world.gone = set()
    assert "zone b, where no new machine runs" in world.ask(zones=("a", "b"))


@pytest.mark.parametrize(
    ("image", "host", "port"),
    [
        ("nginx", "registry-1.docker.io", 443),
        ("library/nginx:1", "registry-1.docker.io", 443),
        ("docker.io/library/nginx@sha256:0", "registry-1.docker.io", 443),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io", 443),
        ("registry.corp:5000/a/b:1", "registry.corp", 5000),
        ("localhost/a", "localhost", 443),
        ("1.dkr.ecr.eu-central-1.amazonaws.com/a", "1.dkr.ecr.eu-central-1.amazonaws.com", 443),
    ],
)
def test_an_images_name_says_its_registry(image: str, host: str, port: int) -> None:
    assert reach.registry_of(image) == (host, port)


@pytest.mark.parametrize(
    ("region", "api", "registry"),
    [
        ("eu-central-1", "api.ecr.eu-central-1.amazonaws.com", "1.dkr.ecr.eu-central-1.amazonaws.com"),
        ("cn-north-1", "api.ecr.cn-north-1.amazonaws.com.cn", "1.dkr.ecr.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_apis_have_their_partitions_names(region: str, api: str, registry: str) -> None:
    identity = SimpleNamespace(get_caller_identity=lambda: {"Account": "1"})
    live: Any = SimpleNamespace(aws=SimpleNamespace(region=region, sts=identity))
    found = list(reach.apis(live))
    assert api in found
    assert len(found) == len(reach.SERVICES)
    assert reach.registry_of_account(live) == registry


@pytest.mark.parametrize("text", ["10.40.0.10", "db:0", "db:65536", "db:", ":5432", "db'; reboot:22", "tcp://db:5432"])
def test_a_target_is_a_host_with_a_port(text: str) -> None:
    known: TypeAdapter[str] = TypeAdapter(Door)
    assert known.validate_python("10.40.0.10:5432") == "10.40.0.10:5432"
    with pytest.raises(ValidationError, match="is no host with a port"):
        known.validate_python(text)
