"""IAM policies with exactly the rights of the table, bound to one cluster's objects where AWS can bind them. Pure.

Sources: service authorization reference (resource types of each action); IAM user guide, "IAM and AWS STS quotas": a
managed policy has 6144 characters at most, without white space.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from migration.rights.table import PROVIDER_READS, actions

MANAGED_POLICY = 6_144
"""Characters of a managed policy."""
PIECE = 60
"""Actions of one statement: several fit into a policy."""
DOCUMENT = "AWS-RunShellScript"
PARAMETERS = frozenset({"ssm:PutParameter", "ssm:DeleteParameter"})
READ_PARAMETERS = frozenset({"ssm:GetParameter", "ssm:GetParameters"})
ROLE_POLICIES = frozenset({"iam:PutRolePolicy", "iam:DeleteRolePolicy"})
PASSED_TO = "ec2.amazonaws.com"


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What rights are bound to. `certificates` is the SSM prefix of the operator's etcd certificate; `roles` are names
    of the roles whose inline policy stage 2 writes, `passed` those that machines get (empty: any role, to EC2 only)."""

    cluster: str
    region: str
    account: str = "*"
    partition: str = "aws"
    certificates: str = ""
    roles: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()

    def parameter(self, path: str) -> str:
        """The ARN of a parameter, whose name begins with a slash."""
        return f"arn:{self.partition}:ssm:{self.region}:{self.account}:parameter{path}"

    def role(self, name: str) -> str:
        """The ARN of a role; ``*`` may stand in its name."""
        return f"arn:{self.partition}:iam::{self.account}:role/{name}"


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Actions on resources; `conditions` as a policy has them, by operator and key."""

    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    conditions: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def statement(self) -> dict[str, object]:
        """As a policy's statement."""
        found: dict[str, object] = {"Effect": "Allow", "Action": list(self.actions), "Resource": list(self.resources)}
        return {**found, "Condition": self.conditions} if self.conditions else found


def grants(scope: Scope, wanted: Iterable[str] | None = None) -> tuple[Grant, ...]:
    """The table's rights (or only the `wanted` actions), each with the resources it is for."""
    left = dict.fromkeys(actions() if wanted is None else wanted)
    certificates = scope.certificates or f"/{scope.cluster}/operator/etcd"
    own, members = scope.parameter(f"/{scope.cluster}/migration/*"), scope.parameter(f"/{scope.cluster}/members/*")
    bound = (
        Grant(actions=_of(left, PARAMETERS), resources=(own, members)),
        Grant(actions=_of(left, READ_PARAMETERS), resources=(own, members, scope.parameter(f"{certificates}/*"))),
        Grant(
            actions=_of(left, {"ssm:SendCommand"}),
            resources=(
                f"arn:{scope.partition}:ssm:{scope.region}::document/{DOCUMENT}",
                f"arn:{scope.partition}:ec2:{scope.region}:{scope.account}:instance/*",
            ),
        ),
        Grant(actions=_of(left, ROLE_POLICIES), resources=tuple(map(scope.role, scope.roles or ("*",)))),
        Grant(
            actions=_of(left, {"iam:PassRole"}),
            resources=tuple(map(scope.role, scope.passed or ("*",))),
            conditions={"StringEquals": {"iam:PassedToService": PASSED_TO}},
        ),
    )
    taken = {action for grant in bound for action in grant.actions}
    rest = tuple(action for action in left if action not in taken)
    return tuple(grant for grant in (Grant(actions=rest), *bound) if grant.actions)


def _of(left: Iterable[str], some: Iterable[str]) -> tuple[str, ...]:
    chosen = set(some)
    return tuple(action for action in left if action in chosen)


def documents(scope: Scope) -> tuple[str, ...]:
    """Policies to attach together, as JSON, none longer than a managed policy may be."""
    found: list[str] = []
    statements: list[dict[str, object]] = []
    # The provider's own reads stand for those of the table.
    parts = [part for grant in grants(scope) for part in _pieces(replace(grant, actions=_uncovered(grant.actions)))]
    for part in (Grant(actions=PROVIDER_READS), *parts):
        if statements and len(_document([*statements, part.statement()])) > MANAGED_POLICY:
            found.append(_document(statements))
            statements = []
        statements.append(part.statement())
    return (*found, _document(statements))


def _pieces(grant: Grant) -> list[Grant]:
    return [replace(grant, actions=grant.actions[at : at + PIECE]) for at in range(0, len(grant.actions), PIECE)]


def _uncovered(some: Iterable[str]) -> tuple[str, ...]:
    return tuple(action for action in some if not any(like_read(action, read) for read in PROVIDER_READS))


def like_read(action: str, read: str) -> bool:
    """Whether an action is one of those that a pattern with an asterisk at its end stands for."""
    return action.startswith(read.removesuffix("*"))


def _document(statements: list[dict[str, object]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
