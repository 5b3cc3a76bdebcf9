"""The layout cloud-config: a cluster's own names are found, told to the boot, and written in nowhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migration.etcd.userdata import boot_script, clone_user_data
from migration.layouts.contract import NewMachine
from migration.layouts.found import read
from migration.layouts.registry import LAYOUTS
from migration.runtime.deadline import Permanent
from migration.settings.model import Pki, Units
from tests.unit.layouts.clusters import (
    FACTS,
    IDENTITY,
    OTHER_ETCD,
    UNITS,
    cloud_config,
    encoded,
    evidence,
    files_of,
    group,
    other_files,
    plain,
)

TODAY = Path(__file__).with_name("today.yaml")
OTHER = Units(etcd="etcd-member", api_server="apiserver", controller_manager="controllers", scheduler="scheduler")
AT = replace(IDENTITY, api_port=8443, client_port=4001, peer_port=7001)
CLOUD_CONFIG = LAYOUTS["cloud-config"]


def without(files: dict[str, str], *names: str) -> dict[str, str]:
    return {path: text for path, text in files.items() if not any(name in path for name in names)}


def other_clone(**changes: str) -> dict[str, str]:
    return files_of(clone_user_data(encoded(cloud_config({**other_files(), **changes})), AT, units=OTHER))


def today_original() -> str:
    """A cluster under today's names, as the file beside has its clone."""
    paths = {
        "etcd": "--data-dir=/var/lib/etcd/data --name=${MEMBER_NAME} "
        "--listen-client-urls=https://${PRIVATE_IP}:2379,https://127.0.0.1:2379 "
        "--listen-peer-urls=https://${PRIVATE_IP}:2380 --cert-file=/etc/kubernetes/pki/etcd/server.crt "
        "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
        "kube-apiserver": "--secure-port=6443 --advertise-address=${PRIVATE_IP} --etcd-servers=${API_ETCD_SERVERS} "
        "--etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt --tls-cert-file=/etc/kubernetes/pki/apiserver.crt "
        "--encryption-provider-config=/etc/kubernetes/encryption.yaml",
        "kube-controller-manager": "--kubeconfig=/etc/kubernetes/controller-manager.kubeconfig",
        "kube-scheduler": "--kubeconfig=/etc/kubernetes/scheduler.kubeconfig",
    }
    files = {
        f"{UNITS}/{unit}.service": "[Service]\nEnvironmentFile=/etc/kubernetes/member.env\n"
        f"ExecStart=/usr/local/bin/{unit} {flags}\n"
        for unit, flags in paths.items()
    }
    files["/etc/kubernetes/member.json"] = '{"api_names": ["api.pet"], "team": "platform"}'
    return encoded(cloud_config({**files, "/usr/local/bin/bring-up": "#!/bin/sh\n"}))


def test_under_todays_names_nothing_but_the_boots_own_text_may_ever_change() -> None:
    clone = plain(clone_user_data(today_original(), IDENTITY))
    [boot] = [text for path, text in files_of(clone_user_data(today_original(), IDENTITY)).items() if "bin" in path]
    assert boot == boot_script()
    head, _, rest = clone.partition("- path: /usr/local/bin/member-boot\n")
    _, _, tail = rest.partition("- path: /etc/systemd/system/member-boot.service\n")
    # A difference here is a new launch template, and on a settled side a new machine for each member.
    assert head + "…\n" + tail == TODAY.read_text()


def test_every_name_of_another_cluster_is_found() -> None:
    found = read(cloud_config(other_files()))
    assert {role: unit.name for role, unit in found.units.items()} == {
        "etcd": "etcd-member",
        "kube-apiserver": "apiserver",
        "kube-controller-manager": "controllers",
        "kube-scheduler": "scheduler",
    }
    assert (found.identity, found.environment) == (FACTS, "/run/etcd/joining.env")
    assert (found.data, found.mount) == ("/srv/etcd/db", "/srv/etcd")
    assert found.port("kube-apiserver", "secure-port") == 8443
    assert (found.port("etcd", "listen-client-urls"), found.port("etcd", "listen-peer-urls")) == (4001, 7001)
    assert found.variables == {
        "NODE_NAME": "MEMBER_NAME",
        "NODE_IP": "PRIVATE_IP",
        "ETCD_SERVERS": "API_ETCD_SERVERS",
    }
    assert (found.against, found.missing) == ((), ())


def test_the_boot_is_told_what_is_called_otherwise_and_the_operators_own_facts_stay() -> None:
    after = other_clone()
    told = json.loads(after[FACTS])
    assert "/etc/kubernetes/member.json" not in after
    assert told["team"] == "platform"
    assert told["paths"] == {
        "environment": "/run/etcd/joining.env",
        "data": "/srv/etcd/db",
        "mount": "/srv/etcd",
        "pki": "/etc/pki/k8s",
    }
    assert told["units"]["etcd"] == "etcd-member"
    assert told["files"]["etcd/peer.crt"] == ["/etc/pki/etcd/member.pem"]
    assert told["files"]["encryption.yaml"] == ["/etc/pki/k8s/at-rest.yaml"]
    assert told["variables"]["NODE_IP"] == "PRIVATE_IP"
    for unit in ("boot", "renew"):
        assert f"Environment=MEMBER_IDENTITY={FACTS}\n" in after[f"{UNITS}/member-{unit}.service"]
    assert after[f"{UNITS}/etcd-member.service"] == OTHER_ETCD


