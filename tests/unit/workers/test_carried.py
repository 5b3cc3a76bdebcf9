"""What a copy takes over of a launch template: all that AWS says of one, but for what is named with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.session import get_session

from migration.contracts.workers import HeldBefore, Template
from migration.runtime.deadline import Permanent
from migration.workers.carried import PUBLIC, carried_group, carried_template, lower, taken
from migration.workers.snapshot import noted
from tests.unit.test_worker_operations import World, group

SHAPE: Any = get_session().get_service_model("ec2").shape_for("ResponseLaunchTemplateData")

# Everything else of a launch template is taken over.
NOT_TAKEN = {
    # A copy has its own, or it says who made the template.
    "securityGroupIds",
    "securityGroups",
    "operator.managed",
    "operator.principal",
    "operator.hiddenByDefault",
    "networkInterfaces.groups",
    # Of the old VPC.
    "networkInterfaces.subnetId",
    "networkInterfaces.networkInterfaceId",
    "networkInterfaces.privateIpAddress",
    "networkInterfaces.privateIpAddresses.primary",
    "networkInterfaces.privateIpAddresses.privateIpAddress",
    "networkInterfaces.ipv4Prefixes.ipv4Prefix",
    "networkInterfaces.ipv6AddressCount",
    "networkInterfaces.ipv6Addresses.ipv6Address",
    "networkInterfaces.ipv6Addresses.isPrimaryIpv6",
    "networkInterfaces.ipv6PrefixCount",
    "networkInterfaces.ipv6Prefixes.ipv6Prefix",
    "networkInterfaces.primaryIpv6",
    "networkInterfaces.associateCarrierIpAddress",
    "secondaryInterfaces.deleteOnTermination",
    "secondaryInterfaces.deviceIndex",
    "secondaryInterfaces.privateIpAddresses.privateIpAddress",
    "secondaryInterfaces.privateIpAddressCount",
    "secondaryInterfaces.secondarySubnetId",
    "secondaryInterfaces.interfaceType",
    "secondaryInterfaces.networkCardIndex",
    # What the official provider can't say.
    "elasticGpuSpecifications.type",
    "elasticInferenceAccelerators.type",
    "elasticInferenceAccelerators.count",
    "monitoring.metricCategoryIds",
    "placement.availabilityZoneId",
    "instanceRequirements.baselinePerformanceFactors.cpu.references.instanceFamily",
    "instanceRequirements.requireEncryptionInTransit",
}


def sample(shape: Any, name: str = "") -> Any:
    """A value of a shape that says something."""
    if shape.type_name == "structure":
        return {key: sample(member, key) for key, member in shape.members.items()}
    if shape.type_name == "list":
        return [sample(shape.member, name)]
    kinds = {"boolean": True, "integer": 3, "long": 3, "double": 1.5, "timestamp": datetime(2030, 1, 2, tzinfo=UTC)}
    return kinds.get(shape.type_name, f"some-{name}")


def leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from leaves(item, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{lower(key)}" if path else lower(key))
    else:
        yield path


def test_all_that_aws_says_of_a_template_is_taken_over_but_for_what_is_listed() -> None:
    everything = sample(SHAPE)
    kept, _ = taken(Template, everything)
    assert set(leaves(everything)) - set(leaves(kept)) == NOT_TAKEN


def test_whatever_is_taken_over_is_noted_and_comes_back_from_a_state() -> None:
    everything = sample(SHAPE)
    template, _ = carried_template(everything)
    held = template.model_dump(mode="json", by_alias=True, exclude_none=True)
    paths = set(leaves(held)) - {"whole"}
    assert paths == set(leaves(everything)) - NOT_TAKEN
    assert Template.model_validate(held) == template
    assert template.instance_market_options is not None
    spot = template.instance_market_options.spot_options
    assert spot is not None and spot.valid_until == "2030-01-02T00:00:00Z"


def test_an_earlier_versions_note_says_no_more_than_its_copy_had() -> None:
    held = {"imageId": "ami-1", "monitoring": {"enabled": True}, "tagSpecifications": []}
    assert Template.model_validate(held) == Template(image_id="ami-1")
    assert Template.model_validate({**held, "whole": True}).monitoring is not None


def left(**data: Any) -> dict[str, str]:
    _, found = carried_template({"ImageId": "ami-1", **data})
    return {one.path: str(one) for one in found}


def test_what_is_not_taken_over_is_told_by_name_and_empty_values_say_nothing() -> None:
    assert left(ElasticGpuSpecifications=[], Operator={"Managed": True}, SecurityGroupIds=["sg-1"]) == {}
    assert list(left(ElasticGpuSpecifications=[{"Type": "eg1"}])) == ["elasticGpuSpecifications"]
    assert list(left(Monitoring={"Enabled": True, "MetricCategoryIds": ["x"]})) == ["monitoring.metricCategoryIds"]
    interface = {"DeviceIndex": 0, "SubnetId": "subnet-1", "Groups": ["sg-1"], "AssociatePublicIpAddress": False}
    assert left(NetworkInterfaces=[interface]) == {}
    second = {**interface, "DeviceIndex": 1, "Ipv6AddressCount": 1}
    found = left(NetworkInterfaces=[interface, second])
    assert list(found) == ["networkInterfaces.subnetId", "networkInterfaces.ipv6AddressCount"]
    assert "old VPC" in found["networkInterfaces.subnetId"] and "IPv6" in found["networkInterfaces.ipv6AddressCount"]


def public() -> World:
    world = World({"a": group("a"), "b": group("b")})
    data = {"ImageId": "ami-1", "NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": True}]}
    world.templates = [{"LaunchTemplateData": data}]
    return world


def test_a_public_address_is_refused_for_every_group_that_has_one_or_given_up_by_name() -> None:
    world: Any = public()
    with pytest.raises(Permanent, match=r"a: networkInterfaces\.associatePublicIpAddress \(True\).*; b: .*without"):
        noted(world, world.described)
    found = noted(world, world.described, [PUBLIC])["a"].template.network_interfaces
    assert [one.associate_public_ip_address for one in found] == [False]


def left_of_group(held: HeldBefore | None = None, **said: Any) -> dict[str, str]:
    return {one.path: str(one) for one in carried_group({**group("a"), **said}, [], held).left}


def test_what_a_group_has_that_no_copy_can_have_is_named() -> None:
    assert left_of_group(TrafficSources=[{"Identifier": "arn:t", "Type": "elbv2"}], WarmPoolSize=0) == {}
    found = left_of_group(
        WarmPoolConfiguration={"MinSize": 1},
        LoadBalancerNames=["classic"],
        TrafficSources=[{"Identifier": "arn:t", "Type": "vpc-lattice"}],
        NotificationConfigurations=[{"TopicARN": "arn:topic"}],
        AvailabilityZoneImpairmentPolicy={"ZonalShiftEnabled": True},
        DesiredCapacityType="vcpu",
    )
    assert set(found) == {
        "warmPoolConfiguration",
        "loadBalancerNames",
        "trafficSources",
        "notificationConfigurations",
        "availabilityZoneImpairmentPolicy",
        "desiredCapacityType",
    }
    assert "nobody would drain them" in found["warmPoolConfiguration"]


def test_processes_that_would_keep_machines_away_are_refused() -> None:
    both = [{"ProcessName": "Launch"}, {"ProcessName": "AZRebalance"}]
    found = carried_group({**group("a"), "SuspendedProcesses": both}, [], None)
    assert [one.path for one in found.left] == ["suspendedProcesses.Launch"] and found.left[0].firm
    assert found.attributes.suspended_processes == ("AZRebalance",)


def test_what_this_program_suspended_is_no_attribute_of_the_groups() -> None:
    both = [{"ProcessName": "Launch"}, {"ProcessName": "AZRebalance"}]
    held = HeldBefore(max=5, suspended=("AZRebalance",))
    found = carried_group({**group("a"), "SuspendedProcesses": both}, [], held)
    assert found.left == () and found.attributes.suspended_processes == ("AZRebalance",)


def test_a_group_that_notifies_somebody_is_refused_by_its_name() -> None:
    world: Any = World({"a": group("a")})
    told = {"AutoScalingGroupName": "a", "TopicARN": "arn:topic", "NotificationType": "x"}
    world.told_to = [told]
    with pytest.raises(Permanent, match=r"a: notificationConfigurations .*without"):
        noted(world, world.described)
    assert noted(world, world.described, ["notificationConfigurations"])["a"].attributes is not None
