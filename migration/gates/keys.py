"""May Auto Scaling use the keys that new disks are encrypted with?

A customer managed key must let in the group's service-linked role, by its policy or by a grant; otherwise machines end
right after their launch. https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from migration.clients.aws import Aws, described, error_code
from migration.clients.documents import Document, listed
from migration.contracts.workers import Group
from migration.workers.copies import encrypted

_ROLE = "AWSServiceRoleForAutoScaling"
_USED = ("kms:*", "*", "kms:CreateGrant", "kms:Create*")


def keys_usable(aws: Aws, groups: Mapping[str, Group], refused: list[str], warned: list[str]) -> None:
    """Adds a sentence for each key that a group's role may not use, or of which that can't be seen."""
    wanted: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, group in groups.items():
        disks = [one.ebs for one in group.template.block_device_mappings if one.is_volume]
        for disk in disks:
            if encrypted(disk, whole=True):
                role = group.attributes.service_linked_role_arn if group.attributes else None
                wanted[disk.kms_key_id or "", role or ""].append(name)
    for (key, role), names in sorted(wanted.items()):
        which = ", ".join(sorted(set(names))[:3]) + (f" and {len(set(names)) - 3} more" if len(set(names)) > 3 else "")
        try:
            why = _why_not(aws, key, role)
        except (ClientError, BotoCoreError) as error:
            code = error_code(error) if isinstance(error, ClientError) else type(error).__name__
            if code in ("NotFoundException", "InvalidArnException"):
                refused.append(f"{which}: the key {key} of their disks doesn't exist in this account and region")
            else:
                warned.append(f"whether Auto Scaling may use {key or 'the default key'} couldn't be asked ({code})")
            continue
        if why:
            refused.append(f"{which}: {why}")


def _why_not(aws: Aws, key: str, role: str) -> str:
    # Copies' disks are encrypted either way, and where nothing is said with the account's default key.
    name = key or aws.ec2.get_ebs_default_kms_key_id()["KmsKeyId"]
    if name.endswith("alias/aws/ebs"):
        return ""
    found: Document = aws.kms.describe_key(KeyId=name)["KeyMetadata"]
    if found.get("KeyManager") == "AWS":
        return ""
    arn = str(found["Arn"])
    if found.get("KeyState", "Enabled") != "Enabled":
        return f"the key {arn} of their disks is {found['KeyState']}; enable it, or name another one"
    partition, account = arn.split(":")[1], arn.split(":")[4]
    role = role or f"arn:{partition}:iam::{account}:role/aws-service-role/autoscaling.amazonaws.com/{_ROLE}"
    if _granted(aws, arn, role) or any(_lets_in(one, role) for one in _statements(aws, arn)):
        return ""
    return (
        f"neither policy nor grants of the key {arn} of their disks let in {role}, so machines would end right after "
        f"their launch: aws kms create-grant --key-id {arn} --grantee-principal {role} --operations Encrypt Decrypt "
        f"ReEncryptFrom ReEncryptTo GenerateDataKeyWithoutPlaintext DescribeKey CreateGrant"
    )


def _granted(aws: Aws, key: str, role: str) -> bool:
    pages = aws.kms.get_paginator("list_grants").paginate(KeyId=key)
    return any(one.get("GranteePrincipal") == role for page in pages for one in described(page["Grants"]))


def _statements(aws: Aws, key: str) -> Iterator[Document]:
    policy: Document = json.loads(aws.kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    yield from listed(policy, "Statement")


def _lets_in(statement: Document, role: str) -> bool:
    """Whether a statement of a key's policy names the role. The account alone isn't enough."""
    if statement.get("Effect") != "Allow":
        return False
    principal: Any = statement.get("Principal") or {}
    named = _texts(principal if isinstance(principal, str) else cast(Document, principal).get("AWS"))
    actions = _texts(statement.get("Action"))
    return bool({role, "*"} & set(named)) and any(action in _USED for action in actions)


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return (value,)
    return tuple(cast("list[str]", value)) if isinstance(value, list) else ()
