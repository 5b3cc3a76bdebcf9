"""Discovery writes the form of the control plane, says how it knows, and what it couldn't see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.addresses import LabAddresses
from migration.discover import run
from migration.discover.write import write
from migration.runtime.deadline import Permanent
from migration.settings import load_file


def test_the_layout_is_written_with_how_it_is_known(legacy: Any, tmp_path: Path) -> None:
    told: list[str] = []
    found = legacy.discover(log=told.append)
    # Everything in the legacy cluster has its usual name.
    assert found["controlPlane"] == {"layout": "cloud-config"}
    path = tmp_path / "Pulumi.stage-0.yaml"
    write(path, "eu-central-1", found)
    assert load_file(path).configuration.control_plane.layout == "cloud-config"
    assert told[0] == (
        "control plane cloud-config: master-a.pet's user data is a cloud-config that writes etcd.service, "
        "kube-apiserver.service, kube-controller-manager.service, kube-scheduler.service"
    )
    assert "control plane cloud-config: not seen: what runs on master-a.pet wasn't asked" in told
    assert not any("must be put right" in line for line in told)


def test_machines_are_asked_only_where_that_is_said(legacy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def runs(_aws: Any, machines: Any, *_: Any) -> dict[str, tuple[str, ...]]:
        asked.extend(machines)
        return dict.fromkeys(asked[:1], ("/usr/local/bin/kube-apiserver",))

    monkeypatch.setattr(run, "what_runs", runs)
    legacy.discover()
    assert asked == []
    told: list[str] = []
    legacy.discover(ask_machines=True, log=told.append)
    assert len(asked) == 3  # the members, and no worker
    [wrong] = [line for line in told if "must be put right" in line]
    assert "its user data starts etcd, and none runs there" in wrong
    assert sum("wasn't asked" in line for line in told) == 2


def test_an_operator_may_say_another_layout(legacy: Any) -> None:
    found = legacy.discover(layout="custom", user_data_file="own.sh")
    assert found["controlPlane"] == {"layout": "custom", "userDataFile": "own.sh"}
    assert [member["name"] for member in found["members"]] == ["master-a", "master-b", "master-c"]
    with pytest.raises(Permanent, match="no group of the cluster looks like a member of a control plane of layout kub"):
        legacy.discover(layout="kubeadm")


def test_kubeadms_documents_say_what_units_say_elsewhere(of_layout: Callable[[str], Any], tmp_path: Path) -> None:
    told: list[str] = []
    found = of_layout("kubeadm").discover(log=told.append)
    assert found["controlPlane"] == {"layout": "kubeadm"}
    assert [member["name"] for member in found["members"]] == ["master-a", "master-b", "master-c"]
    assert (found["etcd"]["clientPort"], found["etcd"]["peerPort"]) == (2379, 2380)
    # No pod of the control plane was asked for its flags.
    assert (found["podCidr"], found["serviceCidr"]) == (LabAddresses().pod_cidr, "172.20.0.0/16")
    assert not any("must be put right" in line for line in told)
    path = tmp_path / "Pulumi.stage-0.yaml"
    write(path, "eu-central-1", found)
    assert load_file(path).configuration.control_plane.layout == "kubeadm"


def test_members_that_a_script_makes_are_described_from_it(of_layout: Callable[[str], Any], tmp_path: Path) -> None:
    found = of_layout("custom").discover(layout="custom", user_data_file="own.sh")
    assert found["api"] == {"name": "api.pet.lab.internal", "port": 6443, "serverPort": 8443}
    assert {key: found["etcd"][key] for key in ("clientPort", "peerPort")} == {"clientPort": 12379, "peerPort": 12380}
    assert found["controlPlane"]["units"]["etcd"] == "etcd-member"
    assert found["controlPlane"]["files"]["etcdCa"] == "/srv/kube/tls/etcd-ca.pem"
    assert found["serviceCidr"] == "172.20.0.0/16"
    path = tmp_path / "Pulumi.stage-0.yaml"
    write(path, "eu-central-1", found)
    assert load_file(path).configuration.api.on_members == 8443
