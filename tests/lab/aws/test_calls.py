"""Every call the product makes is answered as it needs it: a walk through each service, no rule broken."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.addresses import REGION

POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
TAGS = [{"Key": "KubernetesCluster", "Value": "pet"}]


def spec(kind: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": TAGS}]


def test_a_network_is_built_described_and_changed(aws: Any) -> None:
    ec2 = aws.ec2
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [z["ZoneName"] for z in zones] == ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    vpc = ec2.create_vpc(CidrBlock="127.30.0.0/16", TagSpecifications=spec("vpc"))["Vpc"]["VpcId"]
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        ec2.modify_vpc_attribute(VpcId=vpc, **{attribute: {"Value": True}})
    assert ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"] is True
    found = ec2.describe_vpcs(Filters=[{"Name": "tag:KubernetesCluster", "Values": ["pet"]}])["Vpcs"]
    assert [v["VpcId"] for v in found] == [vpc]
    subnet = ec2.create_subnet(
        VpcId=vpc, CidrBlock="127.30.1.0/24", AvailabilityZone="eu-central-1a", TagSpecifications=spec("subnet")
    )["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    gateway = ec2.create_internet_gateway(TagSpecifications=spec("internet-gateway"))["InternetGateway"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc)
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=spec("elastic-ip"))["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address, TagSpecifications=spec("natgateway"))[
        "NatGateway"
    ]["NatGatewayId"]
    described = ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]
    assert described["State"] == "available"
    assert described["NatGatewayAddresses"][0]["PrivateIp"].startswith("127.30.1.")
    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=spec("route-table"))["RouteTable"]["RouteTableId"]
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway["InternetGatewayId"])
    ec2.replace_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName="com.amazonaws.eu-central-1.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[table],
        TagSpecifications=spec("vpc-endpoint"),
    )["VpcEndpoint"]["VpcEndpointId"]
    routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    assert {r.get("NatGatewayId") or r.get("GatewayId") for r in routes} == {"local", nat, endpoint}
    told = next(t for t in aws.state()["route_tables"] if t["id"] == table)
    assert told["subnets"] == [subnet]
    assert {(r["cidr"], r["target"]) for r in told["routes"] if r["cidr"][0].isdigit()} == {
        ("127.30.0.0/16", "local"),
        ("0.0.0.0/0", nat),
    }
    assert next(s for s in aws.state()["subnets"] if s["id"] == subnet)["route_table"] == table
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, RemoveRouteTableIds=[table])
    assert len(ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]) == 2
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, AddRouteTableIds=[table])
    assert len(ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]) == 3
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    assert ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["VpcEndpoints"] == []
    assert len(ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]) == 2
    ec2.delete_nat_gateway(NatGatewayId=nat)
    ec2.release_address(AllocationId=address)
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route_table(RouteTableId=table)
    ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"])
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)


def test_a_subnet_without_a_table_of_its_own_has_the_main_one(aws: Any, old: Any) -> None:
    main = aws.ec2.describe_route_tables(
        Filters=[{"Name": "vpc-id", "Values": [old.vpc]}, {"Name": "association.main", "Values": ["true"]}]
    )["RouteTables"][0]["RouteTableId"]
    assert {s["route_table"] for s in aws.state()["subnets"] if s["vpc"] == old.vpc} == {main}


def test_things_are_found_by_tag_vpc_and_group(aws: Any, old: Any) -> None:
    ec2 = aws.ec2
    instance = old.new_instance(TagSpecifications=spec("instance"))
    in_vpc, tagged = {"Name": "vpc-id", "Values": [old.vpc]}, {"Name": "tag:KubernetesCluster", "Values": ["pet"]}
    found = ec2.describe_instances(Filters=[in_vpc, tagged, {"Name": "instance-state-name", "Values": ["running"]}])[
        "Reservations"
    ]
    assert [i["InstanceId"] for r in found for i in r["Instances"]] == [instance]
    by_group = ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": [old.group]}])
    assert len(by_group["NetworkInterfaces"]) == 1
    assert len(ec2.describe_subnets(Filters=[in_vpc])["Subnets"]) == 3
    assert len(ec2.describe_security_groups(Filters=[in_vpc])["SecurityGroups"]) == 2
    tags = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [instance]}])["Tags"]
    assert [(t["Key"], t["Value"]) for t in tags] == [("KubernetesCluster", "pet")]
    ec2.delete_tags(Resources=[instance], Tags=[{"Key": "KubernetesCluster"}])
    assert ec2.describe_instances(Filters=[tagged])["Reservations"] == []


def test_a_machine_has_the_address_it_is_known_by_in_the_cluster_as_a_second_one(aws: Any, old: Any) -> None:
    instance = old.new_instance()
    seen = aws.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    first = seen["PrivateIpAddress"]
    assert first.startswith("127.10.")
    addresses = [(a["PrivateIpAddress"], a["Primary"]) for a in seen["NetworkInterfaces"][0]["PrivateIpAddresses"]]
    assert addresses == [(first, True), ("10." + first.removeprefix("127."), False)]
    assert [i["ip"] for i in aws.state()["interfaces"]] == [first], "nothing listens there"


def test_an_extra_security_group_reaches_instance_and_backplane(aws: Any, old: Any) -> None:
    instance = old.new_instance()
    extra = aws.ec2.create_security_group(GroupName="extra", Description="x", VpcId=old.vpc)["GroupId"]
    aws.ec2.modify_instance_attribute(InstanceId=instance, Groups=[old.group, extra])
    assert aws.state()["instances"][0]["security_groups"] == sorted([old.group, extra])
    aws.ec2.modify_instance_attribute(InstanceId=instance, Groups=[extra])
    seen = aws.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert [g["GroupId"] for g in seen["SecurityGroups"]] == [extra]
    assert aws.state()["instances"][0]["security_groups"] == [extra]
    aws.ec2.delete_security_group(GroupId=old.group)


def test_many_templates_are_listed_page_by_page_with_their_current_tags(aws: Any, old: Any) -> None:
    ids = [old.new_template(f"t{n}") for n in range(20)]
    assert len(aws.ec2.describe_launch_templates()["LaunchTemplates"]) == 20
    pages = list(aws.ec2.get_paginator("describe_launch_templates").paginate(PaginationConfig={"PageSize": 7}))
    assert [len(p["LaunchTemplates"]) for p in pages] == [7, 7, 6]
    aws.ec2.create_tags(Resources=[ids[0]], Tags=TAGS)
    found = aws.ec2.describe_launch_templates(LaunchTemplateIds=[ids[0]])["LaunchTemplates"][0]
    assert found["Tags"] == TAGS
    aws.ec2.create_launch_template_version(
        LaunchTemplateId=ids[0], SourceVersion="1", LaunchTemplateData={"UserData": "eA=="}
    )
    aws.ec2.modify_launch_template(LaunchTemplateId=ids[0], DefaultVersion="2")
    version = aws.ec2.describe_launch_template_versions(LaunchTemplateId=ids[0], Versions=["$Default"])
    data = version["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert (data["UserData"], data["InstanceType"]) == ("eA==", "m5.large")
    aws.ec2.create_launch_template_version(LaunchTemplateId=ids[0], LaunchTemplateData={"InstanceType": "m5.large"})
    gone = aws.ec2.delete_launch_template_versions(LaunchTemplateId=ids[0], Versions=["3", "2", "9"])
    assert [one["VersionNumber"] for one in gone["SuccessfullyDeletedLaunchTemplateVersions"]] == [3]
    assert [one["VersionNumber"] for one in gone["UnsuccessfullyDeletedLaunchTemplateVersions"]] == [2, 9]
    made = aws.ec2.create_launch_template_version(
        LaunchTemplateId=ids[0], LaunchTemplateData={"InstanceType": "m5.large"}
    )
    assert made["LaunchTemplateVersion"]["VersionNumber"] == 4
    latest = aws.ec2.describe_launch_template_versions(LaunchTemplateId=ids[0], Versions=["$Latest", "4"])
    assert {one["VersionNumber"] for one in latest["LaunchTemplateVersions"]} == {4}
    aws.ec2.delete_launch_template(LaunchTemplateId=ids[0])


def test_a_balancer_its_targets_and_listener_are_described_and_changed(aws: Any, old: Any) -> None:
    elb, tags = aws.elb, [{"Key": "team", "Value": "platform"}]
    balancer = old.new_balancer("ingress", Tags=tags)
    arn = balancer["LoadBalancerArn"]
    assert elb.describe_load_balancers(Names=["ingress"])["LoadBalancers"][0]["State"]["Code"] == "active"
    assert elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]["Type"] == "network"
    targets = old.new_targets(
        "api",
        TargetType="ip",
        Port=6443,
        HealthCheckProtocol="HTTPS",
        HealthCheckPath="/readyz",
        Tags=tags,
        HealthCheckIntervalSeconds=10,
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=2,
    )
    elb.modify_target_group(TargetGroupArn=targets, HealthCheckPath="/livez")
    elb.modify_target_group_attributes(
        TargetGroupArn=targets,
        Attributes=[
            {"Key": "deregistration_delay.timeout_seconds", "Value": "30"},
            {"Key": "preserve_client_ip.enabled", "Value": "false"},
        ],
    )
    told = aws.state()["target_groups"][0]
    assert told["health"] == {
        "protocol": "HTTPS",
        "port": "traffic-port",
        "path": "/livez",
        "interval_s": 10,
        "matcher": "200",
        "healthy": 2,
        "unhealthy": 2,
    }
    assert told["attributes"]["preserve_client_ip.enabled"] == "false"
    listener = old.listen(balancer, targets, 6443)
    other = old.new_targets("other", Port=6443)
    elb.modify_listener(ListenerArn=listener, DefaultActions=[{"Type": "forward", "TargetGroupArn": other}])
    assert aws.state()["load_balancers"][0]["listeners"][0]["target_group"] == other
    described = elb.describe_listeners(LoadBalancerArn=arn)["Listeners"][0]
    assert (described["Port"], described["DefaultActions"][0]["TargetGroupArn"]) == (6443, other)
    for resource in (arn, targets):
        assert elb.describe_tags(ResourceArns=[resource])["TagDescriptions"][0]["Tags"] == tags
    elb.add_tags(ResourceArns=[arn], Tags=[{"Key": "k", "Value": "v"}])
    elb.remove_tags(ResourceArns=[arn], TagKeys=["k"])
    assert {a["Key"] for a in elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]} > {
        "deletion_protection.enabled"
    }
    elb.delete_listener(ListenerArn=listener)
    elb.delete_target_group(TargetGroupArn=targets)
    elb.delete_load_balancer(LoadBalancerArn=arn)


def test_quotas_and_limits_are_answered(aws: Any) -> None:
    assert aws.elb.describe_account_limits()["Limits"]
    assert aws.asg.describe_account_limits()["MaxNumberOfAutoScalingGroups"] == 500
    assert aws.ec2.describe_account_attributes()["AccountAttributes"]
    quotas = aws.client("service-quotas").list_aws_default_service_quotas(ServiceCode="vpc")["Quotas"]
    assert any("peering" in q["QuotaName"].lower() for q in quotas)


def test_roles_profiles_and_policies(aws: Any) -> None:
    iam = aws.iam
    iam.create_role(RoleName="node", AssumeRolePolicyDocument="{}", Tags=TAGS)
    iam.create_instance_profile(InstanceProfileName="node")
    iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="node")
    iam.put_role_policy(RoleName="node", PolicyName="p", PolicyDocument=POLICY)
    assert iam.list_role_policies(RoleName="node")["PolicyNames"] == ["p"]
    assert iam.get_instance_profile(InstanceProfileName="node")["InstanceProfile"]["Roles"][0]["RoleName"] == "node"
    iam.remove_role_from_instance_profile(InstanceProfileName="node", RoleName="node")
    iam.delete_instance_profile(InstanceProfileName="node")
    iam.delete_role_policy(RoleName="node", PolicyName="p")
    iam.delete_role(RoleName="node")


def test_parameters_are_written_read_by_path_and_deleted(aws: Any) -> None:
    ssm = aws.ssm
    ssm.put_parameter(Name="/pet/members/m1/ticket", Value="{}", Type="String", Tags=TAGS)
    assert ssm.put_parameter(Name="/pet/members/m1/ticket", Value="[]", Type="String", Overwrite=True)["Version"] == 2
    found = ssm.get_parameters_by_path(Path="/pet", Recursive=True)["Parameters"]
    assert [(p["Name"], p["Value"]) for p in found] == [("/pet/members/m1/ticket", "[]")]
    ssm.delete_parameter(Name="/pet/members/m1/ticket")


def test_a_rule_that_names_a_group_is_changed_in_place_and_keeps_its_description(aws: Any, old: Any) -> None:
    other = aws.ec2.create_security_group(GroupName="other", Description="x", VpcId=old.vpc)["GroupId"]
    pair = {"GroupId": old.group, "Description": "nodes"}
    permission = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "UserIdGroupPairs": [pair]}
    made = aws.ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[permission])
    rule_id = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def rule() -> dict[str, Any]:
        return aws.ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule_id])["SecurityGroupRules"][0]

    assert rule()["Description"] == "nodes"
    aws.ec2.modify_security_group_rules(
        GroupId=other,
        SecurityGroupRules=[
            {
                "SecurityGroupRuleId": rule_id,
                "SecurityGroupRule": {
                    "IpProtocol": "-1",
                    "FromPort": -1,
                    "ToPort": -1,
                    "ReferencedGroupId": other,
                    "Description": "own",
                },
            }
        ],
    )
    assert (rule()["IpProtocol"], rule()["Description"]) == ("-1", "own")
    assert rule()["ReferencedGroupInfo"]["GroupId"] == other
    told = next(g for g in aws.state()["security_groups"] if g["id"] == other)["ingress"]
    assert told == [{"protocol": "-1", "from": None, "to": None, "cidrs": [], "groups": [other], "prefix_lists": []}]


def test_a_groups_plain_parameters_are_kept_and_updated(aws: Any, old: Any) -> None:
    old.new_group("workers", 0, DefaultInstanceWarmup=5, MaxInstanceLifetime=86400)

    def group() -> dict[str, Any]:
        return aws.asg.describe_auto_scaling_groups()["AutoScalingGroups"][0]

    assert (group()["HealthCheckGracePeriod"], group()["DefaultInstanceWarmup"]) == (0, 5)
    assert group()["MaxInstanceLifetime"] == 86400
    aws.asg.update_auto_scaling_group(
        AutoScalingGroupName="workers",
        DefaultCooldown=7,
        TerminationPolicies=["OldestInstance"],
        HealthCheckGracePeriod=30,
        CapacityRebalance=True,
    )
    assert (group()["DefaultCooldown"], group()["TerminationPolicies"]) == (7, ["OldestInstance"])
    assert (group()["HealthCheckGracePeriod"], group()["CapacityRebalance"]) == (30, True)


def test_a_balancers_security_groups_reach_its_interfaces(aws: Any, old: Any) -> None:
    balancer = old.new_balancer("ingress", SecurityGroups=[old.group])
    other = aws.ec2.create_security_group(GroupName="other", Description="x", VpcId=old.vpc)["GroupId"]
    aws.elb.set_security_groups(LoadBalancerArn=balancer["LoadBalancerArn"], SecurityGroups=[other])
    assert {tuple(i["groups"]) for i in aws.state()["interfaces"]} == {(other,)}
    aws.ec2.delete_security_group(GroupId=old.group)


def test_calls_that_changed_something_are_counted_by_whose_they_are(aws: Any) -> None:
    def counted() -> dict[str, int]:
        return dict(aws.get("/calls").get("lab", {}))

    before = counted()
    vpc = aws.ec2.create_vpc(CidrBlock="127.30.0.0/16")["Vpc"]["VpcId"]
    aws.ec2.describe_vpcs()
    aws.ssm.put_parameter(Name="/pet/record", Type="String", Value="1")
    aws.ssm.get_parameter(Name="/pet/record")
    zone = aws.dns.create_hosted_zone(Name="pet.", CallerReference="1")["HostedZone"]["Id"]
    aws.dns.list_resource_record_sets(HostedZoneId=zone)
    with pytest.raises(ClientError):
        aws.ec2.delete_subnet(SubnetId="subnet-0123456789abcdef0")
    session: Any = boto3.Session("a-machine", "its secret", region_name=REGION)
    session.client("ec2", endpoint_url=aws.url).delete_vpc(VpcId=vpc)
    after = counted()
    assert {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)} == {
        "CreateVpc": 1,
        "PutParameter": 1,
        "POST hostedzone": 1,
    }
    assert aws.get("/calls")["a-machine"] == {"DeleteVpc": 1}


def test_all_calls_are_counted_by_what_their_caller_says_it_is(aws: Any) -> None:
    def counted(app: str) -> dict[str, int]:
        return dict(aws.get("/asked").get(app, {}))

    session: Any = boto3.Session("lab", "lab", region_name=REGION)
    named = session.client("ec2", endpoint_url=aws.url, config=Config(user_agent_extra="app/an-operation"))
    before = counted("an-operation")
    named.describe_vpcs()
    with pytest.raises(ClientError):
        named.delete_subnet(SubnetId="subnet-0123456789abcdef0")
    aws.ec2.describe_vpcs()
    after = counted("an-operation")
    assert {name: count - before.get(name, 0) for name, count in after.items()} == {
        "ec2:DescribeVpcs": 1,
        "ec2:DeleteSubnet": 1,
    }
    assert counted("")["ec2:DescribeVpcs"] >= 1
