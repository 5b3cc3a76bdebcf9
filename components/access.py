"""IAM. Roles and instance profiles aren't bound to a VPC: both sides use the old cluster's, by reference.

So there is no "create once" flag and no state surgery; only what a new member needs beyond the old ones is added.
The right to the CAs' keys isn't: the role had it before. From the end of stage 8 on nothing of this program needs it,
and docs/security.md has the policy that ends it; before that a member couldn't boot.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.base import Args, Component


@dataclass(frozen=True, kw_only=True)
class MemberAccessArgs(Args):
    """The side whose members are let in."""

    side: str


class MemberAccess(Component):
    """Lets a new control-plane member read its own join ticket and attach its own volume; nothing else."""

    def __init__(self, name: str, args: MemberAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("access:Member", name, args, opts)
        scope, c = args.scope, args.scope.settings.configuration
        region = f"{scope.settings.partition}:ssm:{scope.settings.region}"
        owned = {"StringEquals": {"aws:ResourceTag/migration:cluster": c.cluster}}
        statements = [
            {
                "Effect": "Allow",
                "Action": ["ssm:GetParameter"],
                "Resource": f"arn:{region}:*:parameter/{c.cluster}/members/*",
            },
            {"Effect": "Allow", "Action": ["ec2:DescribeVolumes", "ec2:DescribeInstances"], "Resource": "*"},
            {"Effect": "Allow", "Action": ["ec2:AttachVolume"], "Resource": "*", "Condition": owned},
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        for name, role in (("member", c.control_plane_role), ("etcd", c.etcd_role)):
            if role is None or (name == "etcd" and role == c.control_plane_role):
                continue
            aws.iam.RolePolicy(
                f"{args.side}-{name}",
                name=f"{c.cluster}-member{c.sides[args.side].suffix}",
                role=role,
                policy=policy,
                opts=self.child(),
            )
