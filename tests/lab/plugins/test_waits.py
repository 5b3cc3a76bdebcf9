"""Waiting and retrying are bounded, and what fails half way is not lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import boto3
import grpc
import pytest
from botocore.exceptions import ClientError
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from lab.plugins import host
from lab.plugins.aws.call import Call, Clients, Clock
from lab.plugins.aws.table import TABLE
from lab.plugins.aws.young import YOUNG_S
from lab.plugins.errors import Cancelled, HalfMade, PluginError, TimedOut
from lab.plugins.host import Difference
from lab.plugins.wire import to_struct


class FakeTime:
    def __init__(self) -> None:
        self.t = 0.0

    def clock(self) -> Clock:
        def pause(seconds: float) -> None:
            self.t += seconds

        return Clock(now=lambda: self.t, pause=pause)


def call_with(clock: Clock) -> Call:
    return Call(clients=Clients(None), row=TABLE["aws:ec2/vpc:Vpc"], name="x", timeout_s=60, clock=clock)


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "it is"}}, "DeleteVpc")


def failing(times: int, code: str) -> Callable[[], str]:
    left = [times]

    def action() -> str:
        if left[0]:
            left[0] -= 1
            raise refused(code)
        return "done"

    return action


def test_a_dependency_that_goes_is_waited_for() -> None:
    assert call_with(FakeTime().clock()).retry(("DependencyViolation",), failing(5, "DependencyViolation")) == "done"


def test_a_dependency_that_stays_is_named_after_the_limit() -> None:
    time = FakeTime()
    with pytest.raises(TimedOut, match=r"DependencyViolation: it is \(still so after 60 s\)"):
        call_with(time.clock()).retry(("DependencyViolation",), failing(10**6, "DependencyViolation"))
    assert 60 <= time.t < 63


def test_another_error_is_not_retried() -> None:
    time = FakeTime()
    with pytest.raises(ClientError):
        call_with(time.clock()).retry(("DependencyViolation",), failing(1, "UnauthorizedOperation"))
    assert time.t == 0


def test_a_wait_says_what_it_waited_for() -> None:
    with pytest.raises(TimedOut, match="group g at 3 healthy instances: not so within 60 s"):
        call_with(FakeTime().clock()).wait("group g at 3 healthy instances", lambda: False)


def test_a_wait_ends_when_the_engine_cancels() -> None:
    clock = Clock()
    clock.stop.set()
    with pytest.raises(Cancelled):
        call_with(clock).wait("anything", lambda: False)


class Groups:
    """Auto Scaling, whose describe shows what there is only after some calls: None, that there is no group."""

    def __init__(self, shown: list[str | None]) -> None:
        self._shown, self.creations = shown, 0
        self.meta = boto3.client("autoscaling", region_name="eu-west-1").meta

    def get(self, _: str) -> Groups:
        return self

    def create_auto_scaling_group(self, **_: Any) -> None:
        self.creations += 1

    def describe_auto_scaling_groups(self, **_: Any) -> dict[str, Any]:
        state = self._shown.pop(0) if len(self._shown) > 1 else self._shown[0]
        instances = [{"LifecycleState": state, "HealthStatus": "Healthy"}]
        return {"AutoScalingGroups": [{"Instances": instances}] if state else []}


def create_group(shown: list[str | None], time: FakeTime) -> int:
    """How often a group of one instance was created, in an Auto Scaling that shows this."""
    row, groups = TABLE["aws:autoscaling/group:Group"], Groups(shown)
    given = {"name": "g", "minSize": 1, "maxSize": 1, "desiredCapacity": 1, "vpcZoneIdentifiers": ["subnet-1"]}
    call = Call(clients=cast(Any, groups), row=row, name="x", new=given, clock=time.clock())
    assert row.create is not None
    assert row.create(call) == "g"
    return groups.creations


def test_a_group_that_is_not_shown_yet_is_waited_for_like_one_that_is_not_full() -> None:
    # Shown, and then not: each read is behind by another time.
    assert create_group([None, None, None, "Pending", None, "Pending", "InService"], FakeTime()) == 1


def test_a_group_that_is_never_shown_vanished() -> None:
    time = FakeTime()
    with pytest.raises(PluginError, match="group g vanished while waiting for its capacity"):
        create_group([None], time)
    assert YOUNG_S <= time.t < 2 * YOUNG_S


class Breaking:
    """A plugin whose every method fails, in the way given."""

    version = "1.0.0"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*_: Any, **__: Any) -> Difference:
            raise self._error

        return fail


def answer_of(error: Exception, ask: Callable[[Any], Any]) -> Any:
    server, port = host.start(cast(Any, Breaking(error)))
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.RpcError) as raised:
                ask(provider_pb2_grpc.ResourceProviderStub(channel))
            return raised.value
    finally:
        server.stop(0)


URN = "urn:pulumi:s::p::migration:network:Side$aws:ec2/vpc:Vpc::main-vpc"


def test_an_error_is_a_sentence_with_type_and_name() -> None:
    error = answer_of(PluginError("VpcLimitExceeded: no more"), lambda s: s.Create(provider_pb2.CreateRequest(urn=URN)))
    assert error.details() == "aws:ec2/vpc:Vpc 'main-vpc': creating: VpcLimitExceeded: no more"


def test_what_fails_after_its_creation_is_recorded_with_its_id() -> None:
    half = HalfMade("VPC available: not so within 1 s", "vpc-1", {"arn": "a"}, {"cidrBlock": "c"})
    error = answer_of(half, lambda s: s.Create(provider_pb2.CreateRequest(urn=URN)))
    trailing = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    assert detail.id == "vpc-1"
    assert detail.properties == to_struct({"arn": "a"})
    assert list(detail.reasons) == ["aws:ec2/vpc:Vpc 'main-vpc': creating: VPC available: not so within 1 s"]


def test_a_bug_of_the_plugins_is_called_one() -> None:
    error = answer_of(KeyError("x"), lambda s: s.Delete(provider_pb2.DeleteRequest(urn=URN)))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "the lab's plugin failed: KeyError" in error.details()
