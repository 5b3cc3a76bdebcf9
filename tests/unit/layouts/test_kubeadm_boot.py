"""A kubeadm member's boot as its user data brings it, on a machine whose root is a folder and whose programs tell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lab.machines.reroot import reroot
from migration.layouts.contract import NewMachine
from migration.layouts.kubeadm import CONFIGURATION, PROGRAMS, Kubeadm
from migration.settings.model import Pki, Units
from tests.unit.etcd.boot_script import Waits
from tests.unit.layouts.clusters import encoded, files_of
from tests.unit.layouts.kubeadm_clusters import NEW, cluster, init, kubelet, user_data

PLAIN = user_data(init(), cluster())
KEYS = (
    "ca.crt",
    "ca.key",
    "etcd-ca.crt",
    "etcd-ca.key",
    "front-proxy-ca.crt",
    "front-proxy-ca.key",
    "sa.key",
    "sa.pub",
)
PODS = {"etcd local": ("etcd",), "control-plane all": ("kube-apiserver", "kube-controller-manager", "kube-scheduler")}
JOINED = {"initial_cluster": "a=https://a:2380,master-a-main=https://10.0.0.4:2380", "state": "existing"}


class Parameters:
    """Systems Manager."""

    class exceptions:
        class ParameterNotFound(Exception):
            pass

    def __init__(self, **values: str) -> None:
        self.values = values

    def get_parameter(self, Name: str, WithDecryption: bool) -> dict[str, Any]:
        if Name not in self.values:
            raise self.exceptions.ParameterNotFound
        return {"Parameter": {"Value": self.values[Name]}}


class Machine:
    """The boot's two programs, rerooted, and what its machine's programs were told, in order."""

    def __init__(self, root: Path, text: str, pki: Pki, **changes: Any) -> None:
        units = Units.model_validate(changes.pop("units", {}))
        order = NewMachine(original=encoded(text), identity=replace(NEW, **changes), units=units, pki=pki)
        written = files_of(Kubeadm().user_data(order))
        self.root, self.told = root, list[str]()
        self.results: dict[str, tuple[int, str]] = {}
        self.runs = dict[str, bool]()
        for path, content in written.items():
            self.at(path).parent.mkdir(parents=True, exist_ok=True)
            self.at(path).write_text(reroot(content, root))
        self.at("/var/lib/etcd").mkdir(parents=True)
        self.member = self._load("member")
        self.boot = self._load("kubeadm")

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _load(self, name: str) -> Any:
        path = self.at(f"{PROGRAMS}/{name}.py")
        module: Any = ModuleType(name)
        sys.modules[name] = module
        exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
        module.subprocess = self
        return module

    # As `subprocess`, for the two programs.
    PIPE, STDOUT, DEVNULL = subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL
    CalledProcessError = subprocess.CalledProcessError

    def run(self, words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        line = " ".join(words).replace(f"{self.root}/", "/")
        self.told.append(line)
        for begin, (code, said) in self.results.items():
            if line.startswith(begin):
                return subprocess.CompletedProcess(words, code, said)
        for name, pods in PODS.items():
            if line.startswith(f"kubeadm init phase {name}"):
                self.at("/etc/kubernetes/manifests").mkdir(exist_ok=True)
                for pod in pods:
                    self.at(f"/etc/kubernetes/manifests/{pod}.yaml").write_text(json.dumps(self.filled()))
        said = "v1.34.1\n" if line.startswith("kubeadm version") else ""
        return subprocess.CompletedProcess(words, 0, said)

    def filled(self) -> dict[str, dict[str, Any]]:
        text = self.at("/etc/kubernetes/kubeadm-member-filled.yaml").read_text()
        return {one["kind"]: one for one in map(json.loads, text.split("\n---\n"))}

    def phases(self) -> list[str]:
        return [one.split(" phase ")[1].split(" --")[0] for one in self.told if one.startswith("kubeadm init phase")]

    def etcd_flags(self) -> dict[str, str]:
        return dict(self.boot.flags(self.filled()["ClusterConfiguration"]["etcd"]["local"]))


Maker = Callable[..., Machine]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    def made(text: str = PLAIN, pki: Pki | None = None, **changes: Any) -> Machine:
        monkeypatch.setenv("MEMBER_IDENTITY", str(tmp_path / "etc/kubernetes/member.json"))
        machine = Machine(tmp_path, text, pki or Pki(), **changes)
        monkeypatch.setattr(machine.member.time, "sleep", lambda _: None)
        return machine

    yield made
    sys.modules.pop("member", None)
    sys.modules.pop("kubeadm", None)


def waiting_ends(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    def sleep(_: float) -> None:
        raise Waits

    monkeypatch.setattr(machine.member.time, "sleep", sleep)


def pki_parameters(prefix: str = "/pet/pki") -> Parameters:
    return Parameters(**{f"{prefix}/{name}": name for name in (*KEYS, "encryption.yaml")})


# Where the cluster's keys come from


class Elsewhere:
    """boto3 with S3 and Secrets Manager of a machine's role."""

    def Session(self, region_name: str) -> Elsewhere:
        return self

    def client(self, service: str) -> Elsewhere:
        return self

    def get_secret_value(self, SecretId: str) -> dict[str, str]:
        assert SecretId.startswith("pet/pki/")
        return {"SecretString": SecretId.rsplit("/", 1)[-1]}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        assert (Bucket, Key[:8]) == ("keys", "pet/pki/")
        name = Key.rsplit("/", 1)[-1]

        class Body:
            @staticmethod
            def read() -> bytes:
                return name.encode()

        return {"Body": Body}


