"""What gates read: one question a check, with exactly what that check needs, taken from the settings.

Ids of a side that this program makes aren't in a question: a gate before a stage can't depend on the stage's own
resources, since those wait for the gate. Such a side is found by its tags when the gate asks (`migration.gates.live`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field

from migration.contracts.base import Contract, Inputs, Manner, Result, Wanted
from migration.contracts.gates.alike import NetworksAlike
from migration.contracts.gates.answers import NewBalancersAnswer
from migration.contracts.gates.balancers import (
    ApiGroupHealthy,
    ApiServedByNewBalancer,
    BehindBalancer,
    NewTargetsHealthy,
    OldTargetsServe,
)
from migration.contracts.gates.base import BalancerRef, SideRef
from migration.contracts.gates.carried import KUBELET, NetworksCarried
from migration.contracts.gates.claims import NamesUnclaimed
from migration.contracts.gates.cleanup import Item, NothingNamesTheOldVpc, RetiredAndKept
from migration.contracts.gates.cluster import ClusterHealthy, WritersKnown
from migration.contracts.gates.control_plane import CertificatesLast, DatabaseFits, VersionsFit
from migration.contracts.gates.copies import MachinesCopied, PoolCopied, scaled_texts
from migration.contracts.gates.file_systems import FileSystemsReached
from migration.contracts.gates.form import ControlPlaneForm
from migration.contracts.gates.kept import KeptUnused
from migration.contracts.gates.members import EtcdPreflight, MembersAllNew, MembersAllOld
from migration.contracts.gates.names import RecordsInSync, TtlsLowered
from migration.contracts.gates.network import ClientsReachNewSide, ConnectedRange, NetworksDisjoint, ReachableBothWays
from migration.contracts.gates.permissions import Permissions
from migration.contracts.gates.quiet import ApiQuiet, IngressQuiet, NewApiUnused, NewIngressUnused, Quiet
from migration.contracts.gates.reach import NewMachinesReach
from migration.contracts.gates.references import ReferencesAccepted, ReferencesAnswered, peered_vpcs
from migration.contracts.gates.room import MachinePlaced, PoolPlaced, RoomForBoth
from migration.contracts.gates.service_balancers import (
    ControllerInOldVpc,
    ControllerLeftOldVpc,
    NewNodesExcluded,
    ServicesCarried,
)
from migration.contracts.gates.standing import OldSideStands
from migration.contracts.gates.traffic import TrafficCarried
from migration.contracts.gates.volumes import MemberPlace, MemberVolumes
from migration.contracts.gates.workloads import (
    EveryOldNodeInAPool,
    GroupPair,
    NewNodesReady,
    NothingMovableOnNewNodes,
    NothingMovableOnOldNodes,
)
from migration.contracts.groups import control_plane_groups, ended_groups, member_groups, worker_groups
from migration.settings import Settings
from migration.stages.table import stage

__all__ = [
    "KUBELET",
    "QUESTIONS",
    "SOMETIMES",
    "ApiGroupHealthy",
    "ApiQuiet",
    "ApiServedByNewBalancer",
    "BalancerRef",
    "BehindBalancer",
    "CertificatesLast",
    "CheckResult",
    "ClientsReachNewSide",
    "ClusterHealthy",
    "ConnectedRange",
    "ControlPlaneForm",
    "ControllerInOldVpc",
    "ControllerLeftOldVpc",
    "DatabaseFits",
    "EtcdPreflight",
    "EtcdQuestion",
    "EveryOldNodeInAPool",
    "FileSystemsReached",
    "GateInputs",
    "GateResult",
    "GroupPair",
    "IngressQuiet",
    "Item",
    "KeptUnused",
    "MachinePlaced",
    "MachinesCopied",
    "MemberPlace",
    "MemberVolumes",
    "MembersAllNew",
    "MembersAllOld",
    "NamesUnclaimed",
    "NetworksAlike",
    "NetworksCarried",
    "NetworksDisjoint",
    "NewApiUnused",
    "NewBalancersAnswer",
    "NewIngressUnused",
    "NewMachinesReach",
    "NewNodesExcluded",
    "NewNodesReady",
    "NewTargetsHealthy",
    "NothingMovableOnNewNodes",
    "NothingMovableOnOldNodes",
    "NothingNamesTheOldVpc",
    "OldSideStands",
    "OldTargetsServe",
    "Permissions",
    "PoolCopied",
    "PoolPlaced",
    "Question",
    "Quiet",
    "ReachableBothWays",
    "RecordsInSync",
    "ReferencesAccepted",
    "ReferencesAnswered",
    "RetiredAndKept",
    "RoomForBoth",
    "ServicesCarried",
    "SideRef",
    "TrafficCarried",
    "TtlsLowered",
    "VersionsFit",
    "WritersKnown",
    "control_plane_groups",
    "ended_groups",
    "member_groups",
    "peered_vpcs",
    "questions",
    "scaled_texts",
    "worker_groups",
]

Question = (
    Permissions
    | ControlPlaneForm
    | ClusterHealthy
    | NetworksCarried
    | ReferencesAccepted
    | ReferencesAnswered
    | NetworksAlike
    | OldSideStands
    | FileSystemsReached
    | KeptUnused
    | TrafficCarried
    | NamesUnclaimed
    | NewBalancersAnswer
    | NewMachinesReach
    | NetworksDisjoint
    | ReachableBothWays
    | ApiServedByNewBalancer
    | TtlsLowered
    | WritersKnown
    | EveryOldNodeInAPool
    | NewNodesReady
    | NewTargetsHealthy
    | OldTargetsServe
    | ClientsReachNewSide
    | RecordsInSync
    | IngressQuiet
    | ApiQuiet
    | NewIngressUnused
    | NewApiUnused
    | NothingMovableOnOldNodes
    | NothingMovableOnNewNodes
    | EtcdPreflight
    | MemberVolumes
    | VersionsFit
    | DatabaseFits
    | CertificatesLast
    | MembersAllNew
    | MembersAllOld
    | NothingNamesTheOldVpc
    | ApiGroupHealthy
    | RetiredAndKept
    | MachinesCopied
    | RoomForBoth
    | ServicesCarried
    | ControllerInOldVpc
    | ControllerLeftOldVpc
    | NewNodesExcluded
)


QUESTIONS: dict[str, type[Question]] = {
    question.model_fields["check"].default: question for question in get_args(Question)
}


SOMETIMES = (MemberVolumes, ServicesCarried, ControllerInOldVpc, ControllerLeftOldVpc, NewNodesExcluded)
"""Questions that say themselves whether a configuration gives them anything to ask."""


EtcdQuestion = EtcdPreflight | VersionsFit | DatabaseFits | CertificatesLast | MembersAllNew | MembersAllOld
"""What etcd, or the machines of its members, must be asked for."""


class GateInputs(Inputs):
    """The checks around a stage's changes, each with what it reads.

    `unsettled`: the stage was begun and isn't reached. As long as that is so every `up` asks again: what held days ago,
    before an attempt that failed, says nothing of today. Once the migration is over nothing is asked any more, whatever
    the configuration changes of what would be looked at.
    """

    shown: ClassVar[str] = "checks"

    stage: Wanted[int]
    position: Wanted[Literal["before", "after"]]
    questions: Wanted[tuple[Annotated[Question, Field(discriminator="check")], ...]]
    unsettled: Manner[bool] = False

    @property
    def again(self) -> bool:
        """While the stage isn't reached."""
        return self.unsettled

    def wanted_part(self) -> dict[str, Any]:
        """As of all inputs; of a migration that is over, only that it is."""
        wanted = super().wanted_part()
        if stage(self.stage).finished:
            del wanted["questions"]
        return wanted

    @property
    def label(self) -> str:
        """Where the gate stands."""
        return f"{self.position} stage {self.stage}"

    def say(self) -> str:
        """The checks, by name."""
        names = ", ".join(question.check for question in self.questions) or "none"
        return f"{self.position} {self.stage} ({stage(self.stage).name}): {names}"


class CheckResult(Contract):
    """What one check saw, as a sentence."""

    check: str
    ok: bool
    detail: str


class GateResult(Result):
    """All checks of a gate that held."""

    stage: int
    position: Literal["before", "after"]
    results: tuple[CheckResult, ...]


def questions(s: Settings, names: tuple[str, ...]) -> tuple[Question, ...]:
    """The questions of these checks, for the settings' stage; raises `KeyError` for a check that doesn't exist.

    Without those that have nothing to ask of such a configuration.
    """
    wanted = (QUESTIONS[name] for name in names)
    return tuple(one.of(s, s.stage) for one in wanted if not issubclass(one, SOMETIMES) or one.asked(s))
