"""The gate of room: may a second set of machines run beside the first, as far as AWS says it beforehand?

Refused is what would stop a stage; warned of is what couldn't be asked, or may pass.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from migration.clients.aws import Aws, batches, described, error_code
from migration.clients.documents import Document, listed, mapping
from migration.contracts.gates import MachinePlaced, PoolPlaced, RoomForBoth
from migration.contracts.workers import Group
from migration.gates.keys import keys_usable
from migration.gates.live import Live
from migration.gates.quotas import GROUPS_PER_INTERFACE, RULES_PER_GROUP, SPOT, family_of, quota, value_of
from migration.runtime.deadline import Permanent, Refused
from migration.workers.snapshot import outlines

# AWS keeps five addresses of each subnet (VPC user guide, Subnet CIDR blocks); balancers and endpoints take some.
_RESERVED = 5
_OTHERS = 10
TYPES_PER_CALL = 100


@dataclass(kw_only=True)
class Findings:
    """What is refused, and what is only warned of."""

    refused: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def asked(self, what: str, ask: Callable[[], None]) -> None:
        """`ask`, which adds to these; where AWS doesn't answer that is a warning."""
        try:
            ask()
        except (ClientError, BotoCoreError) as error:
            code = error_code(error) if isinstance(error, ClientError) else type(error).__name__
            self.warned.append(f"{what} couldn't be asked ({code})")


@dataclass(frozen=True, kw_only=True)
class Wave:
    """Machines that are to come: of which group's kind, how many, of which types (none: not known), and where."""

    name: str
    original: Group
    count: int
    most: int
    zones: tuple[str, ...]
    types: tuple[str, ...]
    on_demand: int


def room_for_both(q: RoomForBoth, live: Live) -> str:
    """Quotas, types in zones, addresses, targets and keys; all refusals at once."""
    aws = live.aws
    waves = list(_waves(q, aws))
    found = Findings()
    found.asked("which types the zones have", lambda: _offered(aws, waves, found))
    found.asked("quotas of processors", lambda: _processors(aws, waves, found))
    found.asked("quotas of targets", lambda: _targets(aws, waves, q, found))
    found.asked("quotas of rules", lambda: _rules(aws, q, found))
    found.asked("capacity reservations", lambda: _reservations(aws, waves, found))
    _addresses(waves, q.subnet_prefix, found)
    keys_usable(aws, {wave.name: wave.original for wave in waves}, found.refused, found.warned)
    if found.refused:
        raise Refused(found.refused)
    warnings = "".join(f"; warning: {one}" for one in found.warned)
    return f"room for {sum(wave.count for wave in waves)} more machines{warnings}"


def _waves(q: RoomForBoth, aws: Aws) -> Iterator[Wave]:
    every: Sequence[PoolPlaced | MachinePlaced] = (*q.pools, *q.control_plane)
    described_groups = aws.groups([name for one in every for name in (one.old, one.new)])
    for one in every:
        if one.old not in described_groups:
            raise Permanent(
                f"Auto Scaling group {one.old} doesn't exist in this account and region; correct migration:pools and "
                f"members, or discover again"
            )
    originals = outlines(aws, {one.old: described_groups[one.old] for one in every})
    for one in every:
        original = originals[one.old]
        # What runs already has its place.
        there = len(listed(described_groups.get(one.new, {}), "Instances"))
        count = max(0, original.desired - there)
        market = one.market if isinstance(one, PoolPlaced) else None
        yield Wave(
            name=one.old,
            original=original,
            count=count,
            most=original.max if isinstance(one, PoolPlaced) else original.desired,
            zones=one.zones if isinstance(one, PoolPlaced) else (one.zone,),
            types=one.types or _types(original),
            on_demand=_on_demand(original, count, market),
        )


def _types(group: Group) -> tuple[str, ...]:
    if group.mixed is not None and group.mixed.overrides:
        return tuple(one.instance_type for one in group.mixed.overrides if one.instance_type is not None)
    return (group.template.instance_type,) if group.template.instance_type is not None else ()


