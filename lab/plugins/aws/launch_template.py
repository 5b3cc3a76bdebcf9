"""Launch templates: every change of their data is a new version, never a replacement.

Source: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/launch_template; only the name replaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.naming import name_wanted
from lab.plugins.aws.shapes import from_aws, to_aws
from lab.plugins.aws.tags import TAGS, as_dict, as_list, sync_ec2
from lab.plugins.aws.vpc import DOCS, REGION, arn, first
from lab.plugins.schema import ResourceType, block, flag, listed, mapping, number, text, texts

# Flags that the provider keeps as text, so that "not said" differs from false.
_EBS = {
    "deleteOnTermination": text(),
    "encrypted": text(),
    "iops": number(computed=True),
    "kmsKeyId": text(),
    "snapshotId": text(),
    "throughput": number(computed=True),
    "volumeInitializationRate": number(),
    "volumeSize": number(computed=True),
    "volumeType": text(computed=True),
}
_INTERFACE = {
    "associatePublicIpAddress": text(),
    "deleteOnTermination": text(),
    "description": text(),
    "deviceIndex": number(),
    "interfaceType": text(),
    "ipv6AddressCount": number(),
    "networkCardIndex": number(),
    "networkInterfaceId": text(),
    "privateIpAddress": text(),
    "securityGroups": texts(),
    "subnetId": text(),
}
DATA = {
    "blockDeviceMappings": listed(
        {"deviceName": text(), "noDevice": text(), "virtualName": text(), "ebs": block(_EBS)}
    ),
    "creditSpecification": block({"cpuCredits": text()}),
    "disableApiStop": flag(),
    "disableApiTermination": flag(),
    "ebsOptimized": text(),
    "iamInstanceProfile": block({"arn": text(), "name": text()}),
    "imageId": text(),
    "instanceInitiatedShutdownBehavior": text(choices=("stop", "terminate")),
    "instanceMarketOptions": block(
        {
            "marketType": text(choices=("spot", "capacity-block", "interruptible-capacity-reservation")),
            "spotOptions": block(
                {
                    "blockDurationMinutes": number(),
                    "instanceInterruptionBehavior": text(),
                    "maxPrice": text(),
                    "spotInstanceType": text(),
                    "validUntil": text(computed=True),
                }
            ),
        }
    ),
    "instanceType": text(),
    "kernelId": text(),
    "keyName": text(),
    "metadataOptions": block(
        {
            "httpEndpoint": text(computed=True),
            "httpProtocolIpv6": text(computed=True),
            "httpPutResponseHopLimit": number(computed=True),
            "httpTokens": text(computed=True),
            "instanceMetadataTags": text(computed=True),
        },
        computed=True,
    ),
    "monitoring": block({"enabled": flag()}),
    "networkInterfaces": listed(_INTERFACE),
    "placement": block(
        {
            "affinity": text(),
            "availabilityZone": text(),
            "groupName": text(),
            "hostId": text(),
            "partitionNumber": number(),
            "tenancy": text(),
        }
    ),
    "ramDiskId": text(),
    "tagSpecifications": listed({"resourceType": text(), "tags": mapping()}),
    "userData": text(),
    "vpcSecurityGroupIds": texts(),
}


def _shape(call: Call) -> Any:
    model = call.ec2.meta.service_model.operation_model("CreateLaunchTemplate")
    return model.input_shape.members["LaunchTemplateData"]


def _data(call: Call) -> dict[str, Any]:
    return to_aws(DATA, {k: v for k, v in call.new.items() if k in DATA and v not in (False, [], {})}, _shape(call))


def _create(call: Call) -> str:
    made = call.ec2.create_launch_template(
        LaunchTemplateName=name_wanted(call),
        LaunchTemplateData=_data(call),
        **call.given(VersionDescription="description"),
    )["LaunchTemplate"]
    call.made(made["LaunchTemplateId"])
    # Not with the creation: moto would take the template's own tags for those of the instances.
    if call.tags_wanted:
        call.ec2.create_tags(Resources=[call.id], Tags=as_list(call.tags_wanted))
    return call.id


def _read(call: Call) -> dict[str, Any] | None:
    template = first(call.ec2.describe_launch_templates(LaunchTemplateIds=[call.id])["LaunchTemplates"])
    if template is None:
        return None
    latest = call.ec2.describe_launch_template_versions(
        LaunchTemplateId=call.id, Versions=[str(template["LatestVersionNumber"])]
    )["LaunchTemplateVersions"][0]
    model = call.ec2.meta.service_model.operation_model("DescribeLaunchTemplateVersions")
    shape = model.output_shape.members["LaunchTemplateVersions"].member.members["LaunchTemplateData"]
    return {
        "name": template["LaunchTemplateName"],
        "description": latest.get("VersionDescription") or None,
        "defaultVersion": template["DefaultVersionNumber"],
        "latestVersion": template["LatestVersionNumber"],
        "arn": arn(call, f"launch-template/{call.id}"),
        **from_aws(DATA, latest["LaunchTemplateData"], shape),
        **call.tags_read(as_dict(template.get("Tags"))),
    }


def _update(call: Call) -> None:
    default = None
    if call.changed("description", *DATA):
        made = call.ec2.create_launch_template_version(
            LaunchTemplateId=call.id, LaunchTemplateData=_data(call), **call.given(VersionDescription="description")
        )["LaunchTemplateVersion"]
        default = made["VersionNumber"] if call.new.get("updateDefaultVersion") else None
    elif call.new.get("updateDefaultVersion") and call.old.get("defaultVersion") != call.old.get("latestVersion"):
        default = call.old.get("latestVersion")
    if default is None and call.changed("defaultVersion"):
        default = call.new["defaultVersion"]
    if default is not None:
        call.ec2.modify_launch_template(LaunchTemplateId=call.id, DefaultVersion=str(default))
    sync_ec2(call)


def _delete(call: Call) -> None:
    call.ec2.delete_launch_template(LaunchTemplateId=call.id)


def _one_profile(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    profile = values.get("iamInstanceProfile")
    if isinstance(profile, Mapping) and profile.get("arn") and profile.get("name"):
        found.append(("iamInstanceProfile", "give the instance profile's arn or its name, not both"))
    if values.get("updateDefaultVersion") and values.get("defaultVersion") is not None:
        found.append(("defaultVersion", "'defaultVersion' conflicts with 'updateDefaultVersion'"))
    return found


ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:ec2/launchTemplate:LaunchTemplate",
        source=DOCS + "launch_template",
        props={
            "name": text(computed=True, replace=True),
            "namePrefix": text(replace=True, unreadable=True),
            "description": text(),
            "defaultVersion": number(computed=True),
            "updateDefaultVersion": flag(unreadable=True),
            **DATA,
            **TAGS,
            **REGION,
        },
        computed=("arn", "latestVersion"),
        recomputed={"latestVersion": ("description", *DATA)},
        generated="name",
        unique="name",
        longest=128,
        validate=_one_profile,
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
        gone=("InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.NotFoundException",
              "InvalidLaunchTemplateName.NotFoundException"),
    ),
)  # fmt: skip
