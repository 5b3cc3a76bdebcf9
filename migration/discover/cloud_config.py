"""Reading the cloud-config of a cluster's machines: its files, its systemd units, their flags. Pure."""

from __future__ import annotations

import base64
import binascii
import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, cast

import msgspec
import yaml

from migration.clients.documents import Document, listed

KEPT = 256
"""User data that are kept as they were read: every layout's adapter asks for each group's, again and again."""


@lru_cache(maxsize=KEPT)
def document(user_data: str) -> Document:
    """The cloud-config as data, for reading only; empty for user data of another kind (a shell script)."""
    if not user_data.startswith("#cloud-config"):
        return {}
    try:
        found: object = yaml.safe_load(user_data)
    except yaml.YAMLError:
        return {}
    return cast("Document", found) if isinstance(found, dict) else {}


def content(entry: Document) -> str:
    """A `write_files` entry's content as text; what isn't text reads as empty.

    Encodings: https://cloudinit.readthedocs.io/en/latest/reference/modules.html#write-files
    """
    raw, encoding = entry.get("content", ""), str(entry.get("encoding", ""))
    data = raw if isinstance(raw, bytes) else str(raw).encode()
    try:
        if "b64" in encoding or "base64" in encoding:
            data = base64.b64decode(data)
        if "gz" in encoding:
            data = gzip.decompress(data)
        return data.decode()
    except (binascii.Error, OSError, EOFError, UnicodeDecodeError):
        return ""


def files(user_data: str) -> dict[str, str]:
    """Path to content of every file the cloud-config writes."""
    entries: Sequence[object] = listed(document(user_data), "write_files")
    found = [cast("Document", entry) for entry in entries if isinstance(entry, dict)]
    return {entry["path"]: content(entry) for entry in found if "path" in entry}


def flag(user_data: str, name: str) -> str | None:
    """The value of a command-line flag (``--name=value`` or ``--name value``) in any file; None if there is none."""
    return flag_in(files(user_data), name)


def flag_in(written: Mapping[str, str], name: str) -> str | None:
    """The same in files that are known, by path."""
    pattern = re.compile(rf"--{re.escape(name)}[=\s]+[\"']?([^\s\"'\\]+)")
    for text in written.values():
        found = pattern.search(text)
        if found and "$" not in found[1]:
            return found[1]
    return None


def json_objects(user_data: str) -> Iterator[Document]:
    """Every JSON object among the files: where tooling keeps who a machine is."""
    for text in files(user_data).values():
        with suppress(msgspec.DecodeError):
            yield msgspec.json.decode(text, type=dict[str, Any])


def member_name(user_data: str) -> str | None:
    """The etcd member's name as the machine's own files or flags have it; None where only the machine knows."""
    for found in json_objects(user_data):
        name = found.get("member") or found.get("memberName")
        if isinstance(name, str) and name:
            return name
    for text in files(user_data).values():
        assigned = re.search(r"^(?:MEMBER_NAME|ETCD_NAME)=[\"']?([\w.\-]+)", text, re.MULTILINE)
        if assigned:
            return assigned[1]
    return None
