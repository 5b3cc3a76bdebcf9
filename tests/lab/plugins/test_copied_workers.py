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


@pytest.fixture
def template(ground: Ground) -> str:
    made = ground.driver.create(
        "aws:ec2/launchTemplate:LaunchTemplate", "t", name="t", imageId="ami-12c6146b", instanceType="m5.large"
    )
    return made.id


ATTRIBUTES: dict[str, Any] = {
    "capacityRebalance": True,
    "defaultCooldown": 0,
    "defaultInstanceWarmup": 30,
    "enabledMetrics": ["GroupInServiceInstances"],
    "healthCheckGracePeriod": 0,
    "healthCheckType": "ELB",
    "instanceMaintenancePolicy": {"minHealthyPercentage": 90, "maxHealthyPercentage": 110},
    "maxInstanceLifetime": 604800,
    "protectFromScaleIn": True,
    "serviceLinkedRoleArn": "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/own",
    "terminationPolicies": ["OldestInstance"],
}
TAGS = [
    {"key": "Name", "value": "w", "propagateAtLaunch": True},
    {"key": "k8s.io/cluster-autoscaler/enabled", "value": "", "propagateAtLaunch": False},
]


def test_a_groups_own_attributes_tags_and_hooks_come_back(ground: Ground, template: str) -> None:
    hook = {"name": "drain", "lifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING", "heartbeatTimeout": 60}
    made = ground.driver.create(
        "aws:autoscaling/group:Group",
        "g",
        name="g",
        minSize=0,
        maxSize=3,
        desiredCapacity=0,
        vpcZoneIdentifiers=ground.subnets,
        launchTemplate={"id": template, "version": "1"},
        tags=TAGS,
        initialLifecycleHooks=[hook],
        **ATTRIBUTES,
    )
    found = ground.driver.refresh(made)
    assert found is not None
    assert {key: found.outputs[key] for key in ATTRIBUTES} == ATTRIBUTES
    assert found.outputs["tags"] == TAGS
    assert ground.driver.diff(found).changes == []
    [there] = ground.driver.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName="g")["LifecycleHooks"]
    assert (there["LifecycleHookName"], there["HeartbeatTimeout"]) == ("drain", 60)


def mixed(ground: Ground, template: str, **more: Any) -> Any:
    policy = {
        "launchTemplate": {
            "launchTemplateSpecification": {"launchTemplateId": template, "version": "1"},
            "overrides": [{"instanceType": "m5.large"}, {"instanceType": "m5a.large"}],
        },
        "instancesDistribution": {"onDemandBaseCapacity": 1, "onDemandPercentageAboveBaseCapacity": 0},
    }
    return ground.driver.create(
        "aws:autoscaling/group:Group",
        "g",
        name="g",
        minSize=1,
        maxSize=3,
        vpcZoneIdentifiers=ground.subnets,
        mixedInstancesPolicy=policy,
        **more,
    )


def test_a_mixed_policy_comes_back_and_its_protected_machines_do_not_keep_the_group(
    ground: Ground, template: str
) -> None:
    made = mixed(ground, template, protectFromScaleIn=True)
    found = ground.driver.refresh(made)
    assert found is not None
    policy = found.outputs["mixedInstancesPolicy"]
    assert [one["instanceType"] for one in policy["launchTemplate"]["overrides"]] == ["m5.large", "m5a.large"]
    assert policy["instancesDistribution"]["onDemandPercentageAboveBaseCapacity"] == 0
    assert ground.driver.diff(found).changes == []
    ground.driver.delete(found)
    assert ground.driver.refresh(found) is None


def test_a_group_launches_from_one_or_the_other(ground: Ground, template: str) -> None:
    with pytest.raises(AssertionError, match="give one of launchTemplate and mixedInstancesPolicy"):
        mixed(ground, template, launchTemplate={"id": template, "version": "1"})


def test_a_policy_and_a_schedule_come_back_beside_those_of_the_group_they_were_copied_from(
    ground: Ground, template: str
) -> None:
    """Names are a group's own: the copy's are called as the old ones are."""
    client = ground.driver.client("autoscaling")
    for name in ("old", "g"):
        client.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=0,
            MaxSize=1,
            DesiredCapacity=0,
            VPCZoneIdentifier=ground.subnets[0],
            LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
        )
    predefined = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}}
    tracking = {"TargetValue": 50.0, **predefined}
    kind = "TargetTrackingScaling"
    client.put_scaling_policy(
        AutoScalingGroupName="old", PolicyName="p", PolicyType=kind, TargetTrackingConfiguration=tracking
    )
    client.put_scheduled_update_group_action(AutoScalingGroupName="old", ScheduledActionName="s", MaxSize=9)
    metric = {
        "namespace": "Own",
        "metricName": "Load",
        "statistic": "Average",
        "metricDimensions": [{"name": "AutoScalingGroupName", "value": "g"}],
    }
    policy = ground.driver.create(
        "aws:autoscaling/policy:Policy",
        "p",
        name="p",
        autoscalingGroupName="g",
        policyType="TargetTrackingScaling",
        enabled=True,
        targetTrackingConfiguration={
            "targetValue": 2.5,
            "disableScaleIn": False,
            "customizedMetricSpecification": metric,
        },
    )
    schedule = ground.driver.create(
        "aws:autoscaling/schedule:Schedule",
        "s",
        scheduledActionName="s",
        autoscalingGroupName="g",
        recurrence="0 20 * * *",
        minSize=-1,
        maxSize=3,
        desiredCapacity=-1,
    )
    for made in (policy, schedule):
        found = ground.driver.refresh(made)
        assert found is not None and ground.driver.diff(found).changes == []
        assert ground.driver.import_(made, f"g/{made.id}").outputs["autoscalingGroupName"] == "g"
        ground.driver.delete(made)
        assert ground.driver.refresh(made) is None
    [kept] = client.describe_policies(AutoScalingGroupName="old")["ScalingPolicies"]
    assert kept["TargetTrackingConfiguration"]["TargetValue"] == 50.0
    [action] = client.describe_scheduled_actions(AutoScalingGroupName="old")["ScheduledUpdateGroupActions"]
    assert action["MaxSize"] == 9
