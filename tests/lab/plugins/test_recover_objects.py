"""Whatever an interrupted create may have made is found again, as what the engine can import; and nobody else's is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from lab.addresses import REGION
from migration.clients.aws import Aws
from migration.recover.decide import Fate, decide
from migration.recover.objects import KINDS, Found
from migration.recover.state import Deployment, Operation, Resource
from tests.lab.plugins.driving import Driver, Made
from tests.lab.plugins.making import (
    ZONES,
    Ground,
    balancer,
    ground_of,
    peering,
    resolver_rule,
    route_table,
    targets,
    template,
    web_listener,
    web_targets,
    zone,
)

TAGS = {"Name": "x", "migration:cluster": "pet", "migration:side": "main", "migration:role": "thing"}
OTHERS = {**TAGS, "migration:cluster": "dog"}
LISTED = [{"key": key, "value": value, "propagateAtLaunch": True} for key, value in TAGS.items()]


@pytest.fixture
def ground(driver: Driver) -> Ground:
    found = ground_of(driver)
    found.template = template(found).id
    return found


@pytest.fixture
def aws(aws_url: str, plugin: object, monkeypatch: pytest.MonkeyPatch) -> Aws:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_url)
    return Aws(region=REGION, session=boto3.Session("lab", "lab", region_name=REGION))


def empty_group(ground: Ground) -> Made:
    return ground.driver.create(
        "aws:autoscaling/group:Group",
        "g",
        name="g",
        minSize=0,
        maxSize=1,
        vpcZoneIdentifiers=ground.subnets,
        launchTemplate={"id": ground.template, "version": "1"},
    )


Given = Callable[[Ground], dict[str, Any]]
CASES: dict[str, Given] = {
    "aws:ec2/vpc:Vpc": lambda g: {"cidrBlock": "127.70.0.0/16"},
    "aws:ec2/subnet:Subnet": lambda g: {
        "vpcId": g.vpc.id,
        "cidrBlock": "127.30.9.0/24",
        "availabilityZone": ZONES[0],
    },
    "aws:ec2/routeTable:RouteTable": lambda g: {"vpcId": g.vpc.id},
    "aws:ec2/routeTableAssociation:RouteTableAssociation": lambda g: {
        "subnetId": g.subnets[0],
        "routeTableId": route_table(g).id,
    },
    "aws:ec2/route:Route": lambda g: {
        "routeTableId": route_table(g).id,
        "destinationCidrBlock": "127.10.0.0/16",
        "vpcPeeringConnectionId": peering(g).id,
    },
    "aws:ec2/internetGateway:InternetGateway": lambda g: {"vpcId": g.vpc.id},
    "aws:ec2/eip:Eip": lambda g: {"domain": "vpc"},
    "aws:ec2/natGateway:NatGateway": lambda g: {
        "subnetId": g.subnets[0],
        "allocationId": g.driver.create("aws:ec2/eip:Eip", "e", domain="vpc").id,
    },
    "aws:ec2/vpcEndpoint:VpcEndpoint": lambda g: {
        "vpcId": g.vpc.id,
        "serviceName": "com.amazonaws.eu-central-1.s3",
        "routeTableIds": [route_table(g).id],
    },
    "aws:ec2/vpcPeeringConnection:VpcPeeringConnection": lambda g: {
        "vpcId": g.vpc.id,
        "peerVpcId": g.other.id,
        "autoAccept": True,
    },
    "aws:ec2/securityGroup:SecurityGroup": lambda g: {"name": "control-plane", "vpcId": g.vpc.id},
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": lambda g: {
        "securityGroupId": g.group,
        "ipProtocol": "tcp",
        "fromPort": 2379,
        "toPort": 2379,
        "cidrIpv4": "127.30.0.0/16",
    },
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": lambda g: {
        "securityGroupId": g.group,
        "ipProtocol": "-1",
        "referencedSecurityGroupId": g.group,
    },
    "aws:ec2/launchTemplate:LaunchTemplate": lambda g: {"name": "t", "instanceType": "m5.large"},
    "aws:autoscaling/group:Group": lambda g: {
        "name": "g",
        "minSize": 0,
        "maxSize": 1,
        "vpcZoneIdentifiers": g.subnets,
        "launchTemplate": {"id": g.template, "version": "1"},
    },
    "aws:ebs/volume:Volume": lambda g: {"availabilityZone": ZONES[0], "size": 8, "type": "gp3"},
    "aws:lb/loadBalancer:LoadBalancer": lambda g: {
        "name": "api",
        "loadBalancerType": "network",
        "internal": True,
        "subnets": g.subnets,
    },
    "aws:lb/targetGroup:TargetGroup": lambda g: {
        "name": "api",
        "port": 6443,
        "protocol": "TCP",
        "vpcId": g.vpc.id,
        "targetType": "ip",
    },
    "aws:lb/listener:Listener": lambda g: {
        "loadBalancerArn": balancer(g).id,
        "port": 6443,
        "protocol": "TCP",
        "defaultActions": [{"type": "forward", "targetGroupArn": targets(g).id}],
    },
    "aws:lb/listenerRule:ListenerRule": lambda g: {
        "listenerArn": web_listener(g).id,
        "priority": 7,
        "conditions": [{"hostHeader": {"values": ["shop.pet.example"]}}],
        "actions": [{"type": "forward", "targetGroupArn": web_targets(g, "other").id}],
    },
    "aws:route53/zoneAssociation:ZoneAssociation": lambda g: {"zoneId": zone(g), "vpcId": g.vpc.id},
    "aws:route53/resolverRuleAssociation:ResolverRuleAssociation": lambda g: {
        "resolverRuleId": resolver_rule(g),
        "vpcId": g.vpc.id,
        "name": "main-rule",
    },
    "aws:autoscaling/policy:Policy": lambda g: {
        "name": "cpu",
        "autoscalingGroupName": empty_group(g).id,
        "policyType": "TargetTrackingScaling",
        "targetTrackingConfiguration": {
            "targetValue": 60,
            "predefinedMetricSpecification": {"predefinedMetricType": "ASGAverageCPUUtilization"},
        },
    },
    "aws:autoscaling/schedule:Schedule": lambda g: {
        "scheduledActionName": "night",
        "autoscalingGroupName": empty_group(g).id,
        "recurrence": "0 20 * * *",
        "minSize": 1,
        "maxSize": -1,
        "desiredCapacity": -1,
    },
}
UNTAGGED = {
    "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "aws:ec2/route:Route",
    "aws:route53/zoneAssociation:ZoneAssociation",
    "aws:route53/resolverRuleAssociation:ResolverRuleAssociation",
    "aws:autoscaling/policy:Policy",
    "aws:autoscaling/schedule:Schedule",
}
GROUP = "aws:autoscaling/group:Group"


def tags(kind: str, given: dict[str, str]) -> dict[str, Any]:
    if kind in UNTAGGED:
        return {}
    listed = [{"key": key, "value": value, "propagateAtLaunch": True} for key, value in given.items()]
    return {"tags": listed if kind == GROUP else given}


def pending(kind: str, inputs: dict[str, Any]) -> Operation:
    return Operation(resource=Resource(urn=f"urn:pulumi:s::p::{kind}::x", type=kind, inputs=inputs), type="creating")


def test_every_type_that_is_looked_for_is_made_here() -> None:
    assert set(CASES) == set(KINDS)


@pytest.mark.parametrize("kind", CASES)
def test_what_was_made_is_found_as_what_the_engine_imports(kind: str, ground: Ground, aws: Aws) -> None:
    inputs = {**CASES[kind](ground), **tags(kind, TAGS)}
    resource = pending(kind, inputs).resource
    before, marks = KINDS[kind].look(aws, resource)
    assert before == [], "nothing is found before it is made"

    made: Made = ground.driver.create(kind, "x", **inputs)
    [found], marks = KINDS[kind].look(aws, resource)
    imported = ground.driver.import_(made, found.id)
    # The lab's plugin makes an association's id up: it finds them by their subnets.
    assert imported.id == made.id or kind == "aws:ec2/routeTableAssociation:RouteTableAssociation"
    imported.inputs = made.inputs
    assert not any(change.replace for change in ground.driver.diff(imported).changes), "the next up makes no second one"
    decided = decide(pending(kind, inputs), Deployment(), [found], marks, remove="", removable=False)
    assert (decided.fate, decided.id) == (Fate.ADOPT, found.id)


BY_PLACE = sorted(
    set(CASES)
    - UNTAGGED
    # These have nothing but their tags: what has others isn't found.
    - {
        "aws:ec2/vpc:Vpc",
        "aws:ec2/routeTable:RouteTable",
        "aws:ec2/internetGateway:InternetGateway",
        "aws:ec2/eip:Eip",
        "aws:ebs/volume:Volume",
    }
)


@pytest.mark.parametrize("kind", BY_PLACE)
def test_what_is_in_its_place_without_the_tags_is_somebody_elses(kind: str, ground: Ground, aws: Aws) -> None:
    inputs = CASES[kind](ground)
    ground.driver.create(kind, "x", **inputs, **tags(kind, OTHERS))
    operation = pending(kind, {**inputs, **tags(kind, TAGS)})
    found, marks = KINDS[kind].look(aws, operation.resource)
    decided = decide(operation, Deployment(), found, marks, remove=KINDS[kind].remove)
    assert decided.fate is Fate.UNSURE
    assert found[0].id in decided.why
    assert "migration:cluster=pet" in decided.why


@pytest.mark.parametrize("kind", sorted(set(CASES) - UNTAGGED - set(BY_PLACE)))
def test_what_only_has_tags_is_not_found_by_others_tags(kind: str, ground: Ground, aws: Aws) -> None:
    inputs = CASES[kind](ground)
    ground.driver.create(kind, "x", **inputs, **tags(kind, OTHERS))
    assert KINDS[kind].look(aws, pending(kind, {**inputs, **tags(kind, TAGS)}).resource)[0] == []


def test_a_route_to_somewhere_else_is_not_the_one(ground: Ground, aws: Aws) -> None:
    table, kind = route_table(ground).id, "aws:ec2/route:Route"
    wanted = {"routeTableId": table, "destinationCidrBlock": "127.10.0.0/16"}
    ground.driver.create(kind, "x", **wanted, vpcPeeringConnectionId=peering(ground).id)
    assert KINDS[kind].look(aws, pending(kind, {**wanted, "gatewayId": "igw-1"}).resource)[0] == []


def test_a_template_is_deleted_and_made_again_unless_a_group_uses_it(ground: Ground, aws: Aws) -> None:
    kind = KINDS["aws:ec2/launchTemplate:LaunchTemplate"]
    assert kind.used(aws, ground.template) == []
    ground.driver.create(
        GROUP,
        "g",
        name="g",
        minSize=0,
        maxSize=1,
        vpcZoneIdentifiers=ground.subnets,
        launchTemplate={"id": ground.template, "version": "1"},
        tags=LISTED,
    )
    assert kind.used(aws, ground.template) == ["g"]
    free = ground.driver.create("aws:ec2/launchTemplate:LaunchTemplate", "f", name="f", instanceType="m5.large")
    assert kind.again is not None
    kind.again(aws, free.id)
    assert ground.driver.refresh(free) is None


def test_found_without_tags_is_by_its_place(ground: Ground, aws: Aws) -> None:
    kind = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    inputs = CASES[kind](ground)
    ground.driver.create(kind, "x", **inputs)
    assert KINDS[kind].look(aws, pending(kind, inputs).resource)[0] == [
        Found(id=f"{inputs['subnetId']}/{inputs['routeTableId']}")
    ]
