"""A member's boot formats a volume that was made for it and is blank, and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.unit.etcd.boot_script import Waits, boot_script

NEW = {"Key": "migration:new-volume", "Value": "true"}


@dataclass
class Device:
    """What the image's programs say of the volume, and what was called."""

    blkid: int
    zeroes: int
    """cmp's exit status."""
    mountable: bool = False
    attached: str = "/dev/xvdf"
    """The name that it is attached by; no other one is a device."""
    tags: list[dict[str, str]] = field(default_factory=lambda: [NEW])
    called: list[str] = field(default_factory=list)

    def describe_volumes(self, **_: Any) -> dict[str, Any]:
        attachment = {"InstanceId": "i-1", "State": "attached", "Device": self.attached}
        return {"Volumes": [{"VolumeId": "v", "State": "in-use", "Attachments": [attachment], "Tags": self.tags}]}

    def run(self, words: list[str], **_: Any) -> Any:
        self.called.append(words[0])
        if words[0] == "mkfs.ext4":
            self.mountable = True
        mounted = 0 if self.mountable and words[1] == self.attached else 32
        code = {"blkid": self.blkid, "cmp": self.zeroes, "mount": mounted, "mountpoint": 1}
        return type("Done", (), {"returncode": code.get(words[0], 0)})()


@pytest.fixture
def boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Device], list[str]]:
    """Runs the volume's part; how it ended is the last of what was called, `waits` where it doesn't go on."""

    def run(device: Device) -> list[str]:
        module = boot_script(tmp_path, volume_tags={"migration:member": "d"})
        monkeypatch.setattr(module.subprocess, "run", device.run)

        def sleep(_: float) -> None:
            raise Waits

        monkeypatch.setattr(module.time, "sleep", sleep)
        try:
            module.own_volume(device, "i-1")
        except Waits:
            device.called.append("waits")
        return device.called

    return run


def test_a_new_blank_volume_is_formatted(boot: Callable[[Device], list[str]]) -> None:
    assert boot(Device(blkid=2, zeroes=0)) == ["mountpoint", "mount", "blkid", "cmp", "mkfs.ext4", "mount"]


def test_a_volume_with_a_file_system_is_mounted_and_nothing_else(boot: Callable[[Device], list[str]]) -> None:
    assert boot(Device(blkid=0, zeroes=1, mountable=True)) == ["mountpoint", "mount"]


def test_one_that_came_along_is_mounted_by_the_name_that_its_last_machine_had_for_it(
    boot: Callable[[Device], list[str]],
) -> None:
    assert boot(Device(blkid=0, zeroes=1, mountable=True, attached="/dev/sdg")) == ["mountpoint", "mount", "mount"]


@pytest.mark.parametrize(
    "device",
    [
        Device(blkid=0, zeroes=1),
        Device(blkid=2, zeroes=1),
        Device(blkid=2, zeroes=2),
        Device(blkid=4, zeroes=0),
        Device(blkid=8, zeroes=0),
        Device(blkid=127, zeroes=0),
        Device(blkid=2, zeroes=0, tags=[]),
        Device(blkid=2, zeroes=0, tags=[{"Key": "migration:new-volume", "Value": "false"}]),
    ],
    ids=[
        "a file system that doesn't mount",
        "something blkid doesn't know",
        "can't be read",
        "blkid's usage",
        "blkid is unsure",
        "no blkid",
        "not marked",
        "marked otherwise",
    ],
)
def test_anything_else_is_left_alone(device: Device, boot: Callable[[Device], list[str]]) -> None:
    called = boot(device)
    assert "mkfs.ext4" not in called
    assert called[-1] == "waits"
