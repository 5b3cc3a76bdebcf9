"""What machines are launched from, and how their groups behave, in the words of Terraform's AWS provider. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from migration.clients.documents import Document, listed
from migration.contracts.base import Contract
from migration.contracts.launch import NetworkInterface
from migration.handover.hcl import Block
from migration.workers.carried import TEMPLATE_AS_NOTED, carried_group, carried_template

# Where a block isn't called as the list of its kind is.
_SINGULAR = {"license_specifications": "license_specification"}


def _parts(name: str, value: object) -> tuple[dict[str, object], list[Block]]:
    """An attribute, or the blocks, that a noted part becomes."""
    kind = _SINGULAR.get(name, name)
    if isinstance(value, Contract):
        return {}, [_block(kind, value)]
    if isinstance(value, tuple):
        several = cast("tuple[object, ...]", value)
        if any(isinstance(one, Contract) for one in several):
            return {}, [_block(kind, one) for one in several if isinstance(one, Contract)]
        return ({name: list(several)} if several else {}), []
    return ({name: value} if value is not None else {}), []


def _block(kind: str, part: Contract) -> Block:
    attributes: dict[str, object] = {}
    blocks: list[Block] = []
    for name in type(part).model_fields:
        more, inner = _parts(name, getattr(part, name))
        attributes |= more
        blocks += inner
    return Block(kind, (), attributes, tuple(blocks))


def template_parts(data: Document) -> tuple[dict[str, object], list[Block]]:
    """Arguments and blocks of a launch template, besides image, type, key, profile, disks and metadata options."""
    template, _ = carried_template(data)
    arguments: dict[str, object] = {}
    blocks: list[Block] = []
    for name in TEMPLATE_AS_NOTED:
        more, inner = _parts(name, getattr(template, name))
        arguments |= more
        blocks += inner
    if template.instance_market_options is not None:
        options = template.instance_market_options
        spot = [_block("spot_options", options.spot_options)] if options.spot_options is not None else []
        blocks.append(Block("instance_market_options", (), {"market_type": options.market_type}, tuple(spot)))
    interfaces = zip(template.network_interfaces, listed(data, "NetworkInterfaces"), strict=True)
    blocks += [_interface(one, found) for one, found in interfaces]
    for one in template.tag_specifications:
        tags = {tag.key: tag.value for tag in one.tags}
        blocks.append(Block("tag_specifications", (), {"resource_type": one.resource_type, "tags": tags}))
    return arguments, blocks


def _interface(one: NetworkInterface, found: Document) -> Block:
    block = _block("network_interfaces", one)
    flags = {
        name: str(block.attributes[name]).lower()
        for name in ("associate_public_ip_address", "delete_on_termination")
        if name in block.attributes
    }
    groups: dict[str, object] = {"security_groups": list(found.get("Groups") or ())}
    return Block(block.kind, (), {**block.attributes, **flags, **groups}, block.blocks)


def group_parts(group: Document) -> tuple[dict[str, object], list[Block]]:
    """Arguments and blocks of an Auto Scaling group: what it launches from, its policy and attributes."""
    carried = carried_group(group, (), None)
    arguments: dict[str, object] = {}
    blocks: list[Block] = []
    for name in type(carried.attributes).model_fields:
        value: object = getattr(carried.attributes, name)
        if name == "enabled_metrics":
            value = tuple(sorted(one.metric for one in carried.attributes.enabled_metrics))
        more, inner = _parts(name, value)
        arguments |= more
        blocks += inner
    return arguments, [*_launches(group, carried.mixed), *blocks]


def _launches(group: Document, mixed: Contract | None) -> Iterator[Block]:
    if mixed is None:
        said: Document = group.get("LaunchTemplate") or {}
        yield Block("launch_template", (), {"id": said.get("LaunchTemplateId"), "version": said.get("Version")})
        return
    said = group["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
    reference = {"launch_template_id": said.get("LaunchTemplateId"), "version": said.get("Version")}
    parts = _block("mixed_instances_policy", mixed).blocks
    overrides = [Block("override", (), one.attributes, one.blocks) for one in parts if one.kind == "overrides"]
    template = Block("launch_template", (), {}, (Block("launch_template_specification", (), reference), *overrides))
    yield Block("mixed_instances_policy", (), {}, (*(one for one in parts if one.kind != "overrides"), template))
