"""boto3 clients of one account, and the way each thing is looked for by name before it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.addresses import LabAddresses


def pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def specification(kind: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": pairs(tags)}]


class Cloud:
    """Clients are made when first used: each costs a fifth of a second of two slow cores."""

    def __init__(self, addresses: LabAddresses) -> None:
        self.addresses = addresses
        environment = addresses.aws_environment()
        self._session: Any = boto3.Session(
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_REGION"],
        )

    def _client(self, service: str) -> Any:
        return self._session.client(
            service,
            endpoint_url=self.addresses.aws_url,
            config=Config(retries={"mode": "standard", "total_max_attempts": 8}),
        )

    @cached_property
    def ec2(self) -> Any:
        return self._client("ec2")

    @cached_property
    def iam(self) -> Any:
        return self._client("iam")

    @cached_property
    def ssm(self) -> Any:
        return self._client("ssm")

    @cached_property
    def autoscaling(self) -> Any:
        return self._client("autoscaling")

    @cached_property
    def elbv2(self) -> Any:
        return self._client("elbv2")

    @cached_property
    def route53(self) -> Any:
        return self._client("route53")

    @cached_property
    def acm(self) -> Any:
        return self._client("acm")

    def named(self, call: str, key: str, name: str, **filters: str) -> dict[str, Any] | None:
        """What an EC2 describe call finds with this Name tag (and other filters): the first, or None."""
        wanted = {"tag:Name": name, **{field.replace("_", "-"): value for field, value in filters.items()}}
        answer = getattr(self.ec2, call)(Filters=[{"Name": f, "Values": [v]} for f, v in wanted.items()])
        found = answer[key]
        return found[0] if found else None


def code_of(error: ClientError) -> str:
    """AWS's word for what is wrong, such as `ParameterNotFound`."""
    return error.response.get("Error", {}).get("Code", "")


def once(code: str, call: Callable[[], Any]) -> Any:
    """The call's answer; None where AWS says with this code that it has been done already."""
    try:
        return call()
    except ClientError as error:
        if code_of(error) != code:
            raise
        return None
