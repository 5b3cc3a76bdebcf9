"""Looking for strings that were planted as secrets, however they are packed."""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

_PACKED = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")
_DEPTH = 4


def unfolded(data: bytes, depth: int = _DEPTH) -> Iterator[bytes]:
    """The data, and what is inside of it as base64 or gzip, within each other too."""
    yield data
    if depth == 0:
        return
    if data[:2] == b"\x1f\x8b":
        try:
            yield from unfolded(gzip.decompress(data), depth - 1)
        except (OSError, EOFError, zlib.error):
            return
    for found in _PACKED.findall(data):
        # A run may begin with letters that aren't its own, as the n of an escaped line feed.
        for start in range(4):
            run = found[start:].rstrip(b"=")
            try:
                inner = base64.b64decode(run[: len(run) - (len(run) % 4 == 1)] + b"=" * (-len(run) % 4))
            except binascii.Error:
                continue
            yield from unfolded(inner, depth - 1)


def leaks(places: Mapping[str, bytes], planted: Mapping[str, str]) -> list[str]:
    """``secret: place`` for each planted string that stands in a place, sorted."""
    found: set[str] = set()
    for place, data in places.items():
        for layer in unfolded(data):
            found |= {f"{name}: {place}" for name, secret in planted.items() if secret.encode() in layer}
    return sorted(found)


def files(folder: Path, name: str) -> dict[str, bytes]:
    """Every file under a folder, by `name` and its path there."""
    return {f"{name}/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()}
