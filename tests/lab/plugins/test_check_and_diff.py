"""Update or replace, by literal: what is recorded, what is wanted, and what the provider's pages say about it."""

from __future__ import annotations

from typing import Any

import pytest

from lab.plugins import diffing
from lab.plugins.aws.table import TABLE
from lab.plugins.host import Request, diff_response
from lab.plugins.wire import UNKNOWN

VPC = {"cidrBlock": "127.30.0.0/16", "enableDnsSupport": True}
SUBNET = {"vpcId": "vpc-1", "cidrBlock": "127.30.0.0/20", "availabilityZone": "eu-central-1a"}
ROUTE = {"routeTableId": "rtb-1", "destinationCidrBlock": "127.10.0.0/16", "vpcPeeringConnectionId": "pcx-1"}
PEERING = {"vpcId": "vpc-1", "peerVpcId": "vpc-2", "autoAccept": True}
RULE = {"securityGroupId": "sg-1", "ipProtocol": "tcp", "fromPort": 2379, "toPort": 2380}
BY_GROUP = {**RULE, "referencedSecurityGroupId": "sg-2"}
BY_CIDR = {**RULE, "cidrIpv4": "127.10.0.0/16"}
SG = {"name": "nodes", "description": "nodes", "vpcId": "vpc-1"}
DISK = {"deviceName": "/dev/xvda", "ebs": {"volumeSize": 20, "encrypted": "true"}}
TEMPLATE = {
    "name": "t",
    "imageId": "ami-1",
    "userData": "YQ==",
    "vpcSecurityGroupIds": ["sg-1", "sg-2"],
    "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 2},
    "blockDeviceMappings": [DISK],
    "updateDefaultVersion": True,
}
NAMED = {"key": "Name", "value": "w", "propagateAtLaunch": True}
STAGE = {"key": "stage", "value": "1", "propagateAtLaunch": True}
GROUP = {
    "name": "g",
    "minSize": 1,
    "maxSize": 3,
    "desiredCapacity": 2,
    "vpcZoneIdentifiers": ["subnet-1", "subnet-2"],
    "launchTemplate": {"id": "lt-1", "name": "t", "version": "1"},
    "targetGroupArns": ["tg-1"],
    "tags": [NAMED],
    "suspendedProcesses": [],
    "healthCheckGracePeriod": 300,
}
BALANCER = {
    "name": "b",
    "loadBalancerType": "network",
    "internal": True,
    "subnets": ["subnet-1", "subnet-2"],
    "enableCrossZoneLoadBalancing": True,
}
TARGETS = {
    "name": "t",
    "port": 6443,
    "protocol": "TCP",
    "vpcId": "vpc-1",
    "targetType": "ip",
    "deregistrationDelay": 10,
    "healthCheck": {
        "protocol": "TCP",
        "port": "traffic-port",
        "interval": 10,
        "timeout": 6,
        "healthyThreshold": 2,
        "unhealthyThreshold": 2,
    },
}
LISTENER = {
    "loadBalancerArn": "lb-1",
    "port": 6443,
    "protocol": "TCP",
    "defaultActions": [{"type": "forward", "targetGroupArn": "tg-1"}],
}
RECORD = {
    "zoneId": "Z1",
    "name": "api",
    "type": "CNAME",
    "ttl": 10,
    "records": ["a"],
    "setIdentifier": "old",
    "weightedRoutingPolicies": [{"weight": 100}],
}
VOLUME = {"availabilityZone": "eu-central-1a", "size": 8, "type": "gp3", "encrypted": True}

