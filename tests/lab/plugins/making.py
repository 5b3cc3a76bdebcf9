"""One of each type, on common ground."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.lab.plugins.driving import Driver, Made

ALLOW = {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*"}
ZONES = ("eu-central-1a", "eu-central-1b")


@dataclass
class Ground:
    """What other resources stand on: two VPCs, subnets, a group, a template."""

    driver: Driver
    vpc: Made
    other: Made
    subnets: list[str] = field(default_factory=list)
    group: str = ""
    template: str = ""


def new_vpc(driver: Driver, name: str, octet: int) -> Made:
    return driver.create("aws:ec2/vpc:Vpc", name, cidrBlock=f"127.{octet}.0.0/16", tags={"Name": name})


def ground_of(driver: Driver) -> Ground:
    """The two VPCs with a subnet a zone and a security group; a template is for the test to make."""
    found = Ground(driver, new_vpc(driver, "main", 30), new_vpc(driver, "legacy", 10))
    for index, where in enumerate(ZONES):
        subnet = driver.create(
            "aws:ec2/subnet:Subnet",
            where,
            vpcId=found.vpc.id,
            cidrBlock=f"127.30.{index}.0/24",
            availabilityZone=where,
        )
        found.subnets.append(subnet.id)
    found.group = driver.create("aws:ec2/securityGroup:SecurityGroup", "nodes", name="nodes", vpcId=found.vpc.id).id
    return found


def peering(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:ec2/vpcPeeringConnection:VpcPeeringConnection",
        "p",
        vpcId=ground.vpc.id,
        peerVpcId=ground.other.id,
        autoAccept=True,
        tags={"Name": "p"},
    )


def route_table(ground: Ground) -> Made:
    return ground.driver.create("aws:ec2/routeTable:RouteTable", "r", vpcId=ground.vpc.id)


def route(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:ec2/route:Route",
        "r",
        routeTableId=route_table(ground).id,
        destinationCidrBlock="127.10.0.0/16",
        vpcPeeringConnectionId=peering(ground).id,
    )


def association(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        "a",
        subnetId=ground.subnets[0],
        routeTableId=route_table(ground).id,
    )


def endpoint(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        "s3",
        vpcId=ground.vpc.id,
        serviceName="com.amazonaws.eu-central-1.s3",
        routeTableIds=[route_table(ground).id],
    )


def internet(ground: Ground) -> Made:
    return ground.driver.create("aws:ec2/internetGateway:InternetGateway", "i", vpcId=ground.vpc.id)


def address(ground: Ground) -> Made:
    return ground.driver.create("aws:ec2/eip:Eip", "e", domain="vpc")


def nat(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:ec2/natGateway:NatGateway", "n", subnetId=ground.subnets[0], allocationId=address(ground).id
    )


def ingress(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        "i",
        securityGroupId=ground.group,
        ipProtocol="tcp",
        fromPort=2379,
        toPort=2380,
        cidrIpv4="127.30.0.0/16",
        description="etcd",
        tags={"Name": "etcd"},
    )


def egress(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        "e",
        securityGroupId=ground.group,
        ipProtocol="-1",
        referencedSecurityGroupId=ground.group,
        description="all",
    )


def template(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:ec2/launchTemplate:LaunchTemplate",
        "u",
        name="u",
        imageId="ami-12c6146b",
        instanceType="m5.large",
        userData="I2Nsb3VkLWNvbmZpZwo=",
        vpcSecurityGroupIds=[ground.group],
        updateDefaultVersion=True,
        ebsOptimized="true",
        iamInstanceProfile={"arn": "arn:aws:iam::123456789012:instance-profile/nodes"},
        metadataOptions={"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 2},
        instanceMarketOptions={"marketType": "spot"},
        blockDeviceMappings=[
            {"deviceName": "/dev/xvda", "ebs": {"volumeSize": 20, "encrypted": "true", "deleteOnTermination": "true"}}
        ],
        tags={"Name": "u"},
    )


def targets(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:lb/targetGroup:TargetGroup",
        "t",
        name="t",
        port=6443,
        protocol="TCP",
        vpcId=ground.vpc.id,
        targetType="ip",
        deregistrationDelay=10,
        preserveClientIp="false",
        healthCheck={
            "protocol": "TCP",
            "port": "traffic-port",
            "interval": 10,
            "healthyThreshold": 2,
            "unhealthyThreshold": 2,
        },
    )


def balancer(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:lb/loadBalancer:LoadBalancer",
        "b",
        name="b",
        loadBalancerType="network",
        internal=True,
        subnets=ground.subnets,
        enableCrossZoneLoadBalancing=True,
    )


def listener(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:lb/listener:Listener",
        "l",
        loadBalancerArn=balancer(ground).id,
        port=6443,
        protocol="TCP",
        defaultActions=[{"type": "forward", "targetGroupArn": targets(ground).id}],
    )


def workers(ground: Ground, **more: Any) -> Made:
    return ground.driver.create(
        "aws:autoscaling/group:Group",
        "g",
        name="g",
        minSize=1,
        maxSize=3,
        desiredCapacity=2,
        vpcZoneIdentifiers=ground.subnets,
        launchTemplate={"id": ground.template, "version": "1"},
        tags=[{"key": "Name", "value": "w", "propagateAtLaunch": True}],
        suspendedProcesses=["AZRebalance"],
        **more,
    )


def zone(ground: Ground) -> str:
    made = ground.driver.client("route53").create_hosted_zone(
        Name="pet.lab.internal",
        CallerReference="test",
        HostedZoneConfig={"PrivateZone": True},
        VPC={"VPCRegion": "eu-central-1", "VPCId": ground.other.id},
    )
    return made["HostedZone"]["Id"].rpartition("/")[2]


def record(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:route53/record:Record",
        "r",
        zoneId=zone(ground),
        name="*.apps.pet.lab.internal",
        type="CNAME",
        ttl=5,
        records=["b.elb.amazonaws.com"],
        setIdentifier="main",
        weightedRoutingPolicies=[{"weight": 0}],
    )


def visibility(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:route53/zoneAssociation:ZoneAssociation", "z", zoneId=zone(ground), vpcId=ground.vpc.id
    )


def policy(ground: Ground) -> Made:
    ground.driver.client("iam").create_role(RoleName="member", AssumeRolePolicyDocument="{}")
    return ground.driver.create(
        "aws:iam/rolePolicy:RolePolicy",
        "p",
        name="member",
        role="member",
        policy=json.dumps({"Version": "2012-10-17", "Statement": [ALLOW]}),
    )


def volume(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:ebs/volume:Volume", "v", availabilityZone=ZONES[0], size=8, type="gp3", encrypted=True
    )


def options(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:ec2/peeringConnectionOptions:PeeringConnectionOptions",
        "o",
        vpcPeeringConnectionId=peering(ground).id,
        requester={"allowRemoteVpcDnsResolution": True},
        accepter={"allowRemoteVpcDnsResolution": True},
    )


def certificate(ground: Ground, name: str = "pet.example") -> str:
    made = ground.driver.client("acm").request_certificate(DomainName=name, ValidationMethod="DNS")
    return made["CertificateArn"]


def web_balancer(ground: Ground) -> Made:
    group = ground.driver.create("aws:ec2/securityGroup:SecurityGroup", "web", name="web", vpcId=ground.vpc.id)
    return ground.driver.create(
        "aws:lb/loadBalancer:LoadBalancer",
        "web",
        name="web",
        loadBalancerType="application",
        internal=True,
        subnets=ground.subnets,
        securityGroups=[group.id],
        idleTimeout=120,
    )


def web_targets(ground: Ground, name: str, **more: Any) -> Made:
    return ground.driver.create(
        "aws:lb/targetGroup:TargetGroup",
        name,
        name=name,
        port=30081,
        protocol="HTTP",
        vpcId=ground.vpc.id,
        healthCheck={"protocol": "HTTP", "path": "/healthz", "matcher": "200-399"},
        **more,
    )


def web_listener(ground: Ground, **more: Any) -> Made:
    return ground.driver.create(
        "aws:lb/listener:Listener",
        "web",
        loadBalancerArn=web_balancer(ground).id,
        port=443,
        protocol="HTTPS",
        certificateArn=certificate(ground),
        sslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
        defaultActions=[{"type": "forward", "targetGroupArn": web_targets(ground, "first").id}],
        **more,
    )


def resolver_rule(ground: Ground) -> str:
    client = ground.driver.client("route53resolver")
    endpoint = client.create_resolver_endpoint(
        CreatorRequestId="e",
        Name="out",
        Direction="OUTBOUND",
        SecurityGroupIds=[ground.group],
        IpAddresses=[{"SubnetId": one} for one in ground.subnets],
    )["ResolverEndpoint"]["Id"]
    made = client.create_resolver_rule(
        CreatorRequestId="r",
        Name="office",
        RuleType="FORWARD",
        DomainName="office.example",
        TargetIps=[{"Ip": "10.9.0.2", "Port": 53}],
        ResolverEndpointId=endpoint,
    )
    return made["ResolverRule"]["Id"]
