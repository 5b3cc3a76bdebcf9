"""A launch template as the copy of an old one: only security groups, names and what is asked for differ.

The old template's data comes out of a `GroupNote` (AWS's own field names, first letter lower), so it is kept in
state from the moment the copy was made and never looked up again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws


def _template(note: pulumi.Output[dict[str, Any]], key: str) -> pulumi.Output[dict[str, Any]]:
    return note.apply(lambda result: result["groups"][key]["template"])


def _profile(data: Mapping[str, Any]) -> aws.ec2.LaunchTemplateIamInstanceProfileArgs | None:
    profile = data.get("iamInstanceProfile")
    if not profile:
        return None
    return aws.ec2.LaunchTemplateIamInstanceProfileArgs(arn=profile.get("arn"), name=profile.get("name"))


def _disks(data: Mapping[str, Any]) -> list[aws.ec2.LaunchTemplateBlockDeviceMappingArgs]:
    disks = []
    for mapping in data.get("blockDeviceMappings") or []:
        ebs = mapping.get("ebs") or {}
        disks.append(
            aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                device_name=mapping["deviceName"],
                ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                    volume_size=ebs.get("volumeSize"),
                    volume_type=ebs.get("volumeType"),
                    # A copy is never less protected than its original: a root disk is encrypted either way.
                    encrypted="true",
                    kms_key_id=ebs.get("kmsKeyId"),
                    delete_on_termination=str(ebs.get("deleteOnTermination", True)).lower(),
                    iops=ebs.get("iops"),
                    throughput=ebs.get("throughput"),
                ),
            )
        )
    return disks


def _metadata(data: Mapping[str, Any]) -> aws.ec2.LaunchTemplateMetadataOptionsArgs:
    options = data.get("metadataOptions") or {}
    return aws.ec2.LaunchTemplateMetadataOptionsArgs(
        http_endpoint=options.get("httpEndpoint", "enabled"),
        http_tokens="required",  # IMDSv2, whatever the original allowed
        http_put_response_hop_limit=options.get("httpPutResponseHopLimit"),
    )


def _market(data: Mapping[str, Any]) -> aws.ec2.LaunchTemplateInstanceMarketOptionsArgs | None:
    options = data.get("instanceMarketOptions")
    return aws.ec2.LaunchTemplateInstanceMarketOptionsArgs(market_type=options["marketType"]) if options else None


def copied_template(
    logical_name: str,
    *,
    name: str,
    note: pulumi.Output[dict[str, Any]],
    key: str,
    security_groups: list[pulumi.Input[str]],
    tags: Mapping[str, str],
    user_data: pulumi.Input[str] | None,
    opts: pulumi.ResourceOptions,
) -> aws.ec2.LaunchTemplate:
    """The launch template `note` holds under `key`, made again as `name` for another side.

    `user_data` is base64; None takes the original's byte for byte.
    """
    data = _template(note, key)
    return aws.ec2.LaunchTemplate(
        logical_name,
        name=name,
        update_default_version=True,
        image_id=data.apply(lambda d: d["imageId"]),
        instance_type=data.apply(lambda d: d.get("instanceType")),
        key_name=data.apply(lambda d: d.get("keyName")),
        ebs_optimized=data.apply(lambda d: None if d.get("ebsOptimized") is None else str(d["ebsOptimized"]).lower()),
        iam_instance_profile=data.apply(_profile),
        block_device_mappings=data.apply(_disks),
        metadata_options=data.apply(_metadata),
        instance_market_options=data.apply(_market),
        user_data=data.apply(lambda d: d.get("userData")) if user_data is None else user_data,
        vpc_security_group_ids=security_groups,
        tags=dict(tags),
        opts=opts,
    )
