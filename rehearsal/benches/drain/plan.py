"""What is asked for, checked as a whole before anything starts. Pure but for what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rehearsal.benches.drain.judge import COMPARED, COMPARISON, FULL
from rehearsal.benches.drain.model import DRAIN
from rehearsal.benches.drain.world import SHORT_TIMES, TIMES, BadWorld, World

NODES, PODS, SEED = 200, 4000, 1
SHORT_NODES, SHORT_PODS = 20, 300
COMPARE_NODES, COMPARE_PODS = 66, 500
CHOSEN = (
    "kubectl is compared where the serial one ends within 15 min: every node takes it the time that its slowest pod "
    "needs to end and its budgets need to open, so the number of nodes decides"
)
BASE_MB = 1500
MB_A_THOUSAND_PODS = 500
MB_A_HUNDRED_NODES = 100


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
        return max(needed_mb(part.world) for part in self.parts)


def needed_mb(world: World) -> int:
    """An estimate of all processes' memory at their peak."""
    return round(BASE_MB + MB_A_THOUSAND_PODS * world.pods / 1000 + MB_A_HUNDRED_NODES * 2 * world.nodes / 100)


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
            f"{MB_A_HUNDRED_NODES} MB a hundred nodes); set PODS or NODES lower, or end something"
        )
