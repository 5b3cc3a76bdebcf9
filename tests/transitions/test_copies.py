"""A copied worker group is a copy: what the old side's templates and groups say is what the new side's say."""

from __future__ import annotations

from typing import Any

import pytest

from migration.workers.carried import carried_group, carried_template
from tests.samples import configuration, settings
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


GROUP: dict[str, Any] = {
    "AutoScalingGroupName": "m5-a.pet",
    "MinSize": 1,
    "MaxSize": 3,
    "DesiredCapacity": 2,
    "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "1"},
    "AvailabilityZones": ["eu-central-1a"],
    "VPCZoneIdentifier": "subnet-old",
    "DefaultCooldown": 0,
    "HealthCheckType": "ELB",
    "HealthCheckGracePeriod": 0,
    "TerminationPolicies": ["OldestInstance", "Default"],
    "NewInstancesProtectedFromScaleIn": True,
    "ServiceLinkedRoleARN": "arn:aws-cn:iam::1:role/aws-service-role/autoscaling.amazonaws.com/own",
    "MaxInstanceLifetime": 604800,
    "CapacityRebalance": True,
    "EnabledMetrics": [{"Metric": "GroupMinSize", "Granularity": "1Minute"}],
    "InstanceMaintenancePolicy": {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 110},
    "SuspendedProcesses": [{"ProcessName": "AZRebalance"}],
    "TargetGroupARNs": ["arn:old"],
    "TrafficSources": [{"Identifier": "arn:old", "Type": "elbv2"}],
    "AvailabilityZoneImpairmentPolicy": {"ZonalShiftEnabled": False},
    "DeletionProtection": "none",
    "Tags": [
        {"Key": "k8s.io/cluster-autoscaler/pet", "Value": "owned", "PropagateAtLaunch": False},
        {"Key": "team", "Value": "a", "PropagateAtLaunch": True},
        {"Key": "migration:hold", "Value": "x", "PropagateAtLaunch": False},
    ],
}
HOOK = {
    "LifecycleHookName": "drain",
    "AutoScalingGroupName": "m5-a.pet",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
    "HeartbeatTimeout": 60,
    "GlobalTimeout": 6000,
    "DefaultResult": "CONTINUE",
    "NotificationTargetARN": "arn:aws-cn:sqs:cn-north-1:1:q",
    "RoleARN": "arn:aws-cn:iam::1:role/r",
}
MIXED = {
    "LaunchTemplate": {
        "LaunchTemplateSpecification": {"LaunchTemplateId": "lt-1", "Version": "1"},
        "Overrides": [
            {"InstanceType": "m5.large", "WeightedCapacity": "1"},
            {"InstanceRequirements": {"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 4096, "Max": 8192}}},
        ],
    },
    "InstancesDistribution": {
        "OnDemandAllocationStrategy": "prioritized",
        "OnDemandBaseCapacity": 1,
        "OnDemandPercentageAboveBaseCapacity": 25,
        "SpotAllocationStrategy": "capacity-optimized",
        "SpotMaxPrice": "",
    },
}


def declared(group: dict[str, Any], monkeypatch: pytest.MonkeyPatch, pools: dict[str, Any] | None = None) -> Any:
    copied = carried_group(group, [HOOK], None)
    assert copied.left == ()
    own = {tag["Key"]: tag["Value"] for tag in group["Tags"] if not tag["PropagateAtLaunch"]}
    monkeypatch.setattr(
        recorder,
        "GROUP",
        {
            "ownTags": own,
            "mixed": copied.mixed.model_dump(by_alias=True, exclude_none=True) if copied.mixed else None,
            "attributes": copied.attributes.model_dump(by_alias=True, exclude_none=True),
            "hooks": [one.model_dump(by_alias=True, exclude_none=True) for one in copied.hooks],
        },
    )
    sides = configuration()["sides"]
    sides["main"]["pools"] = pools or {}
    return declare(settings(3, sides=sides))


def test_a_groups_attributes_hooks_and_tags_are_declared_as_the_old_ones_are(monkeypatch: pytest.MonkeyPatch) -> None:
    found = declared(GROUP, monkeypatch)[("Group", "main-m5-a")].inputs
    mine = {"name", "minSize", "maxSize", "desiredCapacity", "targetGroupArns", "vpcZoneIdentifiers", "launchTemplate"}
    assert {key: value for key, value in found.items() if key not in {*mine, "tags"}} == {
        "defaultCooldown": 0,
        "healthCheckType": "ELB",
        "healthCheckGracePeriod": 0,
        "terminationPolicies": ["OldestInstance", "Default"],
        "protectFromScaleIn": True,
        "serviceLinkedRoleArn": "arn:aws-cn:iam::1:role/aws-service-role/autoscaling.amazonaws.com/own",
        "maxInstanceLifetime": 604800,
        "capacityRebalance": True,
        "enabledMetrics": ["GroupMinSize"],
        "instanceMaintenancePolicy": {"minHealthyPercentage": 90, "maxHealthyPercentage": 110},
        "suspendedProcesses": ["AZRebalance"],
        "initialLifecycleHooks": [
            {
                "name": "drain",
                "lifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
                "heartbeatTimeout": 60,
                "defaultResult": "CONTINUE",
                "notificationTargetArn": "arn:aws-cn:sqs:cn-north-1:1:q",
                "roleArn": "arn:aws-cn:iam::1:role/r",
            }
        ],
    }
    tags = {one["key"]: one["propagateAtLaunch"] for one in found["tags"]}
    assert tags["k8s.io/cluster-autoscaler/pet"] is False and tags["migration:cluster"] is True


def test_a_mixed_policy_is_declared_with_the_new_template(monkeypatch: pytest.MonkeyPatch) -> None:
    found = declared({**GROUP, "MixedInstancesPolicy": MIXED}, monkeypatch)
    assert "launchTemplate" not in found[("Group", "main-m5-a")].inputs
    assert found[("Group", "main-m5-a")].inputs["mixedInstancesPolicy"] == {
        "launchTemplate": {
            "launchTemplateSpecification": {"launchTemplateId": "id-main-m5-a", "version": "1"},
            "overrides": [
                {"instanceType": "m5.large"},
                {"instanceRequirements": {"vcpuCount": {"min": 2}, "memoryMib": {"min": 4096, "max": 8192}}},
            ],
        },
        "instancesDistribution": {
            "onDemandAllocationStrategy": "prioritized",
            "onDemandBaseCapacity": 1,
            "onDemandPercentageAboveBaseCapacity": 25,
            "spotAllocationStrategy": "capacity-optimized",
        },
    }


def test_types_and_market_of_the_configuration_stand_in_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = {"m5-a": {"instanceTypes": ["m6i.large", "m6a.large"], "market": "spot"}}
    for group in (GROUP, {**GROUP, "MixedInstancesPolicy": MIXED}):
        found = declared(group, monkeypatch, pools)
        policy = found[("Group", "main-m5-a")].inputs["mixedInstancesPolicy"]
        overrides = policy["launchTemplate"]["overrides"]
        assert overrides == [{"instanceType": "m6i.large"}, {"instanceType": "m6a.large"}]
        assert policy["instancesDistribution"]["onDemandPercentageAboveBaseCapacity"] == 0
        # AWS refuses a policy over a template that says its own market.
        assert "instanceMarketOptions" not in found[("LaunchTemplate", "main-m5-a")].inputs


def test_policies_come_with_the_group_and_schedules_when_pods_have_moved() -> None:
    """A schedule would set the sizes that are held still meanwhile."""
    pools = configuration()["pools"]
    metric = {
        "namespace": "Own",
        "name": "Load",
        "statistic": "Average",
        "dimensions": {"AutoScalingGroupName": "{group}"},
    }
    pools[0] |= {
        "scaling": [
            {"name": "cpu", "target": 60, "predefined": "ASGAverageCPUUtilization", "warmup": 30},
            {"name": "load", "target": 2.5, "metric": metric, "disableScaleIn": True},
        ],
        "schedules": [{"name": "night", "recurrence": "0 20 * * *", "timeZone": "Europe/Berlin", "min": 1}],
    }
    at = {stage: declare(settings(stage, pools=pools)) for stage in (2, 3, 6, 7)}
    logical = f"main-{pools[0]['name']}"
    policies = {("Policy", f"{logical}-policy-{name}") for name in ("cpu", "load")}
    schedule = ("Schedule", f"{logical}-schedule-night")
    assert [policies <= set(at[stage]) for stage in at] == [False, True, True, True]
    assert [schedule in at[stage] for stage in at] == [False, False, False, True]
    group = at[3][("Group", logical)].inputs["name"]
    assert at[3][("Policy", f"{logical}-policy-cpu")].inputs == {
        "name": "cpu",
        "autoscalingGroupName": group,
        "policyType": "TargetTrackingScaling",
        "enabled": True,
        "estimatedInstanceWarmup": 30,
        "targetTrackingConfiguration": {
            "targetValue": 60,
            "disableScaleIn": False,
            "predefinedMetricSpecification": {"predefinedMetricType": "ASGAverageCPUUtilization"},
        },
    }
    tracked = at[3][("Policy", f"{logical}-policy-load")].inputs["targetTrackingConfiguration"]
    assert tracked["customizedMetricSpecification"]["metricDimensions"] == [
        {"name": "AutoScalingGroupName", "value": group}
    ]
    assert at[7][schedule].inputs == {
        "scheduledActionName": "night",
        "autoscalingGroupName": group,
        "recurrence": "0 20 * * *",
        "timeZone": "Europe/Berlin",
        "minSize": 1,
        "maxSize": -1,
        "desiredCapacity": -1,
    }


MORE: list[dict[str, Any]] = [
    {
        "name": "scrape",
        "id": "sg-scrape",
        "pools": ["m5-a"],
        "rules": [
            {"direction": "ingress", "protocol": "tcp", "fromPort": 9100, "toPort": 9100, "cidr": "10.50.0.0/16"},
            {"direction": "ingress", "protocol": "tcp", "fromPort": 22, "toPort": 22, "group": "bastion"},
            {"direction": "ingress", "protocol": "tcp", "fromPort": 443, "toPort": 443, "group": "sg-elsewhere"},
            {"direction": "egress", "prefixList": "pl-1", "description": "S3"},
        ],
    },
    {"name": "bastion", "id": "sg-bastion", "controlPlane": True},
]


def rules_at(stage: int) -> dict[str, Any]:
    found = declare(settings(stage, securityGroups=MORE))
    prefix = "main-group-scrape-"
    return {name[len(prefix) :]: one.inputs for (_, name), one in found.items() if name.startswith(prefix)}


def test_a_copied_group_has_the_old_ones_rules_on_the_new_side() -> None:
    assert rules_at(1) == {}
    rules = rules_at(3)
    assert sorted(rules) == [
        "egress-any-all-pl-1",
        "ingress-tcp-22-22-bastion",
        "ingress-tcp-22-22-bastion-before",
        "ingress-tcp-443-443-sg-elsewhere",
        "ingress-tcp-9100-9100-10.50.0.0/16",
    ]
    assert rules["ingress-tcp-22-22-bastion"]["referencedSecurityGroupId"] == "id-main-group-bastion"
    assert rules["ingress-tcp-22-22-bastion-before"]["referencedSecurityGroupId"] == "sg-bastion"
    assert rules["egress-any-all-pl-1"] == {
        "securityGroupId": "id-main-group-scrape",
        "ipProtocol": "-1",
        "prefixListId": "pl-1",
        "description": "S3",
        "tags": rules["egress-any-all-pl-1"]["tags"],
    }
    # Groups of the old VPC can't be named any more when the peering goes.
    assert sorted(rules_at(8)) == [
        "egress-any-all-pl-1",
        "ingress-tcp-22-22-bastion",
        "ingress-tcp-9100-9100-10.50.0.0/16",
    ]


def test_a_copied_group_has_the_clusters_tag_only_where_the_old_one_has_it() -> None:
    """cloud-provider-aws, findSecurityGroupForInstance: several tagged groups of one machine fail every sync."""
    tagged = [MORE[0] | {"tags": {"kubernetes.io/cluster/pet.k8s.lab.internal": "shared", "Team": "shop"}}, MORE[1]]
    found = declare(settings(3, securityGroups=tagged))
    tags = {name: one.inputs.get("tags", {}) for (_, name), one in found.items()}

    def installers(name: str) -> dict[str, str]:
        return {key: value for key, value in tags[name].items() if key.startswith("kubernetes.io") or key == "Team"}

    assert installers("main-group-scrape") == {"kubernetes.io/cluster/pet.k8s.lab.internal": "shared", "Team": "shop"}
    assert installers("main-group-bastion") == {}
    assert "KubernetesCluster" not in tags["main-group-bastion"]
    assert tags["main-group-bastion"]["migration:side"] == "main"
    assert len(installers("main-nodes")) == 1


def test_machines_are_in_the_copied_groups_that_are_theirs() -> None:
    found = declare(settings(7, securityGroups=MORE))

    def groups(logical: str) -> list[str]:
        return found[("LaunchTemplate", logical)].inputs["vpcSecurityGroupIds"]

    assert groups("main-m5-a") == ["id-main-nodes", "id-main-group-scrape"]
    assert groups("main-m5-b") == ["id-main-nodes"]
    assert groups("main-member-a") == ["id-main-control-plane", "id-main-group-bastion"]
