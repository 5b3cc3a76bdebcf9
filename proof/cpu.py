"""CPU and memory per group of processes: so that a starved machine can be told from a dropped request.

Reading /proc for every process is what costs, so the groups' members are looked for every few seconds and
only those are read each second. Runs in a worker thread.
"""

from __future__ import annotations

import glob
import time
from pathlib import Path

import psutil

from proof.config import ProcessGroup
from proof.model import CpuSecond, GroupUse

SCAN_EVERY_S = 3.0


class CpuSampler:
    """`sample()` once a second gives, per group, the share of one core (percent) and resident memory (MB)."""

    def __init__(self, groups: dict[str, ProcessGroup]) -> None:
        self.groups = groups
        self.peak_rss_mb = 0.0
        self._members: dict[str, dict[int, psutil.Process]] = {}
        self._times: dict[tuple[int, float], float] = {}
        self._scanned = 0.0
        self._at: float | None = None
        self._system = psutil.cpu_times()

    def sample(self) -> CpuSecond:
        """What was used since the last call."""
        if time.monotonic() - self._scanned >= SCAN_EVERY_S:
            self._scan()
            self._scanned = time.monotonic()
        # After the scan, which takes its time: the differences below are against this moment.
        now = time.monotonic()
        elapsed = None if self._at is None else max(now - self._at, 0.001)
        self._at = now
        groups: dict[str, GroupUse] = {}
        total_mb = 0.0
        times: dict[tuple[int, float], float] = {}
        for name, members in self._members.items():
            used, rss = 0.0, 0
            for process in members.values():
                try:
                    with process.oneshot():
                        spent = process.cpu_times()
                        rss += process.memory_info().rss
                except (psutil.Error, OSError):
                    continue
                key = (process.pid, process.create_time())
                times[key] = spent.user + spent.system
                # A process first seen now gives no difference yet; what it used before belongs to nobody's
                # second.
                used += times[key] - self._times.get(key, times[key])
            megabytes = rss / 2**20
            total_mb += megabytes
            groups[name] = GroupUse(
                cpu=0.0 if elapsed is None else round(100 * used / elapsed, 1), rss_mb=round(megabytes)
            )
        self._times = times
        self.peak_rss_mb = max(self.peak_rss_mb, total_mb)
        return CpuSecond(machine=self._machine(), groups=groups)

    def _machine(self) -> float:
        before, self._system = self._system, psutil.cpu_times()
        total = sum(self._system) - sum(before)
        idle = (self._system.idle - before.idle) + (
            getattr(self._system, "iowait", 0.0) - getattr(before, "iowait", 0.0)
        )
        return 0.0 if total <= 0 else round(100 * (1 - idle / total), 1)

    def _scan(self) -> None:
        roots: dict[int, str] = {}
        for name, group in self.groups.items():
            for pattern in group.pidfiles:
                for path in glob.glob(pattern):
                    try:
                        # The pid comes first; what follows says when it was started.
                        roots[int(Path(path).read_text().split()[0])] = name
                    except (OSError, ValueError, IndexError):
                        continue
        found: dict[str, dict[int, psutil.Process]] = {name: {} for name in self.groups}
        by_match = [(word, name) for name, group in self.groups.items() for word in group.match]
        parents: dict[int, int] = {}
        processes: dict[int, psutil.Process] = {}
        matched: dict[int, str] = {}
        for process in psutil.process_iter(["ppid", "cmdline"]):
            info = process.info
            processes[process.pid] = process
            parents[process.pid] = info["ppid"] or 0
            line = " ".join(info["cmdline"] or ())
            for word, name in by_match:
                if word in line:
                    matched[process.pid] = name
                    break
        for pid, process in processes.items():
            group = matched.get(pid) or _inherited(pid, parents, roots)
            if group is not None:
                found[group][pid] = process
        self._members = found


def _inherited(pid: int, parents: dict[int, int], roots: dict[int, str]) -> str | None:
    """The group of the nearest ancestor (or itself) that a pid file names; None when there is none."""
    seen: set[int] = set()
    while pid and pid not in seen:
        if pid in roots:
            return roots[pid]
        seen.add(pid)
        pid = parents.get(pid, 0)
    return None
