"""A launch template as the copy of an old one: only security groups, names and what is asked for differ.

The old template's data comes out of a `GroupNote`, so it is kept in state from the moment the copy was made and never
looked up again.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from migration.contracts.workers import MetadataOptions, Template


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
                # A copy is never less protected than its original: a root disk is encrypted either way.
                encrypted="true",
                kms_key_id=mapping.ebs.kms_key_id,
                delete_on_termination=str(mapping.ebs.delete_on_termination).lower(),
                iops=mapping.ebs.iops,
                throughput=mapping.ebs.throughput,
            ),
        )
        for mapping in template.block_device_mappings
    ]


def _metadata(options: MetadataOptions) -> aws.ec2.LaunchTemplateMetadataOptionsArgs:
    return aws.ec2.LaunchTemplateMetadataOptionsArgs(
        http_endpoint=options.http_endpoint,
        http_tokens="required",  # IMDSv2, whatever the original allowed
        http_put_response_hop_limit=options.http_put_response_hop_limit,
    )


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
    user_data: pulumi.Input[str] | None,
    opts: pulumi.ResourceOptions,
) -> aws.ec2.LaunchTemplate:
    """The launch template `original`, made again as `name` for another side.

    `user_data` is base64; None takes the original's byte for byte.
    """
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
        metadata_options=original.apply(lambda template: _metadata(template.metadata_options)),
        instance_market_options=original.apply(_market),
        user_data=original.apply(lambda template: template.user_data) if user_data is None else user_data,
        vpc_security_group_ids=security_groups,
        tags=dict(tags),
        opts=opts,
    )