def _on_demand(group: Group, count: int, market: str | None) -> int:
    """How many of so many machines are bought on demand."""
    if market is not None:
        return 0 if market == "spot" else count
    if group.mixed is not None:
        shares = group.mixed.instances_distribution
        base = min(count, shares.on_demand_base_capacity or 0)
        above = shares.on_demand_percentage_above_base_capacity
        return base + math.ceil((count - base) * (100 if above is None else above) / 100)
    options = group.template.instance_market_options
    return 0 if options is not None and options.market_type == "spot" else count


def _offered(aws: Aws, waves: Sequence[Wave], found: Findings) -> None:
    kinds = sorted({kind for wave in waves for kind in wave.types})
    offered: dict[str, set[str]] = defaultdict(set)
    for batch in batches(kinds, TYPES_PER_CALL):
        pages = aws.ec2.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": batch}]
        )
        for page in pages:
            for one in described(page["InstanceTypeOfferings"]):
                offered[one["Location"]].add(one["InstanceType"])
    for wave in waves:
        if not wave.types:
            found.warned.append(f"{wave.name} chooses types by what they have: which are in its zones isn't looked at")
        for zone in wave.zones:
            absent = [kind for kind in wave.types if kind not in offered[zone]]
            if absent and len(absent) == len(wave.types):
                found.refused.append(
                    f"{wave.name}: {zone} has no {' or '.join(absent)}; take the zone from the pool, or say another "
                    f"type under migration:sides.<side>.pools"
                )
            elif absent:
                found.warned.append(f"{wave.name}: {zone} has no {', '.join(absent)}")


def _sizes(aws: Aws, kinds: Iterable[str]) -> dict[str, int]:
    """Processors of each type."""
    found: dict[str, int] = {}
    for batch in batches(sorted(set(kinds)), TYPES_PER_CALL):
        names: Any = batch  # boto3's stubs want each type by its literal
        pages = aws.ec2.get_paginator("describe_instance_types").paginate(InstanceTypes=names)
        for page in pages:
            for one in described(page["InstanceTypes"]):
                found[one["InstanceType"]] = int(mapping(one, "VCpuInfo")["DefaultVCpus"])
    return found


def _processors(aws: Aws, waves: Sequence[Wave], found: Findings) -> None:
    running: list[Document] = []
    pages = aws.ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    )
    for page in pages:
        running += [one for reservation in described(page["Reservations"]) for one in listed(reservation, "Instances")]
    kinds = [one["InstanceType"] for one in running] + [kind for wave in waves for kind in wave.types]
    sizes = _sizes(aws, kinds)
    used: Counter[tuple[str, bool]] = Counter()
    for one in running:
        market = one.get("InstanceLifecycle") == "spot"
        options = mapping(one, "CpuOptions")
        chosen = int(options.get("CoreCount") or 0) * int(options.get("ThreadsPerCore") or 0)
        used[family_of(one["InstanceType"]), market] += chosen or sizes.get(one["InstanceType"], 0)
    needed: Counter[tuple[str, bool]] = Counter()
    for wave in waves:
        known = [(sizes[kind], kind) for kind in wave.types if kind in sizes]
        if not known:
            continue
        # Which of several is launched isn't known: the largest counts.
        size, kind = max(known)
        needed[family_of(kind), False] += size * wave.on_demand
        needed[family_of(kind), SPOT] += size * (wave.count - wave.on_demand)
    for (family, spot), count in sorted(needed.items()):
        if not count:
            continue
        code, limit = quota(aws, family, spot=spot)
        market = "spot" if spot else "on-demand"
        if limit is None:
            found.warned.append(f"the quota of {market} {family} vCPUs couldn't be asked; {count} more are needed")
        elif used[family, spot] + count > limit:
            found.refused.append(
                f"{count} more {market} {family} vCPUs are needed, and {used[family, spot]} of {limit:g} are in use: "
                f"raise the quota {code} of EC2"
            )


# Names of DescribeAccountLimits; of the limit, per balancer.
_PER_BALANCER = "targets-per-network-load-balancer"
_PER_ZONE = "targets-per-availability-zone-per-network-load-balancer"


