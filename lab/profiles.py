"""How big a lab's first cluster can be: its workers' groups, nodes and pods, and the memory they take. Stdlib only.

`LAB_PROFILE` and `LAB_PODS`, or `profile` and `pods` in `lab.json`. What its pods are is in `lab/workload/apps.py`,
what its groups are in `lab/legacy/plan.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUILT, BUILT_PODS = "profile", "profile-pods"
"""Files in the lab's folder: profile and pods of the cluster that is there."""
SMALL, WIDE, LARGE = "small", "wide", "large"

SMALL_TYPES = ("m5.large", "m5a.large")
LARGE_TYPES = (
    "m5.large",
    "m5a.large",
    "m5.xlarge",
    "m5a.xlarge",
    "m5.2xlarge",
    "m5a.2xlarge",
    "m6i.large",
    "m6a.large",
    "m6i.xlarge",
    "m6a.xlarge",
    "c5.2xlarge",
    "r5.xlarge",
)

SIZES = {"medium": (2, 4), "large": (2, 8), "xlarge": (4, 16), "2xlarge": (8, 32), "4xlarge": (16, 64)}
"""vCPU and GiB by size of a general-purpose type (close enough for scheduling)."""
MAX_PODS = 110
"""What a kubelet takes (`maxPods`): https://kubernetes.io/docs/setup/best-practices/cluster-large/"""
POD_MILLICORES, POD_MIB = 20, 64
"""What every pod of the lab asks for."""


def size_of(type: str) -> tuple[int, int]:
    """vCPU and GiB of an instance type."""
    return SIZES.get(type.partition(".")[2], SIZES["large"])


def room(type: str) -> int:
    """How many of the lab's pods a node of this type holds."""
    processors, gibibytes = size_of(type)
    return min(MAX_PODS, processors * 1000 // POD_MILLICORES, gibibytes * 1024 // POD_MIB)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The groups are of each type in each zone, on demand and spot; `nodes` are those of all groups.

    `pods`: of the teams' applications, where no number is asked for; `sized`: whether another may be. `memory_mb`: what
    a rehearsal used at its peak with that many.
    """

    name: str
    types: tuple[str, ...]
    nodes: int
    pods: int
    sized: bool
    memory_mb: int


# Memory: the sum of what the lab's processes, the proof and the engine had resident (`peak_rss_mb` of a report),
# rounded up: 3,721 MB of a small rehearsal, 6,805 MB of a large one.
PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        # 12 groups of 1.
        Profile(name=SMALL, types=SMALL_TYPES, nodes=12, pods=218, sized=False, memory_mb=4096),
        # 72 groups of 1, with the pods of the small one: where only the number of groups counts (`make bench-up`).
        Profile(name=WIDE, types=LARGE_TYPES, nodes=72, pods=218, sized=False, memory_mb=4096),
        # 72 groups of 2 or 3.
        Profile(name=LARGE, types=LARGE_TYPES, nodes=200, pods=4000, sized=True, memory_mb=7000),
    )
}


def find(name: str) -> Profile:
    """The profile of this name. Raises ValueError, naming those there are."""
    if name not in PROFILES:
        raise ValueError(f"profile={name!r}: must be one of {', '.join(PROFILES)}")
    return PROFILES[name]


def needed_mb(profile: Profile, pods: int) -> int:
    """An estimate of a rehearsal's peak, by what was seen of both profiles: a line through the two."""
    if not profile.sized:
        return profile.memory_mb
    least = PROFILES[SMALL]
    each = (profile.memory_mb - least.memory_mb) / (profile.pods - least.pods)
    return round(least.memory_mb + each * (pods - least.pods))


def available_mb() -> int | None:
    """What this machine could give without swapping; None where that can't be seen (no Linux).

    https://www.kernel.org/doc/html/latest/filesystems/proc.html#meminfo
    """
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def short_of_memory(name: str, pods: int, available: int | None = None) -> str:
    """A sentence where this machine has less memory than a rehearsal of that size may need; empty where it has it, or
    where nobody can tell.

    `available`: in MB; None: as this machine has it.
    """
    available = available_mb() if available is None else available
    needed = needed_mb(find(name), pods)
    if available is None or available >= needed:
        return ""
    least = needed_mb(PROFILES[SMALL], PROFILES[SMALL].pods)
    smaller = "" if name == SMALL else f", ask for fewer pods, or take profile {SMALL}, which needs {least} MB"
    return (
        f"memory: {available} MB are available, a rehearsal of profile {name} with {pods} pods needs about {needed}: "
        f"end something{smaller}"
    )


def asked(directory: Path, environ: Mapping[str, str]) -> tuple[Profile, int]:
    """Profile and pods of the lab that is there, or else of the one asked for, for who can't read `LabSettings`.

    Raises ValueError, with a sentence, for a profile that isn't, or pods that are no number.
    """
    file = _kept(directory / "lab.json")
    told = file if isinstance(file, dict) else {}
    name = _kept(directory / BUILT) or environ.get("LAB_PROFILE") or told.get("profile") or SMALL
    profile = find(str(name))
    pods = _kept(directory / BUILT_PODS) or environ.get("LAB_PODS") or told.get("pods") or profile.pods
    return profile, number(str(pods), "LAB_PODS")


def number(text: str, name: str) -> int:
    """A count of pods. Raises ValueError, with a sentence that begins with `name`."""
    if not text.isdecimal():
        raise ValueError(f"{name}={text!r}: must be a number of pods, such as {PROFILES[LARGE].pods}")
    return int(text)


def _kept(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