ALIAS = {
    "vpc": "aws:ec2/vpc:Vpc",
    "subnet": "aws:ec2/subnet:Subnet",
    "route": "aws:ec2/route:Route",
    "association": "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "endpoint": "aws:ec2/vpcEndpoint:VpcEndpoint",
    "peering": "aws:ec2/vpcPeeringConnection:VpcPeeringConnection",
    "options": "aws:ec2/peeringConnectionOptions:PeeringConnectionOptions",
    "sg": "aws:ec2/securityGroup:SecurityGroup",
    "rule": "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    "template": "aws:ec2/launchTemplate:LaunchTemplate",
    "group": "aws:autoscaling/group:Group",
    "balancer": "aws:lb/loadBalancer:LoadBalancer",
    "targets": "aws:lb/targetGroup:TargetGroup",
    "listener": "aws:lb/listener:Listener",
    "record": "aws:route53/record:Record",
    "zone": "aws:route53/zoneAssociation:ZoneAssociation",
    "policy": "aws:iam/rolePolicy:RolePolicy",
    "volume": "aws:ebs/volume:Volume",
}

NOTHING: set[str] = set()
# type, recorded, changed inputs, paths that update, paths that replace
CASES: list[tuple[str, dict[str, Any], dict[str, Any], set[str], set[str]]] = [
    ("vpc", VPC, {}, NOTHING, NOTHING),
    ("vpc", VPC, {"enableDnsHostnames": True}, {"enableDnsHostnames"}, NOTHING),
    ("vpc", VPC, {"enableDnsSupport": False}, {"enableDnsSupport"}, NOTHING),
    ("vpc", VPC, {"cidrBlock": "127.31.0.0/16"}, NOTHING, {"cidrBlock"}),
    ("vpc", VPC, {"tags": {"Name": "x"}}, {"tags.Name"}, NOTHING),
    ("subnet", SUBNET, {"availabilityZone": "eu-central-1b"}, NOTHING, {"availabilityZone"}),
    ("route", ROUTE, {"vpcPeeringConnectionId": "pcx-2"}, {"vpcPeeringConnectionId"}, NOTHING),
    (
        "route",
        ROUTE,
        {"vpcPeeringConnectionId": None, "natGatewayId": "nat-1"},
        {"vpcPeeringConnectionId", "natGatewayId"},
        NOTHING,
    ),
    ("route", ROUTE, {"destinationCidrBlock": "127.11.0.0/16"}, NOTHING, {"destinationCidrBlock"}),
    ("association", {"subnetId": "s", "routeTableId": "r"}, {"routeTableId": "q"}, {"routeTableId"}, NOTHING),
    ("association", {"subnetId": "s", "routeTableId": "r"}, {"subnetId": "q"}, NOTHING, {"subnetId"}),
    (
        "endpoint",
        {"vpcId": "v", "serviceName": "s3", "vpcEndpointType": "Gateway", "routeTableIds": ["a", "b"]},
        {"routeTableIds": ["b", "c"]},
        {"routeTableIds"},
        NOTHING,
    ),
    ("peering", PEERING, {"peerVpcId": "vpc-3"}, NOTHING, {"peerVpcId"}),
    (
        "options",
        {"vpcPeeringConnectionId": "pcx-1", "accepter": {"allowRemoteVpcDnsResolution": False}},
        {"accepter": {"allowRemoteVpcDnsResolution": True}},
        {"accepter.allowRemoteVpcDnsResolution"},
        NOTHING,
    ),
    ("sg", SG, {"description": "others"}, NOTHING, {"description"}),
    ("sg", SG, {"name": "others"}, NOTHING, {"name"}),
    ("sg", SG, {"tags": {"a": "b"}}, {"tags.a"}, NOTHING),
    ("rule", BY_GROUP, {"toPort": 2381}, {"toPort"}, NOTHING),
    ("rule", BY_GROUP, {"toPort": "2380"}, NOTHING, NOTHING),
    ("rule", BY_GROUP, {"referencedSecurityGroupId": "sg-3"}, {"referencedSecurityGroupId"}, NOTHING),
    ("rule", BY_CIDR, {"cidrIpv4": "127.11.0.0/16"}, {"cidrIpv4"}, NOTHING),
    (
        "rule",
        BY_CIDR,
        {"cidrIpv4": None, "referencedSecurityGroupId": "sg-2"},
        NOTHING,
        {"cidrIpv4", "referencedSecurityGroupId"},
    ),
    ("rule", BY_CIDR, {"securityGroupId": "sg-9"}, NOTHING, {"securityGroupId"}),
    ("template", TEMPLATE, {"vpcSecurityGroupIds": ["sg-2", "sg-1"]}, NOTHING, NOTHING),
    ("template", TEMPLATE, {"userData": "Yg=="}, {"userData"}, NOTHING),
    ("template", TEMPLATE, {"name": "u"}, NOTHING, {"name"}),
    (
        "template",
        TEMPLATE,
        {"metadataOptions": {"httpTokens": "optional"}},
        {"metadataOptions.httpTokens"},
        NOTHING,
    ),
    (
        "template",
        TEMPLATE,
        {"blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": {"volumeSize": 30, "encrypted": "true"}}]},
        {"blockDeviceMappings[0].ebs.volumeSize"},
        NOTHING,
    ),
    (
        "template",
        {**TEMPLATE, "blockDeviceMappings": []},
        {"blockDeviceMappings": [DISK]},
        {"blockDeviceMappings"},
        NOTHING,
    ),
    ("group", GROUP, {"tags": [{**NAMED, "value": "v"}]}, {"tags[0].value"}, NOTHING),
    ("group", {**GROUP, "tags": [NAMED, STAGE]}, {"tags": [STAGE, NAMED]}, NOTHING, NOTHING),
    ("group", {**GROUP, "tags": [NAMED, STAGE]}, {"tags": [{**STAGE, "value": "2"}, NAMED]}, {"tags"}, NOTHING),
    ("group", GROUP, {"launchTemplate": {"id": "lt-1", "version": "1"}}, NOTHING, NOTHING),
    ("group", GROUP, {"launchTemplate": {"id": "lt-1", "version": "2"}}, {"launchTemplate.version"}, NOTHING),
    ("group", GROUP, {"launchTemplate": {"id": "lt-1", "version": UNKNOWN}}, {"launchTemplate.version"}, NOTHING),
    ("group", GROUP, {"vpcZoneIdentifiers": ["subnet-2", "subnet-1"]}, NOTHING, NOTHING),
    ("group", GROUP, {"vpcZoneIdentifiers": ["subnet-3"]}, {"vpcZoneIdentifiers"}, NOTHING),
    ("group", GROUP, {"desiredCapacity": None}, NOTHING, NOTHING),
    ("group", GROUP, {"targetGroupArns": []}, {"targetGroupArns"}, NOTHING),
    ("group", GROUP, {"suspendedProcesses": ["Launch"]}, {"suspendedProcesses"}, NOTHING),
    ("group", GROUP, {"name": "h"}, NOTHING, {"name"}),
    ("balancer", BALANCER, {"subnets": ["subnet-1", "subnet-2", "subnet-3"]}, {"subnets"}, NOTHING),
    ("balancer", BALANCER, {"subnets": ["subnet-1"]}, NOTHING, {"subnets"}),
    ("balancer", BALANCER, {"internal": False}, NOTHING, {"internal"}),
    ("balancer", BALANCER, {"enableCrossZoneLoadBalancing": False}, {"enableCrossZoneLoadBalancing"}, NOTHING),
    ("targets", TARGETS, {"deregistrationDelay": 20}, {"deregistrationDelay"}, NOTHING),
    ("targets", TARGETS, {"port": 6444}, NOTHING, {"port"}),
    ("targets", TARGETS, {"targetType": "instance"}, NOTHING, {"targetType"}),
    ("targets", TARGETS, {"vpcId": UNKNOWN}, NOTHING, {"vpcId"}),
    (
        "targets",
        TARGETS,
        {"healthCheck": {"protocol": "TCP", "interval": 30, "healthyThreshold": 2, "unhealthyThreshold": 2}},
        {"healthCheck.interval"},
        NOTHING,
    ),
    ("listener", LISTENER, {"defaultActions": [{"type": "forward", "targetGroupArn": "tg-1"}]}, NOTHING, NOTHING),
    (
        "listener",
        LISTENER,
        {"defaultActions": [{"type": "forward", "targetGroupArn": "tg-2"}]},
        {"defaultActions[0].targetGroupArn"},
        NOTHING,
    ),
    ("listener", LISTENER, {"loadBalancerArn": "lb-2"}, NOTHING, {"loadBalancerArn"}),
    ("record", RECORD, {"weightedRoutingPolicies": [{"weight": 0}]}, {"weightedRoutingPolicies[0].weight"}, NOTHING),
    ("record", RECORD, {"ttl": 5}, {"ttl"}, NOTHING),
    ("record", RECORD, {"name": "b"}, NOTHING, {"name"}),
    ("zone", {"zoneId": "Z", "vpcId": "v"}, {"vpcId": "w"}, NOTHING, {"vpcId"}),
    ("policy", {"name": "n", "role": "r", "policy": '{"a": 1}'}, {"policy": '{ "a" : 1 }'}, NOTHING, NOTHING),
    ("policy", {"name": "n", "role": "r", "policy": '{"a": 1}'}, {"policy": '{"a": 2}'}, {"policy"}, NOTHING),
    ("volume", VOLUME, {"size": 16}, {"size"}, NOTHING),
    ("volume", VOLUME, {"encrypted": False}, NOTHING, {"encrypted"}),
    ("volume", VOLUME, {"availabilityZone": "eu-central-1b"}, NOTHING, {"availabilityZone"}),
]


