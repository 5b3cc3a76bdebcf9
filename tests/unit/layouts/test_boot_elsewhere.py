"""A new member's boot on a machine that calls nothing as this program does, and the sources of its certificates."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509

from lab.machines.reroot import reroot
from migration.etcd.userdata import clone_user_data
from migration.layouts.pki import FILES, SOURCES, location, told_to_the_boot
from migration.runtime.deadline import Permanent
from migration.settings.model import Pki, PkiSource
from tests.unit.etcd.boot_script import SCRIPT, Waits, boot_script
from tests.unit.etcd.test_boot_life import Parameters
from tests.unit.layouts.clusters import FACTS, cloud_config, encoded, files_of, other_files
from tests.unit.layouts.test_cloud_config import AT, OTHER

Machine = tuple[Any, Path, list[str]]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The script as its own clone's user data puts it on a machine whose root is `tmp_path`; the commands it gives."""
    written = files_of(clone_user_data(encoded(cloud_config(other_files())), AT, units=OTHER))
    facts = tmp_path / FACTS.lstrip("/")
    facts.parent.mkdir(parents=True)
    facts.write_text(reroot(written[FACTS], tmp_path))
    monkeypatch.setenv("MEMBER_IDENTITY", str(facts))
    module: Any = ModuleType("member")
    exec(compile(reroot(SCRIPT.read_text(), tmp_path), str(SCRIPT), "exec"), module.__dict__)
    commands: list[str] = []
    monkeypatch.setattr(module.subprocess, "run", lambda words, **_: commands.append(" ".join(words)))
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    return module, tmp_path, commands


def ticket(ssm: Parameters, member_id: str) -> None:
    ssm.values["/pet/t"] = json.dumps(
        {"initial_cluster": "a=https://a:7001", "state": "existing", "member_id": member_id}
    )


def test_everything_is_written_where_the_units_read_it_and_nothing_elsewhere(machine: Machine) -> None:
    module, root, _ = machine
    module.make_pki(Parameters(), "10.0.0.4")
    there = {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()} - {FACTS.lstrip("/")}
    k8s = ("ca", "api", "api-key", "etcd", "etcd-key", "sa-key")
    assert there == {
        *(f"etc/pki/k8s/{name}.pem" for name in k8s),
        *("etc/pki/k8s/at-rest.yaml", "etc/pki/k8s/manager.conf", "etc/pki/k8s/scheduler.conf", "etc/pki/k8s/complete"),
        *(f"etc/pki/etcd/{name}.pem" for name in ("ca", "member", "member-key")),
        # No unit of this cluster reads these: they lie where they always did.
        *(f"etc/pki/k8s/{name}" for name in ("front-proxy-ca.crt", "front-proxy-client.crt", "front-proxy-client.key")),
        *(f"etc/pki/k8s/apiserver-kubelet-client.{kind}" for kind in ("crt", "key")),
    }


def test_one_file_that_is_read_as_two_things_serves_both(machine: Machine) -> None:
    module, root, _ = machine
    module.make_pki(Parameters(), "10.0.0.4")
    # The private key of service accounts may be given as the public one, too.
    assert (root / "etc/pki/k8s/sa-key.pem").read_text() == "sa.key"
    member = x509.load_pem_x509_certificate((root / "etc/pki/etcd/member.pem").read_bytes())
    names = member.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)  # as a server's; a peer's alone has none


def test_its_etcd_is_started_by_its_own_name_with_its_own_variables(machine: Machine) -> None:
    module, root, commands = machine
    ssm = Parameters()
    ticket(ssm, "7")
    assert module.join(_with_tickets(ssm), "10.0.0.4") == "7"
    assert commands == ["systemctl daemon-reload", "systemctl start etcd-member"]
    found = dict(line.split("=", 1) for line in (root / "run/etcd/joining.env").read_text().splitlines())
    assert (found["NODE_IP"], found["NODE_NAME"]) == ("10.0.0.4", "master-a-main")
    assert found["ETCD_SERVERS"] == "https://127.0.0.1:4001"
    assert found["ETCD_INITIAL_CLUSTER"] == "a=https://a:7001"
    assert (root / "srv/etcd/membership").read_text() == "7"


