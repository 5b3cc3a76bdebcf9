"""The least a drain can take, told before it begins."""

from __future__ import annotations

import math
from collections.abc import Iterable

from migration.contracts.plan import Bound, BudgetMove


def drain_bound(limits: Iterable[BudgetMove], evictions: int, per_second: int) -> Bound | None:
    """``max(max_b ⌈P_b / d_b⌉ · r_b, P / q)``; None where nothing has to be evicted.

    Of a budget b: P_b pods, d_b of them allowed at once while all are healthy, r_b seconds until a replacement is
    ready. P evictions in all, q a second.
    """
    rows = [(math.ceil(one.pods / one.at_once) * one.each_seconds, one) for one in limits if one.pods and one.at_once]
    if not rows:
        return None
    seconds, slowest = max(rows, key=lambda row: row[0])
    return Bound(
        seconds=max(seconds, evictions / per_second),
        slowest=slowest.key,
        pods=slowest.pods,
        at_once=slowest.at_once,
        each_seconds=slowest.each_seconds,
        evictions=evictions,
        per_second=per_second,
    )