def test_a_clone_of_a_clone_is_a_clone_of_the_first() -> None:
    first = encoded(cloud_config(other_files()))
    once = clone_user_data(first, AT, units=OTHER, held=Pki(source="image"))
    following = replace(AT, member="master-a-next")
    assert clone_user_data(once, following, units=OTHER) == clone_user_data(first, following, units=OTHER)


def test_units_that_the_configuration_calls_otherwise_are_refused_each_by_key() -> None:
    with pytest.raises(Permanent) as refused:
        clone_user_data(encoded(cloud_config(other_files())), AT, units=Units(etcd="etcd-member"))
    assert str(refused.value) == (
        "the old control plane's units are called otherwise: migration:controlPlane.units.apiServer is "
        "'kube-apiserver', the user data has 'apiserver'; migration:controlPlane.units.controllerManager is "
        "'kube-controller-manager', the user data has 'controllers'; migration:controlPlane.units.scheduler is "
        "'kube-scheduler', the user data has 'scheduler'; correct the names"
    )


@pytest.mark.parametrize(
    ("flags", "data", "mount", "device"),
    [
        ("--data-dir=/var/lib/etcd", "/var/lib/etcd", "/var/lib/etcd", "/dev/xvdf"),
        ("--data-dir=/mnt/etcd", "/mnt/etcd", "/mnt/etcd", "/dev/xvdf"),
        ("--data-dir /var/lib/etcd/main", "/var/lib/etcd/main", "/var/lib/etcd", "/dev/xvdf"),
        ("", "/var/lib/etcd/data", "/var/lib/etcd", "/dev/xvdf"),
    ],
)
def test_a_folder_that_others_share_is_never_the_volumes(flags: str, data: str, mount: str, device: str) -> None:
    found = read(cloud_config({f"{UNITS}/etcd.service": f"[Service]\nExecStart=/x/etcd {flags}\n"}))
    assert (found.data, found.mount, found.device) == (data, mount, device)


def test_what_the_user_data_mounts_is_the_volumes_place() -> None:
    unit = {f"{UNITS}/etcd.service": "[Service]\nExecStart=/x/etcd --data-dir=/mnt/a/b/c\n"}
    mounted = read(cloud_config(unit, mounts=[["/dev/sdg", "/mnt/a", "ext4"], ["/dev/sdh", "/mnt/ab"]]))
    assert (mounted.mount, mounted.device) == ("/mnt/a", "/dev/sdg")
    by_unit = read(cloud_config({**unit, f"{UNITS}/mnt-a-b.mount": "[Mount]\nWhat=/dev/nvme1n1\nWhere=/mnt/a/b\n"}))
    assert (by_unit.mount, by_unit.device) == ("/mnt/a/b", "/dev/xvdf")
    assert "mounted from /dev/nvme1n1" in by_unit.unseen[0]


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("etcd-member", OTHER_ETCD.replace("--name", "--wal-dir=/wal --name"), "--wal-dir is /wal, outside"),
        ("etcd-member", OTHER_ETCD.replace("--name", "--quota ${QUOTA} --name"), "needs the variable QUOTA"),
        ("etcd-member", OTHER_ETCD.replace("/run/etcd/joining.env", FACTS), "has nowhere to put the join ticket"),
        ("second", "[Service]\nExecStart=/opt/bin/kube-scheduler\n", "scheduler, second all start kube-scheduler"),
    ],
)
def test_what_no_boot_could_serve_is_refused_with_its_reason(path: str, text: str, reason: str) -> None:
    files = without(other_files(), "scheduler") if path == "second" else other_files()
    if path == "second":
        files[f"{UNITS}/a-scheduler.service"] = text
    user_data = cloud_config({**files, f"{UNITS}/{path}.service": text})
    with pytest.raises(Permanent, match=reason.replace("scheduler, second", "a-scheduler, second")):
        clone_user_data(encoded(user_data), AT)


def test_an_api_server_that_shows_etcd_somebody_elses_certificate_is_refused() -> None:
    files = other_files()
    files[f"{UNITS}/apiserver.service"] = files[f"{UNITS}/apiserver.service"].replace("k8s/etcd.pem", "etcd/member.pem")
    [reason] = read(cloud_config(files)).against
    assert "shows etcd the same certificate /etc/pki/etcd/member.pem as etcd/server.crt" in reason


