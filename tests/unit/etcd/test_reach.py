"""How etcd is reached: by its client port, or on a member's own machine, where only reading is taken."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from migration.clients.aws import Instance
from migration.clients.etcd import Etcd
from migration.contracts.members import OnMachine
from migration.etcd import reach as room
from migration.etcd.over_ssm import OverSsm
from migration.etcd.reach import reach
from migration.runtime.deadline import Deadline, Permanent, Retryable
from migration.settings.model import Access, MemberFiles

MACHINES = {"10.0.0.1": "i-a", "10.0.0.2": "i-b"}
MEMBERS = {"members": [{"ID": "7", "name": "a", "clientURLs": ["https://10.0.0.1:2379"], "peerURLs": []}]}


@dataclass
class Machines:
    """As much of `Aws` as is used: machines, and commands that etcd answers with `status` and `answer`."""

    answer: str = json.dumps(MEMBERS)
    status: int = 200
    output: str | None = None
    state: str = "running"
    asked: list[tuple[str, list[Any]]] = field(default_factory=list)
    shown: list[list[str]] = field(default_factory=list)
    """With which files, on the machine."""

    def instances_of_groups(self, groups: list[str]) -> list[Instance]:
        return [
            Instance(id=id_, ip=ip, zone="a", vpc="v", group=groups[0], state=self.state)
            for ip, id_ in MACHINES.items()
        ]

    @property
    def ssm(self) -> Machines:
        return self

    def send_command(self, *, InstanceIds: list[str], Parameters: dict[str, list[str]], **_: Any) -> dict[str, Any]:
        first = Parameters["commands"][0].splitlines()[0]
        shown, question = (words := json.loads(shlex.split(first)[2]))[:3], words[3:]
        self.asked.append((InstanceIds[0], question))
        self.shown.append(shown)
        return {"Command": {"CommandId": "c"}}

    def get_command_invocation(self, **_: Any) -> dict[str, str]:
        said = json.dumps({"status": self.status, "text": self.answer, "seconds": 0.25})
        return {"Status": "Success", "StandardOutputContent": said if self.output is None else self.output}


class Refusing:
    """A transport behind which nobody answers."""

    closed = False

    def post(self, endpoint: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        raise Retryable(f"{endpoint} doesn't answer")

    def stream(self, endpoint: str, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        raise Retryable(f"{endpoint} doesn't answer")

    def metrics(self, endpoint: str, name: str) -> list[str]:
        raise Retryable(f"{endpoint} doesn't answer")

    def close(self) -> None:
        self.closed = True


class Answering(Refusing):
    """A transport on which every call is answered with the member list."""

    def post(self, endpoint: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return MEMBERS


def over_ssm(aws: Any) -> OverSsm:
    return OverSsm(aws, MACHINES, deadline=Deadline(5), alive=lambda: None)


def reached(aws: Any, access: Access) -> Etcd:
    return reach(
        aws,
        ["g"],
        access=access,
        client_port=2379,
        certificates="/c",
        on_machine=OnMachine.of(MemberFiles()),
        deadline=Deadline(5),
        alive=lambda: None,
    )


def test_etcd_is_asked_with_the_files_that_the_configuration_names() -> None:
    aws: Any = Machines()
    files = MemberFiles(etcd_ca="/srv/ca.pem", etcd_certificate="/srv/own.pem", etcd_key="/srv/own-key.pem")
    over = OverSsm(aws, MACHINES, deadline=Deadline(5), alive=lambda: None, files=OnMachine.of(files))
    over.post("https://10.0.0.2:2379", "maintenance/status", {})
    over_ssm(aws).post("https://10.0.0.2:2379", "maintenance/status", {})
    assert aws.shown == [
        ["/srv/ca.pem", "/srv/own.pem", "/srv/own-key.pem"],
        [
            "/etc/kubernetes/pki/etcd/ca.crt",
            "/etc/kubernetes/pki/apiserver-etcd-client.crt",
            "/etc/kubernetes/pki/apiserver-etcd-client.key",
        ],
    ]


def test_a_member_is_asked_on_its_own_machine_and_a_stranger_on_any() -> None:
    aws = Machines()
    over_ssm(aws).post("https://10.0.0.2:2379", "maintenance/status", {})
    over_ssm(aws).post("https://10.0.0.9:2379", "maintenance/alarm", {"action": "GET"})
    assert aws.asked == [
        ("i-b", ["10.0.0.2", 2379, "POST", "/v3/maintenance/status", {}, 1, ""]),
        ("i-a", ["10.0.0.9", 2379, "POST", "/v3/maintenance/alarm", {"action": "GET"}, 1, ""]),
    ]


def test_a_round_trip_is_measured_from_the_machine_that_is_named() -> None:
    aws = Machines()
    assert over_ssm(aws).round_trip("i-c", "https://10.0.0.1:2379") == 0.25
    assert [(machine, question[5]) for machine, question in aws.asked] == [("i-c", 6)]


def test_metrics_are_picked_on_the_machine() -> None:
    aws = Machines(answer="etcd_a 1\netcd_a 2")
    assert over_ssm(aws).metrics("https://10.0.0.2:2379", "etcd_a") == ["etcd_a 1", "etcd_a 2"]
    assert aws.asked == [("i-b", ["10.0.0.2", 2379, "GET", "/metrics", None, 1, "etcd_a"])]


@pytest.mark.parametrize("path", ["cluster/member/add", "cluster/member/remove", "cluster/member/promote"])
def test_no_change_travels_over_ssm(path: str) -> None:
    aws = Machines()
    with pytest.raises(Permanent, match=f"{path} changes etcd"):
        over_ssm(aws).post("https://10.0.0.1:2379", path, {})
    assert aws.asked == []


def test_no_snapshot_travels_over_ssm(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="access direct"):
        Etcd(["https://10.0.0.1:2379"], over_ssm(Machines())).snapshot(tmp_path / "db")


@pytest.mark.parametrize(
    ("aws", "said"),
    [
        (Machines(status=503, answer="no leader"), "says: no leader"),
        (Machines(status=0, answer="ConnectionRefusedError()"), "says: ConnectionRefusedError"),
        (Machines(output="bash: python3: command not found"), "can't be asked on i-a"),
        (Machines(output=""), "can't be asked on i-a"),
    ],
)
def test_what_a_machine_says_instead_of_an_answer_passes(aws: Machines, said: str) -> None:
    with pytest.raises(Retryable, match=said):
        over_ssm(aws).post("https://10.0.0.1:2379", "maintenance/status", {})


def test_where_the_client_port_answers_no_machine_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Machines()
    monkeypatch.setattr(room, Access.DIRECT, lambda *_: lambda endpoints: Etcd(endpoints, Answering()))
    assert [member.name for member in reached(aws, Access.DIRECT).members()] == ["a"]
    assert aws.asked == []


def test_where_the_client_port_is_closed_the_machines_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    aws, refusing = Machines(), Refusing()
    monkeypatch.setattr(room, Access.DIRECT, lambda *_: lambda endpoints: Etcd(endpoints, refusing))
    with reached(aws, Access.DIRECT) as etcd:
        assert [member.name for member in etcd.members()] == ["a"]
    assert refusing.closed
    assert [question[2] for _, question in aws.asked] == ["POST"]


def test_with_access_ssm_no_certificate_is_needed() -> None:
    assert [member.name for member in reached(Machines(), Access.SSM).members()] == ["a"]


def test_without_a_running_machine_there_is_nobody_to_ask() -> None:
    with pytest.raises(Retryable, match="no member's machine is running"):
        reached(Machines(state="pending"), Access.SSM)
