"""The stage table: which concern lives on which side at each stage.

This literal is the program's heart. Components ask it for placements; none of them compares stage numbers.
The numbers are the steps of the reference (M. Tougeron, "Live migrating a Kubernetes cluster across VPCs
without downtime"); 0 is the baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Placement(Enum):
    """Where a concern lives at a stage: on the side it leaves, on both, or on the side it moves to."""

    OLD = "old"
    BOTH = "both"
    NEW = "new"

    @property
    def on_old(self) -> bool:
        """Whether the side being left still has this concern."""
        return self is not Placement.NEW

    @property
    def on_new(self) -> bool:
        """Whether the side being moved to has this concern."""
        return self is not Placement.OLD


OLD, BOTH, NEW = Placement.OLD, Placement.BOTH, Placement.NEW


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One row of the table: a number, its name, six placements and the gates around its changes."""

    number: int
    name: str
    network: Placement
    shared: Placement
    workers: Placement
    traffic: Placement
    workloads: Placement
    control_plane: Placement
    gates_before: tuple[str, ...] = ()
    gates_after: tuple[str, ...] = ()

    @property
    def starting(self) -> bool:
        """Nothing of the new side exists yet."""
        return self.network is Placement.OLD

    @property
    def finished(self) -> bool:
        """Everything is on the new side and the old one is being given up."""
        return self.network is Placement.NEW


def _row(number: int, name: str, placements: str, before: str = "", after: str = "") -> Stage:
    network, shared, workers, traffic, workloads, control_plane = (
        {"O": OLD, "B": BOTH, "N": NEW}[letter] for letter in placements.split()
    )
    return Stage(
        number=number,
        name=name,
        network=network,
        shared=shared,
        workers=workers,
        traffic=traffic,
        workloads=workloads,
        control_plane=control_plane,
        gates_before=tuple(before.split()),
        gates_after=tuple(after.split()),
    )


# Columns: network, shared, workers, traffic, workloads, control plane (O = OLD, B = BOTH, N = NEW); then the
# gates, by the names of `migration.gates.CHECKS`, that must hold before and after the stage's changes.
STAGES: tuple[Stage, ...] = (
    _row(0, "baseline",      "O O O O O O", "permissions", "cluster-healthy"),
    _row(1, "network",       "B O O O O O", "networks-disjoint", "reachable-both-ways"),
    _row(2, "shared",        "B B O O O O", "", "api-served-by-new-balancer ttls-lowered"),
    _row(3, "workers",       "B B B O B O", "writers-known", "new-nodes-ready"),
    _row(4, "traffic-both",  "B B B B B O", "new-targets-healthy clients-reach-new-side", "records-in-sync"),
    _row(5, "traffic-new",   "B B B N B O", "new-targets-healthy", "ingress-quiet"),
    _row(6, "workloads",     "B B N N N O", "ingress-quiet", "nothing-movable-on-old-nodes"),
    _row(7, "control-plane", "B B N N N N", "etcd-preflight api-quiet", "members-all-new"),
    _row(8, "cleanup",       "N N N N N N", "nothing-names-the-old-vpc api-group-healthy", "retired"),
)  # fmt: skip

LAST = len(STAGES) - 1


def stage(number: int) -> Stage:
    """The row of `number` (0–8); raises `ValueError` for anything else."""
    if not 0 <= number <= LAST:
        raise ValueError(f"stage {number} does not exist: stages are 0 to {LAST}")
    return STAGES[number]
