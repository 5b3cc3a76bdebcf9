"""One resource per operation on a whole side or member; their names are what previews show and states hold."""

from __future__ import annotations

from migration.contracts.gates import GateInputs, GateResult
from migration.contracts.members import (
    MemberGuardInputs,
    MemberGuardResult,
    MemberRollInputs,
    MemberRollResult,
    MemberSwapInputs,
    MemberSwapResult,
)
from migration.contracts.record import StackGuardInputs, StackGuardResult, StageRecordInputs, StageRecordResult
from migration.contracts.references import ReferencesInputs, ReferencesResult
from migration.contracts.retirement import RetirementInputs, RetirementResult
from migration.contracts.service_balancers import ServiceBalancersInputs, ServiceBalancersResult
from migration.contracts.traffic import (
    ApiTargetsInputs,
    ApiTargetsResult,
    DnsCutInputs,
    DnsCutResult,
    IngressPolicyInputs,
    IngressPolicyResult,
)
from migration.contracts.workers import (
    AutoscalerHoldInputs,
    AutoscalerHoldResult,
    DrainInputs,
    DrainResult,
    GroupNoteInputs,
    GroupNoteResult,
    RollInputs,
    RollResult,
    TaintInputs,
    TaintResult,
    WorkerGuardInputs,
    WorkerGuardResult,
    WorkerScaleInputs,
    WorkerScaleResult,
)
from providers.operation import OperationProvider, OperationResource


class _StageRecordProvider(OperationProvider[StageRecordInputs, StageRecordResult]):
    inputs_type, result_type = StageRecordInputs, StageRecordResult
    operation = "record"
    leased = True
    begins = True
    guards = True


class _StackGuardProvider(OperationProvider[StackGuardInputs, StackGuardResult]):
    inputs_type, result_type = StackGuardInputs, StackGuardResult
    operation = "stack_guard"
    guards = True


class _GateProvider(OperationProvider[GateInputs, GateResult]):
    inputs_type, result_type = GateInputs, GateResult
    operation = "gate"


class _NoteProvider(OperationProvider[GroupNoteInputs, GroupNoteResult]):
    inputs_type, result_type = GroupNoteInputs, GroupNoteResult
    operation = "note"


class _HoldProvider(OperationProvider[AutoscalerHoldInputs, AutoscalerHoldResult]):
    inputs_type, result_type = AutoscalerHoldInputs, AutoscalerHoldResult
    operation = "hold"
    leased = True


class _WorkerGuardProvider(OperationProvider[WorkerGuardInputs, WorkerGuardResult]):
    inputs_type, result_type = WorkerGuardInputs, WorkerGuardResult
    operation = "worker_guard"
    guards = True


class _MemberGuardProvider(OperationProvider[MemberGuardInputs, MemberGuardResult]):
    inputs_type, result_type = MemberGuardInputs, MemberGuardResult
    operation = "member_guard"
    guards = True


class _TaintProvider(OperationProvider[TaintInputs, TaintResult]):
    inputs_type, result_type = TaintInputs, TaintResult
    operation = "taint"
    leased = True


class _IngressPolicyProvider(OperationProvider[IngressPolicyInputs, IngressPolicyResult]):
    inputs_type, result_type = IngressPolicyInputs, IngressPolicyResult
    operation = "ingress_policy"
    leased = True


class _DrainProvider(OperationProvider[DrainInputs, DrainResult]):
    inputs_type, result_type = DrainInputs, DrainResult
    operation = "drain"
    leased = True


class _ScaleProvider(OperationProvider[WorkerScaleInputs, WorkerScaleResult]):
    inputs_type, result_type = WorkerScaleInputs, WorkerScaleResult
    operation = "scale"
    leased = True


class _RollProvider(OperationProvider[RollInputs, RollResult]):
    inputs_type, result_type = RollInputs, RollResult
    operation = "roll"
    leased = True


class _MemberRollProvider(OperationProvider[MemberRollInputs, MemberRollResult]):
    inputs_type, result_type = MemberRollInputs, MemberRollResult
    operation = "member_roll"
    leased = True


class _ApiTargetsProvider(OperationProvider[ApiTargetsInputs, ApiTargetsResult]):
    inputs_type, result_type = ApiTargetsInputs, ApiTargetsResult
    operation = "api_targets"


class _DnsProvider(OperationProvider[DnsCutInputs, DnsCutResult]):
    inputs_type, result_type = DnsCutInputs, DnsCutResult
    operation = "dns"


class _MemberSwapProvider(OperationProvider[MemberSwapInputs, MemberSwapResult]):
    inputs_type, result_type = MemberSwapInputs, MemberSwapResult
    operation = "member_swap"
    leased = True


class _RetireProvider(OperationProvider[RetirementInputs, RetirementResult]):
    inputs_type, result_type = RetirementInputs, RetirementResult
    operation = "retire"
    leased = True


