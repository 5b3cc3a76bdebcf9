"""The first and the last operation of an `up`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, StrictInt, StrictStr

from migration.contracts.base import Contract, Inputs, Manner, Result, Wanted
from migration.stages.table import LAST, stage


def _whole(value: object) -> object:
    # A state's numbers are floats; a record's are not text.
    return int(value) if isinstance(value, float) and value.is_integer() else value


StageNumber = Annotated[StrictInt, Field(ge=0, le=LAST), BeforeValidator(_whole)]


class StageRecordInputs(Inputs):
    """`begin` writes that a stage is tried, `finish` that it is reached. `command` is how the operator moves on.

    `fixed` is what of the configuration must not change from this stage on (`migration.stages.fixed`), packed. `form`
    is the record's own: where it changes, stacks of earlier versions write the record anew.
    """

    shown: ClassVar[str] = "stage"

    phase: Wanted[Literal["begin", "finish"]]
    stage: Wanted[int]
    from_side: Annotated[Wanted[str], Field(alias="from")]
    to_side: Annotated[Wanted[str], Field(alias="to")]
    owner: Wanted[str]
    form: Wanted[int] = 2
    fixed: Manner[str]
    command: Manner[str]
    settled: Manner[str | None] = None

    def say(self) -> str:
        """The stage and what is written of it."""
        return f"{self.stage} ({stage(self.stage).name}) {'tried' if self.phase == 'begin' else 'reached'}"


class Record(Contract):
    """Where the migration of one cluster is, as its SSM parameter says.

    `reached` is the last stage whose gates all held; `tried` the last stage an `up` began. `owner` is the stack's name
    without its stage, for people; `stack` the identity that its state keeps, whatever it is called and wherever it
    lies. `cluster_uid` is the UID of the cluster's namespace kube-system: which cluster all this is about. Records of
    earlier versions lack the last two; the next `up` that begins adds them.
    """

    owner: StrictStr
    from_side: Annotated[StrictStr, Field(alias="from")]
    to_side: Annotated[StrictStr, Field(alias="to")]
    reached: StageNumber
    tried: StageNumber
    stack: StrictStr | None = None
    cluster_uid: StrictStr | None = None


class StageRecordResult(Result):
    """The record as it was written, and the identity of this stack, which lives in its state from its first `up` on."""

    record: Record
    stack: str | None = None


class StackGuardInputs(Inputs):
    """What must not be destroyed: the side that this program made. `command` is how the operator moves on.

    `settled`: a side that an earlier migration made, which the cluster lives on now.
    """

    shown: ClassVar[str] = "guarded"

    to_side: Annotated[Wanted[str], Field(alias="to")]
    command: Manner[str]
    settled: Wanted[str | None] = None

    def say(self) -> str:
        """What is guarded."""
        sides = f"side {self.to_side}" if self.settled is None else f"sides {self.settled} and {self.to_side}"
        return f"destroy is refused while {sides} may carry pods, traffic or votes"


class StackGuardResult(Result):
    """The sides that are guarded."""

    side: str
    settled: str | None = None