@pytest.mark.parametrize("pki", [Pki(), Pki(source="secrets-manager"), Pki(source="s3", bucket="keys")])
def test_every_source_lays_keys_where_kubeadm_looks_for_them_and_only_its_own_user_reads_them(
    make: Maker, pki: Pki
) -> None:
    machine = make(pki=pki)
    machine.member.boto3 = Elsewhere()
    machine.boot.keys(pki_parameters() if pki.source == "ssm" else None, "n", "10.0.0.4")
    folder = machine.at("/etc/kubernetes/pki")
    there = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    assert {name: file.read_text() for name, file in there.items()} == {
        **{f"{name}.{kind}": f"{name}.{kind}" for name in ("ca", "front-proxy-ca") for kind in ("crt", "key")},
        **{f"etcd/ca.{kind}": f"etcd-ca.{kind}" for kind in ("crt", "key")},
        **{f"sa.{kind}": f"sa.{kind}" for kind in ("key", "pub")},
    }
    assert {file.stat().st_mode & 0o777 for name, file in there.items() if name.endswith(".key")} == {0o600}


def test_an_image_that_brings_keys_is_waited_for(make: Maker) -> None:
    machine = make(pki=Pki(source="image"))
    names = iter(("ca.crt", "etcd/ca.crt", "front-proxy-ca.crt", "sa.key", "sa.pub"))

    def sleep(_: float) -> None:
        machine.boot.put(machine.at(f"/etc/kubernetes/pki/{next(names)}"), "")

    machine.member.time.sleep = sleep
    machine.boot.keys(None, "n", "10.0.0.4")
    assert list(names) == []


OPENED = {"/pet/kubeadm/certificate-key": "k3y", "/pet/kubeadm/token": "a.b", "/pet/kubeadm/ca-cert-hash": "sha256:1"}


