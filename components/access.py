"""IAM. Roles and instance profiles aren't bound to a VPC: both sides use the old cluster's, by reference.

So there is no "create once" flag and no state surgery; only what a new member needs beyond the old ones is added.
"""

from __future__ import annotations

import json

import pulumi
import pulumi_aws as aws

from components.base import Component, Scope


class MemberAccess(Component):
    """Lets a new control-plane member read its own join ticket and attach its own volume; nothing else."""

    def __init__(self, name: str, scope: Scope, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("access:Member", f"{name}-access", scope, opts)
        c = scope.settings.configuration
        owned = {"StringEquals": {"aws:ResourceTag/migration:cluster": c.cluster}}
        statements = [
            {
                "Effect": "Allow",
                "Action": ["ssm:GetParameter"],
                "Resource": f"arn:aws:ssm:{scope.settings.region}:*:parameter/{c.cluster}/members/*",
            },
            {"Effect": "Allow", "Action": ["ec2:DescribeVolumes", "ec2:DescribeInstances"], "Resource": "*"},
            {"Effect": "Allow", "Action": ["ec2:AttachVolume"], "Resource": "*", "Condition": owned},
        ]
        aws.iam.RolePolicy(
            f"{name}-member",
            name=f"{c.cluster}-member{c.sides[name].suffix}",
            role=c.control_plane_role,
            policy=json.dumps({"Version": "2012-10-17", "Statement": statements}),
            opts=self.child(),
        )
        self.register_outputs({})
