"""The stage table: which concern lives on which side at each stage, and everything else that depends on the stage.

This literal is the program's heart: no other place compares stage numbers. The numbers are the steps of the reference
(M. Tougeron, "Live migrating a Kubernetes cluster across VPCs without downtime"); 0 is the baseline.
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


class Names(Enum):
    """What the cluster's names are: as they were found, a weighted pair of both sides, or simple and the new side's."""

    FOUND = "found"
    PAIR = "pair"
    FINAL = "final"


class Back(Enum):
    """Whether an `up` may go back from a stage to the one before."""

    OPEN = "open"
    UNLESS_VOTERS = "unless-voters"
    """Only while no new member of the control plane votes: they are swapped back first, at this stage."""
    CLOSED = "closed"


OLD, BOTH, NEW = Placement.OLD, Placement.BOTH, Placement.NEW


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One row of the table.

    `moves` and `undo` are sentences for people: what the stage moves, and how it is taken back. `etcd_open` is
    whether the operator's networks reach etcd: from the stage before the swaps, since the gate before them asks it.
    """

    number: int
    name: str
    network: Placement
    shared: Placement
    workers: Placement
    traffic: Placement
    workloads: Placement
    control_plane: Placement
    gates_before: tuple[str, ...]
    gates_after: tuple[str, ...]
    names: Names
    etcd_open: bool
    back: Back
    moves: str
    undo: str

    @property
    def starting(self) -> bool:
        """Nothing of the new side exists yet."""
        return self.network is Placement.OLD

    @property
    def finished(self) -> bool:
        """Everything is on the new side and the old one is being given up."""
        return self.network is Placement.NEW

    @property
    def moves_traffic(self) -> bool:
        """Some of the names' traffic goes to the new side."""
        return self.traffic.on_new

    @property
    def drained(self) -> bool:
        """The old nodes hold no pod that belongs elsewhere."""
        return not self.workloads.on_old

    @property
    def moving_pods(self) -> bool:
        """Old nodes are tainted and pods are on their way: the ingress Service answers on every node meanwhile."""
        return self.workloads is Placement.BOTH

    @property
    def new_side_carries(self) -> bool:
        """Pods may run on the new side: what it is made of can't be deleted from here on."""
        return self.workers.on_new

    @property
    def members_move(self) -> bool:
        """Members of the control plane may be on their way: to the new side at their stage, back at the one before."""
        return self.control_plane.on_new or self.etcd_open

    @property
    def autoscaler_held(self) -> bool:
        """Old groups can't grow and new ones can't shrink: from the taint until the old nodes are gone for good."""
        return self.workers.on_new and not self.control_plane.on_new


def _row(
    number: int,
    name: str,
    placements: str,
    before: str,
    after: str,
    *,
    names: Names,
    back: Back,
    moves: str,
    undo: str,
    etcd_open: bool = False,
) -> Stage:
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
        names=names,
        etcd_open=etcd_open,
        back=back,
        moves=moves,
        undo=undo,
    )


