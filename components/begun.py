"""That an `up` did what comes first: with ``--target`` or ``--exclude`` the engine leaves out whatever it is told to.

What is left out keeps what the state has of it. So each thing that nothing may go without is asked for its last result,
and nothing behind it registers while that is another stage's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pulumi
from pydantic import ValidationError

from migration.contracts.base import Result
from migration.contracts.packed import unpack
from providers.operation import OperationResource

R = TypeVar("R", bound=Result)
Awaited = pulumi.Output[Any]
"""Something to wait for in `depends_on` that is no resource, so that no order is written down a second time."""


def begun(
    operation: OperationResource[Any, R],
    result: type[R],
    holds: Callable[[R], bool],
    *,
    name: str,
    stage: int,
) -> Awaited:
    """Waits for an operation's result; the program ends with a sentence where it isn't this stage's.

    In a preview what the operation is going to give isn't known, and nothing is refused.
    """
    left_out = (
        f"{name} of stage {stage} was left out of this up, and nothing of the stage is done without it: run the whole "
        f"up, without --target and --exclude; once the stage is reached they work"
    )

    def check(told: object) -> None:
        try:
            seen = result.model_validate(unpack(told))
        except ValidationError:
            # There was none, or another version's.
            raise pulumi.RunError(left_out) from None
        if not holds(seen):
            raise pulumi.RunError(left_out)

    async def wait() -> None:
        await operation.told.apply(check).future()

    return pulumi.Output.from_input(asyncio.ensure_future(wait()))
