"""Block devices and mounts of a machine: a volume is a folder, a mount a symbolic link to it.

A file system exists on a volume once `mkfs` made it (a marker beside the folder), so a boot script's "format it only
if it is empty" is put to the test, and a volume's data outlives the instance it was attached to.

A mount goes with its attachment: EC2 lets go of a volume only once it isn't mounted any more (lab/aws/volumes.py), and
one that was torn off takes its mount, and the processes that had files on it open, along.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.machines.place import Place
from lab.machines.processes import Identity

NOTE = "mounts.json"
"""Beside the machine's root: mount point → volume."""
_VALUED = frozenset({"-t", "-o", "-L", "-s", "-c"})


def call(
    program: str,
    arguments: Sequence[str],
    place: Place,
    instance: Mapping[str, Any],
    processes: Iterable[Identity] = (),
) -> tuple[int, str]:
    """Answers mkfs, blkid, cmp (with zeroes), mount, umount and mountpoint: exit status and text.

    `processes` are the machine's: what one of them has open is not unmounted.
    """
    words: list[str] = []
    skip = False
    for word in arguments:
        if not skip and not word.startswith("-"):
            words.append(word)
        skip = not skip and word in _VALUED
    if program == "mountpoint":
        return (0, "") if words and Path(words[0]).is_symlink() else (1, f"{words} is not a mountpoint\n")
    if program == "umount":
        return _umount(Path(words[0]), place, instance, () if "-l" in arguments else processes)
    if not words:
        return 0, ""
    volume = _volume(words[0], place, instance)
    if volume is None:
        return 2, f"{program}: {words[0]}: no such device\n"
    formatted = volume.with_name(volume.name + ".ext4")
    if program == "cmp":
        # A boot script's "begins with zeroes": neither a file system nor anything else was put there.
        return (1 if formatted.exists() or (volume.is_dir() and any(volume.iterdir())) else 0), ""
    if program == "blkid":
        return (0, f'{words[0]}: UUID="{volume.name}" TYPE="ext4"\n') if formatted.exists() else (2, "")
    if program.startswith("mkfs"):
        if formatted.exists() and "-F" not in arguments:
            return 1, f"{words[0]} contains a file system already\n"
        volume.mkdir(parents=True, exist_ok=True)
        formatted.touch()
        return 0, ""
    if not formatted.exists():
        return 32, f"mount: {words[1]}: wrong fs type, bad superblock on {words[0]}\n"
    code, text = _mount(volume, Path(words[1]))
    if code == 0:
        _note(place, instance, {**mounted(place, instance), words[1].rstrip("/"): volume.name})
    return code, text


def mounted(place: Place, instance: Mapping[str, Any]) -> dict[str, str]:
    """What is mounted on this machine: mount point → volume id."""
    try:
        noted = json.loads((place.folder(instance["id"]) / NOTE).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return {target: volume for target, volume in noted.items() if Path(target).is_symlink()}


def _note(place: Place, instance: Mapping[str, Any], now: Mapping[str, str]) -> None:
    path = place.folder(instance["id"]) / NOTE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(now))


def tear_off(place: Place, instance: Mapping[str, Any], processes: Iterable[Identity]) -> list[str]:
    """Ends mounts of volumes that the instance doesn't have any more, and what has files on them open: I/O errors end
    a database, too. The volumes' ids."""
    attached = {volume["id"] for volume in instance.get("volumes", ())}
    now = mounted(place, instance)
    lost = {target: volume for target, volume in now.items() if volume not in attached}
    if not lost:
        return []
    for volume in set(lost.values()):
        for identity in users(place.volume(volume), processes):
            identity.send(signal.SIGKILL)
    for target in lost:
        Path(target).unlink()
        Path(target).mkdir()
    _note(place, instance, {target: volume for target, volume in now.items() if target not in lost})
    return sorted(set(lost.values()))


def users(folder: Path, processes: Iterable[Identity]) -> list[Identity]:
    """Those of the processes that have files in the folder open, or stand in it."""
    return [identity for identity in processes if any(_within(path, folder) for path in _open(identity.pid))]


def _open(pid: int) -> list[str]:
    found: list[str] = []
    # It may end while it is looked at.
    with contextlib.suppress(OSError):
        names = [f"/proc/{pid}/cwd", *(f"/proc/{pid}/fd/{number}" for number in os.listdir(f"/proc/{pid}/fd"))]
        for name in names:
            with contextlib.suppress(OSError):
                found.append(os.readlink(name))
    return found


def _within(path: str, folder: Path) -> bool:
    whole = str(folder.resolve())
    return path == whole or path.startswith(whole + "/")


def _mount(volume: Path, target: Path) -> tuple[int, str]:
    if target.is_symlink():
        return (0, "") if target.resolve() == volume.resolve() else (32, f"mount: {target} is busy\n")
    if not target.is_dir():
        return 32, f"mount: {target}: mount point does not exist\n"
    try:
        target.rmdir()
    except OSError:
        return 32, f"mount: {target}: isn't empty (here a mount can't hide files)\n"
    target.symlink_to(volume, target_is_directory=True)
    return 0, ""


def _umount(target: Path, place: Place, instance: Mapping[str, Any], processes: Iterable[Identity]) -> tuple[int, str]:
    if not target.is_symlink():
        return 32, f"umount: {target}: not mounted\n"
    if users(target, processes):
        return 32, f"umount: {target}: target is busy.\n"
    target.unlink()
    os.mkdir(target)
    _note(place, instance, mounted(place, instance))
    return 0, ""


def _volume(device: str, place: Place, instance: Mapping[str, Any]) -> Path | None:
    for volume in instance.get("volumes", ()):
        if volume["device"] == device or Path(device).name == volume["id"]:
            return place.volume(volume["id"])
    return None
