"""What the lab's machine images bring: files and units that are there before a machine's user data runs.

An image is known by its name, as its tooling bakes them. One without a row is bare: systemd and the programs of the
lab's toolchain, which every machine has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from lab.machines.cloudinit import File

SOURCES = Path(__file__).resolve().parents[1] / "legacy" / "images"
LIBRARY = "/usr/local/lib/pet/machine.py"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One kind of image."""

    pattern: str
    """Of its name; another version of it brings the same."""
    contents: Mapping[str, str]
    """Path on the machine → file in `SOURCES`."""
    enabled: tuple[str, ...] = ()
    """Units that start by themselves, after user data."""


@dataclass(frozen=True, kw_only=True)
class Image:
    files: tuple[File, ...] = ()
    enabled: tuple[str, ...] = field(default=())


def _units(*names: str) -> dict[str, str]:
    return {f"/etc/systemd/system/{name}.service": f"{name}.service" for name in names}


TABLE: tuple[Row, ...] = (
    Row(
        pattern="*-etcd-3.*",
        contents={
            **_units("etcd"),
            LIBRARY: "library",
            "/usr/local/bin/bootstrap-etcd": "bootstrap-etcd",
        },
    ),
    Row(
        pattern="*-master-1.*",
        contents={
            **_units("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
            LIBRARY: "library",
            "/usr/local/bin/bootstrap-master": "bootstrap-master",
        },
    ),
    Row(
        pattern="*-kubeadm-1.*",
        contents={"/usr/lib/systemd/system/kubelet.service": "kubelet.service", LIBRARY: "library"},
    ),
)


def find(name: str, table: tuple[Row, ...] = TABLE, sources: Path = SOURCES) -> Image:
    """What the image with this name brings; nothing where the table has no row for it."""
    row = next((row for row in table if fnmatchcase(name, row.pattern)), None)
    if row is None:
        return Image()
    files = tuple(_file(path, sources / source) for path, source in row.contents.items())
    return Image(files=files, enabled=row.enabled)


def _file(path: str, source: Path) -> File:
    text = source.read_text()
    # What begins as a script is a program; whether the working copy kept its mode doesn't matter.
    return File(path=path, content=text, mode=0o755 if text.startswith("#!") else 0o644)
