"""The layout separate-etcd: known by values in rendered scripts, which are all that changes; and its boot."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lab.legacy import userdata as legacy
from lab.machines.reroot import reroot
from migration.layouts import separate_etcd
from migration.layouts.contract import Commands, NewMachine
from migration.layouts.registry import recognise
from migration.layouts.rendered import Rendered
from migration.layouts.separate_etcd import BROUGHT, SeparateEtcd
from migration.runtime.deadline import Permanent
from migration.settings.model import Units
from tests.unit.etcd import boot_script as boots
from tests.unit.layouts.clusters import IDENTITY, cloud_config, encoded, evidence, files_of, group

KNOWN = "etcd-a=https://10.0.0.1:2380,etcd-b=https://10.0.1.1:2380"
ETCD = legacy.etcd(cluster="pet", member="etcd-a", initial_cluster=KNOWN)
API = legacy.master(
    cluster="pet",
    pod_cidr="100.64.0.0/16",
    api_names=["api.pet"],
    etcd_servers=["https://10.0.0.1:2379", "https://10.0.1.1:2379"],
)
WORKER = legacy.worker(labels={})


def made(text: str, **more: Any) -> str:
    return SeparateEtcd().user_data(NewMachine(original=encoded(text), identity=IDENTITY, **more))


def test_it_is_known_by_what_scripts_say_of_members_and_of_their_clients() -> None:
    seen = recognise(evidence(group("etcd-a.pet", ETCD), group("master-a.pet", API), group("nodes.pet", WORKER)))
    assert (seen.layout, seen.members, seen.servers) == ("separate-etcd", ("etcd-a.pet",), ("master-a.pet",))
    assert seen.against == ()
    assert seen.because == (
        "etcd-a.pet's user data is a script that sets ETCD_NAME",
        "master-a.pet's user data is a script that sets ETCD_SERVERS",
    )
    assert "what runs on etcd-a.pet wasn't asked" in seen.unseen
    assert (seen.client_port, seen.peer_port, seen.pod_cidr) == (2379, 2380, "100.64.0.0/16")


@pytest.mark.parametrize(("only", "said"), [(ETCD, "no group sets an API server's ETCD_SERVERS"), (API, "ETCD_NAME")])
def test_half_of_it_is_not_it_and_is_said(only: str, said: str) -> None:
    with pytest.raises(Permanent, match=said):
        recognise(evidence(group("g", only), group("nodes.pet", WORKER)))


def test_machines_that_run_say_where_etcds_certificate_is_and_what_does_not_run() -> None:
    runs = (
        "/usr/local/bin/etcd --cert-file=/elsewhere",
        "unit: /usr/local/bin/etcd --trusted-ca-file=/e/ca.crt --cert-file=/e/server.crt --key-file=/e/server.key",
    )
    seen = SeparateEtcd().recognise(evidence(group("etcd", ETCD, runs), group("api", API, ("/usr/bin/sshd",))))
    assert seen.keys == {
        "files": {"etcdCa": "/e/ca.crt", "etcdCertificate": "/e/server.crt", "etcdKey": "/e/server.key"}
    }
    [wrong] = seen.against
    assert wrong.startswith("api: its user data is for kube-apiserver, and none runs there")


def test_of_a_members_script_only_name_cluster_and_state_change() -> None:
    text = files_of(made(ETCD))[BROUGHT]
    changed = [(old, new) for old, new in zip(ETCD.splitlines(), text.splitlines(), strict=True) if old != new]
    assert changed == [
        ("ETCD_NAME=etcd-a", "ETCD_NAME=master-a-main"),
        (f"ETCD_INITIAL_CLUSTER={KNOWN}", "ETCD_INITIAL_CLUSTER=@member-boot:initial-cluster@"),
    ]


def test_of_an_api_machines_only_its_etcd_servers() -> None:
    text = files_of(made(API))[BROUGHT]
    changed = [new for old, new in zip(API.splitlines(), text.splitlines(), strict=True) if old != new]
    assert changed == ["ETCD_SERVERS=@member-boot:etcd-servers@"]


def test_quotes_exports_and_other_values_that_hold_the_name_are_kept_in_their_way() -> None:
    text = (
        "#!/bin/sh\nexport PET_ETCD_NAME='etcd-a'\nDISK=\"etcd-a\"\nOTHER=etcd-ab\nINITIAL_CLUSTER=\n"
        "INITIAL_CLUSTER_STATE=new\n"
    )
    assert files_of(made(text))[BROUGHT] == (
        "#!/bin/sh\nexport PET_ETCD_NAME='master-a-main'\nDISK=\"master-a-main\"\nOTHER=etcd-ab\n"
        "INITIAL_CLUSTER=@member-boot:initial-cluster@\nINITIAL_CLUSTER_STATE=existing\n"
    )


@pytest.mark.parametrize("text", [ETCD, API])
def test_from_its_own_machine_the_same_bytes_are_made_again(text: str) -> None:
    first = made(text)
    assert SeparateEtcd().user_data(NewMachine(original=first, identity=IDENTITY)) == first
    assert separate_etcd.script(text) is not None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (ETCD.replace("ETCD_NAME=etcd-a", "ETCD_NAME=$(hostname)"), "only the machine knows"),
        (ETCD.replace("ETCD_INITIAL_CLUSTER_STATE=existing\n", ""), "sets no variable ..._INITIAL_CLUSTER_STATE"),
        (ETCD + "ETCD_NAME=etcd-b\n", "which of them counts can't be told"),
        (API.replace("ETCD_SERVERS=https", 'ETCD_SERVERS="https'), "goes on after its line"),
        (ETCD.replace(":2380", ":7001"), "migration:etcd.peerPort is 2380, the user data says 7001"),
        (API.replace(":2379", ":4001"), "migration:etcd.clientPort is 2379, the user data says 4001"),
        (cloud_config({"/etc/x": ""}), "is no script that sets"),
        ("ETCD_NAME=a\nINITIAL_CLUSTER=\n", "is no script that sets"),
        (ETCD + "# " + os.urandom(20_000).hex() + "\n", "EC2 takes 16384"),
    ],
)
def test_a_script_whose_values_cannot_be_changed_is_refused(text: str, why: str) -> None:
    with pytest.raises(Permanent, match=why.replace("(", r"\(").replace(".", r"\.")):
        made(text)


def test_discovery_reads_the_members_name() -> None:
    assert separate_etcd.member_name(ETCD) == "etcd-a"
    assert Rendered(WORKER).named("ETCD_NAME") is None


# What is run on an API machine, by a real shell; systemctl only says that it was called.


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "etc/kubernetes").mkdir(parents=True)
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "etc/kubernetes/master.env").write_text("CLUSTER=pet\nETCD_SERVERS=https://a:1,https://b:1\n")
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\nexit ${{FAILS:-0}}\n')
    (tmp_path / "systemctl").chmod(0o755)
    return tmp_path


def run(root: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{root}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **environment}
    return subprocess.run(["sh", "-c", reroot(command, root)], capture_output=True, text=True, env=environment)


def commands() -> Commands:
    return SeparateEtcd().commands(Units())


def tell(urls: str) -> str:
    made_by = commands().tell_servers
    assert made_by is not None
    return made_by(urls)


def test_an_api_server_is_told_by_its_file_and_a_restart(machine: Path) -> None:
    assert run(machine, commands().told_servers).stdout == "https://a:1,https://b:1"
    assert run(machine, tell("https://c:1,https://b:1")).returncode == 0
    written = (machine / "etc/kubernetes/master.env").read_text()
    assert written == 'CLUSTER=pet\nETCD_SERVERS="https://c:1,https://b:1"\n'
    assert (machine / "called").read_text() == "restart kube-apiserver\n"
    assert run(machine, commands().told_servers).stdout == "https://c:1,https://b:1"


def test_what_a_server_was_told_is_what_it_was_restarted_with(machine: Path) -> None:
    assert run(machine, tell("https://c:1"), FAILS="1").returncode == 1
    # The file says otherwise by now, and the server runs with what was before.
    assert run(machine, commands().told_servers).stdout == "https://a:1,https://b:1"
    assert run(machine, tell("https://c:1")).returncode == 0
    assert run(machine, commands().told_servers).stdout == "https://c:1"


def test_where_no_file_sets_it_nothing_is_restarted(machine: Path) -> None:
    (machine / "etc/kubernetes/master.env").write_text("CLUSTER=pet\n")
    ended = run(machine, tell("https://c:1"))
    assert ended.returncode == 1
    assert "sets ETCD_SERVERS: what kube-apiserver is told can't be changed" in ended.stderr
    assert not (machine / "called").exists()


def test_servers_are_not_started_where_the_boot_still_waits(machine: Path) -> None:
    program = machine / "usr/local/lib/member-boot/user-data"
    program.parent.mkdir(parents=True)
    program.write_text("")
    assert run(machine, commands().enable_servers).returncode == 0
    assert not (machine / "called").exists()
    (machine / "var/lib/member-boot").mkdir()
    (machine / "var/lib/member-boot/done").write_text("")
    run(machine, commands().enable_servers)
    assert "enable --now" in (machine / "called").read_text()


# The boot, with a volume that is a folder.


class Waits(Exception):
    """It waits, where a test needn't."""


