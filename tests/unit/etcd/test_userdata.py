"""A new member's user data: the old member's but for who it is and how it boots."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
import yaml

from lab.legacy import userdata as legacy
from lab.machines import cloudinit
from migration.etcd.userdata import BOOT, IDENTITY, MAX_BYTES, UNITS, MemberIdentity, clone_user_data
from migration.runtime.deadline import Permanent

NEW = MemberIdentity(
    cluster="pet",
    member="master-a-main",
    region="eu-central-1",
    ticket_parameter="/pet/t",
    api_port=6443,
    client_port=2379,
    peer_port=2380,
)


def original(text: str | None = None) -> str:
    made = legacy.control_plane(
        cluster="pet",
        member="master-a",
        pod_cidr="100.64.0.0/16",
        api_names=["api.pet.lab.internal"],
        volume_tags={"k8s.io/etcd/main": "master-a"},
    )
    return base64.b64encode((made if text is None else text).encode()).decode()


def files(user_data: str) -> dict[str, str]:
    return {file.path: file.content for file in cloudinit.parse(base64.b64decode(user_data)).files}


def test_units_stay_byte_for_byte() -> None:
    before, after = files(original()), files(clone_user_data(original(), NEW))
    for unit in UNITS:
        path = f"/etc/systemd/system/{unit}.service"
        assert after[path] == before[path]


def test_the_old_boot_is_replaced_and_started_as_a_service() -> None:
    clone = clone_user_data(original(), NEW)
    after = files(clone)
    assert legacy.BOOT not in after
    assert "Brings a control-plane member to life" in after[BOOT]
    assert f"ExecStart={BOOT}" in after["/etc/systemd/system/member-boot.service"]
    assert cloudinit.parse(base64.b64decode(clone)).commands == (
        ("systemctl", "daemon-reload"),
        ("systemctl", "enable", "--now", "member-boot"),
        ("systemctl", "enable", "--now", "member-renew.timer"),
    )


def test_a_timer_looks_daily_whether_certificates_are_to_be_renewed() -> None:
    after = files(clone_user_data(original(), NEW))
    assert "OnCalendar=daily" in after["/etc/systemd/system/member-renew.timer"]
    assert f"ExecStart={BOOT} renew\n" in after["/etc/systemd/system/member-renew.service"]


def test_the_facts_are_the_new_members_and_what_only_the_old_one_knew_is_kept() -> None:
    written = json.loads(files(clone_user_data(original(), NEW))[IDENTITY])
    assert written["member"] == "master-a-main"
    assert written["ticket_parameter"] == "/pet/t"
    assert written["volume_tags"] == {"migration:cluster": "pet", "migration:member": "master-a-main"}
    assert written["api_names"] == ["api.pet.lab.internal"]
    assert written["ports"] == {"api": 6443, "clients": 2379, "peers": 2380}


def test_ports_that_the_units_do_not_listen_on_are_refused_all_at_once() -> None:
    elsewhere = replace(NEW, api_port=8443, client_port=4001, peer_port=7001)
    with pytest.raises(Permanent) as refused:
        clone_user_data(original(), elsewhere)
    assert str(refused.value) == (
        "the old control plane's units listen elsewhere: migration:api.serverPort is 8443, the unit says 6443; "
        "migration:etcd.clientPort is 4001, the unit says 2379; migration:etcd.peerPort is 7001, the unit says 2380; "
        "correct the configuration"
    )


def test_other_ports_go_along_where_the_units_have_them_or_do_not_say() -> None:
    units = {"etcd": "--listen-client-urls=https://${PRIVATE_IP}:4001,https://127.0.0.1:4001", "kube-apiserver": ""}
    document = {
        "write_files": [
            {
                "path": f"/etc/systemd/system/{unit}.service",
                "content": f"[Service]\nExecStart=/x {units.get(unit, '')}\n",
            }
            for unit in UNITS
        ]
    }
    text = original("#cloud-config\n" + yaml.safe_dump(document))
    written = json.loads(files(clone_user_data(text, replace(NEW, api_port=8443, client_port=4001)))[IDENTITY])
    assert written["ports"] == {"api": 8443, "clients": 4001, "peers": 2380}


def test_the_same_input_gives_the_same_bytes_and_they_fit() -> None:
    clone = clone_user_data(original(), NEW)
    assert clone == clone_user_data(original(), NEW)
    assert len(base64.b64decode(clone)) < MAX_BYTES


def test_a_machine_that_is_no_control_plane_is_refused_by_what_it_lacks() -> None:
    worker = original("#cloud-config\nwrite_files:\n- path: /etc/systemd/system/etcd.service\n  content: x\n")
    with pytest.raises(Permanent, match="no systemd unit for kube-apiserver, kube-controller-manager, kube-scheduler"):
        clone_user_data(worker, NEW)


def test_user_data_of_another_kind_is_refused() -> None:
    with pytest.raises(Permanent, match="isn't a #cloud-config"):
        clone_user_data(original("#!/bin/sh\necho hello\n"), NEW)


def test_a_machine_made_from_a_clone_is_the_one_made_from_the_first() -> None:
    following = replace(NEW, member="master-a-next", ticket_parameter="/pet/t2")
    assert clone_user_data(clone_user_data(original(), NEW), following) == clone_user_data(original(), following)
