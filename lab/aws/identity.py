"""Whose call it is, and whether that principal's policies allow it (`LAB_IAM=enforce`).

The lab's own tooling signs as `lab` and stands for the account's root. A machine signs with what its metadata service
gives it: its instance profile's role. Others assume a role, or are users with access keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.iam.models import IAMBackend, Policy, iam_backends
from moto.sts.models import STSBackend, sts_backends

from lab.addresses import ACCOUNT_ID, REGION
from lab.aws.front import Request, Turned
from lab.aws.hooks import active, inner_rule, instead
from lab.aws.policies import ALLOWED, EXPLICIT, decide
from lab.aws.world import WORLD

ROOT_KEY = "lab"
"""Access key of the lab's own tooling."""
MACHINE_TOKEN = "lab"
JSON = ("ssm", "secretsmanager")
"""Services whose errors end with `Exception`."""
READS_WITHOUT_RESOURCE = re.compile(
    r"(ec2|autoscaling|elasticloadbalancing|cloudwatch):(Describe|Get|List)|route53:ListHostedZones|"
    r"ssm:(Describe|List|GetCommandInvocation)|sts:"
)

inner_rule("no_identity_based_policy", "IAM user guide, Policy evaluation logic; Troubleshoot access denied errors")
inner_rule("explicitly_denied", "IAM user guide, Policy evaluation logic: an explicit deny overrides any allow")
inner_rule("unknown_access_key", "EC2 API reference, Common error codes: AuthFailure; IAM: InvalidClientTokenId")
inner_rule("tagging_on_creation", "EC2 user guide, Grant permission to tag resources during creation")
inner_rule("role_must_be_passed", "IAM user guide, Grant a user permissions to pass a role to an AWS service")
inner_rule("dry_run_ends_before_the_service", "EC2 API reference, Common query parameters: DryRun")
inner_rule("group_runs_instances", "EC2 Auto Scaling user guide, Control Amazon EC2 launch template usage")


@dataclass(frozen=True)
class Principal:
    arn: str
    documents: tuple[Any, ...] | None
    """Its policies; None: everything is allowed."""


def _iam() -> IAMBackend:
    return iam_backends[ACCOUNT_ID]["aws"]


def _sts() -> STSBackend:
    return sts_backends[ACCOUNT_ID]["aws"]


def documents_of(holder: Any) -> tuple[Any, ...]:
    """The inline and managed policies of one of moto's roles or users, as documents."""
    inline = holder.policies.values() if isinstance(holder.policies, dict) else holder.policies
    managed = [_default(policy) for policy in holder.managed_policies.values()]
    return (*managed, *(p["policy_document"] if isinstance(p, dict) and "policy_document" in p else p for p in inline))


def _default(policy: Policy) -> str:
    return next(version.document for version in policy.versions if version.is_default)


def machine_key(instance: str) -> str:
    """The access key of a machine's credentials, as its metadata service gives them (lab/machines/web.py)."""
    return f"ASIA{instance[-16:].upper()}"


def machine_of(key: str) -> Any:
    """The instance whose credentials these are (lab/machines/web.py makes them of its id), or None."""
    if not key.startswith("ASIA"):
        return None
    for reservation in WORLD.ec2.reservations.values():
        for instance in reservation.instances:
            if machine_key(instance.id) == key:
                return instance
    return None


