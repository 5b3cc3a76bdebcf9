"""Questions about Services of type LoadBalancer, and the cloud controller that makes their balancers."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.groups import worker_groups
from migration.contracts.service_balancers import CarriedService, carried
from migration.settings import Settings
from migration.settings.model import ReferencedSide
from migration.stages.table import Stage


class _Asked(Contract):
    @classmethod
    def asked(cls, s: Settings) -> bool:
        """Whether there is anything to ask: where such Services are carried."""
        return s.configuration.traffic.load_balancer_services == "carried"


class ServicesCarried(_Asked):
    """Has every Service of type LoadBalancer a balancer that is carried, and can its Service be given back?"""

    check: Literal["services-carried"] = "services-carried"
    vpc_id: str
    services: tuple[CarriedService, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        old = s.old
        return cls(vpc_id=old.vpc_id if isinstance(old, ReferencedSide) else "", services=carried(s))


class ControllerInOldVpc(_Asked):
    """Does the cloud controller's configuration name the VPC that its machines are in before the move?"""

    check: Literal["cloud-controller-in-old-vpc"] = "cloud-controller-in-old-vpc"
    vpc_id: str

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        old = s.old
        return cls(vpc_id=old.vpc_id if isinstance(old, ReferencedSide) else "")


class ControllerLeftOldVpc(_Asked):
    """Does the cloud controller's configuration name the old VPC no more?"""

    check: Literal["cloud-controller-left-old-vpc"] = "cloud-controller-left-old-vpc"
    vpc_id: str

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        old = s.old
        return cls(vpc_id=old.vpc_id if isinstance(old, ReferencedSide) else "")


class NewNodesExcluded(_Asked):
    """Does the cloud controller keep every node of the new side out of the Services' balancers?"""

    check: Literal["new-nodes-excluded"] = "new-nodes-excluded"
    new_groups: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls(new_groups=worker_groups(s, s.configuration.to))