def named(case: tuple[str, Any, dict[str, Any], Any, Any]) -> str:
    return f"{case[0]}-{'-'.join(case[2]) or 'same'}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_change_updates_or_replaces_as_documented(
    case: tuple[str, dict[str, Any], dict[str, Any], set[str], set[str]],
) -> None:
    alias, recorded, changes, updates, replaces = case
    row = TABLE[ALIAS[alias]]
    request = Request(type=row.token, name="x", inputs={**recorded, **changes})
    inputs, failures = diffing.check(row, request)
    assert not failures
    outputs = {**{n: p.default for n, p in row.props.items() if p.default is not None}, **recorded}
    difference = diffing.diff(row, Request(type=row.token, name="x", inputs=inputs, old_outputs=outputs))
    assert {c.path for c in difference.changes if not c.replace} == updates
    assert {c.path for c in difference.changes if c.replace} == replaces


def check(token: str, **inputs: Any) -> tuple[dict[str, Any], list[str]]:
    checked, failures = diffing.check(TABLE[token], Request(type=token, name="x", inputs=inputs))
    return checked, [f.reason for f in failures]


def test_an_unknown_property_is_an_error_naming_it_wherever_it_stands() -> None:
    _, reasons = check(ALIAS["vpc"], cidrBlock="127.30.0.0/16", ipv6CidrBlock="::/56")
    assert reasons == ["property 'ipv6CidrBlock' is not one the lab's plugin supports"]
    _, reasons = check(ALIAS["template"], name="t", blockDeviceMappings=[{"deviceName": "x", "ebs": {"colour": "red"}}])
    assert reasons == ["property 'blockDeviceMappings[0].ebs.colour' is not one the lab's plugin supports"]


