"""What operations gave back, said anew where the state that kept it is lost. Nothing is changed, little is looked at.

Only for a stage that was reached: then every operation has done what its inputs say. What a run only counted (pods it
evicted, what it saw on its way) is lost; nothing depends on that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migration.contracts.base import Inputs, Result
from migration.contracts.gates import GateInputs, GateResult
from migration.contracts.members import (
    MemberGuardInputs,
    MemberGuardResult,
    MemberRollInputs,
    MemberRollResult,
    MemberSwapInputs,
    MemberSwapResult,
)
from migration.contracts.record import (
    Record,
    StackGuardInputs,
    StackGuardResult,
    StageRecordInputs,
    StageRecordResult,
)
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
    Group,
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
from migration.etcd.where import address_of
from migration.names import physical_name
from migration.runtime.deadline import Permanent
from migration.workers.hold import recorded
from migration.workers.snapshot import describe

if TYPE_CHECKING:
    from migration.clients.aws import Aws


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known without a state: the record, the new side's suffix and its workers' old groups by name.

    `stack` is the identity that the state gets.
    """

    aws: Aws
    record: Record
    stack: str
    suffix: str
    pools: frozenset[str]

    def result(self, inputs: Inputs) -> Result:
        """What the operation with these inputs gave back; raises `Permanent` where that can't be known any more."""
        match inputs:
            case StageRecordInputs():
                return StageRecordResult(record=self.record.model_copy(update={"stack": self.stack}), stack=self.stack)
            case StackGuardInputs():
                return StackGuardResult(side=inputs.to_side, settled=inputs.settled)
            case GateInputs():
                return GateResult(stage=inputs.stage, position=inputs.position, results=())
            case GroupNoteInputs():
                return self._note(inputs)
            case AutoscalerHoldInputs():
                return self._hold(inputs)
            case WorkerGuardInputs():
                return WorkerGuardResult(groups=inputs.groups)
            case TaintInputs():
                return TaintResult(wanted=inputs.wanted, nodes=(), changed=0, missing=())
            case DrainInputs():
                return _drained(inputs)
            case IngressPolicyInputs():
                policy, before = inputs.policy, inputs.recorded
                return IngressPolicyResult(wanted=inputs.wanted, policy=policy, previous=before, steps=())
            case WorkerScaleInputs():
                return WorkerScaleResult(wanted=inputs.wanted, groups=_sizes(inputs), ended=0)
            case ApiTargetsInputs():
                # Those whose machines run; the others were swapped, and nothing depends on where they were.
                machines = self.aws.instances_of_groups([member.group for member in inputs.members])
                where = (address_of(member, machines) for member in inputs.members)
                return ApiTargetsResult(addresses=tuple(one for one in where if one is not None))
            case DnsCutInputs():
                ttl = inputs.ttl if inputs.form == "pair" else None
                return DnsCutResult(form=inputs.form, ttl=ttl, changed=())
            case MemberSwapInputs():
                name = inputs.new.name if inputs.wanted == "new" else None
                return MemberSwapResult(state=inputs.wanted, name=name)
            case MemberGuardInputs():
                return MemberGuardResult(groups=inputs.groups)
            case RollInputs():
                return RollResult(groups={one.pool: one.group for one in inputs.groups})
            case MemberRollInputs():
                return MemberRollResult()
            case ReferencesInputs():
                return ReferencesResult(wanted=inputs.wanted)
            case ServiceBalancersInputs():
                return ServiceBalancersResult(wanted=inputs.wanted)
            case RetirementInputs():
                return RetirementResult(deleted=())
            case _:
                raise Permanent(f"what {type(inputs).__name__} gave back can't be said without its state")

    def _note(self, inputs: GroupNoteInputs) -> GroupNoteResult:
        names = {key: (name, physical_name(name, "", self.suffix)) for key, name in inputs.groups.items()}
        described = self.aws.groups([name for pair in names.values() for name in pair])
        groups: dict[str, Group] = {}
        for key, (old, new) in names.items():
            if new not in described:
                raise Permanent(f"Auto Scaling group {new} isn't there, the copy of {old} on the new side")
            groups[key] = self._group(old, described.get(old), describe(self.aws, described[new]))
        return GroupNoteResult(groups=groups)

    def _group(self, old: str, was: Mapping[str, Any] | None, copy: Group) -> Group:
        """The old group as it was noted: what the copy was made from.

        Its size is what it has, or the copy's once it is empty or gone. A worker's template is the copy's, which an
        edit of the old one never reached; a member's copy has user data of its own, so its original is looked at.
        """
        size: dict[str, int] = {"min": copy.min, "max": copy.max, "desired": copy.desired}
        if was is not None and was["DesiredCapacity"]:
            held = recorded(was)
            most = held.max if held is not None else was["MaxSize"]
            size = {"min": was["MinSize"], "max": most, "desired": was["DesiredCapacity"]}
        source = copy if was is None or old in self.pools else describe(self.aws, was)
        return source.model_copy(update={"group": old, **size})

    def _hold(self, inputs: AutoscalerHoldInputs) -> AutoscalerHoldResult:
        held = inputs.wanted == "held"
        before = {name: recorded(group) for name, group in self.aws.groups(list(inputs.old_groups)).items()}
        return AutoscalerHoldResult(
            wanted=inputs.wanted,
            old={name: one for name, one in before.items() if one is not None},
            new={name: size.desired if held else size.min for name, size in inputs.new_groups.items()},
        )


def _drained(inputs: DrainInputs) -> DrainResult:
    return DrainResult(
        wanted=inputs.wanted,
        tier=inputs.tier,
        nodes=0,
        pods=0,
        evictions=0,
        restarts=0,
        rejected429=0,
        seconds=0.0,
        blocked=(),
    )


def _sizes(inputs: WorkerScaleInputs) -> dict[str, int]:
    return {one.group: 0 if inputs.wanted == "zero" else one.desired for one in inputs.sizes}
