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
from migration.runtime.deadline import Permanent

_REVIEWS = Kind("apis/authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False)
_DENIED = (
    "AccessDenied",
    "UnauthorizedOperation",
    "AccessDeniedException",
    "AuthFailure",
    "UnrecognizedClientException",
)

# What the stages call, one of each kind that policies tend to leave out; docs/adopting.md has the whole list.
ACTIONS = (
    "ec2:CreateVpc",
    "ec2:CreateVpcPeeringConnection",
    "ec2:CreateRoute",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:CreateLaunchTemplate",
    "ec2:CreateLaunchTemplateVersion",
    "ec2:CreateVolume",
    "autoscaling:CreateAutoScalingGroup",
    "autoscaling:SuspendProcesses",
    "autoscaling:UpdateAutoScalingGroup",
    "autoscaling:TerminateInstanceInAutoScalingGroup",
    "elasticloadbalancing:CreateLoadBalancer",
    "elasticloadbalancing:DeregisterTargets",
    "elasticloadbalancing:ModifyTargetGroupAttributes",
    "route53:ChangeResourceRecordSets",
    "route53:AssociateVPCWithHostedZone",
    "ssm:PutParameter",
    "ssm:DeleteParameter",
    "ssm:SendCommand",
    "iam:PutRolePolicy",
    "iam:PassRole",
    "cloudwatch:GetMetricStatistics",
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
    refused, simulated = _simulated(live)
    denied += refused + _denied_verbs(live)
    if denied:
        raise Permanent(f"not allowed: {', '.join(denied)}; docs/adopting.md lists what a migration needs")
    return f"every service answers; {simulated}; {_room(q, live)}"


def _simulated(live: Live) -> tuple[list[str], str]:
    """Denied actions by IAM's own simulation; what it can't simulate is only warned of."""
    aws = live.aws
    try:
        caller = aws.sts.get_caller_identity()["Arn"]
        # A session's ARN names its role: arn:aws:sts::1:assumed-role/name/session.
        if ":assumed-role/" in caller:
            role = caller.split(":assumed-role/", 1)[1].split("/", 1)[0]
            caller = aws.iam.get_role(RoleName=role)["Role"]["Arn"]
        answer = aws.iam.simulate_principal_policy(PolicySourceArn=caller, ActionNames=list(ACTIONS))
    except (ClientError, BotoCoreError, NotImplementedError) as error:
        return [], f"warning: actions couldn't be simulated ({type(error).__name__})"
    results = answer["EvaluationResults"]
    refused = [one["EvalActionName"] for one in results if one["EvalDecision"] == "explicitDeny"]
    # Denied for want of a statement may be allowed for the resources that a policy names.
    unsure = [one["EvalActionName"] for one in results if one["EvalDecision"] == "implicitDeny"]
    warning = f", warning: not for every resource: {', '.join(unsure)}" if unsure else ""
    return refused, f"{len(results) - len(unsure)} of {len(ACTIONS)} actions simulated as allowed{warning}"


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