def test_everything_wrong_is_said_at_once() -> None:
    _, reasons = check(ALIAS["subnet"])
    assert reasons == [f"missing required property '{name}'" for name in ("vpcId", "cidrBlock", "availabilityZone")]


def test_a_value_outside_the_choices_is_refused() -> None:
    _, reasons = check(ALIAS["balancer"], name="b", loadBalancerType="gateway", subnets=["s"])
    assert reasons == ["'loadBalancerType' is 'gateway'; expected one of network, application"]


def test_check_fills_defaults() -> None:
    checked, _ = check(ALIAS["vpc"], cidrBlock="127.30.0.0/16")
    assert checked == {"cidrBlock": "127.30.0.0/16", "enableDnsSupport": True}


def test_a_name_too_long_for_a_balancer_is_refused_with_its_length() -> None:
    _, reasons = check(ALIAS["balancer"], loadBalancerType="network", subnets=["s"], name="n" * 33)
    assert reasons[0].startswith(f"'{'n' * 33}' (33 characters): at most 32")


def replacement(inputs: dict[str, Any]) -> bool:
    row = TABLE[ALIAS["targets"]]
    request = Request(type=row.token, name="x", inputs=inputs, old_outputs=TARGETS)
    return diff_response(diffing.diff(row, request)).deleteBeforeReplace


