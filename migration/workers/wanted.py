"""What a side's machines are launched from: what was copied, with what the side's configuration says on top. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from pydantic import SecretStr

from migration.contracts.scaling import Mixed, Override
from migration.contracts.workers import (
    BlockDevice,
    Ebs,
    Group,
    InstanceProfile,
    MarketOptions,
    Template,
)
from migration.runtime.deadline import Permanent
from migration.settings.model import DiskKeys, MachineKeys, ManagedSide, Pool, PoolKeys


def wanted_template(copied: Template, keys: MachineKeys, where: str) -> Template:
    """The template with `keys` on top; `where` is the key they stand under. Raises `Permanent` for a smaller disk."""
    changes: dict[str, object] = {}
    if keys.image is not None:
        changes["image_id"] = keys.image
    if keys.type_wanted is not None:
        # AWS takes a type, or what a type must have.
        changes |= {"instance_type": keys.type_wanted, "instance_requirements": None}
    if keys.key_name is not None:
        changes["key_name"] = keys.key_name
    if keys.instance_profile is not None:
        profile = keys.instance_profile
        named = {"arn": profile} if profile.startswith("arn:") else {"name": profile}
        changes["iam_instance_profile"] = InstanceProfile.model_validate(named)
    if keys.disks:
        changes["block_device_mappings"] = _disks(copied.block_device_mappings, keys.disks, where)
    if isinstance(keys, PoolKeys):
        changes |= _of_a_pool(keys)
    return copied.model_copy(update=changes)


def _of_a_pool(keys: PoolKeys) -> dict[str, object]:
    changes: dict[str, object] = {}
    if keys.market is not None:
        changes["instance_market_options"] = MarketOptions(market_type="spot") if keys.market == "spot" else None
    if keys.user_data is not None:
        changes["user_data"] = SecretStr(base64.b64encode(keys.user_data.encode()).decode())
    return changes


def wanted_group(known: Mapping[str, Group], pool: Pool, side: ManagedSide, side_name: str) -> Group:
    """A pool's group as it shall begin: as it was copied, or as the pool is that it is like, with its own keys on top.

    Raises `Permanent` where nothing is known to make it from.
    """
    keys, where = side.pool(pool.name), f"migration:sides.{side_name}.pools.{pool.name}"
    base = known.get(pool.name)
    if base is None and keys.like is not None:
        other = known.get(keys.like)
        if other is not None:
            like = side.pool(keys.like)
            alike = other.model_copy(update={"template": wanted_template(other.template, like, where)})
            base = _sized(_launching(alike, like), like).model_copy(update={"group": pool.group})
    if base is None and keys.image is not None and keys.type_wanted is not None:
        blank = Template(image_id=keys.image)
        base = Group(group=pool.group, min=0, max=keys.max or keys.desired or 1, desired=0, template=blank, tags={})
    if base is None:
        raise Permanent(
            f"nothing is known of pool {pool.name}'s machines: no group of it was copied"
            + (f", and none of {keys.like}, which it is to be like" if keys.like else "")
            + f"; set {where}.like to a pool that is there, or both {where}.image and {where}.instanceType"
        )
    return _sized(
        _launching(base.model_copy(update={"template": wanted_template(base.template, keys, where)}), keys), keys
    )


def _launching(group: Group, keys: PoolKeys) -> Group:
    """The group's mixed policy with the types and the market that are said; a group of several types has one.

    Beside a policy the market isn't the launch template's to say: AWS refuses one that does.
    """
    mixed, types, market = group.mixed, keys.types_wanted, keys.market
    if mixed is None:
        if len(types) < 2:
            return group
        options = group.template.instance_market_options
        market = market or ("spot" if options is not None and options.market_type == "spot" else "on-demand")
        mixed = Mixed()
    if types:
        mixed = mixed.model_copy(update={"overrides": tuple(Override(instance_type=kind) for kind in types)})
    if market is not None:
        share = {
            "on_demand_base_capacity": 0,
            "on_demand_percentage_above_base_capacity": 0 if market == "spot" else 100,
        }
        mixed = mixed.model_copy(
            update={"instances_distribution": mixed.instances_distribution.model_copy(update=share)}
        )
    template = group.template.model_copy(update={"instance_market_options": None})
    return group.model_copy(update={"template": template, "mixed": mixed})


def _sized(group: Group, keys: PoolKeys) -> Group:
    """The group with the sizes that are said; what is only copied gives way to them."""
    least = group.min if keys.min is None else keys.min
    most = group.max if keys.max is None else keys.max
    desired = group.desired if keys.desired is None else keys.desired
    if keys.min is None:
        least = min([least, *(one for one in (keys.max, keys.desired) if one is not None)])
    if keys.max is None:
        most = max(most, least, keys.desired or 0)
    if keys.desired is None:
        desired = min(max(desired, least), most)
    return group.model_copy(update={"min": least, "max": most, "desired": desired})


def _disks(copied: tuple[BlockDevice, ...], wanted: tuple[DiskKeys, ...], where: str) -> tuple[BlockDevice, ...]:
    by_device = {one.device: one for one in wanted}
    found = [_disk(one, by_device.pop(one.device_name, None), where) for one in copied]
    return (*found, *(_disk(BlockDevice(device_name=name), keys, where) for name, keys in by_device.items()))


def _disk(copied: BlockDevice, keys: DiskKeys | None, where: str) -> BlockDevice:
    if keys is None:
        return copied
    before: Ebs = copied.ebs
    if keys.size is not None and before.volume_size is not None and keys.size < before.volume_size:
        raise Permanent(
            f"{where}.disks[{keys.device}].size is {keys.size}, and the copied disk has {before.volume_size} GiB: an "
            f"image doesn't fit on a smaller disk than it was made for; give it at least that, or leave the size out"
        )
    changes = {
        "volume_size": keys.size,
        "volume_type": keys.type,
        "iops": keys.iops,
        "throughput": keys.throughput,
        "kms_key_id": keys.kms_key_id,
    }
    said = {name: value for name, value in changes.items() if value is not None}
    if keys.type is not None and keys.type != before.volume_type:
        # What was copied beside another type may not be allowed with this one.
        said = {"iops": None, "throughput": None, **said}
    return copied.model_copy(update={"ebs": before.model_copy(update=said)})
