"""A copied worker group is a copy: what the old side's templates and groups say is what the new side's say."""

from __future__ import annotations

from typing import Any

import pytest

from migration.workers.carried import carried_template
from tests.samples import settings
from tests.transitions import recorder
from tests.transitions.recorder import declare

AWKWARD: dict[str, Any] = {
    "ImageId": "ami-1",
    "InstanceType": "t3.large",
    "Monitoring": {"Enabled": True},
    "CreditSpecification": {"CpuCredits": "unlimited"},
    "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
    "Placement": {"GroupName": "spread", "Tenancy": "default", "PartitionNumber": 3},
    "CpuOptions": {"ThreadsPerCore": 1},
    "DisableApiTermination": True,
    "InstanceInitiatedShutdownBehavior": "terminate",
    "InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.1", "SpotInstanceType": "one-time"}},
    "MaintenanceOptions": {"AutoRecovery": "disabled"},
    "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
    "PrivateDnsNameOptions": {"HostnameType": "resource-name", "EnableResourceNameDnsAAAARecord": True},
    "TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "k8s.io/team", "Value": "a"}]}],
    "BlockDeviceMappings": [
        {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 50, "VolumeType": "io2", "Iops": 900, "Throughput": 200}},
        {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
        {"DeviceName": "/dev/sdc", "NoDevice": ""},
        {"DeviceName": "/dev/sdd", "Ebs": {"SnapshotId": "snap-1", "VolumeInitializationRate": 300}},
        {"DeviceName": "/dev/sde", "Ebs": {"VolumeSize": 1, "KmsKeyId": "key-1", "DeleteOnTermination": False}},
    ],
    "NetworkInterfaces": [
        {"DeviceIndex": 0, "SubnetId": "subnet-old", "Groups": ["sg-old"], "AssociatePublicIpAddress": False}
    ],
}


def template(data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, stage: int = 3) -> dict[str, Any]:
    copied, _ = carried_template(data)
    held = {**copied.model_dump(mode="json", by_alias=True, exclude_none=True), "userData": "I2Nsb3VkLWNvbmZpZw=="}
    monkeypatch.setattr(recorder, "_TEMPLATE", held)
    return declare(settings(stage))[("LaunchTemplate", "main-m5-a")].inputs


def test_a_launch_template_is_declared_as_the_old_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = template(AWKWARD, monkeypatch)
    mine = {"name", "tags", "updateDefaultVersion", "userData"}
    disk = {"encrypted": "true", "deleteOnTermination": "true"}
    assert {key: value for key, value in found.items() if key not in mine} == {
        "imageId": "ami-1",
        "instanceType": "t3.large",
        "monitoring": {"enabled": True},
        "creditSpecification": {"cpuCredits": "unlimited"},
        "capacityReservationSpecification": {"capacityReservationPreference": "open"},
        "placement": {"groupName": "spread", "tenancy": "default", "partitionNumber": 3},
        "cpuOptions": {"threadsPerCore": 1},
        "disableApiTermination": True,
        "instanceInitiatedShutdownBehavior": "terminate",
        "instanceMarketOptions": {
            "marketType": "spot",
            "spotOptions": {"maxPrice": "0.1", "spotInstanceType": "one-time"},
        },
        "maintenanceOptions": {"autoRecovery": "disabled"},
        "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1, "httpEndpoint": "enabled"},
        "privateDnsNameOptions": {"hostnameType": "resource-name", "enableResourceNameDnsAaaaRecord": True},
        "tagSpecifications": [{"resourceType": "volume", "tags": {"k8s.io/team": "a"}}],
        "blockDeviceMappings": [
            {
                "deviceName": "/dev/xvda",
                "ebs": {"volumeSize": 50, "volumeType": "io2", "iops": 900, "throughput": 200, **disk},
            },
            {"deviceName": "/dev/sdb", "virtualName": "ephemeral0"},
            {"deviceName": "/dev/sdc", "noDevice": "true"},
            # AWS takes no word on encryption beside a snapshot: it is as the snapshot is.
            {
                "deviceName": "/dev/sdd",
                "ebs": {"snapshotId": "snap-1", "volumeInitializationRate": 300, "deleteOnTermination": "true"},
            },
            {
                "deviceName": "/dev/sde",
                "ebs": {"volumeSize": 1, "kmsKeyId": "key-1", **disk, "deleteOnTermination": "false"},
            },
        ],
        "networkInterfaces": [
            {"deviceIndex": 0, "associatePublicIpAddress": "false", "securityGroups": ["id-main-nodes"]}
        ],
    }


def test_groups_stand_with_the_instance_where_the_old_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {key: value for key, value in AWKWARD.items() if key != "NetworkInterfaces"}
    found = template(plain, monkeypatch)
    assert found["vpcSecurityGroupIds"] == ["id-main-nodes"] and "networkInterfaces" not in found


def test_a_note_of_an_earlier_version_makes_what_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other data would be a new version, and replace every machine."""
    plain = {key: value for key, value in AWKWARD.items() if key != "NetworkInterfaces"}
    held = carried_template(plain)[0].model_dump(mode="json", by_alias=True, exclude_none=True)
    held |= {"userData": "I2Nsb3VkLWNvbmZpZw=="}
    earlier = {key: held[key] for key in ("imageId", "instanceType", "instanceMarketOptions", "blockDeviceMappings")}
    monkeypatch.setattr(
        recorder, "_TEMPLATE", {**earlier, "userData": held["userData"], "monitoring": {"enabled": True}}
    )
    found = declare(settings(3))[("LaunchTemplate", "main-m5-a")].inputs
    assert found["instanceMarketOptions"] == {"marketType": "spot"} and "monitoring" not in found
    assert found["blockDeviceMappings"][2] == {
        "deviceName": "/dev/sdc",
        "ebs": {"encrypted": "true", "deleteOnTermination": "true"},
    }
