"""A member over the years: its certificates are renewed in time, and a replaced machine says where it is now."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.unit.etcd.boot_script import boot_script

YEARS = 10 * timedelta(days=365)


def authority(ends: timedelta = YEARS) -> tuple[str, str]:
    """A CA's certificate and key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), text.decode()


class Parameters:
    """The cluster's PKI in Systems Manager."""

    class exceptions:
        class ParameterNotFound(Exception):
            pass

    def __init__(self, ends: timedelta = YEARS) -> None:
        self.values = {f"/pet/pki/{name}": name for name in ("sa.key", "sa.pub", "encryption.yaml")}
        for name in ("ca", "etcd-ca", "front-proxy-ca"):
            self.values[f"/pet/pki/{name}.crt"], self.values[f"/pet/pki/{name}.key"] = authority(ends)

    def get_parameter(self, Name: str, WithDecryption: bool) -> dict[str, Any]:
        return {"Parameter": {"Value": self.values[Name]}}


class Clock(datetime):
    """Days from now."""

    days = 0

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # pyright: ignore[reportIncompatibleMethodOverride] - as the script calls it
        return datetime.now(tz) + timedelta(days=cls.days)


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Path, list[str]]:
    """The script with certificates made today, its /etc/kubernetes, and the commands it gives."""
    module, commands = boot_script(tmp_path), list[str]()
    monkeypatch.setattr(module.subprocess, "run", lambda words, **_: commands.append(" ".join(words)))
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    Clock.days = 0
    module.datetime = Clock
    module.make_pki(Parameters(), "10.0.0.4")
    return module, tmp_path / "etc/kubernetes", commands


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("days", [0, 200, 240])
def test_nothing_is_renewed_while_a_third_of_the_year_is_left(member: Any, days: int) -> None:
    module, folder, commands = member
    before = contents(folder)
    Clock.days = days
    module.renew(Parameters(), "10.0.0.4")
    assert contents(folder) == before
    assert commands == []


def test_with_a_quarter_left_every_certificate_is_renewed_and_no_key_changes(member: Any) -> None:
    module, folder, commands = member
    before = contents(folder)
    Clock.days = 275
    module.renew(Parameters(), "10.0.0.4")
    after = contents(folder)
    own = [name for name in before if name.endswith(".crt") and not name.endswith("ca.crt")]
    assert len(own) == 6
    for name in own:
        end = x509.load_pem_x509_certificate(after[name]).not_valid_after_utc
        assert timedelta(days=639) < end - datetime.now(UTC) < timedelta(days=641)
        assert after[name.replace(".crt", ".key")] == before[name.replace(".crt", ".key")]
    assert after["scheduler.kubeconfig"] != before["scheduler.kubeconfig"]
    assert commands == ["systemctl try-restart kube-controller-manager", "systemctl try-restart kube-scheduler"]
    commands.clear()
    module.renew(Parameters(), "10.0.0.4")
    assert commands == []


def test_a_renewal_that_broke_off_before_the_restarts_is_done_again(
    member: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, commands = member
    Clock.days = 275

    def broken(words: list[str], **_: Any) -> None:
        raise OSError("systemd is busy")

    whole: Callable[..., Any] = module.subprocess.run
    monkeypatch.setattr(module.subprocess, "run", broken)
    with pytest.raises(OSError, match="busy"):
        module.renew(Parameters(), "10.0.0.4")
    monkeypatch.setattr(module.subprocess, "run", whole)
    module.renew(Parameters(), "10.0.0.4")
    assert len(commands) == 2


def test_members_are_not_renewed_in_one_night(member: Any) -> None:
    module, folder, _ = member
    certificate = x509.load_pem_x509_certificate((folder / "pki/apiserver.crt").read_bytes())

    def first_day(name: str) -> int:
        module.IDENTITY["member"] = name
        return next(day for day in range(366) if module.due(certificate, datetime.now(UTC) + timedelta(days=day)))

    days = {name: first_day(name) for name in ("master-a-main", "master-b-main", "master-c-main")}
    assert len(set(days.values())) == 3
    assert all(243 <= day <= 274 for day in days.values())


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    module = boot_script(tmp_path)
    module.make_pki(Parameters(timedelta(days=30)), "10.0.0.4")
    end = x509.load_pem_x509_certificate((tmp_path / "etc/kubernetes/pki/apiserver.crt").read_bytes())
    assert end.not_valid_after_utc < datetime.now(UTC) + timedelta(days=31)


class Machines:
    """EC2 with one other member's machine."""

    def describe_instances(self, **_: Any) -> dict[str, Any]:
        return {"Reservations": [{"Instances": [{"PrivateIpAddress": "10.1.0.2"}]}]}


def replaced(root: Path, monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any] | None) -> list[Any]:
    """The calls that a machine at 10.1.0.9, with the data of member 7, makes where etcd lists `entry`."""
    module, calls = boot_script(root), list[Any]()
    (root / "var/lib/etcd/data/member").mkdir()
    (root / "var/lib/etcd/membership").write_text("7")
    (root / "var/lib/etcd/peers").write_text(json.dumps(["10.0.0.1", "10.1.0.9"]))

    def ask(address: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        calls.append((address, path, body))
        if address == "10.1.0.2":
            raise OSError("nobody answers")
        return {"members": [entry] if entry else []}

    monkeypatch.setattr(module, "ask_etcd", ask)
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    module.heal(Machines(), "10.1.0.9")
    return calls


def test_a_replaced_machine_writes_its_address_through_a_member_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = replaced(tmp_path, monkeypatch, {"ID": "7", "peerURLs": ["https://10.1.0.4:7001"]})
    assert [address for address, *_ in calls] == ["10.1.0.2", "10.0.0.1", "10.0.0.1"]
    assert calls[-1] == (
        "10.0.0.1",
        "cluster/member/update",
        {"ID": "7", "peerURLs": ["https://10.1.0.9:7001"]},
    )


@pytest.mark.parametrize(
    "entry",
    [
        {"ID": "7", "peerURLs": ["https://10.1.0.9:7001"]},
        {"ID": "7", "peerURLs": ["https://10.1.0.4:7001"], "isLearner": True},
        {"ID": "8", "peerURLs": ["https://10.1.0.4:7001"]},
        None,
    ],
    ids=["right already", "a learner", "another member", "not listed"],
)
def test_nothing_else_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any] | None) -> None:
    calls = replaced(tmp_path, monkeypatch, entry)
    assert {path for _, path, _ in calls} == {"cluster/member/list"}


def test_a_member_whose_others_are_all_down_starts_as_its_data_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = boot_script(tmp_path)
    (tmp_path / "var/lib/etcd/data/member").mkdir()
    (tmp_path / "var/lib/etcd/membership").write_text("7")

    def ask(*_: Any) -> dict[str, Any]:
        raise OSError("nobody answers")

    monkeypatch.setattr(module, "ask_etcd", ask)
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    module.heal(Machines(), "10.1.0.9")