# Columns: network, shared, workers, traffic, workloads, control plane (O = OLD, B = BOTH, N = NEW); the gates, by the
# names of `migration.gates.CHECKS`, that must hold before and after the stage's changes; then the rest by name.
STAGES: tuple[Stage, ...] = (
    _row(0, "baseline",      "O O O O O O",
        "permissions machines-copied room-for-both networks-carried references-accepted file-systems-reached "
        "control-plane-form traffic-carried services-carried names-unclaimed member-volumes versions-fit database-fits "
        "certificates-last",
         "cluster-healthy",
         names=Names.FOUND, back=Back.CLOSED,
         moves="nothing: the record begins",
         undo="there is nothing to undo"),
    _row(1, "network",       "B O O O O O", "networks-disjoint", "reachable-both-ways new-api-unused",
         names=Names.FOUND, back=Back.OPEN,
         moves="new VPC, peering, routes both ways",
         undo="the new VPC and the peering are deleted"),
    _row(2, "shared",        "B B O O O O", "names-unclaimed",
         "api-served-by-new-balancer ttls-lowered nothing-movable-on-new-nodes new-ingress-unused",
         names=Names.PAIR, back=Back.OPEN,
         moves="access rules and load balancers on both sides; short TTLs",
         undo="names as they were found, their short TTL waited out; then balancers and access rules are deleted"),
    _row(3, "workers",       "B B B O B O",
        "old-side-stands networks-alike references-answered writers-known every-old-node-in-a-pool old-targets-serve "
        "machines-copied room-for-both cloud-controller-in-old-vpc",
         "new-nodes-ready",
         names=Names.PAIR, back=Back.OPEN,
         moves="a copy of every worker group; old nodes tainted: pods start on the new side only",
         undo="lost old nodes are replaced, the taint changes sides, pods are evicted back under their budgets"),
    _row(4, "traffic-both",  "B B B B B O",
         "old-side-stands new-targets-healthy new-balancers-answer new-machines-reach old-targets-serve "
         "clients-reach-new-side new-nodes-excluded",
         "records-in-sync",
         names=Names.PAIR, back=Back.OPEN,
         moves="names lead to both sides",
         undo="names lead to the old side again"),
    _row(5, "traffic-new",   "B B B N B O", "old-side-stands new-targets-healthy", "ingress-quiet",
         names=Names.PAIR, back=Back.OPEN,
         moves="names lead to the new side",
         undo="names lead to both sides again"),
    _row(6, "workloads",     "B B N N N O", "old-side-stands every-old-node-in-a-pool ingress-quiet member-volumes",
         "nothing-movable-on-old-nodes members-all-old",
         names=Names.PAIR, back=Back.UNLESS_VOTERS, etcd_open=True,
         moves="pods are evicted from the old nodes under their budgets; old groups at zero",
         undo="old groups get their sizes back"),
    _row(7, "control-plane", "B B N N N N",
         "old-side-stands etcd-preflight versions-fit database-fits certificates-last api-quiet",
         "members-all-new cloud-controller-left-old-vpc",
         names=Names.PAIR, back=Back.OPEN, etcd_open=True,
         moves="members swapped one by one, 3 → 4 → 3 voters",
         undo="members are swapped back one by one, onto blank volumes; then the new machines are deleted"),
    _row(8, "cleanup",       "N N N N N N", "nothing-names-the-old-vpc references-answered names-unclaimed kept-unused "
        "api-group-healthy",
         "retired",
         names=Names.FINAL, back=Back.CLOSED,
         moves="exactly the `retire` list is deleted; the peering goes",
         undo="what is deleted is deleted"),
)  # fmt: skip

LAST = len(STAGES) - 1


def stage(number: int) -> Stage:
    """The row of `number` (0–8); raises `ValueError` for anything else."""
    if not 0 <= number <= LAST:
        raise ValueError(f"stage {number} does not exist: stages are 0 to {LAST}")
    return STAGES[number]


def entered(origin: int, target: int) -> tuple[Stage, ...]:
    """The rows that an `up` from `origin` to `target` enters, in order; going back or staying enters none."""
    return STAGES[origin + 1 : target + 1]


def before(row: Stage) -> Stage:
    """The row before; the first one's is itself."""
    return STAGES[max(0, row.number - 1)]


def last_before_traffic() -> Stage:
    """The last stage that moves neither traffic nor data: a cluster without a record may begin at up to this one."""
    return next(row for row in reversed(STAGES) if not row.moves_traffic)


def emptied() -> Stage:
    """The first stage at which the old nodes are drained."""
    return next(row for row in STAGES if row.drained)


def harmless() -> Stage:
    """The last stage at which the new side carries nothing, so that all of it may be deleted."""
    return next(row for row in reversed(STAGES) if not row.new_side_carries)


def swapped() -> Stage:
    """The first stage at which members of the control plane are on the new side."""
    return next(row for row in STAGES if row.control_plane.on_new)
