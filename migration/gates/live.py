"""What a check looks at: the clients, and the sides as they are now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from migration import sides
from migration.contracts.gates import BalancerRef, SideRef
from migration.etcd.round_trips import RoundTrips
from migration.runtime.context import Context
from migration.runtime.deadline import Retryable
from migration.sides import Side

if TYPE_CHECKING:
    from migration.clients.aws import Aws
    from migration.clients.kubernetes import Kubernetes


@dataclass(frozen=True)
class Live:
    """The live state of one cluster, by one operation's context. `round_trips`: etcd's, as its gate saw them so far."""

    cluster: str
    context: Context
    round_trips: RoundTrips = field(default_factory=RoundTrips)

    @property
    def aws(self) -> Aws:
        """AWS."""
        return self.context.clients.aws

    @property
    def kubernetes(self) -> Kubernetes:
        """The cluster's API."""
        return self.context.clients.kubernetes

    def side(self, ref: SideRef) -> Side:
        """A side as it is now; asked anew each time, since a check waits for what is being made."""
        return sides.find(self.aws, self.cluster, ref)

    def vpc(self, side: Side) -> str:
        """The id of a side's VPC; raises `Retryable` while there is none."""
        if side.vpc_id is None:
            raise Retryable(f"there is no VPC of side {side.name} yet")
        return side.vpc_id

    def ingress(self, side: Side) -> BalancerRef:
        """A side's ingress balancer; raises `Retryable` while there is none."""
        return _there(side.ingress, f"side {side.name} has no ingress balancer yet")

    def ingresses(self, side: Side) -> dict[str, BalancerRef]:
        """A side's ingress balancers by role, the first one first; raises `Retryable` while one of them isn't there."""
        return {
            role: _there(one, f"side {side.name} has no {role} balancer yet") for role, one in side.ingresses.items()
        }

    def api(self, side: Side) -> BalancerRef:
        """A side's API balancer; raises `Retryable` while there is none."""
        return _there(side.api, f"side {side.name} has no API balancer yet")


def _there(balancer: BalancerRef | None, otherwise: str) -> BalancerRef:
    if balancer is None:
        raise Retryable(otherwise)
    return balancer
