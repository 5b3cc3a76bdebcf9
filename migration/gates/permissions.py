"""The first gate: may this operator do what a migration does, and is there room for it?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migration.clients.aws import error_code
from migration.clients.kubernetes import ApiFailure, Kind, NotFound
from migration.contracts.gates import Permissions
from migration.gates.live import Live
from migration.names import record_parameter
from migration.rights.ask import caller, dry_runs, simulated
from migration.rights.policy import Scope
from migration.rights.table import OPTIONAL, actions
from migration.runtime.deadline import Permanent

_REVIEWS = Kind("apis/authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False)
_DENIED = (
    "AccessDenied",
    "UnauthorizedOperation",
    "AccessDeniedException",
    "AuthFailure",
    "UnrecognizedClientException",
)

# group, resource, verb
VERBS = (
    ("", "nodes", "patch"),
    ("", "pods/eviction", "create"),
    ("", "services", "patch"),
    ("apps", "deployments", "patch"),
    ("policy", "poddisruptionbudgets", "watch"),
    ("coordination.k8s.io", "leases", "create"),
)


def _reads(q: Permissions, live: Live) -> dict[str, Callable[[], Any]]:
    """A harmless question to every service the stages use."""
    aws, old = live.aws, live.side(q.old)
    return {
        "ec2": lambda: aws.ec2.describe_vpcs(VpcIds=[live.vpc(old)]),
        "autoscaling": lambda: aws.groups(q.worker_groups[:1]),
        "elasticloadbalancing": lambda: aws.elbv2.describe_load_balancers(LoadBalancerArns=[live.api(old).arn]),
        "route53": lambda: aws.route53.get_hosted_zone(Id=q.zone_id),
        "cloudwatch": lambda: aws.cloudwatch.list_metrics(Namespace="AWS/NetworkELB"),
        "ssm": lambda: aws.ssm.get_parameters(Names=[record_parameter(live.cluster)]),
        "iam": lambda: aws.iam.get_role(RoleName=q.control_plane_role),
    }


def permissions(q: Permissions, live: Live) -> str:
    """Every service answers; denied actions and verbs are named, all at once; what can't be asked is said."""
    denied: list[str] = []
    for service, ask in _reads(q, live).items():
        try:
            ask()
        except ClientError as error:
            code = error_code(error)
            if code in _DENIED:
                denied.append(f"{service} ({code})")
                continue
            raise Permanent(f"{service} doesn't know what the configuration names: {error}") from error
    refused, said = _asked(q, live)
    denied += refused + _denied_verbs(live)
    if denied:
        raise Permanent(
            f"not allowed: {', '.join(denied)}; docs/adopting.md lists what a migration needs, "
            "python -m migration rights writes it as policies"
        )
    return f"every service answers; {said}; {_room(q, live)}"


def _asked(q: Permissions, live: Live) -> tuple[list[str], str]:
    """Denied actions, and what else there is to say: IAM simulates; where that isn't allowed, EC2 tells by dry runs."""
    aws = live.aws
    try:
        source, partition, account = caller(aws)
        scope = Scope(
            cluster=live.cluster,
            region=aws.region,
            account=account,
            partition=partition,
            roles=(q.control_plane_role,),
            passed=(q.control_plane_role,),
        )
        # Who may be simulated has the right to simulate.
        found = simulated(aws, source, scope, [action for action in actions() if action not in OPTIONAL])
    except (ClientError, BotoCoreError, NotImplementedError) as error:
        dry = dry_runs(aws, live.vpc(live.side(q.old)))
        said = (
            f"warning: IAM didn't simulate ({type(error).__name__}), so {dry.asked} EC2 actions were asked by dry runs "
            "and nothing else; allow iam:SimulatePrincipalPolicy and iam:GetRole to have all of them asked"
        )
        return list(dry.denied), said
    doubt = f", warning: it depends on the call: {', '.join(found.unsure)}" if found.unsure else ""
    return list(found.denied), f"{found.asked - len(found.unsure)} of {found.asked} actions simulated as allowed{doubt}"


def _denied_verbs(live: Live) -> list[str]:
    denied: list[str] = []
    for group, resource, verb in VERBS:
        name, _, sub = resource.partition("/")
        attributes = {"group": group, "resource": name, "subresource": sub, "verb": verb}
        try:
            answer = live.kubernetes.create(
                _REVIEWS,
                {
                    "apiVersion": "authorization.k8s.io/v1",
                    "kind": "SelfSubjectAccessReview",
                    "metadata": {},
                    "spec": {"resourceAttributes": attributes},
                },
            )
        except NotFound:
            return []
        except ApiFailure as failure:
            raise Permanent(f"the Kubernetes API doesn't say what is allowed: {failure}") from failure
        if not answer["status"]["allowed"]:
            denied.append(f"{verb} {resource} in the cluster")
    return denied


def _room(q: Permissions, live: Live) -> str:
    """Room in the account's limits for a second set of everything; raises `Permanent` where there is none."""
    aws = live.aws
    try:
        limits = aws.autoscaling.describe_account_limits()
    except (ClientError, BotoCoreError, NotImplementedError):
        return "warning: quotas couldn't be asked"
    used, most = limits.get("NumberOfAutoScalingGroups", 0), limits.get("MaxNumberOfAutoScalingGroups", 0)
    needed = len(q.new_groups) - len(aws.groups(q.new_groups))
    if most and used + needed > most:
        raise Permanent(f"{needed} more Auto Scaling groups are needed, {used} of {most} are in use: raise the quota")
    return f"room for {needed} more groups"