def principal(key: str) -> Principal | None:
    """Who signs with this access key; None for nobody."""
    root = f"arn:aws:iam::{ACCOUNT_ID}:root"
    if key == ROOT_KEY:
        return Principal(root, None)
    if instance := machine_of(key):
        role = _role_of_profile(str((instance.iam_instance_profile or {}).get("Arn", "")))
        if role is None:
            return None
        return Principal(f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{role.name}/{instance.id}", documents_of(role))
    if assumed := _sts().get_assumed_role_from_access_key(key):
        name = assumed.role_arn.rpartition("/")[2]
        role = next((r for r in _iam().roles.values() if r.name == name), None)
        return Principal(assumed.arn, documents_of(role) if role else ())
    for user in _iam().users.values():
        if any(access.access_key_id == key for access in user.access_keys):
            return Principal(user.arn, documents_of(user))
    return None


@instead(STSBackend, "get_caller_identity")
def caller(original: Any, backend: STSBackend, access_key_id: str, region: str) -> Any:
    """GetCallerIdentity of a machine: its role's session."""
    known = principal(access_key_id) if machine_of(access_key_id) else None
    if known is None:
        return original(backend, access_key_id, region)
    return f"AROA{access_key_id[4:]}:{known.arn.rpartition('/')[2]}", known.arn, ACCOUNT_ID


def _role_of_profile(arn: str) -> Any:
    for profile in _iam().instance_profiles.values():
        if profile.arn == arn and profile.roles:
            return profile.roles[0]
    return None


def authorize(request: Request) -> None:
    """Raises Turned, as the service words it, unless the caller's policies allow the call and all it entails."""
    if WORLD.settings.iam != "enforce":
        return
    who = principal(request.key)
    if who is None:
        if active("unknown_access_key"):
            raise _nobody(request)
        return
    if who.documents is None or request.name == "sts:GetCallerIdentity":
        return
    for rule, action, resource in _asked(request):
        if rule and not active(rule):
            continue
        decision = decide(who.documents, action, resource, context(request, action, resource))
        explicit = decision.verdict == EXPLICIT
        if decision.verdict != ALLOWED and active("explicitly_denied" if explicit else "no_identity_based_policy"):
            raise _denied(request, who, action, resource, explicit)


def dry_run(request: Request) -> None:
    """`DryRun` ends here, once the caller is known to have the right; moto knows it for a few actions only.

    Source: EC2 API reference, Common query parameters: DryRun.
    """
    told = request.values.get("DryRun", "").lower() == "true"
    if request.service == "ec2" and told and active("dry_run_ends_before_the_service"):
        raise Turned("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)


def _nobody(request: Request) -> Turned:
    if request.service == "ec2":
        return Turned("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    if request.service in JSON:
        return Turned("UnrecognizedClientException", "The security token included in the request is invalid.")
    return Turned("InvalidClientTokenId", "The security token included in the request is invalid.", 403)


def _denied(request: Request, who: Principal, action: str, resource: str, explicit: bool) -> Turned:
    on = "" if resource == "*" else f" on resource: {resource}"
    why = (
        "with an explicit deny in an identity-based policy"
        if explicit
        else f"because no identity-based policy allows the {action} action"
    )
    said = f"User: {who.arn} is not authorized to perform: {action}{on} {why}"
    if request.service == "autoscaling" and action.startswith(("ec2:", "iam:")):
        return Turned(
            "AccessDenied", f"You are not authorized to use launch template: {_template(request)}. {said}", 403
        )
    if request.service == "ec2":
        return Turned("UnauthorizedOperation", f"You are not authorized to perform this operation. {said}", 403)
    return Turned("AccessDeniedException" if request.service in JSON else "AccessDenied", said, 403)


# --- what a call entails

TAGGING = {
    "ec2": (re.compile(r"TagSpecification\.\d+\.Tag\."), "ec2:CreateTags"),
    "elasticloadbalancing": (re.compile(r"Tags\."), "elasticloadbalancing:AddTags"),
}
"""By service: the parameters that tag what a call makes, and the right that this needs, too."""


def _asked(request: Request) -> Iterator[tuple[str, str, str]]:
    """(rule or empty, action, resource) of everything that must be allowed."""
    resources = _resources(request)
    for resource in resources:
        yield "", request.name, resource
    if request.action != "CreateTags" and (tagging := TAGGING.get(request.service)):
        pattern, action = tagging
        if request.action.startswith(("Create", "Run", "Allocate")) and any(map(pattern.match, request.values)):
            yield "tagging_on_creation", action, "*"
    if role := _passed(request):
        yield "role_must_be_passed", "iam:PassRole", role
    if request.name in ("autoscaling:CreateAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup"):
        yield from _launched(request)


def _launched(request: Request) -> Iterator[tuple[str, str, str]]:
    """Whoever names a launch template for a group must be allowed to run what it says."""
    data = _template_data(request)
    if data is None:
        return
    yield "group_runs_instances", "ec2:RunInstances", "*"
    if data.get("TagSpecifications"):
        yield "tagging_on_creation", "ec2:CreateTags", "*"
    if role := _of_profile(data.get("IamInstanceProfile") or {}):
        yield "role_must_be_passed", "iam:PassRole", role


def _template(request: Request) -> str:
    return next((v for k, v in request.values.items() if re.search(r"LaunchTemplate(Id|Name)$", k)), "")


def _template_data(request: Request) -> dict[str, Any] | None:
    named = _template(request)
    version = next((v for k, v in request.values.items() if k.endswith("LaunchTemplate.Version")), "$Default")
    for template in WORLD.ec2.launch_templates.values():
        if named in (template.id, template.name):
            try:
                return dict(template.get_version(version).data)
            except (KeyError, ValueError):
                return {}
    return None


def _passed(request: Request) -> str | None:
    """The role that the call gives to a service, if it does."""
    if request.name == "ec2:RunInstances":
        given = {k.rpartition(".")[2]: v for k, v in request.values.items() if k.startswith("IamInstanceProfile.")}
        return _of_profile(given) or _of_profile((_template_data(request) or {}).get("IamInstanceProfile") or {})
    if request.name == "iam:AddRoleToInstanceProfile":
        return f"arn:aws:iam::{ACCOUNT_ID}:role/{request.values.get('RoleName', '')}"
    return None


def _of_profile(given: dict[str, Any]) -> str | None:
    for profile in _iam().instance_profiles.values():
        if profile.arn == given.get("Arn") or profile.name == given.get("Name"):
            return profile.roles[0].arn if profile.roles else None
    return None


# --- resources and conditions

EC2_TYPES = {
    "vpc": "vpc",
    "subnet": "subnet",
    "i": "instance",
    "vol": "volume",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "lt": "launch-template",
    "rtb": "route-table",
    "igw": "internet-gateway",
    "nat": "natgateway",
    "pcx": "vpc-peering-connection",
    "eipalloc": "elastic-ip",
    "vpce": "vpc-endpoint",
    "eni": "network-interface",
    "acl": "network-acl",
}


def _resources(request: Request) -> list[str]:
    """The ARNs the call names; `*` where the action has no resource, or makes one."""
    if READS_WITHOUT_RESOURCE.match(request.name):
        return ["*"]
    own = f"{REGION}:{ACCOUNT_ID}"
    values = request.values
    found: list[str] = []
    if request.service == "ec2":
        for value in values.values():
            kind = re.fullmatch(r"([a-z]+)-[0-9a-f]{8,17}", value)
            if kind and kind[1] in EC2_TYPES:
                found.append(f"arn:aws:ec2:{own}:{EC2_TYPES[kind[1]]}/{value}")
    elif request.service == "autoscaling":
        names = [
            v
            for k, v in values.items()
            if k == "AutoScalingGroupName" or re.fullmatch(r"Tags\.member\.\d+\.ResourceId", k)
        ]
        found = [
            f"arn:aws:autoscaling:{own}:autoScalingGroup:*:autoScalingGroupName/{name}" for name in dict.fromkeys(names)
        ]
    elif request.service == "elasticloadbalancing":
        found = [v for v in values.values() if v.startswith("arn:aws:elasticloadbalancing:")]
    elif request.service == "ssm":
        if request.action == "SendCommand":
            found = [f"arn:aws:ssm:{REGION}::document/{values.get('DocumentName', '')}"]
            found += [f"arn:aws:ec2:{own}:instance/{v}" for k, v in values.items() if k.startswith("InstanceIds.")]
        else:
            names = [v for k, v in values.items() if k in ("Name", "Path") or k.startswith("Names.")]
            found = [f"arn:aws:ssm:{own}:parameter/{name.lstrip('/')}" for name in names]
    elif request.service == "secretsmanager":
        found = [f"arn:aws:secretsmanager:{own}:secret:{values.get('SecretId', '')}"]
    elif request.service == "route53":
        if zone := re.search(r"/hostedzone/([^/]+)", request.path):
            found = [f"arn:aws:route53:::hostedzone/{zone[1]}"]
        elif change := re.search(r"/change/([^/]+)", request.path):
            found = [f"arn:aws:route53:::change/{change[1]}"]
    elif request.service == "iam":
        if source := values.get("PolicySourceArn"):
            found = [source]
        elif profile := values.get("InstanceProfileName"):
            found = [f"arn:aws:iam::{ACCOUNT_ID}:instance-profile/{profile}"]
        elif role := values.get("RoleName"):
            found = [f"arn:aws:iam::{ACCOUNT_ID}:role/{role}"]
    return list(dict.fromkeys(found)) or ["*"]


def context(request: Request, action: str, resource: str) -> dict[str, str]:
    """The condition keys of a call: region, the resource's tags, the tags it is given, the service a role goes to."""
    known = {"aws:RequestedRegion": REGION, "aws:PrincipalAccount": ACCOUNT_ID}
    known |= {f"aws:ResourceTag/{key}": value for key, value in tags_of(resource).items()}
    keys = {k: v for k, v in request.values.items() if re.search(r"Tags?(\.member)?\.\d+\.Key$", k)}
    for name, key in keys.items():
        known[f"aws:RequestTag/{key}"] = request.values.get(f"{name.removesuffix('Key')}Value", "")
    if action == "iam:PassRole":
        known["iam:PassedToService"] = "ec2.amazonaws.com"
    if action == "ec2:CreateTags" and request.action != "CreateTags":
        known["ec2:CreateAction"] = request.action
    return known


def tags_of(resource: str) -> dict[str, str]:
    """The tags of what an ARN names, as far as conditions ask for them."""
    service, last = [*resource.split(":", 3), "", "", ""][2], resource.rpartition("/")[2]
    if service == "ec2":
        return dict(WORLD.ec2.tags.get(last, {}))
    if service == "autoscaling":
        group = WORLD.autoscaling.autoscaling_groups.get(last)
        return {t["Key"]: t["Value"] for t in (group.tags if group else [])}
    if service == "elasticloadbalancing":
        return {t["Key"]: t["Value"] for t in WORLD.elbv2.tagging_service.list_tags_for_resource(resource)["Tags"]}
    return {}
