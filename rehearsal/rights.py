"""The rehearsal's operator where the lab is strict as an account: a role with exactly the rights the product lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import boto3

from lab.addresses import ACCOUNT_ID, REGION
from lab.settings import LabSettings
from migration.rights.policy import Scope, documents

ROLE = "migration-operator"
HOURS = 12
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def as_operator(environment: Mapping[str, str], settings: LabSettings) -> dict[str, str]:
    """The environment with the operator's credentials; unchanged where the lab is strict to nobody.

    Makes the role where it isn't there, with the lab's own credentials, which `environment` has. Raises botocore's
    errors.
    """
    if settings.iam != "enforce" and not settings.throttle and not settings.lag_s:
        return dict(environment)
    session = boto3.Session(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], region_name=REGION)
    endpoint = environment["AWS_ENDPOINT_URL"]
    iam = session.client("iam", endpoint_url=endpoint)
    try:
        role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(_TRUST))["Role"]
    except iam.exceptions.EntityAlreadyExistsException:
        role = iam.get_role(RoleName=ROLE)["Role"]
    for number, document in enumerate(documents(scope(settings)), 1):
        iam.put_role_policy(RoleName=ROLE, PolicyName=f"migration-{number}", PolicyDocument=document)
    sts = session.client("sts", endpoint_url=endpoint)
    given: Any = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="rehearsal", DurationSeconds=HOURS * 3600)[
        "Credentials"
    ]
    return {
        **environment,
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }


def scope(settings: LabSettings) -> Scope:
    """The lab's cluster, as its operator would name it to `python -m migration rights`."""
    cluster = settings.cluster
    members = (f"masters.{cluster}", f"etcd.{cluster}")
    return Scope(
        cluster=cluster, region=REGION, account=ACCOUNT_ID, roles=members, passed=(*members, f"nodes.{cluster}")
    )