def test_kubeadms_upload_is_downloaded_by_kubeadm_with_a_file_that_goes_at_once(make: Maker) -> None:
    machine, given = make(pki=Pki(source="kubeadm")), list[dict[str, Any]]()
    ran = machine.run

    def run(words: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
        if "download-certs" in words:
            given.append(json.loads(machine.boot.JOINING.read_text()))
            assert machine.boot.JOINING.stat().st_mode & 0o777 == 0o600
        return ran(words, **how)

    machine.run = run
    machine.boot.keys(Parameters(**OPENED), "node", "10.0.0.4")
    assert machine.told[-1] == (
        "kubeadm join phase control-plane-prepare download-certs --config=/run/kubeadm-member-join.yaml"
    )
    token = {"token": "a.b", "apiServerEndpoint": "api.pet.lab:6443", "caCertHashes": ["sha256:1"]}
    assert given == [
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "JoinConfiguration",
            "discovery": {"bootstrapToken": token},
            "nodeRegistration": {"name": "node"},
            "controlPlane": {
                "localAPIEndpoint": {"advertiseAddress": "10.0.0.4", "bindPort": 6443},
                "certificateKey": "k3y",
            },
        }
    ]
    assert not machine.boot.JOINING.exists()


def test_an_upload_that_cannot_be_opened_says_what_makes_a_new_one_and_is_tried_again(
    make: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = make(pki=Pki(source="kubeadm"))
    machine.results["kubeadm join phase"] = (1, 'secrets "kubeadm-certs" not found\n')
    assert machine.boot.downloaded(Parameters(**OPENED), "n", "10.0.0.4") is False
    told = capsys.readouterr().out
    assert "not found" in told and "kubeadm init phase upload-certs --upload-certs" in told
    assert "/pet/kubeadm/certificate-key and /token" in told and "k3y" not in told
    assert not machine.boot.JOINING.exists()
    less = {name: value for name, value in OPENED.items() if "token" not in name}
    assert machine.boot.downloaded(Parameters(**less), "n", "10.0.0.4") is False
    assert "/pet/kubeadm/token isn't there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (user_data(init(), cluster(controlPlaneEndpoint="api.pet.lab:443")), "api.pet.lab:443"),
        (user_data(init(), cluster(controlPlaneEndpoint="api.pet.lab")), "api.pet.lab:6443"),
        (user_data(init()), "api.pet.lab:6443"),
    ],
)
def test_the_api_is_asked_where_nodes_ask_it(make: Maker, text: str, at: str) -> None:
    assert make(text).boot.api() == at


@pytest.mark.parametrize(
    ("version", "api"), [("v1.34.1", "v1beta4"), ("v1.31.0", "v1beta4"), ("v1.30.9", "v1beta3"), ("v1.23.0", "v1beta3")]
)
def test_its_configuration_is_one_that_this_kubeadm_reads(make: Maker, version: str, api: str) -> None:
    machine = make()
    machine.results["kubeadm version"] = (0, f"{version}\n")
    assert machine.boot.version() == api


# Encryption at rest


def encrypted(path: str = "/etc/kubernetes/enc/e.yaml", **volume: Any) -> str:
    server: dict[str, Any] = {"extraArgs": [{"name": "encryption-provider-config", "value": path}]}
    if volume:
        server["extraVolumes"] = [{"name": "enc", "pathType": "File", **volume}]
    return user_data(init(), cluster(apiServer=server))


@pytest.mark.parametrize(
    ("text", "lies"),
    [
        (encrypted(), "/etc/kubernetes/enc/e.yaml"),
        (encrypted(hostPath="/etc/enc.yaml", mountPath="/etc/kubernetes/enc/e.yaml"), "/etc/enc.yaml"),
        (encrypted(hostPath="/srv/enc/", mountPath="/etc/kubernetes/enc/"), "/srv/enc/e.yaml"),
        (encrypted(hostPath="/srv/other", mountPath="/etc/kubernetes/other"), "/etc/kubernetes/enc/e.yaml"),
    ],
)
def test_what_secrets_are_encrypted_with_is_laid_where_the_pods_mount_is(make: Maker, text: str, lies: str) -> None:
    machine = make(text)
    machine.boot.encrypt(pki_parameters())
    assert machine.at(lies).read_text() == "encryption.yaml"
    assert machine.at(lies).stat().st_mode & 0o777 == 0o600
    machine.at(lies).write_text("the user data's own")
    machine.boot.encrypt(Parameters())  # what is there isn't asked for
    assert machine.at(lies).read_text() == "the user data's own"