def _targets(aws: Aws, waves: Sequence[Wave], q: RoomForBoth, found: Findings) -> None:
    """Each worker is a target of the new ingress balancer."""
    limits = {
        one["Name"]: int(one["Max"]) for one in described(aws.elbv2.describe_account_limits()["Limits"]) if "Max" in one
    }
    pools = {one.old for one in q.pools}
    workers = [wave for wave in waves if wave.name in pools]
    total = sum(wave.original.desired for wave in workers)
    most = _by_zone({wave.name: (wave.original.desired, wave.zones) for wave in workers})
    for name, count, where in (
        (_PER_BALANCER, total, "the new ingress balancer"),
        *((_PER_ZONE, count, f"the new ingress balancer in {zone}") for zone, count in sorted(most.items())),
    ):
        if name in limits and count > limits[name]:
            found.refused.append(
                f"{count} workers would be targets of {where}, and the limit {name} is {limits[name]}: raise it"
            )


def _rules(aws: Aws, q: RoomForBoth, found: Findings) -> None:
    """Rules are added to the old side's groups, which somebody may have filled; interfaces take so many groups."""
    most, each = (value_of(aws, "vpc", code) for code in (RULES_PER_GROUP, GROUPS_PER_INTERFACE))
    if each is not None and q.groups_each > each:
        found.refused.append(
            f"machines would be in {q.groups_each} security groups, and the quota {GROUPS_PER_INTERFACE} of VPC is "
            f"{each:g}: raise it"
        )
    if most is None:
        found.warned.append("the quota of rules per security group couldn't be asked")
        return
    for group, added in sorted(q.rules_added.items()):
        pages = aws.ec2.get_paginator("describe_security_group_rules").paginate(
            Filters=[{"Name": "group-id", "Values": [group]}]
        )
        rules = [one for page in pages for one in described(page["SecurityGroupRules"]) if not one["IsEgress"]]
        # Those of this program are among the ones that are to come.
        theirs = [one for one in rules if not any(tag["Key"] == "migration:cluster" for tag in listed(one, "Tags"))]
        if len(theirs) + added > most:
            found.refused.append(
                f"{added} rules come into security group {group}, which has {len(theirs)} of {most:g}: raise the quota "
                f"{RULES_PER_GROUP} of VPC"
            )


def _by_zone(groups: Mapping[str, tuple[int, tuple[str, ...]]]) -> Counter[str]:
    """Machines by zone: a group balances its own over its zones."""
    found: Counter[str] = Counter()
    for count, zones in groups.values():
        for zone in zones:
            found[zone] += math.ceil(count / len(zones))
    return found


def _addresses(waves: Sequence[Wave], prefix: int, found: Findings) -> None:
    usable = 2 ** (32 - prefix) - _RESERVED - _OTHERS
    now = _by_zone({wave.name: (wave.original.desired, wave.zones) for wave in waves})
    most = _by_zone({wave.name: (wave.most, wave.zones) for wave in waves})
    for zone in sorted(most):
        remedy = f"lower migration:sides.<side>.subnetPrefix, {prefix}"
        if now[zone] > usable:
            found.refused.append(
                f"{now[zone]} machines come to {zone}, and its new subnet has {usable} addresses: {remedy}"
            )
        elif most[zone] > usable:
            found.warned.append(
                f"at their maxima groups want {most[zone]} addresses in {zone}, and its new subnet has {usable}"
            )


def _reservations(aws: Aws, waves: Sequence[Wave], found: Findings) -> None:
    """Machines that run in one reservation only wait for ever where that is full."""
    wanted: Counter[str] = Counter()
    for wave in waves:
        target = wave.original.template.capacity_reservation_specification
        named = target.capacity_reservation_target if target is not None else None
        if named is not None and named.capacity_reservation_id is not None:
            wanted[named.capacity_reservation_id] += wave.count
    if not wanted:
        return
    answer = aws.ec2.describe_capacity_reservations(CapacityReservationIds=sorted(wanted))["CapacityReservations"]
    free = {one["CapacityReservationId"]: int(one["AvailableInstanceCount"]) for one in described(answer)}
    for name, count in sorted(wanted.items()):
        if free.get(name, 0) < count:
            found.refused.append(
                f"{count} more machines are to run in capacity reservation {name}, which has {free.get(name, 0)} "
                f"places: widen it"
            )