def test_data_of_another_membership_goes_aside_beside_it(machine: Machine) -> None:
    module, root, _ = machine
    (root / "srv/etcd/db/member").mkdir(parents=True)
    (root / "srv/etcd/membership").write_text("6")
    module.set_aside({"member_id": "7"})
    assert (root / "srv/etcd/db.6/member").is_dir()
    assert list((root / "srv/etcd/db").iterdir()) == []


def test_where_the_volume_is_the_data_directory_only_what_is_in_it_moves(tmp_path: Path) -> None:
    paths = {"data": str(tmp_path / "mnt"), "mount": str(tmp_path / "mnt")}
    module = boot_script(tmp_path, paths=paths)
    (tmp_path / "mnt/member").mkdir(parents=True)
    (tmp_path / "mnt/membership").write_text("6")
    module.set_aside({"member_id": "7"})
    assert sorted(one.name for one in (tmp_path / "mnt").iterdir()) == ["member.6", "membership"]


def test_renewing_restarts_the_units_that_there_are(machine: Machine) -> None:
    module, _, commands = machine
    module.make_pki(Parameters(), "10.0.0.4")
    module.due = lambda *_: True
    module.renew(Parameters(), "10.0.0.4")
    assert commands == ["systemctl try-restart controllers", "systemctl try-restart scheduler"]


def _with_tickets(ssm: Parameters) -> Any:
    class Both:
        exceptions = ssm.exceptions

        @staticmethod
        def get_parameter(Name: str, WithDecryption: bool) -> dict[str, Any]:
            if Name not in ssm.values:
                raise ssm.exceptions.ParameterNotFound
            return ssm.get_parameter(Name, WithDecryption)

    return Both()


class Kept:
    """Secrets Manager and S3 of a machine's role: what was asked of which, and what isn't there yet."""

    def __init__(self, missing: int = 0, refused: str = "") -> None:
        self.values = Parameters().values
        self.asked: list[str] = []
        self.missing, self.refused = missing, refused

    def Session(self, region_name: str) -> Kept:
        return self

    def client(self, service: str) -> Kept:
        self.service = service
        return self

    def _look(self, name: str) -> str:
        self.asked.append(f"{self.service} {name}")
        if self.refused:
            raise ClientError({"Error": {"Code": self.refused}}, "x")
        if self.missing:
            self.missing -= 1
            code = "NoSuchKey" if self.service == "s3" else "ResourceNotFoundException"
            raise ClientError({"Error": {"Code": code}}, "x")
        return self.values[f"/pet/pki/{name.rsplit('/', 1)[-1]}"]

    def get_secret_value(self, SecretId: str) -> dict[str, str]:
        return {"SecretString": self._look(SecretId)}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self._look(f"{Bucket}/{Key}").encode())}


SSM_IS_NOT_ASKED: Any = object()


@pytest.mark.parametrize(
    ("pki", "first"),
    [
        (Pki(source="secrets-manager"), "secretsmanager pet/pki/ca.crt"),
        (Pki(source="secrets-manager", prefix="team/k8s/"), "secretsmanager team/k8s/ca.crt"),
        (Pki(source="s3", bucket="keys"), "s3 keys/pet/pki/ca.crt"),
        (Pki(source="s3", bucket="keys", prefix="/a/b"), "s3 keys/a/b/ca.crt"),
    ],
)
def test_the_machine_reads_every_file_from_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pki: Pki, first: str
) -> None:
    module, kept = boot_script(tmp_path, pki=told_to_the_boot(pki, "pet")), Kept(missing=2)
    monkeypatch.setattr(module, "boto3", kept)
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    module.make_pki(SSM_IS_NOT_ASKED, "10.0.0.4")
    assert kept.asked[:3] == [first] * 3  # what isn't there yet is waited for
    assert {name.rsplit("/", 1)[-1] for name in kept.asked} == set(FILES)
    assert (tmp_path / "etc/kubernetes/pki/sa.key").read_text() == "sa.key"
    # Its authorities' keys are nowhere on the machine.
    there = {file.name for file in (tmp_path / "etc").rglob("*")}
    assert not {"ca.key", "etcd-ca.key", "front-proxy-ca.key"} & there


