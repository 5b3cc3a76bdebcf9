"""The controllers that users run: who may have them, what their machines are given, and what their logs say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab import controllers
from lab.controllers import CLOUD_CONTROLLER, EXTERNAL_DNS, Said, errors, outlasting, troubles
from lab.legacy import userdata
from lab.machines.cloudinit import parse
from lab.machines.external_dns import arguments
from lab.machines.rewrites import Host, rewrite
from lab.machines.units import command, parse_unit
from lab.settings import LabSettings, SettingsError
from lab.shapes import ZONE
from lab.workload import awkward
from migration.layouts import found

REAL = {"LAB_SHAPE": "awkward", "LAB_CONTROLLERS": "real"}
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def control_plane(*, real: bool) -> str:
    return userdata.control_plane(
        cluster=ZONE,
        member="master-a",
        pod_cidr="100.64.0.0/16",
        api_names=[f"api.{ZONE}"],
        volume_tags={"k8s.io/etcd/main": "master-a"},
        cloud_controller=real,
    )


def test_they_are_for_shape_awkward_alone_and_stay_with_the_cluster(tmp_path: Path) -> None:
    assert LabSettings.load(tmp_path, {"LAB_SHAPE": "awkward"}).tools == ()
    asked = LabSettings.load(tmp_path, REAL)
    assert asked.real_controllers and asked.tools == controllers.TOOLS
    with pytest.raises(SettingsError, match="controllers='real': shape pet with layout cloud-config has none that are"):
        LabSettings.load(tmp_path, {"LAB_CONTROLLERS": "real"})
    with pytest.raises(SettingsError, match="shape awkward with layout kubeadm has none that are real; set LAB_SHAPE"):
        LabSettings.load(tmp_path, {**REAL, "LAB_LAYOUT": "kubeadm"})
    with pytest.raises(SettingsError, match="LAB_CONTROLLERS='yes': must be one of stand-in, real"):
        LabSettings.load(tmp_path, {**REAL, "LAB_CONTROLLERS": "yes"})
    asked.note_built(tmp_path)
    assert LabSettings.load(tmp_path, {}).real_controllers
    with pytest.raises(SettingsError, match=r"LAB_CONTROLLERS='stand-in': the lab in .* has a cluster of controllers"):
        LabSettings.load(tmp_path, {"LAB_CONTROLLERS": "stand-in"})


def test_the_controller_manager_wants_the_cloud_controller_and_ends_with_it() -> None:
    files = {file.path: file for file in parse(control_plane(real=True).encode()).files}
    manager, cloud = (
        parse_unit(name, files[f"{userdata.SYSTEMD}/{name}"].content)
        for name in (f"{userdata.MANAGER}.service", controllers.CLOUD_UNIT)
    )
    assert manager.wants == (controllers.CLOUD_UNIT,)
    assert cloud.part_of == (f"{userdata.MANAGER}.service",)
    assert files[command(cloud.start_pre[0], {})[0]].mode == 0o755
    # Without it the members are as ever.
    plain = {file.path: file for file in parse(control_plane(real=False).encode()).files}
    assert set(files) - set(plain) == {f"{userdata.SYSTEMD}/{controllers.CLOUD_UNIT}", "/usr/local/bin/cloud-config"}
    assert parse_unit("x", plain[f"{userdata.SYSTEMD}/{userdata.MANAGER}.service"].content).wants == ()


def test_the_program_still_sees_a_member_and_no_second_controller_manager() -> None:
    plain, real = (found.read(control_plane(real=real)) for real in (False, True))
    assert real.runs_a_member and not real.missing and not real.against
    assert {role: real.unit(role) for role in real.units} == {role: plain.unit(role) for role in plain.units}


def test_the_cloud_controller_listens_on_its_machines_own_address(tmp_path: Path) -> None:
    host = Host(ip="127.10.1.4", instance="i-1", folder=tmp_path, connect_socket=tmp_path / "s")
    argv = rewrite([f"/usr/local/bin/{CLOUD_CONTROLLER}", "--bind-address=127.0.0.1"], host, lambda name: Path(name))
    assert argv == [CLOUD_CONTROLLER, "--bind-address=127.10.1.4"]


def test_external_dns_deletes_nothing_and_writes_names_that_can_be_moved() -> None:
    said = arguments("pet.internal", "/k")
    assert {"--policy=upsert-only", "--aws-prefer-cname", "--txt-owner-id=awkward"} <= set(said)


def test_the_service_says_all_that_the_controllers_ask() -> None:
    real = next(one for one in awkward.checkout(ZONE, real=True) if one["kind"] == "Service")
    stand_in = next(one for one in awkward.checkout(ZONE) if one["kind"] == "Service")
    assert real["metadata"]["annotations"][awkward.INTERNAL] == "true"
    assert real["spec"]["ports"][0]["port"] == awkward.CHECKOUT_PORT
    assert awkward.INTERNAL not in stand_in["metadata"]["annotations"]


CLOUD_LOG = """\
I1126 11:00:00.000001   12345 controller.go:1] Starting
E1126 11:00:01.5   12345 controller.go:302] "Error syncing" i-0123456789abcdef0: InvalidTarget
W1126 11:00:02.000001   12345 x.go:1] beware
E1126 11:05:01.500000   12345 controller.go:302] "Error syncing" i-0fedcba9876543210: InvalidTarget
E1126 11:00:03.000000   12345 leader.go:7] lost
no line of klog
"""
DNS_LOG = (
    'time="2026-11-26T11:00:05Z" level=info msg="All records are already up to date"\n'
    'time="2026-11-26T11:00:06Z" level=error msg="failure in zone \\"a.\\": InvalidChangeBatch"\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in ((f"i-1/log/{controllers.CLOUD_UNIT}.log", CLOUD_LOG), (f"{EXTERNAL_DNS}/x.log", DNS_LOG)):
        path = tmp_path / "machines" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path


def test_errors_are_counted_by_kind(folder: Path) -> None:
    said = errors(folder, now=NOW)
    assert [one.controller for one in said].count(EXTERNAL_DNS) == 1 and len(said) == 4
    assert 'failure in zone "a.": InvalidChangeBatch' in {one.text for one in said}
    first = troubles(said)[0]
    assert (first.count, first.kind) == (2, '"Error syncing" …: InvalidTarget')
    assert first.last - first.first == timedelta(minutes=5)


def test_an_error_outlasts_a_stage_if_it_is_told_in_it_and_after_it(folder: Path) -> None:
    said = errors(folder, now=NOW)
    begun = min(one.at for one in said) - timedelta(seconds=1)
    short, long = begun + timedelta(minutes=1), begun + timedelta(minutes=9)
    assert [one.kind for one in outlasting(said, [(begun, short)])] == ['"Error syncing" …: InvalidTarget']
    assert outlasting(said, [(begun, long)]) == []


def test_the_same_error_of_two_occasions_outlasts_nothing_and_a_calls_id_makes_no_other_kind() -> None:
    def told(minutes: float, call: str) -> Said:
        at = NOW + timedelta(minutes=minutes)
        return Said(at=at, controller=EXTERNAL_DNS, text=f"StatusCode: 400, RequestID: {call}, InvalidTarget")

    stage = [(NOW, NOW + timedelta(minutes=2))]
    assert outlasting([told(1, "7fM4m1uq"), told(3, "C0anKqqj")], stage)
    assert not outlasting([told(1, "7fM4m1uq"), told(20, "C0anKqqj")], stage)
    assert not outlasting([told(3, "7fM4m1uq"), told(4, "C0anKqqj")], stage)


def test_no_log_is_not_no_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no log of aws-cloud-controller-manager or external-dns"):
        errors(tmp_path, now=NOW)


def test_a_line_of_last_december_is_of_last_year() -> None:
    line = "E1231 23:59:59.000000   1 x.go:1] boom"
    january = datetime(2027, 1, 1, 12, tzinfo=UTC)
    assert [one.at.year for one in controllers.read("x", [line], january)] == [2026]
