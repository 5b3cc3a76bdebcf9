"""The control plane's own state before anything begins: versions, the database's room, certificates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from migration.clients.aws import Instance
from migration.clients.etcd import Etcd
from migration.contracts.gates import CertificatesLast, DatabaseFits, VersionsFit
from migration.etcd.quota import IN_USE, QUOTA, SIZE
from migration.etcd.served import Served
from migration.gates import CHECKS, Live, control_plane, members, run_checks
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, OutOfTime, Permanent, Retryable
from migration.stages import STAGES
from tests.samples import settings
from tests.unit.etcd.issuing import issued
from tests.unit.etcd.test_preflight import Voters

NOW = datetime.now(UTC)
GIB = 1024**3
VERSIONS = VersionsFit.of(settings(0), STAGES[0])
DATABASE = DatabaseFits.of(settings(0), STAGES[0])
CERTIFICATES = CertificatesLast.of(settings(0), STAGES[0])
NAMES = CERTIFICATES.api_names


def pem(*names: str, days: float = 300) -> str:
    return issued(*names, days=days, now=NOW)[0]


class NotThere(Exception):
    pass


C = TypeVar("C", bound="Cluster")


@dataclass
class Cluster(Voters):
    """Two voters at 10.0.9.10 and .11, their machines, what those serve, and SSM's parameters."""

    sizes: dict[int, tuple[float, float, float]] = field(
        default_factory=lambda: dict.fromkeys((10, 11), (2 * GIB, GIB, GIB / 2))
    )
    metric: Mapping[str, int] = field(default_factory=lambda: {QUOTA: 0, SIZE: 1, IN_USE: 2})
    machines: tuple[int, ...] = (10, 11)
    servers: dict[int, str] = field(default_factory=lambda: {10: "v1.34.1", 11: "v1.34.1"})
    shown: dict[tuple[int, int], str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    ca: str | None = None
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for one in (10, 11):
            own = f"10.0.9.{one}"
            self.shown |= {(one, 2379): pem(own, "127.0.0.1"), (one, 2380): pem(own), (one, 6443): pem(*NAMES, own)}
        prefix = CERTIFICATES.etcd.certificates
        self.parameters = {f"{prefix}/ca.crt": pem(days=3000), f"{prefix}/client.crt": pem()}
        self.ca = pem(days=3000)

    def post(self, endpoint: str, path: str, body: Any) -> dict[str, Any]:
        at = f"c{endpoint.removeprefix('https://10.0.9.').removesuffix(':2379').removeprefix('c')}"
        answer = super().post(at, path, body)
        for entry in answer.get("members", []):
            entry["peerURLs"] = [f"https://10.0.9.{entry['ID']}:2380"]
            entry["clientURLs"] = [f"https://10.0.9.{entry['ID']}:2379"]
        return answer

    def metrics(self, endpoint: str, name: str) -> list[str]:
        one = int(endpoint.removeprefix("https://10.0.9.").removesuffix(":2379"))
        if one not in self.sizes:
            raise Retryable("HTTP 503")
        return [f"{name} {self.sizes[one][self.metric[name]]}"] if name in self.metric else []

    # What a gate uses of AWS and of the API

    def instances_of_groups(self, groups: list[str]) -> list[Instance]:
        return [
            Instance(id=f"i-{one}", ip=f"10.0.9.{one}", zone="a", vpc="v", group=groups[0], state="running")
            for one in self.machines
        ]

    @property
    def ssm(self) -> Any:
        return self

    class exceptions:
        ParameterNotFound = NotThere

    def get_parameter(self, Name: str, WithDecryption: bool) -> dict[str, Any]:
        if Name not in self.parameters:
            raise NotThere(Name)
        return {"Parameter": {"Value": self.parameters[Name]}}

    def authority(self) -> str | None:
        return self.ca


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return cluster_of(Cluster(), monkeypatch)


def cluster_of(made: C, monkeypatch: pytest.MonkeyPatch) -> C:
    def version(self: Served, machine: Instance, port: int) -> str:
        one = int(machine.ip.rpartition(".")[2])
        if one not in made.servers:
            raise Retryable(f"which version the API server at {machine.ip}:{port} is of can't be read (HTTP 401)")
        return made.servers[one]

    def certificate(self: Served, machine: Instance, port: int, name: str) -> str:
        found = made.shown.get((int(machine.ip.rpartition(".")[2]), port))
        if found is None:
            raise Retryable(f"{machine.ip}:{port} shows no certificate (ConnectionRefusedError)")
        return found

    monkeypatch.setattr(members, "reach", lambda *_, **__: Etcd(["https://10.0.9.10:2379"], made))
    monkeypatch.setattr(Served, "version", version)
    monkeypatch.setattr(Served, "certificate", certificate)
    return made


def live(cluster: Cluster, seconds: float = 1) -> Live:
    clients: Any = type("Clients", (), {"aws": cluster, "kubernetes": cluster})()
    return Live("pet", Context(log=cluster.told.append, deadline=Deadline(seconds), clients=clients))


def look(cluster: Cluster, question: Any) -> str:
    return CHECKS[question.check](question, live(cluster))


def refused(cluster: Cluster, question: Any, kind: type[Exception] = Permanent) -> str:
    with pytest.raises(kind) as refusal:
        look(cluster, question)
    return str(refusal.value)


def test_they_are_asked_before_anything_begins_and_again_before_the_swaps() -> None:
    wanted = {"versions-fit", "database-fits", "certificates-last"}
    assert [row.number for row in STAGES if wanted <= {*row.gates_before}] == [0, 7]


def test_a_sound_control_plane_passes_and_says_what_was_seen(cluster: Cluster) -> None:
    assert look(cluster, VERSIONS) == "etcd 3.6.16, Kubernetes v1.34.1"
    assert look(cluster, DATABASE).startswith("m10: 1024 MiB (512 MiB in use), 50 % of its quota of 2048 MiB; m11: ")
    assert look(cluster, CERTIFICATES).startswith("9 certificates and CAs, the first to end on ")
    assert cluster.told == []


def test_all_three_refuse_at_once(cluster: Cluster) -> None:
    cluster.versions[11] = "3.6.12"
    cluster.sizes[10] = (2 * GIB, 2 * GIB, GIB / 2)
    cluster.shown[10, 2380] = pem("10.0.9.10", days=3)
    with pytest.raises(Permanent) as refusal:
        run_checks((VERSIONS, DATABASE, CERTIFICATES), live(cluster))
    said = str(refusal.value)
    for part in (
        "versions-fit: voters run",
        "database-fits: m10: 2048 MiB",
        "certificates-last: etcd's peer port of m10",
    ):
        assert part in said


def test_what_was_refused_before_is_told_though_the_next_only_runs_out_of_time(cluster: Cluster) -> None:
    cluster.versions[11] = "3.6.12"
    del cluster.sizes[10]
    with pytest.raises(OutOfTime, match=r"2 reasons:\n  - versions-fit: voters .*\n  - database-fits: gave up"):
        run_checks((VERSIONS, DATABASE), live(cluster))


# Versions


def test_mixed_versions_are_refused_together_with_what_cannot_be_read(cluster: Cluster) -> None:
    cluster.versions[11] = "3.6.12"
    del cluster.servers[10]
    said = refused(cluster, VERSIONS)
    assert said.startswith("voters run different versions of etcd: m10 3.6.16, m11 3.6.12")
    assert said.endswith("which version the API server at 10.0.9.10:6443 is of can't be read (HTTP 401)")


def test_an_api_server_that_cannot_be_asked_is_waited_for_and_never_left_out(cluster: Cluster) -> None:
    del cluster.servers[11]
    assert "10.0.9.11:6443" in refused(cluster, VERSIONS, Retryable)


def test_api_servers_of_two_minor_versions_are_refused(cluster: Cluster) -> None:
    cluster.servers[11] = "v1.33.4"
    assert "API servers run different minor versions of Kubernetes: m10 v1.34.1, m11 v1.33.4" in refused(
        cluster, VERSIONS
    )


def test_a_patch_apart_is_only_warned_of(cluster: Cluster) -> None:
    cluster.servers[11] = "v1.34.4"
    assert look(cluster, VERSIONS) == "etcd 3.6.16, Kubernetes v1.34.1, v1.34.4"
    assert cluster.told == ["warning: API servers run different versions of Kubernetes: m10 v1.34.1, m11 v1.34.4"]


@pytest.mark.parametrize("question", [VERSIONS, CERTIFICATES], ids=lambda question: question.check)
def test_a_voter_without_a_machine_of_the_groups_is_somebody_elses_or_gone(cluster: Cluster, question: Any) -> None:
    cluster.machines = (10,)
    said = refused(cluster, question, Retryable)
    assert said.startswith("no running machine of the members' groups is at the address of m11 at https://10.0.9.11")


def test_a_machine_whose_member_does_not_vote_is_not_asked(cluster: Cluster) -> None:
    cluster.machines = (10, 11, 12)  # a new member's, that waits
    assert look(cluster, VERSIONS) == "etcd 3.6.16, Kubernetes v1.34.1"
    assert look(cluster, CERTIFICATES).startswith("9 certificates")


# The database


@pytest.mark.parametrize(("share", "refuses"), [(0.79, None), (0.8, False), (0.94, False), (0.95, True), (1.2, True)])
def test_near_its_quota_it_is_warned_of_and_then_refused(cluster: Cluster, share: float, refuses: bool | None) -> None:
    cluster.sizes[11] = (1000 * GIB, share * 1000 * GIB, GIB)
    if refuses:
        said = refused(cluster, DATABASE)
        assert "95 % is too near: defragment, member after member and the leader last: etcdctl" in said
        assert "--endpoints=https://10.0.9.11:2379 defrag; or raise --quota-backend-bytes" in said
        assert "m10" not in said
    else:
        look(cluster, DATABASE)
        assert [line.partition(":")[0] for line in cluster.told] == ["warning"] * (refuses is False)


def test_without_a_quota_a_database_is_not_refused_and_that_is_said(cluster: Cluster) -> None:
    cluster.sizes[11] = (0, 9 * GIB, GIB)
    assert "m11: 9216 MiB (1024 MiB in use), no quota" in look(cluster, DATABASE)


def test_metrics_without_the_samples_refuse_with_a_sentence(cluster: Cluster) -> None:
    cluster.metric = {SIZE: 1, IN_USE: 2}
    said = refused(cluster, DATABASE)
    assert said.count(f"/metrics has no {QUOTA}; let etcd serve its own metrics") == 2
    assert said.startswith("how near m10's database is to its quota can't be told: https://10.0.9.10:2379/metrics")


def test_metrics_that_nobody_answers_are_waited_for(cluster: Cluster) -> None:
    del cluster.sizes[11]
    assert refused(cluster, DATABASE, Retryable) == ("how near m11's database is to its quota can't be asked: HTTP 503")


# Certificates


@pytest.mark.parametrize(
    ("port", "what", "file"),
    [
        (2379, "etcd's client port", "etcd/server.crt"),
        (2380, "etcd's peer port", "etcd/peer.crt"),
        (6443, "the API server", "apiserver.crt"),
    ],
)
def test_each_serving_certificate_is_held_to_its_end_and_its_names(
    cluster: Cluster, port: int, what: str, file: str
) -> None:
    cluster.shown[11, port] = pem("else", days=3)
    said = refused(cluster, CERTIFICATES)
    assert said.startswith(f"{what} of m11 at 10.0.9.11:{port}: ends too soon: on ")
    assert f"{what} of m11 at 10.0.9.11:{port}: its certificate lacks " in said
    assert f"renew it there (kubeadm has it in /etc/kubernetes/pki/{file})" in said
    assert "m10" not in said


def test_the_apis_certificate_must_have_its_name_and_its_services_address(cluster: Cluster) -> None:
    cluster.shown[10, 6443] = pem(NAMES[0], "10.0.9.10")
    assert f"its certificate lacks {NAMES[1]} (it has {NAMES[0]}, 10.0.9.10)" in refused(cluster, CERTIFICATES)


@pytest.mark.parametrize(
    ("name", "said"), [("ca.crt", "etcd's CA in"), ("client.crt", "the operator's etcd certificate in")]
)
def test_what_lies_in_ssm_is_looked_at_too(cluster: Cluster, name: str, said: str) -> None:
    key = f"{CERTIFICATES.etcd.certificates}/{name}"
    cluster.parameters[key] = pem(days=20)
    assert refused(cluster, CERTIFICATES).startswith(f"{said} {key}: ends too soon")
    del cluster.parameters[key]
    assert f"the SSM parameter {key} doesn't exist" in refused(cluster, CERTIFICATES)


def test_the_apis_ca_comes_from_the_kubeconfig_and_one_without_is_said(cluster: Cluster) -> None:
    cluster.ca = pem(days=80)
    assert "the API's CA in the kubeconfig: ends too soon" in refused(cluster, CERTIFICATES)
    cluster.ca = None
    assert look(cluster, CERTIFICATES).endswith("; the kubeconfig names no CA")


def test_a_longer_or_shorter_horizon_is_the_operators_choice(cluster: Cluster) -> None:
    cluster.shown[10, 2380] = pem("10.0.9.10", days=20)
    assert "30 days are wanted (migration:limits.certificateDays)" in refused(cluster, CERTIFICATES)
    assert look(cluster, CERTIFICATES.model_copy(update={"days": 10})).startswith("9 certificates")


def test_a_port_that_shows_nothing_is_waited_for_and_told_beside_what_is_refused(cluster: Cluster) -> None:
    del cluster.shown[11, 2380]
    assert refused(cluster, CERTIFICATES, Retryable) == (
        "etcd's peer port of m11: 10.0.9.11:2380 shows no certificate (ConnectionRefusedError)"
    )
    cluster.shown[10, 2379] = pem("10.0.9.10", days=1)
    said = refused(cluster, CERTIFICATES)
    assert "etcd's client port of m10" in said
    assert said.endswith("10.0.9.11:2380 shows no certificate (ConnectionRefusedError)")


def test_the_checks_are_where_gates_are_looked_up() -> None:
    assert CHECKS["versions-fit"] is control_plane.versions_fit


# Two API machines of the old side, .20 and .21, and one of the new that nobody has told of etcd's members yet, .22.
APART = {20: "api-a.pet", 21: "api-b.pet", 22: "api-a.pet-main"}


@dataclass
class Apart(Cluster):
    """The same with API servers on machines of their own; nothing serves the API on a voter's."""

    tags: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shown = {where: one for where, one in self.shown.items() if where[1] != 6443}
        self.shown |= {(one, 6443): pem(*NAMES, f"10.0.9.{one}") for one in (20, 21)}
        self.servers = {20: "v1.34.1", 21: "v1.34.1"}

    def instances_of_groups(self, groups: list[str]) -> list[Instance]:
        apart = [
            Instance(id=f"i-{one}", ip=f"10.0.9.{one}", zone="a", vpc="v", group=group, state="running")
            for one, group in APART.items()
            if group in groups
        ]
        return apart or super().instances_of_groups(groups)

    def groups(self, names: list[str]) -> dict[str, Any]:
        return {
            name: {"Tags": [{"Key": key, "Value": value} for key, value in self.tags.get(name, {}).items()]}
            for name in names
        }


def apart(question: Any) -> Any:
    servers = {"api-a.pet": "api-a", "api-b.pet": "api-b"}
    return question.model_copy(update={"old_servers": servers, "new_servers": {"api-a.pet-main": "api-a-main"}})


def test_api_servers_on_other_machines_are_asked_there_and_those_that_wait_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = cluster_of(Apart(), monkeypatch)
    assert look(made, apart(VERSIONS)).endswith("Kubernetes v1.34.1")
    assert look(made, apart(CERTIFICATES)).startswith("9 certificates and CAs")
    made.servers[21] = "v1.33.0"
    assert "v1.33.0" in refused(made, apart(VERSIONS))


def test_one_that_was_told_must_answer_on_either_side(monkeypatch: pytest.MonkeyPatch) -> None:
    made = cluster_of(Apart(), monkeypatch)
    made.parameters["/pet/members/api-a-main/ticket"] = "{}"
    assert "10.0.9.22:6443 is of can't be read" in refused(made, apart(VERSIONS), Retryable)


def test_one_of_the_old_side_that_comes_back_and_waits_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    made = cluster_of(Apart(), monkeypatch)
    del made.servers[20]
    assert "10.0.9.20:6443 is of can't be read" in refused(made, apart(VERSIONS), Retryable)
    note = '{"generation": "g", "version": "1", "over": null}'
    made.tags["api-a.pet"] = {"migration:returned": note}
    assert look(made, apart(VERSIONS)).endswith("Kubernetes v1.34.1")


def test_without_any_api_server_nothing_is_taken_for_well(monkeypatch: pytest.MonkeyPatch) -> None:
    made = cluster_of(Apart(), monkeypatch)
    question = apart(VERSIONS).model_copy(update={"old_servers": {}})
    assert "no API server can be asked" in refused(made, question, Retryable)
