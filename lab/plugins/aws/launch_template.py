"""Launch templates: every change of their data is a new version, never a replacement.

Source: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/launch_template; only the name replaces.
"""

from __future__ import annotations

from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.shapes import from_aws, to_aws
from lab.plugins.aws.tags import TAGS, as_dict, as_list, sync_ec2
from lab.plugins.aws.vpc import DOCS, arn, first
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
_RANGE = block({"min": number(), "max": number()})
REQUIREMENTS = {
    "acceleratorCount": _RANGE,
    "acceleratorManufacturers": texts(),
    "acceleratorNames": texts(),
    "acceleratorTotalMemoryMib": _RANGE,
    "acceleratorTypes": texts(),
    "allowedInstanceTypes": texts(),
    "bareMetal": text(),
    "baselineEbsBandwidthMbps": _RANGE,
    "burstablePerformance": text(),
    "cpuManufacturers": texts(),
    "excludedInstanceTypes": texts(),
    "instanceGenerations": texts(),
    "localStorage": text(),
    "localStorageTypes": texts(),
    "maxSpotPriceAsPercentageOfOptimalOnDemandPrice": number(),
    "memoryGibPerVcpu": _RANGE,
    "memoryMib": _RANGE,
    "networkBandwidthGbps": _RANGE,
    "networkInterfaceCount": _RANGE,
    "onDemandMaxPricePercentageOverLowestPrice": number(),
    "requireHibernateSupport": flag(),
    "spotMaxPricePercentageOverLowestPrice": number(),
    "totalLocalStorageGb": _RANGE,
    "vcpuCount": _RANGE,
}
_INTERFACE = {
    "associatePublicIpAddress": text(),
    "connectionTrackingSpecification": block(
        {"tcpEstablishedTimeout": number(), "udpStreamTimeout": number(), "udpTimeout": number()}
    ),
    "deleteOnTermination": text(),
    "description": text(),
    "deviceIndex": number(),
    "enaQueueCount": number(),
    "enaSrdSpecification": block(
        {"enaSrdEnabled": flag(), "enaSrdUdpSpecification": block({"enaSrdUdpEnabled": flag()})}
    ),
    "interfaceType": text(),
    "ipv4AddressCount": number(),
    "ipv4PrefixCount": number(),
    "networkCardIndex": number(),
    "securityGroups": texts(),
}
DATA = {
    "blockDeviceMappings": listed(
        {"deviceName": text(), "ebs": block(_EBS), "noDevice": text(), "virtualName": text()}
    ),
    "capacityReservationSpecification": block(
        {
            "capacityReservationPreference": text(),
            "capacityReservationTarget": block(
                {"capacityReservationId": text(), "capacityReservationResourceGroupArn": text()}
            ),
        }
    ),
    "cpuOptions": block(
        {"amdSevSnp": text(), "coreCount": number(), "nestedVirtualization": text(), "threadsPerCore": number()}
    ),
    "creditSpecification": block({"cpuCredits": text()}),
    "disableApiStop": flag(),
    "disableApiTermination": flag(),
    "ebsOptimized": text(),
    "enclaveOptions": block({"enabled": flag()}),
    "hibernationOptions": block({"configured": flag()}),
    "iamInstanceProfile": block({"arn": text(), "name": text()}),
    "imageId": text(),
    "instanceInitiatedShutdownBehavior": text(choices=("stop", "terminate")),
    "instanceMarketOptions": block(
        {
            "marketType": text(choices=("spot", "capacity-block")),
            "spotOptions": block(
                {
                    "blockDurationMinutes": number(),
                    "instanceInterruptionBehavior": text(),
                    "maxPrice": text(),
                    "spotInstanceType": text(),
                    "validUntil": text(),
                }
            ),
        }
    ),
    "instanceRequirements": block(REQUIREMENTS),
    "instanceType": text(),
    "kernelId": text(),
    "keyName": text(),
    "licenseSpecifications": listed({"licenseConfigurationArn": text(required=True)}),
    "maintenanceOptions": block({"autoRecovery": text()}),
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
    "networkPerformanceOptions": block({"bandwidthWeighting": text()}),
    "placement": block(
        {
            "affinity": text(),
            "availabilityZone": text(),
            "groupId": text(),
            "groupName": text(),
            "hostId": text(),
            "hostResourceGroupArn": text(),
            "partitionNumber": number(),
            "spreadDomain": text(),
            "tenancy": text(),
        }
    ),
    "privateDnsNameOptions": block(
        {
            "enableResourceNameDnsARecord": flag(),
            "enableResourceNameDnsAaaaRecord": flag(),
            "hostnameType": text(),
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
    made = call.ec2.create_launch_template(LaunchTemplateName=call.new["name"], LaunchTemplateData=_data(call))[
        "LaunchTemplate"
    ]
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
        "defaultVersion": template["DefaultVersionNumber"],
        "latestVersion": template["LatestVersionNumber"],
        "arn": arn(call, f"launch-template/{call.id}"),
        **from_aws(DATA, latest["LaunchTemplateData"], shape),
        **call.tags_read(as_dict(template.get("Tags"))),
    }


def _update(call: Call) -> None:
    default = None
    if call.changed(*DATA):
        made = call.ec2.create_launch_template_version(LaunchTemplateId=call.id, LaunchTemplateData=_data(call))[
            "LaunchTemplateVersion"
        ]
        default = made["VersionNumber"] if call.new.get("updateDefaultVersion") else None
    elif call.new.get("updateDefaultVersion") and call.old.get("defaultVersion") != call.old.get("latestVersion"):
        default = call.old.get("latestVersion")
    if default is not None:
        call.ec2.modify_launch_template(LaunchTemplateId=call.id, DefaultVersion=str(default))
    sync_ec2(call)


def _delete(call: Call) -> None:
    call.ec2.delete_launch_template(LaunchTemplateId=call.id)


ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:ec2/launchTemplate:LaunchTemplate",
        source=DOCS + "launch_template",
        props={
            "name": text(required=True, replace=True),
            "updateDefaultVersion": flag(unreadable=True),
            **DATA,
            **TAGS,
        },
        computed=("arn", "defaultVersion", "latestVersion"),
        recomputed={"defaultVersion": (*DATA,), "latestVersion": (*DATA,)},
        unique="name",
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
        gone=("InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.NotFoundException",
              "InvalidLaunchTemplateName.NotFoundException"),
    ),
)  # fmt: skip
