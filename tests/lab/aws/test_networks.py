"""Groups, peerings and routes, and what may be deleted: VPCs keep to themselves unless a peering is active."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.aws import hooks


def allow_from(aws: Any, group: str, other: str) -> Any:
    return aws.ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": other}]}]
    )


def test_launching_with_a_group_of_another_vpc_is_refused(old: Any, new: Any, refuses: Any) -> None:
    refuses(
        "InvalidParameter",
        "group_and_subnet_of_different_vpcs",
        lambda: old.new_instance(SecurityGroupIds=[new.group]),
    )


def test_an_interface_with_a_group_of_another_vpc_is_refused(aws: Any, old: Any, new: Any, refuses: Any) -> None:
    refuses(
        "InvalidParameter",
        "group_and_subnet_of_different_vpcs",
        lambda: aws.ec2.create_network_interface(SubnetId=old.subnets[0], Groups=[new.group]),
    )


def test_a_group_whose_template_names_another_vpcs_security_group_is_refused(old: Any, new: Any, refuses: Any) -> None:
    foreign = old.new_template("foreign", SecurityGroupIds=[new.group])
    refuses(
        "ValidationError",
        "template_groups_of_another_vpc",
        lambda: old.new_group("workers", 0, LaunchTemplate={"LaunchTemplateId": foreign, "Version": "1"}),
    )


def test_naming_a_group_of_an_unpeered_vpc_is_refused(aws: Any, old: Any, new: Any, refuses: Any) -> None:
    refuses("InvalidGroup.NotFound", "group_of_an_unpeered_vpc", lambda: allow_from(aws, old.group, new.group))


def test_naming_a_group_over_an_active_peering_is_fine(aws: Any, old: Any, new: Any, peering: str) -> None:
    allow_from(aws, old.group, new.group)
    by_group = [{"Name": "group-id", "Values": [old.group]}]
    rules = aws.ec2.describe_security_group_rules(Filters=by_group)["SecurityGroupRules"]
    assert [r["ReferencedGroupInfo"]["GroupId"] for r in rules if "ReferencedGroupInfo" in r] == [new.group]


def test_several_permissions_are_authorized_whole_and_each_has_its_rule_id(aws: Any, old: Any, new: Any) -> None:
    ports = [{"IpProtocol": "tcp", "FromPort": p, "ToPort": p, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]} for p in (1, 2)]
    foreign = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": new.group}]}
    with pytest.raises(ClientError):
        aws.ec2.authorize_security_group_ingress(GroupId=old.group, IpPermissions=[*ports, foreign])
    rules = aws.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [old.group]}])
    assert [r for r in rules["SecurityGroupRules"] if not r["IsEgress"]] == []
    made = aws.ec2.authorize_security_group_ingress(
        GroupId=old.group,
        IpPermissions=ports,
        TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": [{"Key": "k", "Value": "v"}]}],
    )["SecurityGroupRules"]
    assert len({r["SecurityGroupRuleId"] for r in made}) == 2
    assert made[0]["Tags"] == [{"Key": "k", "Value": "v"}]
    aws.ec2.revoke_security_group_ingress(GroupId=old.group, SecurityGroupRuleIds=[made[0]["SecurityGroupRuleId"]])
    rules = aws.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [old.group]}])
    assert [r["FromPort"] for r in rules["SecurityGroupRules"] if not r["IsEgress"]] == [2]


def test_a_group_an_instance_uses_is_not_deleted(aws: Any, old: Any, refuses: Any) -> None:
    old.new_instance()
    refuses("DependencyViolation", "group_in_use", lambda: aws.ec2.delete_security_group(GroupId=old.group))


def test_a_group_of_a_terminated_instance_is_deleted(aws: Any, old: Any) -> None:
    aws.ec2.terminate_instances(InstanceIds=[old.new_instance()])
    aws.ec2.delete_security_group(GroupId=old.group)


def test_a_group_an_interface_uses_is_not_deleted(aws: Any, old: Any, refuses: Any) -> None:
    aws.ec2.create_network_interface(SubnetId=old.subnets[0], Groups=[old.group])
    refuses("DependencyViolation", "group_in_use", lambda: aws.ec2.delete_security_group(GroupId=old.group))


def test_a_group_a_balancer_uses_is_not_deleted(aws: Any, old: Any, refuses: Any) -> None:
    old.new_balancer("ingress", SecurityGroups=[old.group])
    refuses("DependencyViolation", "group_in_use", lambda: aws.ec2.delete_security_group(GroupId=old.group))


def test_a_group_another_rule_of_its_vpc_names_is_not_deleted(aws: Any, old: Any, refuses: Any) -> None:
    other = aws.ec2.create_security_group(GroupName="other", Description="x", VpcId=old.vpc)["GroupId"]
    allow_from(aws, other, old.group)
    allow_from(aws, old.group, old.group)
    refuses("DependencyViolation", "group_in_use", lambda: aws.ec2.delete_security_group(GroupId=old.group))


def test_a_group_only_a_peer_vpc_names_is_deleted(aws: Any, old: Any, new: Any, peering: str) -> None:
    allow_from(aws, new.group, old.group)
    aws.ec2.delete_security_group(GroupId=old.group)
    groups = aws.ec2.describe_security_groups()["SecurityGroups"]
    assert old.group not in {g["GroupId"] for g in groups}


def test_a_vpcs_default_group_is_not_deleted(aws: Any, old: Any, refuses: Any) -> None:
    groups = aws.ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [old.vpc]}])["SecurityGroups"]
    default = next(g["GroupId"] for g in groups if g["GroupName"] == "default")
    refuses("CannotDelete", "default_group", lambda: aws.ec2.delete_security_group(GroupId=default))


def status(aws: Any, peering_id: str) -> str:
    found = aws.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[peering_id])
    return found["VpcPeeringConnections"][0]["Status"]["Code"]


def test_a_peering_of_overlapping_networks_fails_and_cannot_be_accepted(aws: Any, old: Any) -> None:
    twin = aws.ec2.create_vpc(CidrBlock="127.10.128.0/17")["Vpc"]["VpcId"]
    made = aws.ec2.create_vpc_peering_connection(VpcId=twin, PeerVpcId=old.vpc)["VpcPeeringConnection"]
    assert status(aws, made["VpcPeeringConnectionId"]) == "failed"
    with pytest.raises(ClientError, match="InvalidStateTransition"):
        aws.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=made["VpcPeeringConnectionId"])
    with hooks.without("overlapping_cidrs"):
        made = aws.ec2.create_vpc_peering_connection(VpcId=twin, PeerVpcId=old.vpc)["VpcPeeringConnection"]
    assert status(aws, made["VpcPeeringConnectionId"]) == "pending-acceptance"


def test_a_second_peering_of_the_same_vpcs_is_refused(aws: Any, old: Any, new: Any, peering: str, refuses: Any) -> None:
    refuses(
        "VpcPeeringConnectionAlreadyExists",
        "peering_exists",
        lambda: aws.ec2.create_vpc_peering_connection(VpcId=old.vpc, PeerVpcId=new.vpc),
    )


def test_a_deleted_peering_is_not_deleted_again(aws: Any, peering: str, refuses: Any) -> None:
    aws.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=peering)
    refuses(
        "InvalidStateTransition",
        "peering_already_deleted",
        lambda: aws.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=peering),
    )


def test_dns_options_need_an_active_peering(aws: Any, old: Any, new: Any, refuses: Any) -> None:
    made = aws.ec2.create_vpc_peering_connection(VpcId=new.vpc, PeerVpcId=old.vpc)["VpcPeeringConnection"]
    peering_id = made["VpcPeeringConnectionId"]
    options = {"AllowDnsResolutionFromRemoteVpc": True}
    refuses(
        "OperationNotPermitted",
        "options_of_an_inactive_peering",
        lambda: aws.ec2.modify_vpc_peering_connection_options(
            VpcPeeringConnectionId=peering_id, RequesterPeeringConnectionOptions=options
        ),
    )
    aws.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering_id)
    aws.ec2.modify_vpc_peering_connection_options(
        VpcPeeringConnectionId=peering_id, AccepterPeeringConnectionOptions=options
    )
    found = aws.ec2.describe_vpc_peering_connections()["VpcPeeringConnections"][0]
    assert found["AccepterVpcInfo"]["PeeringOptions"]["AllowDnsResolutionFromRemoteVpc"] is True


def test_a_route_to_a_peering_is_a_black_hole_until_accepted_and_after_deletion(aws: Any, old: Any, new: Any) -> None:
    made = aws.ec2.create_vpc_peering_connection(VpcId=new.vpc, PeerVpcId=old.vpc)["VpcPeeringConnection"]
    peering_id = made["VpcPeeringConnectionId"]
    table = aws.ec2.create_route_table(VpcId=old.vpc)["RouteTable"]["RouteTableId"]
    aws.ec2.create_route(RouteTableId=table, DestinationCidrBlock="127.30.0.0/16", VpcPeeringConnectionId=peering_id)

    def states() -> list[str]:
        described = aws.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        told = next(t for t in aws.state()["route_tables"] if t["id"] == table)["routes"]
        answers = [r["State"] for r in described if r.get("VpcPeeringConnectionId")]
        assert answers == [r["state"] for r in told if r["target"] == peering_id]
        return answers

    assert states() == ["blackhole"]
    aws.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering_id)
    assert states() == ["active"]
    aws.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=peering_id)
    assert states() == ["blackhole"]
    with hooks.without("blackhole_routes"):
        routes = aws.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        assert {r["State"] for r in routes} == {"active"}


def test_a_route_to_somebody_elses_peering_is_refused(aws: Any, peering: str, refuses: Any) -> None:
    third = aws.ec2.create_vpc(CidrBlock="127.50.0.0/16")["Vpc"]["VpcId"]
    table = aws.ec2.create_route_table(VpcId=third)["RouteTable"]["RouteTableId"]
    refuses(
        "InvalidParameterValue",
        "peering_of_another_vpc",
        lambda: aws.ec2.create_route(
            RouteTableId=table, DestinationCidrBlock="127.10.0.0/16", VpcPeeringConnectionId=peering
        ),
    )


def new_volume(aws: Any, zone: str = "eu-central-1a") -> str:
    return aws.ec2.create_volume(Size=1, AvailabilityZone=zone)["VolumeId"]


def test_attaching_a_volume_twice_is_refused(aws: Any, old: Any, refuses: Any) -> None:
    volume, first, second = new_volume(aws), old.new_instance(), old.new_instance()
    aws.ec2.attach_volume(VolumeId=volume, InstanceId=first, Device="/dev/sdf")
    refuses(
        "VolumeInUse",
        "volume_attached_already",
        lambda: aws.ec2.attach_volume(VolumeId=volume, InstanceId=second, Device="/dev/sdf"),
    )


def test_attaching_a_volume_of_another_zone_is_refused(aws: Any, old: Any, refuses: Any) -> None:
    volume, instance = new_volume(aws, "eu-central-1b"), old.new_instance()
    refuses(
        "InvalidVolume.ZoneMismatch",
        "volume_of_another_zone",
        lambda: aws.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf"),
    )


def test_a_device_name_is_taken_once(aws: Any, old: Any, refuses: Any) -> None:
    first, second, instance = new_volume(aws), new_volume(aws), old.new_instance()
    aws.ec2.attach_volume(VolumeId=first, InstanceId=instance, Device="/dev/sdf")
    refuses(
        "InvalidParameterValue",
        "device_taken_or_instance_gone",
        lambda: aws.ec2.attach_volume(VolumeId=second, InstanceId=instance, Device="/dev/sdf"),
    )


def test_a_volume_outlives_its_instance_and_moves_on(aws: Any, old: Any) -> None:
    volume, first, second = new_volume(aws), old.new_instance(), old.new_instance()
    aws.ec2.attach_volume(VolumeId=volume, InstanceId=first, Device="/dev/sdf")
    with pytest.raises(ClientError, match="VolumeInUse"):
        aws.ec2.delete_volume(VolumeId=volume)
    aws.ec2.terminate_instances(InstanceIds=[first])
    aws.ec2.attach_volume(VolumeId=volume, InstanceId=second, Device="/dev/sdf")
    found = next(v for v in aws.state()["volumes"] if v["id"] == volume)
    assert (found["attached_to"], found["device"]) == (second, "/dev/sdf")
    aws.ec2.detach_volume(VolumeId=volume)
    aws.ec2.delete_volume(VolumeId=volume)


def seen(aws: Any, volume: str) -> tuple[str, list[str]]:
    """A volume's state, and its attachments'."""
    found = aws.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]
    return found["State"], [attachment["State"] for attachment in found["Attachments"]]


def test_a_mounted_volume_is_let_go_of_once_it_is_unmounted_and_goes_nowhere_before(aws: Any, old: Any) -> None:
    volume, first, second = new_volume(aws), old.new_instance(), old.new_instance()
    aws.ec2.attach_volume(VolumeId=volume, InstanceId=first, Device="/dev/sdf")
    aws.post("/mounts", {"instance": first, "volumes": [volume]})
    for _ in range(2):
        assert aws.ec2.detach_volume(VolumeId=volume)["State"] == "detaching"
    assert seen(aws, volume) == ("in-use", ["detaching"])
    with pytest.raises(ClientError, match="VolumeInUse"):
        aws.ec2.attach_volume(VolumeId=volume, InstanceId=second, Device="/dev/sdf")
    aws.post("/mounts", {"instance": second, "volumes": []})
    assert seen(aws, volume) == ("in-use", ["detaching"])
    aws.post("/mounts", {"instance": first, "volumes": []})
    assert seen(aws, volume) == ("available", [])
    aws.ec2.attach_volume(VolumeId=volume, InstanceId=second, Device="/dev/sdf")


def test_a_volume_that_is_only_unmounted_stays_attached(aws: Any, old: Any) -> None:
    volume, first = new_volume(aws), old.new_instance()
    aws.ec2.attach_volume(VolumeId=volume, InstanceId=first, Device="/dev/sdf")
    aws.post("/mounts", {"instance": first, "volumes": [volume]})
    aws.post("/mounts", {"instance": first, "volumes": []})
    assert seen(aws, volume) == ("in-use", ["attached"])
    aws.ec2.detach_volume(VolumeId=volume)
    assert seen(aws, volume) == ("available", [])


def test_force_tears_a_mounted_volume_off(aws: Any, old: Any) -> None:
    volume, first = new_volume(aws), old.new_instance()
    aws.ec2.attach_volume(VolumeId=volume, InstanceId=first, Device="/dev/sdf")
    aws.post("/mounts", {"instance": first, "volumes": [volume]})
    aws.ec2.detach_volume(VolumeId=volume, Force=True)
    assert seen(aws, volume) == ("available", [])


def test_an_instances_end_ends_its_mounts(aws: Any, old: Any) -> None:
    volume, first, second = new_volume(aws), old.new_instance(), old.new_instance()
    aws.ec2.attach_volume(VolumeId=volume, InstanceId=first, Device="/dev/sdf")
    aws.post("/mounts", {"instance": first, "volumes": [volume]})
    aws.ec2.terminate_instances(InstanceIds=[first])
    aws.ec2.attach_volume(VolumeId=volume, InstanceId=second, Device="/dev/sdf")


def test_a_volume_is_not_detached_from_an_instance_that_does_not_have_it(aws: Any, old: Any, refuses: Any) -> None:
    volume, first, second = new_volume(aws), old.new_instance(), old.new_instance()
    aws.ec2.attach_volume(VolumeId=volume, InstanceId=first, Device="/dev/sdf")
    refuses(
        "IncorrectState",
        "detached_from_another_instance",
        lambda: aws.ec2.detach_volume(VolumeId=volume, InstanceId=second),
    )


def test_an_instance_takes_a_bounded_number_of_volumes(aws: Any, old: Any, refuses: Any) -> None:
    instance = old.new_instance()
    for number in range(26):  # beside the root volume and the interface
        aws.ec2.attach_volume(VolumeId=new_volume(aws), InstanceId=instance, Device=f"/dev/xvdb{chr(97 + number)}")
    last = new_volume(aws)
    refuses(
        "AttachmentLimitExceeded",
        "no_room_for_another_volume",
        lambda: aws.ec2.attach_volume(VolumeId=last, InstanceId=instance, Device="/dev/xvdca"),
    )


def test_a_subnet_with_an_interface_is_not_deleted(aws: Any, old: Any, refuses: Any) -> None:
    old.new_instance()
    refuses("DependencyViolation", "subnet_in_use", lambda: aws.ec2.delete_subnet(SubnetId=old.subnets[0]))


def test_an_instances_interface_is_not_deleted(aws: Any, old: Any, refuses: Any) -> None:
    interface = aws.ec2.describe_instances(InstanceIds=[old.new_instance()])["Reservations"][0]["Instances"][0]
    interface_id = interface["NetworkInterfaces"][0]["NetworkInterfaceId"]
    refuses(
        "InvalidParameterValue",
        "interface_in_use",
        lambda: aws.ec2.delete_network_interface(NetworkInterfaceId=interface_id),
    )


def test_a_deleted_subnet_lets_its_route_table_go(aws: Any, old: Any) -> None:
    table = aws.ec2.create_route_table(VpcId=old.vpc)["RouteTable"]["RouteTableId"]
    aws.ec2.associate_route_table(RouteTableId=table, SubnetId=old.subnets[0])
    with pytest.raises(ClientError, match="DependencyViolation"):
        aws.ec2.delete_route_table(RouteTableId=table)
    aws.ec2.delete_subnet(SubnetId=old.subnets[0])
    aws.ec2.delete_route_table(RouteTableId=table)


def test_a_vpc_with_a_gateway_is_not_deleted(aws: Any, refuses: Any) -> None:
    vpc = aws.ec2.create_vpc(CidrBlock="127.50.0.0/16")["Vpc"]["VpcId"]
    gateway = aws.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    aws.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    refuses("DependencyViolation", "vpc_in_use", lambda: aws.ec2.delete_vpc(VpcId=vpc))


def test_a_whole_vpc_can_be_taken_down(aws: Any, old: Any, new: Any, peering: str) -> None:
    ec2 = aws.ec2
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=old.subnets[0], AllocationId=address)["NatGateway"]["NatGatewayId"]
    endpoint = ec2.create_vpc_endpoint(VpcId=old.vpc, ServiceName="com.amazonaws.eu-central-1.s3")["VpcEndpoint"]
    instance, balancer = old.new_instance(), old.new_balancer("ingress")
    with pytest.raises(ClientError, match="DependencyViolation"):
        ec2.delete_vpc(VpcId=old.vpc)
    ec2.terminate_instances(InstanceIds=[instance])
    aws.elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    ec2.delete_nat_gateway(NatGatewayId=nat)
    ec2.release_address(AllocationId=address)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint["VpcEndpointId"]])
    ec2.delete_security_group(GroupId=old.group)
    for subnet in old.subnets:
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=old.vpc)
    assert status(aws, peering) == "deleted"
    state = aws.state()
    assert old.vpc not in json_text(state["interfaces"]) + json_text(state["subnets"]) + json_text(state["vpcs"])


def json_text(value: Any) -> str:
    return repr(value)


def test_an_interface_of_another_service_is_that_services(aws: Any, old: Any, refuses: Any) -> None:
    marked = [{"ResourceType": "network-interface", "Tags": [{"Key": "lab/requester", "Value": "amazon-rds"}]}]
    made = aws.ec2.create_network_interface(
        SubnetId=old.subnets[0], Groups=[old.group], Description="RDSNetworkInterface", TagSpecifications=marked
    )["NetworkInterface"]
    one = made["NetworkInterfaceId"]
    shown = aws.ec2.describe_network_interfaces(Filters=[{"Name": "requester-id", "Values": ["amazon-rds"]}])
    assert [(i["NetworkInterfaceId"], i["RequesterManaged"]) for i in shown["NetworkInterfaces"]] == [(one, True)]
    change = aws.ec2.modify_network_interface_attribute
    refuses("AuthFailure", "interface_of_a_service_changed", lambda: change(NetworkInterfaceId=one, Groups=[old.group]))
    delete = aws.ec2.delete_network_interface
    refuses("InvalidParameterValue", "interface_of_a_service", lambda: delete(NetworkInterfaceId=one))
