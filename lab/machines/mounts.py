"""Block devices and mounts of a machine: a volume is a folder, a mount a symbolic link to it.

A file system exists on a volume once `mkfs` made it (a marker beside the folder), so a boot script's "format it only
if it is empty" is put to the test, and a volume's data outlives the instance it was attached to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.machines.place import Place

_VALUED = frozenset({"-t", "-o", "-L", "-s", "-c"})


def call(program: str, arguments: Sequence[str], place: Place, instance: Mapping[str, Any]) -> tuple[int, str]:
    """Answers mkfs, blkid, cmp (with zeroes), mount, umount and mountpoint: exit status and text."""
    words: list[str] = []
    skip = False
    for word in arguments:
        if not skip and not word.startswith("-"):
            words.append(word)
        skip = not skip and word in _VALUED
    if program == "mountpoint":
        return (0, "") if words and Path(words[0]).is_symlink() else (1, f"{words} is not a mountpoint\n")
    if program == "umount":
        return _umount(Path(words[0]))
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
    return _mount(volume, Path(words[1]))


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


def _umount(target: Path) -> tuple[int, str]:
    if not target.is_symlink():
        return 32, f"umount: {target}: not mounted\n"
    target.unlink()
    os.mkdir(target)
    return 0, ""


def _volume(device: str, place: Place, instance: Mapping[str, Any]) -> Path | None:
    for volume in instance.get("volumes", ()):
        if volume["device"] == device or Path(device).name == volume["id"]:
            return place.volume(volume["id"])
    return None
