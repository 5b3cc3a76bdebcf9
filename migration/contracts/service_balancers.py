"""Services of type LoadBalancer while the cluster is in two VPCs."""

from __future__ import annotations

from typing import ClassVar, Literal

from migration.contracts.base import Contract, Manner, Result, Undoing, Wanted
from migration.contracts.groups import worker_groups
from migration.settings import Settings
from migration.settings.forms import carried_services
from migration.settings.model import ReferencedSide

Doing = Literal["as-found", "apart", "given-up"]


class CarriedService(Contract):
    """A Service of type LoadBalancer, and the ARN of the balancer that the cloud controller made for it."""

    namespace: str
    service: str
    balancer: str

    def __str__(self) -> str:
        """As people name it."""
        return f"{self.namespace}/{self.service}"


def carried(s: Settings) -> tuple[CarriedService, ...]:
    """The Services whose balancers are carried, with those balancers, while the old side is by reference."""
    old = s.old
    if not isinstance(old, ReferencedSide):
        return ()
    found: list[CarriedService] = []
    for role, service in carried_services(s.configuration).items():
        balancer = old.load_balancers.serving(role)
        if balancer is not None:
            found.append(CarriedService(namespace=service.namespace, service=service.service, balancer=balancer.arn))
    return tuple(found)


class ServiceBalancersInputs(Undoing):
    """What the cloud controller takes for targets of the Services' balancers, and whether they are its own.

    ``apart``: only nodes of the old side, whose label has `side` for its value; ``as-found``: what it was;
    ``given-up``: the Services are NodePorts and the controller has deleted its balancers. `complete`: the new groups
    are there, so every instance of theirs must have its Node (`join_seconds`). `unsettled`: the stage was begun and
    isn't reached, so nodes that joined since are looked for.
    """

    shown: ClassVar[str] = "services"

    wanted: Wanted[Doing]
    services: Wanted[tuple[CarriedService, ...]]
    side: Wanted[str]
    old_groups: Wanted[tuple[str, ...]]
    new_groups: Wanted[tuple[str, ...]]
    complete: Manner[bool]
    join_seconds: Manner[int]
    unsettled: Manner[bool] = False

    @classmethod
    def groups_of(cls, s: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of both sides' worker groups."""
        return worker_groups(s, s.configuration.from_), worker_groups(s, s.configuration.to)

    @property
    def takes_back(self) -> bool:
        """The controller chooses its targets as before."""
        return self.wanted == "as-found"

    @property
    def again(self) -> bool:
        """On a way back, and while the stage isn't reached."""
        return self.returning or self.unsettled

    def say(self) -> str:
        """What becomes of the Services."""
        names = ", ".join(map(str, self.services))
        return {
            "as-found": f"{names}: the cloud controller's balancers take every node",
            "apart": f"{names}: the cloud controller's balancers take nodes of {self.side} only",
            "given-up": f"{names}: of type NodePort, without balancers of the cloud controller",
        }[self.wanted]


class ServiceBalancersResult(Result):
    """What was wanted, and what this run changed, as sentences."""

    wanted: Doing
    changed: tuple[str, ...] = ()
