"""What copies of worker groups say reaches AWS and comes back: a refresh finds nothing to do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.plugins.driving import Driver
from tests.lab.plugins.making import Ground, ground_of

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

DATA: dict[str, Any] = {
    "imageId": "ami-12c6146b",
    "instanceType": "t3.large",
    "monitoring": {"enabled": True},
    "creditSpecification": {"cpuCredits": "unlimited"},
    "capacityReservationSpecification": {"capacityReservationPreference": "open"},
    "placement": {"tenancy": "default", "partitionNumber": 3},
    "cpuOptions": {"coreCount": 1, "threadsPerCore": 1},
    "disableApiTermination": True,
    "instanceInitiatedShutdownBehavior": "terminate",
    "instanceMarketOptions": {"marketType": "spot", "spotOptions": {"maxPrice": "0.1", "spotInstanceType": "one-time"}},
    "maintenanceOptions": {"autoRecovery": "disabled"},
    "privateDnsNameOptions": {"hostnameType": "resource-name", "enableResourceNameDnsAaaaRecord": True},
    "tagSpecifications": [{"resourceType": "volume", "tags": {"k8s.io/team": "a"}}],
    "blockDeviceMappings": [
        {"deviceName": "/dev/sdb", "virtualName": "ephemeral0"},
        {"deviceName": "/dev/sdc", "noDevice": "true"},
        {"deviceName": "/dev/sdd", "ebs": {"volumeSize": 5, "volumeType": "gp3", "iops": 3500, "throughput": 200}},
    ],
}


@pytest.fixture
def ground(driver: Driver) -> Ground:
    return ground_of(driver)


def test_a_whole_launch_template_comes_back_as_it_was_made(ground: Ground) -> None:
    interface = {"deviceIndex": 0, "associatePublicIpAddress": "false", "securityGroups": [ground.group]}
    made = ground.driver.create(
        "aws:ec2/launchTemplate:LaunchTemplate", "t", name="t", networkInterfaces=[interface], **DATA
    )
    found = ground.driver.refresh(made)
    assert found is not None
    assert {key: found.outputs[key] for key in DATA} == DATA
    assert found.outputs["networkInterfaces"] == [interface]
    assert ground.driver.diff(found).changes == []
    assert ground.driver.diff(found, (), monitoring={"enabled": False}).changes != []


def test_requirements_instead_of_a_type_come_back_too(ground: Ground) -> None:
    requirements = {
        "vcpuCount": {"min": 2, "max": 4},
        "memoryMib": {"min": 4096},
        "memoryGibPerVcpu": {"min": 1.5},
        "excludedInstanceTypes": ["t2.*"],
        "totalLocalStorageGb": {"max": 100},
    }
    made = ground.driver.create(
        "aws:ec2/launchTemplate:LaunchTemplate",
        "t",
        name="t",
        imageId="ami-12c6146b",
        instanceRequirements=requirements,
    )
    found = ground.driver.refresh(made)
    assert found is not None and found.outputs["instanceRequirements"] == requirements
    assert ground.driver.diff(found).changes == []