class _ReferencesProvider(OperationProvider[ReferencesInputs, ReferencesResult]):
    inputs_type, result_type = ReferencesInputs, ReferencesResult
    operation = "references"


class _ServiceBalancersProvider(OperationProvider[ServiceBalancersInputs, ServiceBalancersResult]):
    inputs_type, result_type = ServiceBalancersInputs, ServiceBalancersResult
    operation = "service_balancers"
    leased = True


class StageRecord(OperationResource[StageRecordInputs, StageRecordResult], module="migration", name="StageRecord"):
    """Writes what the migration tries (first) or has reached (last) to the cluster's SSM parameter."""

    provider_class = _StageRecordProvider


class StackGuard(OperationResource[StackGuardInputs, StackGuardResult], module="migration", name="StackGuard"):
    """Refuses that the stack is destroyed while its new side carries something."""

    provider_class = _StackGuardProvider


class Gate(OperationResource[GateInputs, GateResult], module="migration", name="Gate"):
    """Checks of live state that must hold before, or after, a stage's changes."""

    provider_class = _GateProvider


class GroupNote(OperationResource[GroupNoteInputs, GroupNoteResult], module="migration", name="GroupNote"):
    """What the old groups were when their copies were made: sizes and launch templates, kept in state."""

    provider_class = _NoteProvider


class AutoscalerHold(
    OperationResource[AutoscalerHoldInputs, AutoscalerHoldResult], module="migration", name="AutoscalerHold"
):
    """Keeps the autoscaler from launching on the old side and from shrinking the new one, and gives both back."""

    provider_class = _HoldProvider


class WorkerGuard(OperationResource[WorkerGuardInputs, WorkerGuardResult], module="migration", name="WorkerGuard"):
    """Refuses that groups are deleted with pods on their nodes; it depends on them, so it is asked before they go."""

    provider_class = _WorkerGuardProvider


class Taint(OperationResource[TaintInputs, TaintResult], module="migration", name="Taint"):
    """The taint that lets pods start on one side only."""

    provider_class = _TaintProvider


class IngressPolicy(
    OperationResource[IngressPolicyInputs, IngressPolicyResult], module="migration", name="IngressPolicy"
):
    """The ingress Service's externalTrafficPolicy, changed without dropping a connection."""

    provider_class = _IngressPolicyProvider


class Drain(OperationResource[DrainInputs, DrainResult], module="migration", name="Drain"):
    """Empties a side's nodes of one tier of pods under their PodDisruptionBudgets."""

    provider_class = _DrainProvider


class WorkerScale(OperationResource[WorkerScaleInputs, WorkerScaleResult], module="migration", name="WorkerScale"):
    """The old groups at zero, or back at their recorded sizes."""

    provider_class = _ScaleProvider


class Roll(OperationResource[RollInputs, RollResult], module="migration", name="Roll"):
    """Nodes of a settled side replaced by ones of their group's version: new ones first, old ones drained."""

    provider_class = _RollProvider


class MemberRoll(OperationResource[MemberRollInputs, MemberRollResult], module="migration", name="MemberRoll"):
    """Machines of a settled side's members replaced by ones of their group's version, one at a time."""

    provider_class = _MemberRollProvider


class ApiTargets(OperationResource[ApiTargetsInputs, ApiTargetsResult], module="migration", name="ApiTargets"):
    """The running members as targets, by address, of the new side's API balancer."""

    provider_class = _ApiTargetsProvider


class DnsCut(OperationResource[DnsCutInputs, DnsCutResult], module="migration", name="DnsCut"):
    """The cluster's names as a weighted pair of both sides, or simple again, each in one change batch."""

    provider_class = _DnsProvider


class MemberSwap(OperationResource[MemberSwapInputs, MemberSwapResult], module="migration", name="MemberSwap"):
    """One control-plane member moved from its old instance to its new one."""

    provider_class = _MemberSwapProvider


class MemberGuard(OperationResource[MemberGuardInputs, MemberGuardResult], module="migration", name="MemberGuard"):
    """Refuses that groups are deleted while a member votes there; it depends on them, so it is asked before they go."""

    provider_class = _MemberGuardProvider


class References(OperationResource[ReferencesInputs, ReferencesResult], module="migration", name="References"):
    """Twins, for the new side, of the rules elsewhere that name the old one."""

    provider_class = _ReferencesProvider


class ServiceBalancers(
    OperationResource[ServiceBalancersInputs, ServiceBalancersResult], module="migration", name="ServiceBalancers"
):
    """Balancers that the cloud controller makes for Services: which nodes they take, and their end."""

    provider_class = _ServiceBalancersProvider


class Retirement(OperationResource[RetirementInputs, RetirementResult], module="migration", name="Retirement"):
    """Exactly the retire list, deleted."""

    provider_class = _RetireProvider