def test_a_boot_of_every_boot_would_run_beside_the_new_one() -> None:
    user_data = cloud_config(other_files(), bootcmd=[["/usr/local/bin/bring-up", "again"]])
    assert "bootcmd starts /usr/local/bin/bring-up at every boot" in read(user_data).against[0]


def test_variables_of_a_file_that_the_image_brings_are_only_not_seen() -> None:
    text = OTHER_ETCD.replace("--name", "--quota-backend-bytes=${QUOTA} --name").replace(
        "EnvironmentFile=", "EnvironmentFile=-/etc/default/etcd\nEnvironmentFile=/etc/kubernetes/member.env\n#", 1
    )
    found = read(cloud_config({**other_files(), f"{UNITS}/etcd-member.service": text}))
    assert not any("QUOTA" in sentence for sentence in found.against)
    assert any("needs QUOTA from /etc/default/etcd" in sentence for sentence in found.unseen)


def test_it_says_how_it_knows_and_what_it_could_not_see() -> None:
    seen = CLOUD_CONFIG.recognise(evidence(group("m", cloud_config(other_files())), group("w", "#!/bin/sh\n")))
    assert seen.members == ("m",)
    assert seen.because == (
        "m's user data is a cloud-config that writes etcd-member.service, apiserver.service, controllers.service, "
        "scheduler.service",
    )
    assert seen.unseen == ("what runs on m wasn't asked",)
    assert seen.against == ()
    assert seen.keys == {
        "units": {
            "etcd": "etcd-member",
            "apiServer": "apiserver",
            "controllerManager": "controllers",
            "scheduler": "scheduler",
        },
        "files": {
            "etcdCa": "/etc/pki/etcd/ca.pem",
            "etcdCertificate": "/etc/pki/k8s/etcd.pem",
            "etcdKey": "/etc/pki/k8s/etcd-key.pem",
            "snapshots": "/srv/etcd/snapshots",
        },
    }


def test_what_runs_may_contradict_the_user_data() -> None:
    both = ("/opt/bin/etcd --name a", "/opt/bin/kube-apiserver --etcd-servers=x")
    right = CLOUD_CONFIG.recognise(evidence(group("m", cloud_config(other_files()), both)))
    assert (right.against, right.unseen) == ((), ())
    # Somebody else's: the API server names etcd, and is none.
    wrong = CLOUD_CONFIG.recognise(evidence(group("m", cloud_config(other_files()), both[1:])))
    assert len(wrong.against) == 1
    assert wrong.against[0].startswith("m: its user data starts etcd, and none runs there")


def test_members_that_call_things_differently_are_against_one_set_of_names() -> None:
    renamed = without(other_files(), "etcd-member") | {f"{UNITS}/etcd.service": OTHER_ETCD}
    seen = CLOUD_CONFIG.recognise(evidence(group("a", cloud_config(other_files())), group("b", cloud_config(renamed))))
    assert [sentence.split(":")[0] for sentence in seen.against] == ["b calls its units or files otherwise than a"]


def test_nothing_is_recognised_in_user_data_of_another_kind_or_none() -> None:
    seen = CLOUD_CONFIG.recognise(evidence(group("a", "#!/bin/sh\netcd\n"), group("b")))
    assert (seen.members, seen.unseen) == ((), ("b have no user data that is text",))


def test_without_user_data_nothing_is_made() -> None:
    with pytest.raises(Permanent, match="has no user data to make a new member's from"):
        CLOUD_CONFIG.user_data(NewMachine(original=None, identity=AT))


def test_commands_are_for_the_units_as_configured() -> None:
    usual, other = CLOUD_CONFIG.commands(Units()), CLOUD_CONFIG.commands(OTHER)
    assert usual.stop_etcd == "systemctl disable --now etcd"
    assert usual.stop_servers == "systemctl disable --now kube-scheduler kube-controller-manager kube-apiserver"
    assert usual.start_servers == "systemctl start kube-scheduler kube-controller-manager kube-apiserver"
    assert usual.enable_servers == "systemctl enable --now kube-scheduler kube-controller-manager kube-apiserver"
    assert usual.logs == "journalctl -u member-boot -u etcd"
    assert other.stop_etcd == "systemctl disable --now etcd-member"
    assert other.stop_servers == "systemctl disable --now scheduler controllers apiserver"


@pytest.mark.parametrize("key", ["paths", "units", "files", "variables", "pki"])
def test_what_an_earlier_clone_was_told_does_not_outlive_its_reason(key: str) -> None:
    facts: dict[str, Any] = {"api_names": [], key: {"etcd": "somebody-elses"}}
    original = cloud_config({**_today_files(), "/etc/kubernetes/member.json": json.dumps(facts)})
    assert key not in json.loads(files_of(clone_user_data(encoded(original), IDENTITY))["/etc/kubernetes/member.json"])


def _today_files() -> dict[str, str]:
    return {
        f"{UNITS}/{unit}.service": "[Service]\nExecStart=/x\n"
        for unit in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    }
