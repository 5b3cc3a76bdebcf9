"""The ingress Service's externalTrafficPolicy: `Cluster` while ingress pods move, what it was otherwise."""

from __future__ import annotations

from migration.contracts.traffic import IngressPolicyInputs, IngressPolicyResult
from migration.ingress.plan import Step, next_step
from migration.ingress.service import Ingress
from migration.runtime.context import Context
from migration.runtime.deadline import Retryable

TELL_EVERY = 2.0


def run(inputs: IngressPolicyInputs, previous: IngressPolicyResult | None, context: Context) -> IngressPolicyResult:
    """Bring the policy to what is wanted: observe, do one step, observe again."""
    wanted = inputs.policy
    ingress = Ingress(
        aws=context.clients.aws,
        kubernetes=context.clients.kubernetes,
        namespace=inputs.namespace,
        service=inputs.service,
        groups=inputs.groups,
        target_groups=inputs.target_groups,
        alive=context.alive,
    )
    before = ingress.check()
    if previous is None and inputs.idle:
        return IngressPolicyResult(wanted=inputs.wanted, policy=before, previous=before, steps=())
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

    context.deadline.until(attempt, f"externalTrafficPolicy {wanted} to be in effect", pause=0.5)
    return IngressPolicyResult(
        wanted=inputs.wanted,
        policy=wanted,
        previous=previous.previous if previous else before,
        steps=tuple(done),
    )
