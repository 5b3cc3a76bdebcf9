"""Services of type LoadBalancer: kept to old nodes while there are new ones, and given up with the old side."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.base import Args, Component
from migration.contracts.service_balancers import CarriedService, Doing, ServiceBalancersInputs
from providers.operations import ServiceBalancers


@dataclass(frozen=True, kw_only=True)
class ServicesApartArgs(Args):
    """The Services. `complete`: the new side's groups are there, whose instances are waited for."""

    services: tuple[CarriedService, ...]
    complete: bool = False


class ServicesApart(Component):
    """One operation over all such Services, declared from the first stage with balancers on both sides to the last."""

    def __init__(self, name: str, args: ServicesApartArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("services:Apart", name, args, opts)
        scope = args.scope
        settings, stage = scope.settings, scope.settings.stage
        wanted: Doing = "as-found"
        if stage.workers.on_new:
            wanted = "given-up" if stage.finished else "apart"
        old, new = ServiceBalancersInputs.groups_of(settings)
        self.balancers = ServiceBalancers(
            name,
            ServiceBalancersInputs(
                **scope.common(),
                wanted=wanted,
                services=args.services,
                side=settings.configuration.from_,
                old_groups=old,
                new_groups=new,
                complete=args.complete,
                join_seconds=settings.configuration.limits.join_seconds,
                unsettled=not scope.settled and not stage.finished,
                returning=scope.returning,
            ),
            self.child(),
        )
