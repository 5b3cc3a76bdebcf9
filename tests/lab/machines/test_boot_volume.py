"""The legacy members' boots find their volume, though EC2 doesn't know it yet by the id it has just given it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.environment import REPOSITORY

LEGACY = REPOSITORY / "lab" / "legacy"
INSTANCE, VOLUME = "i-0123456789abcdef0", "vol-0123456789abcdef0"


class Ec2:
    """One volume, unknown by its id for the first two questions."""

    def __init__(self) -> None:
        self.unknown, self.attached = 2, False

    def describe_volumes(self, **asked: Any) -> dict[str, Any]:
        if "VolumeIds" in asked and self.unknown:
            self.unknown -= 1
            answer: Any = {"Error": {"Code": "InvalidVolume.NotFound", "Message": f"'{VOLUME}' does not exist."}}
            raise ClientError(answer, "DescribeVolumes")
        places = [{"InstanceId": INSTANCE, "State": "attached"}] if self.attached else []
        return {"Volumes": [{"VolumeId": VOLUME, "Attachments": places}]}

    def attach_volume(self, **_: Any) -> None:
        self.attached = True


def until(_seconds: int, _what: str, attempt: Callable[[], Any]) -> Any:
    for _ in range(10):
        if found := attempt():
            return found
    raise AssertionError("never so")


def function(file: Path, name: str, known: dict[str, Any]) -> Callable[..., None]:
    """A function of a boot script alone: the scripts ask their machine as they are read."""
    tree = ast.parse(file.read_text())
    [found] = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name == name]
    exec(compile(ast.Module([found], []), str(file), "exec"), known)
    return known[name]


@pytest.mark.parametrize(("file", "name"), [("files/pet-boot", "attach_volume"), ("images/library", "mount_volume")])
def test_a_volume_that_isnt_known_yet_is_asked_for_again(file: str, name: str, tmp_path: Path) -> None:
    ec2 = Ec2()
    known: dict[str, Any] = {
        "boto3": SimpleNamespace(client=lambda *_, **__: ec2),
        "subprocess": SimpleNamespace(call=lambda *_: 0),
        "os": SimpleNamespace(makedirs=lambda *_, **__: None),
        "ClientError": ClientError,
        "until": until,
        "INSTANCE": INSTANCE,
        "REGION": "eu-central-1",
        "DEVICE": "/dev/xvdf",
        "ETCD_DIR": str(tmp_path),
        "FACTS": {"volume_tags": {"Name": "etcd.a"}},
    }
    act = function(LEGACY / file, name, known)
    if name == "attach_volume":
        act()
    else:
        act(SimpleNamespace(ec2=ec2, instance=INSTANCE), {"Name": "etcd.a"}, "/dev/xvdf", str(tmp_path))
    assert (ec2.attached, ec2.unknown) == (True, 0)