def test_a_cluster_without_encryption_asks_for_none(make: Maker) -> None:
    make().boot.encrypt(Parameters())


@pytest.mark.parametrize(
    ("pki", "waits_for"),
    [
        (Pki(), "/pet/pki/encryption.yaml in ssm"),
        (Pki(source="kubeadm"), "/pet/kubeadm/encryption.yaml in ssm"),
        (Pki(source="image"), "/etc/kubernetes/enc/e.yaml, which the image brings"),
    ],
)
def test_without_it_nothing_starts(
    make: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pki: Pki, waits_for: str
) -> None:
    machine = make(encrypted(), pki)
    waiting_ends(monkeypatch, machine)
    with pytest.raises(Waits):
        machine.boot.encrypt(Parameters())
    assert f"waiting for {waits_for}" in capsys.readouterr().out.replace(f"{machine.root}/", "/")


# What kubeadm is told


SETTINGS = {"ETCD_INITIAL_CLUSTER": JOINED["initial_cluster"], "ETCD_INITIAL_CLUSTER_STATE": "existing"}


def test_usual_ports_are_left_to_kubeadm_and_the_ticket_is_etcds_list(make: Maker) -> None:
    machine = make()
    machine.boot.write("10.0.0.4", "ip-10-0-0-4", SETTINGS)
    said = machine.filled()
    assert said["InitConfiguration"]["localAPIEndpoint"] == {"advertiseAddress": "10.0.0.4", "bindPort": 6443}
    assert said["InitConfiguration"]["nodeRegistration"]["name"] == "ip-10-0-0-4"
    assert said["ClusterConfiguration"]["apiServer"]["certSANs"] == ["api.pet.lab", "kubernetes"]
    assert machine.etcd_flags() == {
        "name": "master-a-main",
        "initial-cluster": JOINED["initial_cluster"],
        "initial-cluster-state": "existing",
    }


def test_other_ports_are_told_with_this_machines_address(make: Maker) -> None:
    flags = {"listen-client-urls": "https://0.0.0.0:4001", "listen-peer-urls": "https://@IP@:7001", "log-level": "warn"}
    etcd = {"local": {"extraArgs": [{"name": name, "value": value} for name, value in flags.items()]}}
    machine = make(user_data(init(), cluster(etcd=etcd)), client_port=4001, peer_port=2380)
    machine.boot.write("10.0.0.4", "n", SETTINGS)
    assert {name: value for name, value in machine.etcd_flags().items() if name.endswith("urls")} == {
        "listen-client-urls": "https://127.0.0.1:4001,https://10.0.0.4:4001",
        "advertise-client-urls": "https://10.0.0.4:4001",
        "listen-peer-urls": "https://10.0.0.4:2380",
        "initial-advertise-peer-urls": "https://10.0.0.4:2380",
    }
    assert machine.etcd_flags()["log-level"] == "warn"


def test_an_older_configuration_has_its_flags_in_a_mapping(make: Maker) -> None:
    old = {"apiVersion": "kubeadm.k8s.io/v1beta3"}
    etcd = {"local": {"dataDir": "/var/lib/etcd", "extraArgs": {"quota-backend-bytes": "1", "name": "x"}}}
    machine = make(user_data({**init(), **old}, {**cluster(etcd=etcd), **old}))
    machine.boot.write("10.0.0.4", "n", SETTINGS)
    assert machine.filled()["ClusterConfiguration"]["etcd"]["local"]["extraArgs"] == {
        "quota-backend-bytes": "1",
        "name": "master-a-main",
        "initial-cluster": JOINED["initial_cluster"],
        "initial-cluster-state": "existing",
    }