class Ssm:
    """One parameter; `taken` is called whenever it is read."""

    class exceptions:
        class ParameterNotFound(Exception):
            pass

    def __init__(self, *tickets: dict[str, str] | None) -> None:
        self.tickets = list(tickets)

    def get_parameter(self, Name: str, WithDecryption: bool) -> dict[str, Any]:
        found = self.tickets.pop(0) if len(self.tickets) > 1 else self.tickets[0]
        if found is None:
            raise self.exceptions.ParameterNotFound
        return {"Parameter": {"Value": json.dumps(found)}}


class Boot:
    """The two programs as they lie on a machine."""

    def __init__(self, root: Path, text: str, monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
        user_data = files_of(made(text))
        told = json.loads(user_data["/etc/kubernetes/member.json"])
        told = {**told, "paths": {key: str(root / "run/volume") for key in told.get("paths", {})}, **facts}
        member = boots.boot_script(root, **told)
        self.root, self.commands = root, list[str]()
        self.volume = root / "run/volume"
        self.volume.mkdir(parents=True)
        monkeypatch.setattr(member, "own_volume", lambda *_: {"VolumeId": "vol-1", "Tags": []})
        monkeypatch.setattr(member.time, "sleep", self.waits)
        monkeypatch.setitem(sys.modules, "member", member)
        folder = root / "usr/local/lib/member-boot"
        folder.mkdir(parents=True)
        (folder / "user-data").write_text(user_data[BROUGHT])
        source = Path(boots.SCRIPT).with_name("separate.py")
        (folder / "separate.py").write_text(reroot(source.read_text(), root))
        spec = importlib.util.spec_from_file_location("separate", folder / "separate.py")
        assert spec is not None
        assert spec.loader is not None
        self.program: Any = ModuleType("separate")
        self.program = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.program)
        monkeypatch.setattr(self.program.subprocess, "run", self.ran)
        self.ends = 0
        self.filled = ""

    def waits(self, _: float) -> None:
        raise Waits

    def ran(self, words: list[str], **_: Any) -> Any:
        self.commands.append(" ".join(words).replace(f"{self.root}/", "/"))
        if words[0].endswith("user-data"):
            self.filled = Path(words[0]).read_text()
        return subprocess.CompletedProcess(words, self.ends if words[0].endswith("user-data") else 0)


