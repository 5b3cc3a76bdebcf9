"""IAM's simulator, which moto lacks: what a principal's policies say about actions, for a permissions preflight."""

from __future__ import annotations

import json
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.iam.models import IAMBackend
from moto.iam.responses import IamResponse

from lab.aws.hooks import Refused, define

OPERATOR = ":user/moto"
"""Whom moto takes a caller with unknown keys for: the lab's operator, who may do everything."""


def _policies(backend: IAMBackend, arn: str) -> list[Any] | None:
    """The principal's policies; None for the operator. Raises Refused (NoSuchEntity) for one that doesn't exist."""
    if arn.endswith(OPERATOR):
        return None
    name = arn.rsplit("/", 1)[-1]
    if ":assumed-role/" in arn:
        name = arn.split("/")[1]
    for holder in (*backend.roles.values(), *backend.users.values()):
        if holder.name == name:
            inline = holder.policies.values() if isinstance(holder.policies, dict) else holder.policies
            return [*holder.managed_policies.values(), *inline]
    raise Refused("NoSuchEntity", f"The principal {arn} cannot be found.")


def decide(policies: list[Any] | None, action: str, resource: str) -> str:
    """`allowed`, `explicitDeny` or `implicitDeny`. Source: IAM user guide, Policy evaluation logic."""
    if policies is None:
        return "allowed"
    verdicts = [
        IAMPolicy(p if not isinstance(p, dict) or "policy_document" in p else json.dumps(p)).is_action_permitted(
            action, resource
        )
        for p in policies
    ]
    if PermissionResult.DENIED in verdicts:
        return "explicitDeny"
    return "allowed" if PermissionResult.PERMITTED in verdicts else "implicitDeny"


def _simulate(response: IamResponse) -> ActionResult:
    """SimulatePrincipalPolicy, without context keys. Source: IAM API reference, SimulatePrincipalPolicy."""
    parameters = response._get_params()
    policies = _policies(response.backend, str(response._get_param("PolicySourceArn")))
    actions = _strings(parameters, "ActionNames")
    resources = _strings(parameters, "ResourceArns") or ["*"]
    results = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": decide(policies, action, resource),
            "MatchedStatements": [],
            "MissingContextValues": [],
        }
        for action in actions
        for resource in resources
    ]
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def _strings(parameters: dict[str, Any], name: str) -> list[str]:
    found = parameters.get(name) or []
    if isinstance(found, dict):
        found = found.get("member", [])
    return [str(f) for f in found]


define(IamResponse, "simulate_principal_policy", _simulate)