CLUSTERS_OWN = cluster(etcd={"local": {"dataDir": "/var/lib/etcd"}}, certificatesDir="/etc/kubernetes/pki")


def test_without_a_configuration_the_clusters_own_is_asked_for_once(make: Maker) -> None:
    machine, asked = make(user_data(init())), list[str]()
    own = json.loads(reroot(json.dumps(CLUSTERS_OWN), machine.root))

    def kept(name: str, key: str) -> dict[str, Any]:
        asked.append(f"{name}/{key}")
        return own if name == "kubeadm-config" else kubelet(maxPods=50)

    machine.boot.kept = kept
    machine.boot.write("10.0.0.4", "n", SETTINGS)
    machine.boot.write("10.0.0.4", "n", SETTINGS)
    assert asked == ["kubeadm-config/ClusterConfiguration", "kubelet-config/kubelet"]
    assert machine.filled()["KubeletConfiguration"]["maxPods"] == 50
    # With a certificate that the machine makes from the cluster's CA.
    assert "init phase certs apiserver-kubelet-client --cert-dir=/etc/kubernetes/pki" in machine.told[1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"certificatesDir": "/srv/pki"}, "kubeadm-config has certificatesDir /srv/pki, and this machine was made for"),
        ({"etcd": {"local": {"dataDir": "/srv/etcd"}}}, "kubeadm-config has etcd.local.dataDir /srv/etcd, and this"),
    ],
)
def test_a_cluster_with_other_folders_than_its_user_data_is_refused(
    make: Maker, change: dict[str, Any], sentence: str
) -> None:
    machine = make(user_data(init()))
    own = json.loads(reroot(json.dumps({**CLUSTERS_OWN, **change}), machine.root))
    machine.boot.kept = lambda *_: own
    with pytest.raises(SystemExit) as ended:
        machine.boot.documents()
    assert sentence in str(ended.value).replace(f"{machine.root}/", "/")


# Starting, stopping, starting again


def manifests(machine: Machine, folder: str = "/etc/kubernetes/manifests") -> set[str]:
    there = machine.at(folder)
    return {file.stem for file in there.iterdir()} if there.exists() else set()


def test_etcd_starts_by_its_ticket_and_the_servers_only_once_it_votes(make: Maker) -> None:
    machine = make()
    machine.boot.start("10.0.0.4", "n", SETTINGS)
    assert manifests(machine) == {"etcd"}
    assert machine.phases() == ["etcd local", "kubelet-start"]
    assert machine.told[-1] == "systemctl start kubelet"
    machine.boot.serve()
    assert manifests(machine) == {"etcd", *PODS["control-plane all"]}


def test_what_was_made_once_is_left_alone(make: Maker) -> None:
    machine = make()
    for _ in range(2):
        machine.boot.start("10.0.0.4", "n", SETTINGS)
        machine.boot.serve()
        machine.at("/var/lib/etcd/member").mkdir(exist_ok=True)
        machine.at("/etc/kubernetes/manifests/etcd.yaml").write_text("an upgrade's")
    assert machine.phases() == ["etcd local", "kubelet-start", "control-plane all"]
    assert machine.at("/etc/kubernetes/manifests/etcd.yaml").read_text() == "an upgrade's"


def test_what_a_command_stopped_stays_so_at_a_boot(make: Maker) -> None:
    machine = make()
    machine.boot.start("10.0.0.4", "n", SETTINGS)
    machine.boot.serve()
    machine.at("/var/lib/etcd/member").mkdir()
    aside = machine.at("/etc/kubernetes/manifests.stopped")
    aside.mkdir()
    for name in ("etcd", "kube-scheduler"):
        machine.at(f"/etc/kubernetes/manifests/{name}.yaml").replace(aside / f"{name}.yaml")
    machine.boot.start("10.0.0.4", "n", SETTINGS)
    machine.boot.serve()
    assert manifests(machine) == {"kube-apiserver", "kube-controller-manager"}