TICKET = {"initial_cluster": "etcd-b=https://10.0.1.1:2380,d=https://10.1.0.1:2380", "state": "existing"}


def test_a_member_waits_for_its_ticket_and_runs_its_script_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = Boot(tmp_path, ETCD, monkeypatch)
    with pytest.raises(Waits):
        boot.program.etcd(Ssm(None), None, "i-1")
    assert boot.commands == []
    boot.program.etcd(Ssm({**TICKET, "member_id": "7"}, None), None, "i-1")
    assert f"ETCD_INITIAL_CLUSTER={TICKET['initial_cluster']}\n" in boot.filled
    assert boot.commands == ["umount /run/volume", "/run/member-boot/user-data", "systemctl disable etcd"]
    assert (boot.volume / "membership").read_text() == "7"


def test_a_machine_that_replaces_it_needs_no_ticket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = Boot(tmp_path, ETCD, monkeypatch)
    boot.program.etcd(Ssm({**TICKET, "member_id": "7"}, None), None, "i-1")
    boot.commands.clear()
    boot.program.etcd(Ssm(None), None, "i-2")
    assert "/run/member-boot/user-data" in boot.commands


def test_data_of_another_membership_goes_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = Boot(tmp_path, ETCD, monkeypatch)
    (boot.volume / "data/member/wal").mkdir(parents=True)
    (boot.volume / "membership").write_text("7")
    boot.program.etcd(Ssm({**TICKET, "member_id": "8"}, None), None, "i-1")
    assert (boot.volume / "data/member.7/wal").is_dir()
    assert not (boot.volume / "data/member").exists()
    assert (boot.volume / "membership").read_text() == "8"


def test_added_anew_meanwhile_it_stops_and_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = Boot(tmp_path, ETCD, monkeypatch)
    monkeypatch.setattr(boot.program.time, "sleep", lambda _: None)
    first, second = {**TICKET, "member_id": "7"}, {**TICKET, "member_id": "8"}
    boot.program.etcd(Ssm(first, second, second, None), None, "i-1")
    assert boot.commands.count("/run/member-boot/user-data") == 2
    assert "systemctl stop etcd" in boot.commands
    assert (boot.volume / "membership").read_text() == "8"


def test_a_script_that_fails_ends_the_boot_which_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = Boot(tmp_path, API, monkeypatch)
    boot.ends = 3
    with pytest.raises(SystemExit, match="ended with 3"):
        boot.program.servers(Ssm({"etcd_servers": "https://d:1"}))
    assert not (tmp_path / "var/lib/member-boot/done").exists()


def test_an_api_machine_runs_its_script_once_with_what_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = Boot(tmp_path, API, monkeypatch)
    with pytest.raises(Waits):
        boot.program.servers(Ssm(None))
    boot.program.servers(Ssm({"etcd_servers": "https://d:1,https://e:1"}))
    assert "ETCD_SERVERS=https://d:1,https://e:1\n" in boot.filled
    boot.program.servers(Ssm(None))
    assert boot.commands == ["/run/member-boot/user-data"]
