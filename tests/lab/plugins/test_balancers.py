"""What balancers may be declared with reaches AWS and comes back: a second preview and a refresh find nothing to do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.plugins.driving import Driver, Made
from tests.lab.plugins.making import Ground, certificate, ground_of, web_balancer, web_listener, web_targets

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]


@pytest.fixture
def ground(driver: Driver) -> Ground:
    return ground_of(driver)


def clean(driver: Driver, made: Made, import_id: str | None = None) -> None:
    assert driver.diff(made).changes == [], "a second preview is clean"
    fresh = driver.refresh(made)
    assert fresh is not None
    assert (fresh.inputs, fresh.outputs) == (made.inputs, made.outputs), "a refresh is clean"
    imported = driver.import_(made, import_id)
    imported.inputs = made.inputs
    assert driver.diff(imported).changes == [], "an import finds what the program says"


def changed(driver: Driver, made: Made, **changes: Any) -> Made:
    """In place, and clean afterwards."""
    difference = driver.diff(made, **changes)
    assert {one.top for one in difference.changes} == set(changes)
    assert not any(one.replace for one in difference.changes)
    made = driver.update(made, **changes)
    clean(driver, made)
    return made


def gone(driver: Driver, made: Made) -> None:
    driver.delete(made)
    assert driver.refresh(made) is None
    driver.delete(made)


def test_an_application_balancer_and_its_attributes(ground: Ground) -> None:
    driver, made = ground.driver, web_balancer(ground)
    clean(driver, made)
    made = changed(driver, made, idleTimeout=90, enableHttp2=False, xffHeaderProcessingMode="preserve")
    made = changed(driver, made, accessLogs={"bucket": "logs", "enabled": True}, securityGroups=[ground.group])
    made = changed(driver, made, enableHttp2=None, idleTimeout=None)
    live = driver.client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=made.id)["Attributes"]
    said = {one["Key"]: one["Value"] for one in live}
    assert (said["routing.http2.enabled"], said["idle_timeout.timeout_seconds"]) == ("true", "60")
    assert (said["access_logs.s3.enabled"], said["access_logs.s3.bucket"]) == ("true", "logs")
    gone(driver, made)


def test_a_network_balancer_that_gets_or_loses_its_groups_is_another(ground: Ground) -> None:
    driver = ground.driver
    made = driver.create(
        "aws:lb/loadBalancer:LoadBalancer",
        "n",
        name="n",
        loadBalancerType="network",
        internal=True,
        subnets=ground.subnets,
        dnsRecordClientRoutingPolicy="availability_zone_affinity",
    )
    clean(driver, made)
    assert driver.diff(made, securityGroups=[ground.group]).changes[0].replace
    changed(driver, made, dnsRecordClientRoutingPolicy=None)


NETWORK: dict[str, Any] = {
    "proxyProtocolV2": True,
    "preserveClientIp": "false",
    "connectionTermination": True,
    "deregistrationDelay": 45,
    "stickiness": {"enabled": True, "type": "source_ip"},
    "targetHealthStates": [{"enableUnhealthyConnectionTermination": False, "unhealthyDrainingInterval": 60}],
    "targetGroupHealth": {
        "dnsFailover": {"minimumHealthyTargetsCount": "2", "minimumHealthyTargetsPercentage": "off"},
        "unhealthyStateRouting": {"minimumHealthyTargetsCount": 1, "minimumHealthyTargetsPercentage": "50"},
    },
    "healthCheck": {"protocol": "HTTPS", "port": "30999", "path": "/healthz", "matcher": "200-399"},
}
WEB: dict[str, Any] = {
    "slowStart": 30,
    "loadBalancingAlgorithmType": "least_outstanding_requests",
    "loadBalancingCrossZoneEnabled": "false",
    "stickiness": {"enabled": True, "type": "app_cookie", "cookieName": "SHOP", "cookieDuration": 600},
    "protocolVersion": "HTTP2",
}


def test_a_network_target_group_with_all_it_may_have(ground: Ground) -> None:
    driver = ground.driver
    made = driver.create(
        "aws:lb/targetGroup:TargetGroup", "t", name="t", port=30443, protocol="TCP", vpcId=ground.vpc.id, **NETWORK
    )
    clean(driver, made)
    made = changed(driver, made, proxyProtocolV2=False, stickiness={"enabled": False, "type": "source_ip"})
    gone(driver, made)


def test_an_application_target_group_with_all_it_may_have(ground: Ground) -> None:
    driver, made = ground.driver, web_targets(ground, "t", **WEB)
    clean(driver, made)
    assert driver.diff(made, protocolVersion="GRPC").changes[0].replace
    sticky = {"enabled": True, "type": "lb_cookie", "cookieDuration": 60}
    made = changed(driver, made, slowStart=60, stickiness=sticky)
    made = changed(driver, made, slowStart=None, healthCheck={"protocol": "HTTP", "path": "/", "matcher": "200"})
    gone(driver, made)


def test_a_tls_listener_and_its_certificates(ground: Ground) -> None:
    driver = ground.driver
    balancer = driver.create(
        "aws:lb/loadBalancer:LoadBalancer",
        "n",
        name="n",
        loadBalancerType="network",
        internal=True,
        subnets=ground.subnets,
    )
    targets = driver.create(
        "aws:lb/targetGroup:TargetGroup", "t", name="t", port=30443, protocol="TLS", vpcId=ground.vpc.id
    )
    made = driver.create(
        "aws:lb/listener:Listener",
        "l",
        loadBalancerArn=balancer.id,
        port=443,
        protocol="TLS",
        certificateArn=certificate(ground),
        sslPolicy="ELBSecurityPolicy-2016-08",
        alpnPolicy="HTTP2Preferred",
        tcpIdleTimeoutSeconds=600,
        defaultActions=[{"type": "forward", "targetGroupArn": targets.id}],
    )
    clean(driver, made)
    more = driver.create(
        "aws:lb/listenerCertificate:ListenerCertificate",
        "c",
        listenerArn=made.id,
        certificateArn=certificate(ground, "more.example"),
    )
    clean(driver, more)
    clean(driver, made)
    made = changed(driver, made, certificateArn=certificate(ground, "new.example"), tcpIdleTimeoutSeconds=None)
    clean(driver, more)
    gone(driver, more)
    gone(driver, made)


def test_a_rule_of_an_application_balancer(ground: Ground) -> None:
    driver, listener = ground.driver, web_listener(ground, routingHttpResponseServerEnabled=False)
    clean(driver, listener)
    groups = [web_targets(ground, name).id for name in ("a", "b")]
    several = {
        "targetGroups": [{"arn": groups[0], "weight": 1}, {"arn": groups[1], "weight": 9}],
        "stickiness": {"enabled": True, "duration": 300},
    }
    made = driver.create(
        "aws:lb/listenerRule:ListenerRule",
        "r",
        listenerArn=listener.id,
        priority=7,
        conditions=[
            {"hostHeader": {"values": ["shop.pet.example", "*.pet.example"]}},
            {"httpHeader": {"httpHeaderName": "X-Beta", "values": ["yes"]}},
            {"httpRequestMethod": {"values": ["GET"]}},
            {"queryStrings": [{"key": "v", "value": "2"}, {"value": "beta"}]},
            {"sourceIp": {"values": ["10.0.0.0/8"]}},
        ],
        actions=[{"type": "forward", "forward": several}],
        tags={"Name": "r"},
    )
    clean(driver, made)
    made = changed(driver, made, priority=8, tags={"Name": "s"})
    made = changed(
        driver,
        made,
        conditions=[{"pathPattern": {"values": ["/api/*"]}}],
        actions=[{"type": "forward", "targetGroupArn": groups[0]}],
    )
    gone(driver, made)


def test_an_action_leads_one_way(ground: Ground) -> None:
    with pytest.raises(AssertionError, match="needs one of targetGroupArn and forward"):
        ground.driver.create(
            "aws:lb/listenerRule:ListenerRule",
            "r",
            listenerArn="l",
            priority=1,
            conditions=[],
            actions=[{"type": "forward"}],
        )


def test_an_interface_endpoint_and_its_policy(ground: Ground) -> None:
    driver = ground.driver
    made = driver.create(
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        "ecr",
        vpcId=ground.vpc.id,
        serviceName="com.amazonaws.eu-central-1.ecr.api",
        vpcEndpointType="Interface",
        subnetIds=ground.subnets,
        securityGroupIds=[ground.group],
        privateDnsEnabled=True,
        policy='{"Version": "2012-10-17", "Statement": []}',
    )
    clean(driver, made)
    gone(driver, made)
