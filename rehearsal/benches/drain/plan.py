"""What is asked for, checked as a whole before anything starts. Pure but for what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rehearsal.benches.drain.judge import COMPARED, COMPARISON, FULL, MANY
from rehearsal.benches.drain.model import DRAIN
from rehearsal.benches.drain.world import SHORT_TIMES, TIMES, BadWorld, World

NODES, PODS, SEED = 200, 4000, 1
SHORT_NODES, SHORT_PODS = 20, 300
COMPARE_NODES, COMPARE_PODS = 50, 500
CHOSEN = (
    "kubectl is compared where the serial one ends within 15 min: every node takes it the time that its slowest pod "
    "needs to end and its budgets need to open, so the number of nodes decides"
)
BASE_MB = 1800
"""Seen: 1,583 MB for the cluster's processes with 20 nodes and 80 pods (`cluster_mb`); and the benchmark, the drain."""
MB_A_THOUSAND_PODS = 800
"""The large profile's whole lab took 4.7 GB with 200 nodes and 3,918 pods: what is above the base, by its pods."""
KUBECTL_MB = 54
"""Seen: VmHWM of one `kubectl drain`."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One size: its world, and the runs it is to have."""

    name: str
    world: World
    runs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The sizes, the smaller first; `chosen` says why the comparison is as large as it is."""

    parts: tuple[Part, ...]
    chosen: str
    short: bool
    command: str

    @property
    def compared(self) -> bool:
        """Whether kubectl takes part."""
        return any(len(part.runs) > 1 for part in self.parts)

    @property
    def memory_mb(self) -> int:
        """What the cluster will need at most, see `needed_mb`."""
        return max(needed_mb(part) for part in self.parts)


def needed_mb(part: Part) -> int:
    """An estimate of all processes' memory at their peak: with kubectl, of as many as there are nodes, at most 100."""
    kubectls = min(MANY, part.world.nodes) if len(part.runs) > 1 else 0
    return round(BASE_MB + MB_A_THOUSAND_PODS * part.world.pods / 1000 + KUBECTL_MB * kubectls)


def plan(environ: Mapping[str, str], *, short: bool = False) -> Plan:
    """What NODES, PODS, SEED and COMPARE ask for. Raises BadWorld with one sentence."""
    nodes = _number(environ, "NODES", SHORT_NODES if short else NODES)
    pods = _number(environ, "PODS", SHORT_PODS if short else PODS)
    seed = _number(environ, "SEED", SEED)
    command = f"make bench-drain NODES={nodes} PODS={pods} SEED={seed}"
    if short:
        whole = World.draw(nodes, pods, seed, SHORT_TIMES)
        command = f"NODES={nodes} PODS={pods} SEED={seed} python -m rehearsal.benches.drain --short"
        return Plan(
            parts=(Part(name=FULL, world=whole, runs=(DRAIN,)),), chosen="not compared", short=True, command=command
        )
    whole = World.draw(nodes, pods, seed, TIMES)
    fewer, less, chosen = _compare(environ, nodes, pods)
    part = Part(name=COMPARISON, world=World.draw(fewer, less, seed, TIMES), runs=COMPARED)
    parts = (part,) if (fewer, less) == (nodes, pods) else (part, Part(name=FULL, world=whole, runs=(DRAIN,)))
    if environ.get("COMPARE"):
        command += f" COMPARE={fewer}:{less}"
    return Plan(parts=parts, chosen=chosen, short=False, command=command)


def _compare(environ: Mapping[str, str], nodes: int, pods: int) -> tuple[int, int, str]:
    asked = environ.get("COMPARE") or ""
    if not asked:
        return min(nodes, COMPARE_NODES), min(pods, COMPARE_PODS), CHOSEN
    left, colon, right = asked.partition(":")
    if not (colon and left.isdecimal() and right.isdecimal()):
        raise BadWorld(f"COMPARE={asked!r}: must be nodes:pods, such as {COMPARE_NODES}:{COMPARE_PODS}")
    if int(left) > nodes or int(right) > pods:
        raise BadWorld(f"COMPARE={asked!r}: must be no more than NODES={nodes} and PODS={pods}")
    return int(left), int(right), f"by COMPARE={asked}"


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal():
        raise BadWorld(f"{name}={text!r}: must be a whole number, such as {default}")
    return int(text)


def enough_memory(wanted: Plan, available_mb: float) -> None:
    """Raises BadWorld where the machine has less than the cluster will need."""
    if wanted.memory_mb > available_mb:
        raise BadWorld(
            f"memory: {available_mb:.0f} MB are available and about {wanted.memory_mb} MB are needed "
            f"({BASE_MB} MB for the control plane and the benchmark, {MB_A_THOUSAND_PODS} MB a thousand pods, "
            f"{KUBECTL_MB} MB a kubectl); set PODS or COMPARE lower, or end something"
        )
