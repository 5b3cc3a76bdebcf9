"""The gate of copies: all that can't be taken over of the old groups, by name and at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from migration.clients.documents import Document, listed
from migration.contracts.gates import MachinesCopied, PoolCopied, scaled_texts
from migration.gates.live import Live
from migration.runtime.deadline import Permanent, Refused
from migration.workers.scaled import Scaled, scaled
from migration.workers.snapshot import refusals
from migration.workers.templates import Templates

_WITHOUT = "or list it by this name under migration:copies.without, and the copy goes without"


def machines_copied(q: MachinesCopied, live: Live) -> str:
    """Everything that AWS says of the old groups is copied, or said to be lacked."""
    names = [*(one.group for one in q.pools), *q.control_plane]
    described = live.aws.groups(names)
    absent = [name for name in names if name not in described]
    if absent:
        raise Permanent(
            f"Auto Scaling groups {', '.join(absent)} don't exist in this account and region; correct migration:pools "
            f"and members, or discover again"
        )
    refused = refusals(live.aws, described, q.without)
    by_group = scaled(live.aws)
    for pool in q.pools:
        refused += _scaled(pool, by_group.get(pool.group, Scaled()), q)
    templates = Templates(live.aws, [described[name] for name in q.security_groups if name in described])
    for name in names:
        refused += _security_groups(name, described, q, templates)
    if refused:
        raise Refused(refused)
    policies = sum(len(one.scaled) for one in q.pools)
    lacking = f", without {', '.join(q.without)}" if q.without else ""
    ageing = sorted(one.group for one in q.pools if described[one.group].get("MaxInstanceLifetime"))
    # The hold suspends what launches, not what ends a machine that has reached its age.
    warning = (
        f"; warning: machines of {', '.join(ageing)} have a longest lifetime: where one reaches it while pods move, "
        f"Auto Scaling ends it undrained; take the lifetime off the old group until stage 8"
        if ageing
        else ""
    )
    return f"{len(names)} groups can be copied whole, with {policies} policies and schedules{lacking}{warning}"


def _scaled(pool: PoolCopied, found: Scaled, q: MachinesCopied) -> Iterator[str]:
    for path, why in found.left:
        if path not in q.without:
            yield f"{pool.group}: {path} {why}; take it off the group, {_WITHOUT}"
    for path, told in scaled_texts(found.policies, found.schedules).items():
        key = "scaling" if path.startswith("scalingPolicies.") else "schedules"
        where = f"migration:pools[{pool.pool}].{key}"
        if path in q.without:
            continue
        if path not in pool.scaled:
            yield (
                f"{pool.group}: {path} isn't in {where}; add {told} there (discover writes it), take it off the group, "
                f"{_WITHOUT}"
            )
        elif pool.scaled[path] != told:
            yield f"{pool.group}: {path} is {told} now; correct it in {where}"


def _security_groups(
    name: str, described: Mapping[str, Document], q: MachinesCopied, templates: Templates
) -> Iterator[str]:
    known = q.security_groups.get(name)
    if known is None:
        return
    data = templates.data(described[name])
    for interface in listed(data, "NetworkInterfaces") or (data,):
        has: tuple[str, ...] = tuple(interface.get("Groups") or data.get("SecurityGroupIds") or ())
        if not has:
            yield f"{name}: its launch template names no security group; name the cluster's there"
        for group in has:
            if group not in known:
                yield (
                    f"{name}: its machines are in security group {group}, too, which is copied for none of them; list "
                    f"it with its rules under migration:securityGroups (discover writes it), or take it off the "
                    f"launch template"
                )