def test_a_member_that_is_added_anew_begins_again(make: Maker) -> None:
    """Its etcd was stopped, its data went aside: the servers wait for the new vote, and etcd's old manifest is none."""
    machine = make()
    machine.boot.start("10.0.0.4", "n", SETTINGS)
    machine.boot.serve()
    machine.boot.stop()
    assert manifests(machine, "/etc/kubernetes/manifests.stopped") == {"etcd"}
    machine.boot.start("10.0.0.4", "n", {**SETTINGS, "ETCD_INITIAL_CLUSTER": "b=https://b:2380"})
    assert manifests(machine) == {"etcd"}
    assert machine.etcd_flags()["initial-cluster"] == "b=https://b:2380"
    assert manifests(machine, "/etc/kubernetes/manifests.stopped") == set()
    machine.boot.serve()
    assert manifests(machine) == {"etcd", *PODS["control-plane all"]}


def test_manifests_go_where_this_kubelet_reads_them(make: Maker) -> None:
    text = user_data(init(), cluster(), kubelet(staticPodPath="/srv/pods"))
    machine = make(text, units={"staticPods": "/srv/pods"})
    machine.boot.start("10.0.0.4", "n", SETTINGS)
    machine.boot.serve()
    assert manifests(machine, "/srv/pods") == {"etcd", *PODS["control-plane all"]}
    assert manifests(machine) == set()


def test_a_phase_that_fails_ends_the_boot_which_its_unit_tries_again(make: Maker) -> None:
    machine = make()
    machine.results["kubeadm init phase etcd local"] = (1, "no space left\n")
    with pytest.raises(SystemExit, match="kubeadm init phase etcd local ended with 1"):
        machine.boot.start("10.0.0.4", "n", SETTINGS)


def test_stopping_waits_until_nothing_of_it_runs(make: Maker) -> None:
    machine = make()
    machine.boot.start("10.0.0.4", "n", SETTINGS)
    answers = iter([True, True, False])
    machine.boot.runs = lambda program: next(answers) if program == "etcd" else False
    machine.boot.stop()
    assert list(answers) == []
    assert manifests(machine) == set()