def test_a_source_that_refuses_is_no_source_that_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = boot_script(tmp_path, pki=told_to_the_boot(Pki(source="secrets-manager"), "pet"))
    monkeypatch.setattr(module, "boto3", Kept(refused="AccessDeniedException"))
    told: list[str] = []
    monkeypatch.setattr(module, "log", told.append)

    def sleep(_: float) -> None:
        raise Waits

    monkeypatch.setattr(module.time, "sleep", sleep)
    with pytest.raises(Waits):
        module.make_pki(SSM_IS_NOT_ASKED, "10.0.0.4")
    assert "AccessDeniedException" in told[0]


def test_another_prefix_of_parameters_is_told_and_the_usual_one_is_not(tmp_path: Path) -> None:
    assert told_to_the_boot(Pki(), "pet") == {}
    assert told_to_the_boot(Pki(prefix="/pet/pki"), "pet") == {}
    module, ssm = boot_script(tmp_path, pki=told_to_the_boot(Pki(prefix="/k8s/keys"), "pet")), Parameters()
    ssm.values = {name.replace("/pet/pki", "/k8s/keys"): value for name, value in ssm.values.items()}
    module.make_pki(ssm, "10.0.0.4")
    assert (tmp_path / "etc/kubernetes/pki/complete").exists()


def test_what_the_image_brings_is_waited_for_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = boot_script(tmp_path, pki={"source": "image"})
    folder = tmp_path / "etc/kubernetes/pki"
    told: list[str] = []
    monkeypatch.setattr(module, "log", told.append)
    paths = iter([folder / "apiserver-etcd-client.crt", folder / "etcd/server.crt", folder / "apiserver.crt"])

    def sleep(_: float) -> None:
        path = next(paths)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("the image's")

    monkeypatch.setattr(module.time, "sleep", sleep)
    module.make_pki(SSM_IS_NOT_ASKED, "10.0.0.4")
    assert told[0] == f"waiting for {folder}/apiserver-etcd-client.crt, which the image brings"
    assert len([file for file in folder.rglob("*") if file.is_file()]) == 3
    module.renew(SSM_IS_NOT_ASKED, "10.0.0.4")
    assert told[-1] == "the image brings this member's certificates, and renews them"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("ssm", "ssm:/pet/pki"),
        ("secrets-manager", "secretsmanager:pet/pki"),
        ("s3", "s3://keys/pet/pki"),
        ("kubeadm", "kube-system/kubeadm-certs"),
        ("image", "image"),
    ],
)
def test_every_source_has_a_word_for_where_the_keys_are(source: PkiSource, said: str) -> None:
    assert location(Pki(source=source, bucket="keys" if source == "s3" else None), "pet") == said
    assert source in SOURCES


def test_kubeadms_upload_is_read_by_kubeadm_and_by_no_boot_of_this_program() -> None:
    with pytest.raises(Permanent, match="which only a join of kubeadm reads; use ssm, secrets-manager, s3 or image"):
        clone_user_data(encoded(cloud_config(other_files())), AT, held=Pki(source="kubeadm"))


def test_no_source_puts_a_key_into_user_data() -> None:
    pki = Pki(source="s3", bucket="keys")
    written = files_of(clone_user_data(encoded(cloud_config(other_files())), AT, units=OTHER, held=pki))
    assert json.loads(written[FACTS])["pki"] == {"source": "s3", "prefix": "pet/pki", "bucket": "keys"}
    assert not any("PRIVATE KEY" in text for text in written.values())
