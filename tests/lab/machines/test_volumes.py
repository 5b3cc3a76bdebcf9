"""A volume's data goes where EC2 says that the volume is: two machines, one AWS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.addresses import REGION
from lab.aws.snapshot import snapshot
from lab.aws.world import WORLD
from lab.legacy.cloud import Cloud
from lab.machines.machine import Machine
from lab.machines.place import Place
from lab.settings import LabSettings
from tests.lab.machines.test_machine import NoGate, Registered, until
from tests.lab.somewhere import Somewhere, lab_aws

DEVICE = "/dev/xvdf"
WRITER = "[Service]\nExecStart=/usr/local/bin/writer\nRestart=no\n"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with lab_aws() as addresses:
        yield Cloud(addresses)


class Two:
    """Two machines of one zone and a volume, as a supervisor has them."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.ec2 = cloud.ec2
        vpc = self.ec2.create_vpc(CidrBlock="127.19.0.0/16")["Vpc"]["VpcId"]
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock="127.19.1.0/24", AvailabilityZone=f"{REGION}a")
        made = self.ec2.run_instances(
            ImageId="ami-12c6146b",
            InstanceType="m5.large",
            MinCount=2,
            MaxCount=2,
            SubnetId=subnet["Subnet"]["SubnetId"],
        )
        self.volume = self.ec2.create_volume(Size=1, AvailabilityZone=f"{REGION}a")["VolumeId"]
        place = Place(directory=folder, addresses=Somewhere(), settings=LabSettings(instance_boot_s=0))
        place.make_shims()
        self.place = place
        ids = [instance["InstanceId"] for instance in made["Instances"]]
        self.first, self.second = (Machine(self.instance(one), place, NoGate(), Registered()) for one in ids)

    def instance(self, name: str) -> dict[str, Any]:
        return next(one for one in snapshot(WORLD)["instances"] if one["id"] == name)

    async def boot(self) -> None:
        for one in (self.first, self.second):
            await one.boot()
            (one.root / "var/lib/etcd").mkdir(parents=True)

    async def attach(self, one: Machine) -> None:
        self.ec2.attach_volume(VolumeId=self.volume, InstanceId=one.id, Device=DEVICE)
        await one.attached(self.instance(one.id))

    async def follow(self) -> None:
        for one in (self.first, self.second):
            await one.attached(self.instance(one.id))

    def state(self) -> str:
        return self.ec2.describe_volumes(VolumeIds=[self.volume])["Volumes"][0]["State"]


def data(one: Machine) -> str:
    return str(one.root / "var/lib/etcd")


@pytest.mark.lab
def test_a_volume_moves_with_its_attachment_and_its_data_with_it(cloud: Cloud, tmp_path: Path) -> None:
    async def run() -> None:
        two = Two(cloud, tmp_path)
        await two.boot()
        await two.attach(two.first)
        await two.first.call("mkfs.ext4", [DEVICE])
        assert (await two.first.call("mount", [DEVICE, data(two.first)])).code == 0
        (Path(data(two.first)) / "db").write_text("kept")

        two.ec2.detach_volume(VolumeId=two.volume)
        await two.follow()
        assert two.state() == "in-use"
        assert (Path(data(two.first)) / "db").read_text() == "kept"
        assert (await two.first.call("umount", [data(two.first)])).code == 0
        assert two.state() == "available"
        await two.follow()
        assert (await two.first.call("mount", [DEVICE, data(two.first)])).code == 2
        assert list(Path(data(two.first)).iterdir()) == []

        assert (await two.second.call("blkid", [DEVICE])).code == 2
        await two.attach(two.second)
        assert (await two.second.call("blkid", [DEVICE])).code == 0
        assert (await two.second.call("mount", [DEVICE, data(two.second)])).code == 0
        assert (Path(data(two.second)) / "db").read_text() == "kept"

    asyncio.run(run())


@pytest.mark.lab
def test_a_volume_in_use_is_not_unmounted_and_one_torn_off_ends_its_writer(cloud: Cloud, tmp_path: Path) -> None:
    async def run() -> None:
        two = Two(cloud, tmp_path)
        await two.boot()
        one = two.first
        await two.attach(one)
        await one.call("mkfs.ext4", [DEVICE])
        await one.call("mount", [DEVICE, data(one)])
        for path, text in {
            "etc/systemd/system/writer.service": WRITER.replace("/usr/local", f"{one.root}/usr/local"),
            "usr/local/bin/writer": f"#!/bin/sh\nexec 9> {data(one)}/db\necho x >&9\nexec sleep 60\n",
        }.items():
            (one.root / path).parent.mkdir(parents=True)
            (one.root / path).write_text(text)
        (one.root / "usr/local/bin/writer").chmod(0o755)
        assert (await one.call("systemctl", ["start", "writer"])).code == 0
        await until((Path(data(one)) / "db").exists)
        answer = await one.call("umount", [data(one)])
        assert (answer.code, "busy" in answer.stderr) == (32, True)

        identity = one.services["writer.service"].identity
        assert identity is not None and identity.alive
        two.ec2.detach_volume(VolumeId=two.volume, Force=True)
        await two.follow()
        await until(lambda: not identity.alive)
        assert list(Path(data(one)).iterdir()) == []
        assert (await one.call("mountpoint", [data(one)])).code == 1
        await two.attach(two.second)

    asyncio.run(run())


@pytest.mark.lab
def test_a_machine_whose_aws_does_not_answer_mounts_all_the_same_and_tells_it_later(
    cloud: Cloud, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = cloud.addresses.aws_url
    Somewhere.url = "http://127.0.0.1:9"
    place = Place(directory=tmp_path, addresses=Somewhere(), settings=LabSettings(instance_boot_s=0))
    one = Machine({"id": "i-1", "volumes": [{"id": "vol-1", "device": DEVICE}]}, place, NoGate(), Registered())
    target = one.root / "data"
    target.mkdir(parents=True)
    asyncio.run(one.call("mkfs.ext4", [DEVICE]))
    assert asyncio.run(one.call("mount", [DEVICE, str(target)])).code == 0
    assert "not reported" in caplog.text and one.told == frozenset() and WORLD.mounted == {}
    Somewhere.url = url
    asyncio.run(one.tick())
    assert WORLD.mounted == {"vol-1": "i-1"}