def test_the_node_is_marked_once_the_api_knows_it(make: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    machine = make()
    machine.results["kubeadm init phase kubelet-finalize"] = (1, "no certificate yet\n")
    tries = iter([1, 1, 0])
    machine.boot.kubeadm = lambda *words: (next(tries), 'nodes "n" not found') if words[2][:4] == "mark" else (1, "x")
    machine.boot.mark()
    assert list(tries) == []
    assert "the kubelet keeps the certificate that it began with: x" in capsys.readouterr().out


# The whole of it


class Cloud:
    """boto3 on the machine: parameters, and one volume that may come later."""

    def __init__(self, machine: Machine, parameters: Parameters, tags: dict[str, str]) -> None:
        self.machine, self.parameters = machine, parameters
        self.volume = {
            "VolumeId": "vol-1",
            "State": "in-use",
            "Tags": [{"Key": k, "Value": v} for k, v in tags.items()],
        }
        self.volume["Attachments"] = [{"InstanceId": "i-1", "State": "attached", "Device": "/dev/xvdf"}]

    def Session(self, region_name: str) -> Cloud:
        return self

    def client(self, service: str) -> Any:
        return self.parameters if service == "ssm" else self

    def describe_volumes(self, Filters: Any) -> dict[str, Any]:
        self.machine.told.append("volumes are asked for")
        return {"Volumes": [self.volume]}

    def describe_instances(self, Filters: Any) -> dict[str, Any]:
        return {"Reservations": []}


def booted(machine: Machine, parameters: Parameters, tags: dict[str, str], votes: Callable[[str], bool]) -> None:
    cloud = Cloud(machine, parameters, tags)
    machine.boot.boto3 = machine.member.boto3 = cloud
    facts = {"local-ipv4": "10.0.0.4", "local-hostname": "ip-10-0-0-4 other", "instance-id": "i-1"}
    machine.member.metadata = facts.__getitem__
    machine.member.votes = votes
    machine.results["mountpoint"] = (1, "")
    machine.boot.main()


def always(_: str) -> bool:
    return True


def test_a_new_member_makes_its_certificates_joins_serves_and_is_marked(make: Maker) -> None:
    machine, parameters = make(), pki_parameters()
    parameters.values["/pet/t"] = json.dumps({**JOINED, "member_id": "7"})
    booted(machine, parameters, {"migration:new-volume": "true"}, always)
    certificates = ["certs all", *(f"kubeconfig {n}" for n in ("admin", "kubelet", "controller-manager", "scheduler"))]
    assert machine.phases() == [
        *certificates,
        "etcd local",
        "kubelet-start",
        "control-plane all",
        "mark-control-plane",
        "kubelet-finalize all",
    ]
    assert "systemctl disable --now kubelet" in machine.told
    assert machine.etcd_flags()["initial-cluster"] == JOINED["initial_cluster"]
    assert machine.at("/var/lib/etcd/membership").read_text() == "7"
    assert machine.at("/var/lib/etcd").stat().st_mode & 0o777 == 0o700
    # The machine boots again: nothing is made anew, and its data needs no ticket.
    machine.at("/var/lib/etcd/member").mkdir()
    machine.told.clear()
    del parameters.values["/pet/t"]
    booted(machine, parameters, {}, always)
    assert machine.phases() == ["mark-control-plane", "kubelet-finalize all"]


def test_a_member_that_does_not_vote_serves_nothing(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, parameters = make(), pki_parameters()
    parameters.values["/pet/t"] = json.dumps({**JOINED, "member_id": "7"})
    waiting_ends(monkeypatch, machine)
    with pytest.raises(Waits):
        booted(machine, parameters, {"migration:new-volume": "true"}, lambda _: False)
    assert manifests(machine) == {"etcd"}


def test_a_volume_that_moves_starts_only_by_its_own_ticket_and_all_else_is_made_before_it_comes(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, parameters = make(volume_moves=True), pki_parameters()
    machine.at("/var/lib/etcd/member").mkdir()  # what came along
    parameters.values["/pet/t"] = json.dumps({**JOINED, "member_id": "7", "instance": "i-2", "volume": "vol-1"})
    waiting_ends(monkeypatch, machine)
    with pytest.raises(Waits):
        booted(machine, parameters, {}, always)
    assert manifests(machine) == set() and "systemctl start kubelet" not in machine.told
    told = machine.told
    assert told.index("volumes are asked for") > max(n for n, one in enumerate(told) if "init phase kubeconfig" in one)
    assert not any("mkfs" in one for one in told)
    parameters.values["/pet/t"] = json.dumps({**JOINED, "member_id": "7", "instance": "i-1", "volume": "vol-1"})
    monkeypatch.setattr(machine.member.time, "sleep", lambda _: None)
    booted(machine, parameters, {}, always)
    assert manifests(machine) == {"etcd", *PODS["control-plane all"]}
    assert machine.at("/var/lib/etcd/holder").read_text() == "i-1"
    # With its own data etcd asks its list, and this one only has to name the member.
    assert machine.etcd_flags()["initial-cluster"] == "master-a-main=https://10.0.0.4:2380"


def test_the_unit_starts_what_its_user_data_brings(make: Maker) -> None:
    machine = make()
    unit = machine.at("/etc/systemd/system/member-boot.service").read_text()
    started = unit.split("ExecStart=")[1].split()[0]
    assert Path(started).read_text().startswith("#!/usr/bin/env python3\n")
    assert json.loads(machine.at(CONFIGURATION).read_text().split("\n---\n")[0])["kind"] == "InitConfiguration"
