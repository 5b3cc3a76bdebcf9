"""Nothing that changes anything is sent once the lease is lost, by whatever retries in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from migration.clients import Clients
from migration.clients.etcd import Etcd
from migration.runtime.deadline import Retryable
from migration.runtime.engine import Orphaned


class LostAtThe:
    """A fence that holds until its nth question."""

    def __init__(self, nth: int) -> None:
        self.nth, self.asked = nth, 0

    def __call__(self) -> None:
        self.asked += 1
        if self.asked >= self.nth:
            raise Orphaned("the lease was lost")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Clients:
    """AWS at an address where nobody answers: botocore tries eight times."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr("time.sleep", lambda _: None)
    return Clients(region="eu-central-1", kubeconfig=None)


def test_a_retry_of_botocore_asks_again_and_stops(nobody: Clients) -> None:
    fence = nobody.fence = LostAtThe(3)
    with pytest.raises(Orphaned):
        nobody.aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName="g", MinSize=0)
    assert fence.asked == 3


def test_reading_asks_nobody(nobody: Clients) -> None:
    fence = nobody.fence = LostAtThe(1)
    with pytest.raises(EndpointConnectionError):
        nobody.aws.autoscaling.describe_auto_scaling_groups()
    assert fence.asked == 0


class Deaf:
    """A transport that loses every answer."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def close(self) -> None:
        pass

    def post(self, endpoint: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.sent.append((endpoint, path))
        raise Retryable("no answer")

    def metrics(self, endpoint: str, name: str) -> list[str]:
        raise Retryable("no answer")

    def stream(self, endpoint: str, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        raise Retryable("no answer")


def test_a_promotion_is_not_tried_at_the_next_endpoint_without_the_lease() -> None:
    deaf, fence = Deaf(), LostAtThe(2)
    with pytest.raises(Orphaned):
        Etcd(["a", "b", "c"], deaf, alive=fence).promote("7")
    assert deaf.sent == [("a", "cluster/member/promote")]


def test_looking_needs_no_lease() -> None:
    deaf, fence = Deaf(), LostAtThe(1)
    with pytest.raises(Retryable):
        Etcd(["a", "b"], deaf, alive=fence).members()
    assert len(deaf.sent) == 2
