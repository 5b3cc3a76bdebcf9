"""IAM's simulator, which moto lacks: what a principal's policies say about actions, for a permissions preflight."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.iam.models import IAMBackend
from moto.iam.responses import IamResponse

from lab.aws.hooks import Refused, define
from lab.aws.identity import documents_of
from lab.aws.policies import ALLOWED, Decision, decide

OPERATOR = ":user/moto"
"""Whom moto takes a caller with unknown keys for: the lab's operator, who may do everything."""


def _holder(backend: IAMBackend, arn: str) -> tuple[Any, ...] | None:
    """The principal's policies; None for root and the operator. Raises Refused (NoSuchEntity) for nobody."""
    if arn.endswith((OPERATOR, ":root")):
        return None
    name = arn.rsplit("/", 1)[-1]
    if ":assumed-role/" in arn:
        name = arn.split("/")[1]
    for holder in (*backend.roles.values(), *backend.users.values()):
        if holder.name == name:
            return documents_of(holder)
    raise Refused("NoSuchEntity", f"The principal {arn} cannot be found.")


def _simulate(response: IamResponse) -> ActionResult:
    """SimulatePrincipalPolicy. Source: IAM API reference, SimulatePrincipalPolicy.

    Condition keys count only as the caller gives them; those that a policy asks for and the call lacks are named.
    """
    parameters = response._get_params()
    documents = _holder(response.backend, str(response._get_param("PolicySourceArn")))
    context = {
        str(entry["ContextKeyName"]): next(iter(entry.get("ContextKeyValues") or [""]))
        for entry in parameters.get("ContextEntries") or []
    }
    actions = _strings(parameters, "ActionNames")
    resources = _strings(parameters, "ResourceArns") or ["*"]
    results: list[dict[str, Any]] = []
    for action in actions:
        for resource in resources:
            decision = Decision(ALLOWED) if documents is None else decide(documents, action, resource, context)
            results.append(
                {
                    "EvalActionName": action,
                    "EvalResourceName": resource,
                    "EvalDecision": decision.verdict,
                    "MatchedStatements": [],
                    "MissingContextValues": list(decision.missing),
                }
            )
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def _strings(parameters: dict[str, Any], name: str) -> list[str]:
    found = parameters.get(name) or []
    if isinstance(found, dict):
        found = found.get("member", [])
    return [str(f) for f in found]


define(IamResponse, "simulate_principal_policy", _simulate)
