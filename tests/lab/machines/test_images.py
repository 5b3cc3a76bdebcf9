from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from lab.addresses import LabAddresses
from lab.machines import images
from lab.machines.cloudinit import CloudConfigError, parse
from lab.machines.images import TABLE, Row, find
from lab.machines.machine import Machine
from lab.machines.place import Place
from lab.machines.units import parse_unit
from lab.settings import LabSettings
from tests.lab.machines.test_machine import NoGate, Registered, until

UNIT = """\
[Service]
Type=oneshot
RemainAfterExit=yes
EnvironmentFile=/etc/member.env
ExecStart=/usr/local/bin/bootstrap
"""
BOOTSTRAP = '#!/bin/sh\necho "$NAME in $(cat /etc/zone)" > /var/booted\n'


def machine(tmp_path: Path, image: str | None, user_data: str) -> Machine:
    place = Place(directory=tmp_path, addresses=LabAddresses(index=9), settings=LabSettings(instance_boot_s=0))
    place.make_shims()
    instance = {
        "id": "i-1", "private_ip": "127.19.1.4", "zone": "eu-central-1a", "vpc": "vpc-1", "image_name": image,
        "user_data": base64.b64encode(user_data.encode()).decode(), "volumes": [],
    }  # fmt: skip
    return Machine(instance, place, NoGate(), Registered())


@pytest.fixture
def baked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "unit").write_text(UNIT)
    (sources / "program").write_text(BOOTSTRAP)
    (sources / "zone").write_text("nowhere")
    row = Row(
        pattern="pet-baked-*",
        contents={
            "/etc/systemd/system/bootstrap.service": "unit",
            "/usr/local/bin/bootstrap": "program",
            "/etc/zone": "zone",
            "/var/.keep": "zone",
        },
        enabled=("bootstrap",),
    )
    monkeypatch.setattr(images, "find", lambda name: find(name, (row,), sources))


def booted(one: Machine) -> str:
    path = one.root / "var/booted"
    return path.read_text() if path.exists() else ""


@pytest.mark.usefixtures("baked")
def test_an_image_brings_units_and_files_and_user_data_is_a_mere_script_of_variables(tmp_path: Path) -> None:
    async def run() -> None:
        script = "#!/bin/bash\ncat > /etc/member.env <<EOF\nNAME=etcd-a\nEOF\necho here > /etc/zone\n"
        one = machine(tmp_path, "pet-baked-7", script)
        await one.boot()
        await until(lambda: booted(one))
        assert booted(one) == "etcd-a in here\n"
        assert (one.root / "usr/local/bin/bootstrap").stat().st_mode & 0o777 == 0o755
        assert (await one.call("systemctl", ["is-enabled", "bootstrap"])).code == 0

    asyncio.run(run())


@pytest.mark.usefixtures("baked")
@pytest.mark.parametrize("image", ["pet-node-1.34.1", None])
def test_another_image_brings_nothing(tmp_path: Path, image: str | None) -> None:
    async def run() -> None:
        one = machine(tmp_path, image, "#!/bin/sh\ntrue\n")
        await one.boot()
        assert [path.name for path in one.root.iterdir()] == ["root"]

    asyncio.run(run())


@pytest.mark.usefixtures("baked")
def test_a_unit_of_the_image_that_user_data_gave_nothing_to_is_an_error_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        one = machine(tmp_path, "pet-baked-7", "")
        await one.boot()
        assert booted(one) == ""
        assert "bootstrap of the image" in caplog.text and "member.env" in caplog.text

    asyncio.run(run())


def test_user_data_that_is_an_environment_file_is_left_to_the_image() -> None:
    assert parse(b"# rendered\nETCD_NAME=a\nexport ETCD_SERVERS=https://x:2379,https://y:2379\n") == parse(b"")
    for other in (b"ETCD_NAME=a\nrm -rf /\n", b"# nothing\n", b"just words"):
        with pytest.raises(CloudConfigError, match="environment file"):
            parse(other)


def test_every_row_of_the_table_can_be_baked_and_its_units_start_what_the_machine_has() -> None:
    programs = ("etcd", "kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    for row in TABLE:
        image = find(f"pet{row.pattern.replace('*', '', 1).replace('*', '1')}")
        assert len(image.files) == len(row.contents) > 0
        for file in image.files:
            if file.path.endswith(".service"):
                unit = parse_unit(file.path, file.content)
                assert Path(unit.start[0].split()[0]).name in programs
            assert (file.mode == 0o755) is file.content.startswith("#!")


def test_no_row_is_for_the_bare_image_of_the_first_layout() -> None:
    assert find("pet-node-1.34.1").files == () and find("pet-next-image").files == ()
