"""Questions about the load balancers' targets."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef
from migration.contracts.groups import member_groups, server_groups, worker_groups
from migration.contracts.members import OldMember, api_members
from migration.settings import Settings
from migration.settings.forms import group_name, ingress_forms, placed, serves_pool
from migration.settings.groups import pool_group
from migration.stages.table import Stage


class ApiServedByNewBalancer(Contract):
    """Is every old member, by address, a healthy target of the new side's API balancer?"""

    check: Literal["api-served-by-new-balancer"] = "api-served-by-new-balancer"
    new: SideRef
    members: tuple[OldMember, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(new=SideRef.of(s, c.to), members=api_members(s))


class BehindBalancer(Contract):
    """A target group by name, the Service behind it, and the worker groups whose nodes are its targets."""

    role: str
    name: str
    namespace: str
    service: str
    worker_groups: tuple[str, ...]


def _behind(s: Settings, side: str) -> tuple[BehindBalancer, ...]:
    """Every target group of a side of this program's; none where there is only the one that always was."""
    c, made = s.configuration, s.configuration.sides[side]
    every, forms = placed(c), ingress_forms(c)
    if len(every) == 1 and not every[0].form.pools:
        return ()
    return tuple(
        BehindBalancer(
            role=one.role,
            name=group_name(c, made.suffix, one.role, forms[one.role], one.key),
            namespace=one.service.namespace,
            service=one.service.service,
            worker_groups=tuple(pool_group(made, pool) for pool in c.pools if serves_pool(one.form, pool.name)),
        )
        for one in every
    )


class NewTargetsHealthy(Contract):
    """Is every running worker of the new side a healthy ingress target, and are the API's targets healthy?

    `behind`: each target group of several; none: the one that there is takes all workers.
    """

    check: Literal["new-targets-healthy"] = "new-targets-healthy"
    new: SideRef
    worker_groups: tuple[str, ...]
    namespace: str
    service: str
    behind: tuple[BehindBalancer, ...] = ()

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, name = s.configuration, s.configuration.to
        return cls(
            new=SideRef.of(s, name),
            worker_groups=worker_groups(s, name),
            namespace=c.ingress.namespace,
            service=c.ingress.service,
            behind=_behind(s, name),
        )


class OldTargetsServe(Contract):
    """Has each old balancer a healthy target, with none still being looked at, before traffic may go back to it?"""

    check: Literal["old-targets-serve"] = "old-targets-serve"
    old: SideRef

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls(old=SideRef.of(s, s.configuration.from_))


class ApiGroupHealthy(Contract):
    """Does the group of instances that is to serve the API hold every member, all healthy and new?"""

    check: Literal["api-group-healthy"] = "api-group-healthy"
    new: SideRef
    member_groups: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        name = s.configuration.to
        return cls(new=SideRef.of(s, name), member_groups=server_groups(s, name) or member_groups(s, name))
