"""The ingress Service's externalTrafficPolicy: `Cluster` while ingress pods move, what it was otherwise.

Inputs: `wanted` ("Cluster" or "recorded"), `namespace`, `service`, `recorded` (the policy of before), `targetGroups`
(ARNs of the sides that get traffic), `groups` (Auto Scaling groups behind them).
Outputs: `wanted`, `policy` (now), `previous` (as it was when first seen), `steps` (what this run did).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migration.ingress.plan import Step, next_step
from migration.ingress.service import Ingress
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent, Retryable

POLICIES = ("Local", "Cluster")
TELL_EVERY = 2.0


def run(inputs: Mapping[str, Any], previous: Mapping[str, Any] | None, context: Context) -> dict[str, Any]:
    """Bring the policy to what is wanted: observe, do one step, observe again."""
    wanted = inputs["recorded"] if inputs["wanted"] == "recorded" else inputs["wanted"]
    if wanted not in POLICIES:
        raise Permanent(f"ingress policy: wanted is {wanted!r}; it is 'Local' or 'Cluster'")
    ingress = Ingress(
        aws=context.clients.aws,
        kubernetes=context.clients.kubernetes,
        namespace=inputs["namespace"],
        service=inputs["service"],
        groups=tuple(inputs["groups"]),
        target_groups=tuple(inputs["targetGroups"]),
        alive=context.alive,
    )
    before = ingress.check()
    done: list[str] = []
    told = float("-inf")

    def attempt() -> str | None:
        nonlocal told
        facts = ingress.observe(wanted)
        last: Step | None = None
        while True:
            step = next_step(facts)
            if step == last:
                raise Retryable(f"{step.act} to take effect")
            last = step
            if step.act == "done":
                return facts.policy
            if step.act == "wait":
                if context.deadline.clock() - told >= TELL_EVERY:
                    told = context.deadline.clock()
                    context.log(f"waiting for {step.why}")
                raise Retryable(step.why)
            ingress.act(step)
            done.append(step.act)
            names = f" {', '.join(step.ids[:4])}{' …' if len(step.ids) > 4 else ''}" if step.ids else ""
            context.log(f"{step.act}{names}{' ' + step.policy if step.policy else ''}: {step.why}")
            facts = ingress.observe(wanted)

    policy = context.deadline.until(attempt, f"externalTrafficPolicy {wanted} to be in effect", pause=0.5)
    return {
        "wanted": inputs["wanted"],
        "policy": policy,
        "previous": (previous or {}).get("previous") or before,
        "steps": done,
    }
