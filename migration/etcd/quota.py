"""How near etcd's database is to its quota: at the quota it takes no more writes, and a swap is no time to find out.

The quota is held against the file's size, free pages included (etcd server/storage/quota.go), which is
``etcd_mvcc_db_total_size_in_bytes``. What is in use is told beside it: the difference is what defragmenting gives back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

QUOTA = "etcd_server_quota_backend_bytes"
SIZE = "etcd_mvcc_db_total_size_in_bytes"
IN_USE = "etcd_mvcc_db_total_size_in_use_in_bytes"
NAMES = (QUOTA, SIZE, IN_USE)

WARN_PERCENT, REFUSE_PERCENT = 80, 95
"""Shares of the quota. A migration adds Leases, Events and the revisions of every pod that moves; a member that joins
copies the whole file."""
# What etcd itself advises as the most (https://etcd.io/docs/v3.6/dev-guide/limit/).
MOST = 8 * 1024**3

_SAMPLE = re.compile(r"(\w+)(?:\{[^}]*\})?\s+(\S+)")


class Unreadable(Exception):
    """A sample is missing, or is no number of bytes; the message is the rest of a sentence about the member."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """One member's database, in bytes. `quota` is 0 where the member has none (``--quota-backend-bytes`` below 0)."""

    quota: int
    size: int
    in_use: int

    @property
    def percent(self) -> int:
        """Of the quota, rounded down; 0 without one."""
        return self.size * 100 // self.quota if self.quota else 0


def parsed(lines: Iterable[str]) -> Database:
    """From Prometheus samples, one a line. Raises `Unreadable`."""
    found: dict[str, int] = {}
    for line in lines:
        sample = _SAMPLE.fullmatch(line.strip())
        if sample is None or sample[1] not in NAMES:
            continue
        try:
            value = float(sample[2])
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < 0:
            raise Unreadable(f"says {sample[1]} is {sample[2]!r}, which is no number of bytes")
        found[sample[1]] = int(value)
    missing = [name for name in NAMES if name not in found]
    if missing:
        raise Unreadable(f"has no {', '.join(missing)}")
    if not found[SIZE]:
        raise Unreadable(f"says {SIZE} is 0, which no running member's is")
    return Database(quota=found[QUOTA], size=found[SIZE], in_use=found[IN_USE])


def told(database: Database) -> str:
    """A database as people read it."""
    size, in_use = mebibytes(database.size), mebibytes(database.in_use)
    if not database.quota:
        return f"{size} ({in_use} in use), no quota"
    return f"{size} ({in_use} in use), {database.percent} % of its quota of {mebibytes(database.quota)}"


def mebibytes(size: int) -> str:
    """``1536 MiB``."""
    return f"{size / 1024**2:.0f} MiB"


def advice(database: Database, url: str) -> str:
    """What gives a member room again."""
    most = f"raise --quota-backend-bytes (at most {mebibytes(MOST)} is advised)"
    if database.in_use * 2 <= database.size:
        return f"defragment, member after member and the leader last: etcdctl --endpoints={url} defrag; or {most}"
    return f"most of it is in use: find what fills it (Events, old Secrets, custom resources), or {most}"