def test_a_chosen_name_that_stays_deletes_first_and_others_do_not() -> None:
    assert replacement({**TARGETS, "port": 1})
    assert not replacement({**TARGETS, "port": 1, "name": "other"})


def test_ignored_changes_are_no_difference() -> None:
    row = TABLE[ALIAS["group"]]
    live = {**GROUP, "desiredCapacity": 7, "minSize": 3, "suspendedProcesses": ["Launch"]}
    ignore = ("minSize", "desiredCapacity", "suspendedProcesses")
    request = Request(type=row.token, name="x", inputs=GROUP, old_outputs=live, ignore=ignore)
    checked, _ = diffing.check(row, request)
    request = Request(type=row.token, name="x", inputs=checked, old_outputs=live, ignore=ignore)
    live.update({n: p.default for n, p in row.props.items() if p.default is not None and n not in live})
    assert diffing.diff(row, request).changes == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", {"a": 1, "b": {"c": 20, "d.e": 30}}),
        ("b.c", {"a": 10, "b": {"c": 2, "d.e": 30}}),
        ('b["d.e"]', {"a": 10, "b": {"c": 20, "d.e": 3}}),
        ("*", {"a": 1, "b": {"c": 2, "d.e": 3}}),
        ("nothing", {"a": 10, "b": {"c": 20, "d.e": 30}}),
    ],
)
def test_an_ignored_path_takes_the_recorded_value(path: str, expected: dict[str, Any]) -> None:
    news, olds = {"a": 10, "b": {"c": 20, "d.e": 30}}, {"a": 1, "b": {"c": 2, "d.e": 3}}
    assert diffing.with_ignored(news, olds, [path]) == expected
    assert news["b"] == {"c": 20, "d.e": 30}


def test_a_tag_key_with_dots_is_a_quoted_path() -> None:
    row = TABLE[ALIAS["vpc"]]
    inputs = {**VPC, "tags": {"kubernetes.io/cluster/pet": "owned"}}
    request = Request(type=row.token, name="x", inputs=inputs, old_outputs=VPC)
    assert [c.path for c in diffing.diff(row, request).changes] == ['tags["kubernetes.io/cluster/pet"]']


def test_a_preview_knows_what_stays_and_not_what_will_be_made() -> None:
    row = TABLE[ALIAS["template"]]
    outputs = {**TEMPLATE, "arn": "a", "latestVersion": 3, "defaultVersion": 3}

    def previewed(**changes: Any) -> dict[str, Any]:
        inputs = {**TEMPLATE, **changes}
        request = Request(type=row.token, name="x", id="lt-1", inputs=inputs, old_outputs=outputs)
        return diffing.preview_outputs(row, request)

    assert previewed()["latestVersion"] == 3
    assert previewed(userData="Yg==")["latestVersion"] is UNKNOWN
    assert previewed(userData="Yg==")["arn"] == "a"
    new = diffing.preview_outputs(row, Request(type=row.token, name="x", inputs=TEMPLATE))
    assert new["latestVersion"] is UNKNOWN
