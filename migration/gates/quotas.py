"""Quotas as Service Quotas answers them: EC2's of running processors, by family and market, and the VPC's of rules.

Codes and families: https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html,
https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from botocore.exceptions import ClientError

from migration.clients.aws import Aws

RULES_PER_GROUP, GROUPS_PER_INTERFACE = "L-0EA8095F", "L-2AFB9258"
SPOT = True
STANDARD = "Standard"
# Family: code on demand, code of spot requests (empty: there is none).
_CODES: Mapping[str, tuple[str, str]] = {
    STANDARD: ("L-1216C47A", "L-34B43A08"),
    "G and VT": ("L-DB2E81BA", "L-3819A6DF"),
    "P": ("L-417A185B", "L-7212CCBC"),
    "F": ("L-74FC7D96", "L-88CF9481"),
    "X": ("L-7295265B", "L-E3A00192"),
    "Inf": ("L-1945791B", "L-B5D1601B"),
    "Trn": ("L-2C3B7624", "L-6B0D517C"),
    "DL": ("L-6E869C2A", "L-85EED4F7"),
    "HPC": ("L-F7808C92", ""),
    "High Memory": ("L-43DA4232", ""),
}
# The letters before a type's generation, where they aren't one of the standard families'.
_LETTERS: Mapping[str, str] = {
    "g": "G and VT",
    "gr": "G and VT",
    "vt": "G and VT",
    "p": "P",
    "f": "F",
    "x": "X",
    "inf": "Inf",
    "trn": "Trn",
    "dl": "DL",
    "hpc": "HPC",
    "u": "High Memory",
}


def family_of(kind: str) -> str:
    """The family whose quota machines of an instance type count against: ``m5.large`` → ``Standard``."""
    letters = re.match(r"[a-z]*", kind)
    return _LETTERS.get(letters[0] if letters else "", STANDARD)


def quota(aws: Aws, family: str, *, spot: bool) -> tuple[str, float | None]:
    """The quota's code and its value in vCPUs; None where AWS doesn't say it."""
    code = _CODES[family][1 if spot else 0]
    return code, value_of(aws, "ec2", code) if code else None


def value_of(aws: Aws, service: str, code: str) -> float | None:
    """A quota's value as Service Quotas has it; None where AWS doesn't say it."""
    try:
        found = aws.quotas.get_service_quota(ServiceCode=service, QuotaCode=code)
    except ClientError:
        # An account that never had it raised may have no value of its own.
        try:
            found = aws.quotas.get_aws_default_service_quota(ServiceCode=service, QuotaCode=code)
        except ClientError:
            return None
    return float(found["Quota"]["Value"])
