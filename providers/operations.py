"""One resource per operation on a whole side or member; their names are what previews show and states hold."""

from __future__ import annotations

from providers.operation import OperationProvider, OperationResource


class _StageRecordProvider(OperationProvider):
    operation = "record"


class _GateProvider(OperationProvider):
    operation = "gate"


class _NoteProvider(OperationProvider):
    operation = "note"


class _HoldProvider(OperationProvider):
    operation = "hold"
    leased = True


class _TaintProvider(OperationProvider):
    operation = "taint"
    leased = True


class _IngressPolicyProvider(OperationProvider):
    operation = "ingress_policy"
    leased = True


class _DrainProvider(OperationProvider):
    operation = "drain"
    leased = True


class _ScaleProvider(OperationProvider):
    operation = "scale"
    leased = True


class _ApiTargetsProvider(OperationProvider):
    operation = "api_targets"


class _DnsProvider(OperationProvider):
    operation = "dns"


class _MemberSwapProvider(OperationProvider):
    operation = "member_swap"
    leased = True


class _RetireProvider(OperationProvider):
    operation = "retire"
    leased = True


class StageRecord(OperationResource, module="migration", name="StageRecord"):
    """Writes what the migration tries (first) or has reached (last) to the cluster's SSM parameter."""

    provider_class = _StageRecordProvider


class Gate(OperationResource, module="migration", name="Gate"):
    """Checks of live state that must hold before, or after, a stage's changes."""

    provider_class = _GateProvider


class GroupNote(OperationResource, module="migration", name="GroupNote"):
    """What the old groups were when their copies were made: sizes and launch templates, kept in state."""

    provider_class = _NoteProvider


class AutoscalerHold(OperationResource, module="migration", name="AutoscalerHold"):
    """Keeps the autoscaler from launching on the old side and from shrinking the new one, and gives both back."""

    provider_class = _HoldProvider


class Taint(OperationResource, module="migration", name="Taint"):
    """The taint that lets pods start on one side only."""

    provider_class = _TaintProvider


class IngressPolicy(OperationResource, module="migration", name="IngressPolicy"):
    """The ingress Service's externalTrafficPolicy, changed without dropping a connection."""

    provider_class = _IngressPolicyProvider


class Drain(OperationResource, module="migration", name="Drain"):
    """Empties a side's nodes of one tier of pods under their PodDisruptionBudgets."""

    provider_class = _DrainProvider


class WorkerScale(OperationResource, module="migration", name="WorkerScale"):
    """The old groups at zero, or back at their recorded sizes."""

    provider_class = _ScaleProvider


class ApiTargets(OperationResource, module="migration", name="ApiTargets"):
    """The running members as targets, by address, of the new side's API balancer."""

    provider_class = _ApiTargetsProvider


class DnsCut(OperationResource, module="migration", name="DnsCut"):
    """Which side's balancers the cluster's names lead to, in one change batch a step."""

    provider_class = _DnsProvider


class MemberSwap(OperationResource, module="migration", name="MemberSwap"):
    """One control-plane member moved from its old instance to its new one."""

    provider_class = _MemberSwapProvider


class Retirement(OperationResource, module="migration", name="Retirement"):
    """Exactly the retire list, deleted."""

    provider_class = _RetireProvider
