"""A launch template as the copy of an old one: only security groups, names and what is asked for differ.

The old template's data comes out of a `GroupNote`, so it is kept in state from the moment the copy was made and never
looked up again. What a copy makes stricter stands in `migration.workers.copies`, which `plan` asks, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from migration.contracts.workers import Template
from migration.settings.model import ImdsV2
from migration.workers.copies import ENCRYPTED, metadata_options


def _profile(template: Template) -> aws.ec2.LaunchTemplateIamInstanceProfileArgs | None:
    profile = template.iam_instance_profile
    if profile is None:
        return None
    return aws.ec2.LaunchTemplateIamInstanceProfileArgs(arn=profile.arn, name=profile.name)


def _disks(template: Template) -> list[aws.ec2.LaunchTemplateBlockDeviceMappingArgs]:
    return [
        aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
            device_name=mapping.device_name,
            ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                volume_size=mapping.ebs.volume_size,
                volume_type=mapping.ebs.volume_type,
                encrypted=str(ENCRYPTED).lower(),
                kms_key_id=mapping.ebs.kms_key_id,
                delete_on_termination=str(mapping.ebs.delete_on_termination).lower(),
                iops=mapping.ebs.iops,
                throughput=mapping.ebs.throughput,
            ),
        )
        for mapping in template.block_device_mappings
    ]


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


def _market(template: Template) -> aws.ec2.LaunchTemplateInstanceMarketOptionsArgs | None:
    options = template.instance_market_options
    return aws.ec2.LaunchTemplateInstanceMarketOptionsArgs(market_type=options.market_type) if options else None


def _optimized(template: Template) -> str | None:
    return None if template.ebs_optimized is None else str(template.ebs_optimized).lower()


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

    `user_data` is base64; None takes the original's byte for byte. Either way it is a secret of the stack.
    """
    data = original.apply(_user_data) if user_data is None else user_data
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
        vpc_security_group_ids=security_groups,
        tags=dict(tags),
        opts=opts,
    )


def with_versions(templates: Sequence[aws.ec2.LaunchTemplate]) -> pulumi.Output[list[tuple[str, str]]]:
    """Each template's id and latest version."""
    pairs = [pulumi.Output.all(one.id, one.latest_version) for one in templates]
    # The engine's numbers come as floating ones.
    return pulumi.Output.all(*pairs).apply(lambda known: [(found, str(int(version))) for found, version in known])
