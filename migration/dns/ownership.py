"""Whose names are: external-dns marks each that it writes by a TXT record. Pure.

https://kubernetes-sigs.github.io/external-dns/latest/docs/registry/txt/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from migration.names import plain

_HERITAGE = re.compile(r"heritage=external-dns\b")
_OWNER = re.compile(r"external-dns/owner=([^,\"]+)")
# A record's type, which external-dns puts before the name it marks: `cname-api.pet.example`. A name that begins with
# an asterisk is marked without it, or with another word in its place.
_PREFIX = re.compile(r"(?:a|aaaa|cname|ns|mx|srv|txt|naptr)-", re.ASCII)


def plain_target(name: str) -> str:
    """What a record leads to, as people write it and without what Route 53's console puts before balancers."""
    return plain(name).removeprefix("dualstack.")


def owners(records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Names that external-dns marks as its own, with the owner's id. With a prefix of its own it isn't seen here."""
    found: dict[str, str] = {}
    for record in records:
        if record["Type"] != "TXT":
            continue
        text = "".join(str(one["Value"]) for one in record.get("ResourceRecords", []))
        if not _HERITAGE.search(text):
            continue
        owner = _OWNER.search(text)
        name = plain(record["Name"])
        bare = _PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name
        for one in {name, bare}:
            found[one] = owner[1] if owner else "unnamed"
    return found


def claimed(names: Iterable[str], owned: Mapping[str, str]) -> dict[str, str]:
    """Those of the names that somebody's mark covers, with the owner."""
    return {plain(name): owned[plain(name)] for name in names if plain(name) in owned}
