"""What a side's machines shall be made of, where that isn't simply copied: keys that name what is there, and fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from migration.settings.errors import Problem
from migration.settings.groups import pool_group
from migration.settings.model import Configuration, MachineKeys, ManagedSide, PoolKeys
from migration.settings.rules.common import api_servers, machines, made_sides, twice
from migration.stages.table import stage

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
_IMAGE = re.compile(r"ami-([0-9a-f]{8}|[0-9a-f]{17})")
_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")
_DEVICE = re.compile(r"/dev/\S+|xvd[a-z]+|sd[a-z]+\d*")
# What a volume type takes besides its size: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html
_TYPES = ("gp2", "gp3", "io1", "io2", "st1", "sc1", "standard")
_WITH_IOPS = frozenset({"gp3", "io1", "io2"})
_WITH_THROUGHPUT = frozenset({"gp3"})
# EC2 takes 16 KiB of user data before base64.
_MAX_USER_DATA = 16 * 1024


def _machines(c: Configuration) -> Iterator[tuple[str, MachineKeys]]:
    """Every set of keys, with the key it stands under."""
    for name, side in made_sides(c):
        yield from ((f"migration:sides.{name}.pools.{pool}", keys) for pool, keys in sorted(side.pools.items()))
        for part, said in (("members", side.members), ("apiServers", side.api_servers)):
            yield f"migration:sides.{name}.{part}", said
            for member, keys in sorted(said.each.items()):
                yield f"migration:sides.{name}.{part}.each.{member}", keys


def name_what_is_there(c: Configuration) -> Iterator[Problem]:
    """Keys stand under pools and members that there are, and `like` names another pool."""
    pools, members = {pool.name for pool in c.pools}, {member.name for member in c.members}
    for name, side in made_sides(c):
        for pool, keys in sorted(side.pools.items()):
            key = f"migration:sides.{name}.pools.{pool}"
            if pool not in pools:
                remedy = (
                    f"is no pool of migration:pools ({', '.join(sorted(pools))}); correct the name, or, to add a pool, "
                    f"list it there with name, group and zones"
                )
                yield Problem(key, pool, remedy)
            if keys.like is None:
                continue
            if keys.like == pool or keys.like not in pools:
                remedy = f"names no other pool of migration:pools; name one of {', '.join(sorted(pools - {pool}))}"
                yield Problem(f"{key}.like", keys.like, remedy)
            elif side.pool(keys.like).like is not None:
                remedy = f"is itself like {side.pool(keys.like).like}; name that one"
                yield Problem(f"{key}.like", keys.like, remedy)
        servers = {one.name for _, one in api_servers(c)}
        for server in sorted(side.api_servers.each.keys() - servers):
            known = ", ".join(sorted(servers)) or "there are none"
            remedy = f"is no API machine of migration:members[].apiServers ({known}); correct the name"
            yield Problem(f"migration:sides.{name}.apiServers.each.{server}", server, remedy)
        for member in sorted(side.members.each.keys() - members):
            remedy = f"is no member of migration:members ({', '.join(sorted(members))}); correct the name"
            yield Problem(f"migration:sides.{name}.members.each.{member}", member, remedy)


def have_the_form_that_aws_takes(c: Configuration) -> Iterator[Problem]:
    """Images, types and disks are such as a launch template can have."""
    for key, keys in _machines(c):
        if keys.image is not None and not _IMAGE.fullmatch(keys.image):
            remedy = "is no image's id: ami- and 8 or 17 hexadecimal digits; look it up with aws ec2 describe-images"
            yield Problem(f"{key}.image", keys.image, remedy)
        if len(keys.instance_types) > 1 and not isinstance(keys, PoolKeys):
            remedy = "a member is one machine of one type; name one"
            yield Problem(f"{key}.instanceTypes", list(keys.instance_types), remedy)
        if keys.instance_type is not None and keys.instance_types:
            remedy = "says the same as instanceType; leave one of the two"
            yield Problem(f"{key}.instanceTypes", list(keys.instance_types), remedy)
        for kind in twice(keys.instance_types):
            yield Problem(f"{key}.instanceTypes", kind, "is listed twice; list a type once")
        for kind in filter(None, (keys.instance_type, *keys.instance_types)):
            if not _TYPE.fullmatch(kind):
                yield Problem(f"{key}.instanceType", kind, "is no instance type; m5.large would be one")
        yield from _disks(key, keys)
        if isinstance(keys, PoolKeys) and len((keys.user_data or "").encode()) > _MAX_USER_DATA:
            size = f"{len((keys.user_data or '').encode())} bytes"
            yield Problem(f"{key}.userData", size, f"is longer than EC2 takes, {_MAX_USER_DATA}; shorten it")


def _disks(key: str, keys: MachineKeys) -> Iterator[Problem]:
    for device in twice(disk.device for disk in keys.disks):
        yield Problem(f"{key}.disks", device, "is listed twice; list a device once")
    for disk in keys.disks:
        where = f"{key}.disks[{disk.device}]"
        if not _DEVICE.fullmatch(disk.device):
            yield Problem(f"{where}.device", disk.device, "is no device name; /dev/xvda would be one")
        if disk.type is not None and disk.type not in _TYPES:
            yield Problem(f"{where}.type", disk.type, f"is no volume type; take one of {', '.join(_TYPES)}")
        for said, value, with_it in (
            ("iops", disk.iops, _WITH_IOPS),
            ("throughput", disk.throughput, _WITH_THROUGHPUT),
        ):
            if value is not None and disk.type is not None and disk.type not in with_it:
                remedy = f"isn't taken by {disk.type}; leave it out, or set type to one of {', '.join(sorted(with_it))}"
                yield Problem(f"{where}.{said}", value, remedy)


def sizes_fit(c: Configuration) -> Iterator[Problem]:
    """The least size is no more than the wanted one, and that no more than the most."""
    for key, keys in _machines(c):
        if not isinstance(keys, PoolKeys):
            continue
        said = [(name, value) for name in ("min", "desired", "max") if (value := getattr(keys, name)) is not None]
        for (low, less), (high, more) in pairwise(said):
            if less > more:
                yield Problem(f"{key}.{low}", less, f"is more than {high}, {more}; min <= desired <= max")


def groups_are_told_apart(c: Configuration) -> Iterator[Problem]:
    """No two groups of a side have one name, and none takes the name of one that is still there."""
    ended = c.stage is not None and stage(c.stage).finished
    there = {one.group: one.name for _, one in machines(c)}
    for name, side in made_sides(c):
        names = [pool_group(side, pool) for pool in c.pools]
        said = {keys.group for keys in side.pools.values()}
        for group in (one for one in twice(names) if one in said):
            remedy = "is the group of two pools; give each its own"
            yield Problem(f"migration:sides.{name}.pools", group, remedy)
        if name != c.to or ended:
            continue
        for pool, keys in sorted(side.pools.items()):
            if keys.group is not None and keys.group in there:
                remedy = (
                    f"is the group of {there[keys.group]} that is being left; take that name after the migration, when "
                    f"the old group is gone"
                )
                yield Problem(f"migration:sides.{name}.pools.{pool}.group", keys.group, remedy)


def retiring_leaves_a_pool(c: Configuration) -> Iterator[Problem]:
    """Not all pools retire at once, and none before the migration is over."""
    ended = c.stage is not None and (stage(c.stage).finished or stage(c.stage).starting)
    for name, side in made_sides(c):
        retiring = sorted(pool for pool, keys in side.pools.items() if keys.retiring is not None)
        if retiring and not ended:
            remedy = "a pool retires when no migration is under way; take it out until stage 8 is reached"
            yield Problem(f"migration:sides.{name}.pools.{retiring[0]}.retiring", _how(side, retiring[0]), remedy)
        if retiring and not {pool.name for pool in c.pools} - set(retiring):
            remedy = "every pool retires: their pods would have nowhere to go; add another pool first"
            yield Problem(f"migration:sides.{name}.pools", retiring, remedy)


def _how(side: ManagedSide, pool: str) -> str:
    return side.pool(pool).retiring or ""
