"""A launch template as the copy of an old one: only security groups, names and what is asked for differ.

The old template's data comes out of a `GroupNote`, so it is kept in state from the moment the copy was made and never
looked up again. What a copy makes stricter stands in `migration.workers.copies`, which `plan` asks, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pulumi
import pulumi_aws as aws

from migration.contracts.base import Contract
from migration.contracts.launch import NetworkInterface
from migration.contracts.workers import BlockDevice, Template
from migration.settings.model import ImdsV2
from migration.workers.carried import TEMPLATE_AS_NOTED
from migration.workers.copies import encrypted, metadata_options


def as_noted(part: object) -> Any:
    """A noted part as the provider takes it; None where it says nothing."""
    if isinstance(part, Contract):
        return part.model_dump(exclude_none=True) or None
    if isinstance(part, tuple):
        return [as_noted(one) for one in cast(tuple[object, ...], part)] or None
    return part


def _text(flag: bool | None) -> str | None:
    """A flag as the provider writes those that may be left unsaid."""
    return None if flag is None else str(flag).lower()


def _profile(template: Template) -> aws.ec2.LaunchTemplateIamInstanceProfileArgs | None:
    profile = template.iam_instance_profile
    if profile is None:
        return None
    return aws.ec2.LaunchTemplateIamInstanceProfileArgs(arn=profile.arn, name=profile.name)


def _disks(template: Template) -> list[aws.ec2.LaunchTemplateBlockDeviceMappingArgs]:
    return [_disk(mapping, whole=template.whole) for mapping in template.block_device_mappings]


def _disk(mapping: BlockDevice, *, whole: bool) -> aws.ec2.LaunchTemplateBlockDeviceMappingArgs:
    disk = mapping.ebs
    if whole and not mapping.is_volume:
        # The provider wants something to be said: any text means the device isn't there.
        gone = None if mapping.no_device is None else mapping.no_device or "true"
        return aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
            device_name=mapping.device_name, virtual_name=mapping.virtual_name, no_device=gone
        )
    return aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
        device_name=mapping.device_name,
        ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
            volume_size=disk.volume_size,
            volume_type=disk.volume_type,
            encrypted=_text(encrypted(disk, whole=whole)),
            kms_key_id=disk.kms_key_id,
            delete_on_termination=_text(disk.delete_on_termination),
            iops=disk.iops,
            throughput=disk.throughput,
            snapshot_id=disk.snapshot_id if whole else None,
            volume_initialization_rate=disk.volume_initialization_rate if whole else None,
        ),
    )


def _metadata(template: Template, imdsv2: ImdsV2) -> aws.ec2.LaunchTemplateMetadataOptionsArgs | None:
    options = metadata_options(template.metadata_options, imdsv2)
    if options is None:
        return None
    return aws.ec2.LaunchTemplateMetadataOptionsArgs(
        http_endpoint=options.http_endpoint,
        http_tokens=options.http_tokens,
        http_put_response_hop_limit=options.http_put_response_hop_limit,
        http_protocol_ipv6=options.http_protocol_ipv6,
        instance_metadata_tags=options.instance_metadata_tags,
    )


def _user_data(template: Template) -> str | None:
    return template.user_data.get_secret_value() if template.user_data else None


def _market(template: Template) -> Any:
    options = template.instance_market_options
    if options is None:
        return None
    spot = as_noted(options.spot_options) if template.whole else None
    return {"market_type": options.market_type, **({"spot_options": spot} if spot else {})}


def _optimized(template: Template) -> str | None:
    return _text(template.ebs_optimized)


def _tags(template: Template) -> Any:
    return [
        {"resource_type": one.resource_type, "tags": {tag.key: tag.value for tag in one.tags}}
        for one in template.tag_specifications
    ] or None


def _interfaces(template: Template, groups: Sequence[str]) -> Any:
    return [_interface(one, groups) for one in template.network_interfaces] or None


def _interface(one: NetworkInterface, groups: Sequence[str]) -> dict[str, Any]:
    said = one.model_dump(exclude_none=True)
    flags = {
        name: _text(said[name]) for name in ("associate_public_ip_address", "delete_on_termination") if name in said
    }
    return {**said, **flags, "security_groups": list(groups)}


def copied_template(
    logical_name: str,
    *,
    name: str,
    original: pulumi.Output[Template],
    security_groups: list[pulumi.Input[str]],
    tags: Mapping[str, str],
    user_data: pulumi.Output[str] | None,
    imdsv2: ImdsV2,
    opts: pulumi.ResourceOptions,
) -> aws.ec2.LaunchTemplate:
    """The launch template `original`, made again as `name` for another side.

    `security_groups` stand where the original's do: with the instance, or in its interfaces. `user_data` is base64;
    None takes the original's byte for byte. Either way it is a secret of the stack.
    """
    data = original.apply(_user_data) if user_data is None else user_data
    both = pulumi.Output.all(original=original, groups=pulumi.Output.all(*security_groups))
    noted: dict[str, Any] = {
        name: original.apply(lambda template, name=name: as_noted(getattr(template, name)))
        for name in TEMPLATE_AS_NOTED
    }
    return aws.ec2.LaunchTemplate(
        logical_name,
        name=name,
        update_default_version=True,
        image_id=original.apply(lambda template: template.image_id),
        instance_type=original.apply(lambda template: template.instance_type),
        key_name=original.apply(lambda template: template.key_name),
        ebs_optimized=original.apply(_optimized),
        iam_instance_profile=original.apply(_profile),
        block_device_mappings=original.apply(_disks),
        metadata_options=original.apply(lambda template: _metadata(template, imdsv2)),
        instance_market_options=original.apply(_market),
        user_data=pulumi.Output.secret(data),
        vpc_security_group_ids=both.apply(
            lambda known: None if known["original"].network_interfaces else known["groups"]
        ),
        network_interfaces=both.apply(lambda known: _interfaces(known["original"], known["groups"])),
        tag_specifications=original.apply(_tags),
        tags=dict(tags),
        opts=opts,
        **noted,
    )


def with_versions(templates: Sequence[aws.ec2.LaunchTemplate]) -> pulumi.Output[list[tuple[str, str]]]:
    """Each template's id and latest version."""
    pairs = [pulumi.Output.all(one.id, one.latest_version) for one in templates]
    # The engine's numbers come as floating ones.
    return pulumi.Output.all(*pairs).apply(lambda known: [(found, str(int(version))) for found, version in known])
