"""AWS through boto3: clients made when first used, and the few questions that several operations ask.

Endpoint and credentials come from the environment (`AWS_ENDPOINT_URL`, profiles, instance roles), as boto3
finds them. Every call is bounded: connect 5 s, read 30 s, at most 10 attempts in botocore's adaptive mode: pauses with
jitter between them, and after an answer of "too often" fewer calls a second, until AWS takes more again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from migration.clients.documents import Document, listed, mapping

if TYPE_CHECKING:
    # Stubs of the development requirements: a user of the product doesn't have them.
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_route53 import Route53Client
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

# DescribeAutoScalingGroups takes 50 names a call, DescribeInstances 200 values a filter (their API references).
GROUPS_PER_CALL = 50
VALUES_PER_FILTER = 200

# How the operations that change nothing begin.
READS = ("Describe", "Get", "List", "Simulate")

APP = "kube-vpc-migration"
"""What this program says it is in its calls' user agents (as AWS_SDK_UA_APP_ID does)."""

GROUP_TAG = "aws:autoscaling:groupName"
GONE = frozenset({"terminated"})


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One EC2 instance of an Auto Scaling group.

    `state` is EC2's (pending, running, shutting-down, …); `lifecycle` is the group's (InService, Terminating, …)
    and empty when the group no longer lists it. `ip` and `dns` (EC2's private name) are empty once it is terminated.
    """

    id: str
    ip: str
    zone: str
    vpc: str
    group: str
    state: str
    lifecycle: str = ""
    type: str = ""
    dns: str = ""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One target of a target group and its health: initial, healthy, unhealthy, draining, unused."""

    id: str
    port: int
    zone: str
    state: str
    reason: str = ""


def described(items: Iterable[Document]) -> Iterable[Document]:
    """The same, to be read by key: boto3's stubs call nearly every key of an answer optional."""
    return items


def error_code(error: ClientError) -> str:
    """The code of AWS's refusal: ``AccessDenied``, ``InvalidGroup.NotFound``, …"""
    return mapping(error.response, "Error")["Code"]


# What AWS answers, somewhere in its code, when the thing isn't there: each service spells it its own way
# (InvalidGroup.NotFound, LoadBalancerNotFound, NoSuchEntity, …).
_NOT_THERE = ("NotFound", "NoSuchEntity", "DoesNotExist")


def not_there(error: ClientError) -> bool:
    """Whether AWS says that the thing isn't there, any more or yet."""
    return any(part in error_code(error) for part in _NOT_THERE)


def batches(values: Iterable[str], size: int) -> Iterator[list[str]]:
    """`values` in lists of at most `size`."""
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch


class Aws:
    """AWS in one region. Attributes are boto3 clients, safe to use from several threads.

    `fence` is called right before every single request of a changing operation, botocore's own retries included, and
    stops it by raising: a lease may be lost while botocore waits between two attempts. `caller` is the operation's
    name, which each call's user agent says: CloudTrail shows who asked.
    """

    def __init__(
        self,
        *,
        region: str,
        session: boto3.Session | None = None,
        fence: Callable[[], None] = lambda: None,
        caller: str = "",
    ) -> None:
        self.region = region
        self._fence = fence
        self._session = session or boto3.Session(region_name=region)
        self._config = Config(
            retries={"mode": "adaptive", "total_max_attempts": 10},
            connect_timeout=5,
            read_timeout=30,
            max_pool_connections=20,
            user_agent_extra="app/" + "-".join(filter(None, (APP, caller))),
        )
        # Making a client reads the session's shared loaders, which are not safe between threads.
        self._making = threading.Lock()

    def _client(self, service: str) -> Any:
        with self._making:
            # boto3 types its factory by literal service names; ours comes from the properties below.
            session: Any = self._session
            client = session.client(service, region_name=self.region, config=self._config)
        client.meta.events.register("before-send", self._ask_fence)
        return client

    def _ask_fence(self, event_name: str, **_: Any) -> None:
        # before-send.<service>.<operation>, sent for each attempt (botocore.endpoint.Endpoint).
        if not event_name.rsplit(".", 1)[-1].startswith(READS):
            self._fence()

    @cached_property
    def ec2(self) -> EC2Client:
        """EC2, VPC included."""
        return self._client("ec2")

    @cached_property
    def autoscaling(self) -> AutoScalingClient:
        """Auto Scaling."""
        return self._client("autoscaling")

    @cached_property
    def elbv2(self) -> ElasticLoadBalancingv2Client:
        """Elastic Load Balancing, version 2."""
        return self._client("elbv2")

    @cached_property
    def route53(self) -> Route53Client:
        """Route 53."""
        return self._client("route53")

    @cached_property
    def ssm(self) -> SSMClient:
        """Systems Manager: parameters and commands."""
        return self._client("ssm")

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        """CloudWatch."""
        return self._client("cloudwatch")

    @cached_property
    def iam(self) -> IAMClient:
        """IAM."""
        return self._client("iam")

    @cached_property
    def kms(self) -> Any:
        """Key Management Service."""
        return self._client("kms")

    @cached_property
    def quotas(self) -> Any:
        """Service Quotas."""
        return self._client("service-quotas")

    @cached_property
    def route53resolver(self) -> Any:
        """Route 53 Resolver."""
        return self._client("route53resolver")

    @cached_property
    def logs(self) -> Any:
        """CloudWatch Logs."""
        return self._client("logs")

    @cached_property
    def sts(self) -> STSClient:
        """STS."""
        return self._client("sts")

    def groups(self, names: Iterable[str]) -> dict[str, Document]:
        """Auto Scaling groups' descriptions by name; a name AWS doesn't know is absent."""
        found: dict[str, Document] = {}
        paginator = self.autoscaling.get_paginator("describe_auto_scaling_groups")
        for batch in batches(dict.fromkeys(names), GROUPS_PER_CALL):
            for page in paginator.paginate(AutoScalingGroupNames=batch):
                found |= {group["AutoScalingGroupName"]: group for group in described(page["AutoScalingGroups"])}
        return found

    def instances_of_groups(self, groups: Iterable[str], *, terminated: bool = False) -> list[Instance]:
        """Instances of the groups, by launch tag, so that one the group has just let go is still seen.

        Sorted by group and id. Terminated ones only on request: EC2 lists them for about an hour.
        """
        names = list(dict.fromkeys(groups))
        lifecycle = {
            instance["InstanceId"]: instance["LifecycleState"]
            for group in self.groups(names).values()
            for instance in listed(group, "Instances")
        }
        paginator = self.ec2.get_paginator("describe_instances")
        found: list[Instance] = []
        for batch in batches(names, VALUES_PER_FILTER):
            for page in paginator.paginate(Filters=[{"Name": f"tag:{GROUP_TAG}", "Values": batch}]):
                reservations = described(page["Reservations"])
                found += [_instance(item, lifecycle) for one in reservations for item in one["Instances"]]
        wanted = [instance for instance in found if terminated or instance.state not in GONE]
        return sorted(wanted, key=lambda instance: (instance.group, instance.id))

    def target_groups(self, arns: Sequence[str]) -> list[Document]:
        """Target groups' descriptions, in the order of `arns`."""
        if not arns:
            return []
        found = described(self.elbv2.describe_target_groups(TargetGroupArns=arns)["TargetGroups"])
        by_arn = {group["TargetGroupArn"]: group for group in found}
        return [by_arn[arn] for arn in arns]

    def target_health(self, arn: str) -> list[Target]:
        """Every target of a target group with its health, draining ones included, sorted by id and port."""
        answer = self.elbv2.describe_target_health(TargetGroupArn=arn)
        targets = [
            Target(
                id=item["Target"]["Id"],
                port=int(item["Target"].get("Port", 0)),
                zone=item["Target"].get("AvailabilityZone", ""),
                state=item["TargetHealth"]["State"],
                reason=item["TargetHealth"].get("Reason", ""),
            )
            for item in described(answer["TargetHealthDescriptions"])
        ]
        return sorted(targets, key=lambda target: (target.id, target.port))

    def revoke(self, group: str, rules: Sequence[str], *, egress: bool) -> None:
        """Take these rules of one direction out of a security group; what is gone is fine, listed still or not."""
        revoke = self.ec2.revoke_security_group_egress if egress else self.ec2.revoke_security_group_ingress
        try:
            if rules:
                revoke(GroupId=group, SecurityGroupRuleIds=rules)
        except ClientError as error:
            if not not_there(error):
                raise


def _instance(item: Document, lifecycle: Mapping[str, str]) -> Instance:
    tags = {tag["Key"]: tag["Value"] for tag in listed(item, "Tags")}
    return Instance(
        id=item["InstanceId"],
        ip=item.get("PrivateIpAddress") or "",
        zone=mapping(item, "Placement").get("AvailabilityZone", ""),
        vpc=item.get("VpcId") or "",
        group=tags.get(GROUP_TAG, ""),
        state=item["State"]["Name"],
        lifecycle=lifecycle.get(item["InstanceId"], ""),
        type=item.get("InstanceType", ""),
        dns=item.get("PrivateDnsName") or "",
    )
