"""Load balancers as AWS describes them (moto's), read into what a copy is made from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from migration.balancing.read import read, sent_to
from migration.settings.balancers import Condition, Forward
from tests.unit.balancing.places import Account, account


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with account(monkeypatch) as made:
        yield made


def test_a_network_balancer_is_read_with_every_listener_and_what_its_groups_say(here: Account) -> None:
    arn, _ = here.balancer("web")
    plain, secure = here.group("web-plain", 30080), here.group("web-tls", 30443)
    certificates = [here.certificate(f"{name}.pet.example") for name in "ab"]
    here.attributes(
        secure,
        proxy_protocol_v2__enabled="true",
        stickiness__enabled="true",
        stickiness__type="source_ip",
        deregistration_delay__timeout_seconds="45",
        deregistration_delay__connection_termination__enabled="true",
        preserve_client_ip__enabled="false",
    )
    here.listener(
        arn,
        443,
        secure,
        "TLS",
        Certificates=[{"CertificateArn": certificates[0]}],
        SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
        AlpnPolicy=["HTTP2Preferred"],
    )
    here.listener(arn, 80, plain)
    found = read(here.aws, arn)
    assert found.refused == ()
    assert found.arns == {"30080": plain, "30443": secure}
    first, second = found.form.listeners
    assert (first.port, first.protocol, first.forward) == (80, "TCP", (Forward(group="30080"),))
    assert (second.port, second.protocol, second.certificates) == (443, "TLS", (certificates[0],))
    assert (second.policy, second.alpn) == ("ELBSecurityPolicy-TLS13-1-2-2021-06", "HTTP2Preferred")
    assert found.form.groups["30443"].attributes == {
        "proxy_protocol_v2.enabled": "true",
        "stickiness.enabled": "true",
        "deregistration_delay.timeout_seconds": "45",
        "deregistration_delay.connection_termination.enabled": "true",
        "preserve_client_ip.enabled": "false",
    }
    assert found.form.groups["30443"].health_check.protocol == "TCP"
    assert found.form.primary == "30080"
    assert found.form.node_ports == ((30080, "tcp"), (30443, "tcp"))


def test_udp_reaches_nodes_as_udp(here: Account) -> None:
    arn, _ = here.balancer("dns")
    here.listener(arn, 53, here.group("dns", 30053, "TCP_UDP"), "TCP_UDP")
    form = read(here.aws, arn).form
    assert form.node_ports == ((30053, "tcp"), (30053, "udp"))


def test_an_application_balancers_rules_are_read_with_their_conditions(here: Account) -> None:
    arn, _ = here.balancer("app", "application")
    one, two = here.group("one", 30081, "HTTP"), here.group("two", 30082, "HTTP")
    listener = here.listener(arn, 80, one, "HTTP")
    here.elb.create_rule(
        ListenerArn=listener,
        Priority=10,
        Conditions=[
            {"Field": "host-header", "HostHeaderConfig": {"Values": ["shop.pet.example"]}},
            {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "2"}]}},
        ],
        Actions=[{"Type": "forward", "TargetGroupArn": two}],
    )
    found = read(here.aws, arn)
    assert found.refused == ()
    assert found.form.type == "application"
    [rule] = found.form.listeners[0].rules
    assert (rule.priority, rule.forward) == (10, (Forward(group="30082"),))
    assert rule.conditions == (
        Condition(field="host-header", values=("shop.pet.example",)),
        Condition(field="query-string", values=("v=2",)),
    )
    assert [group for _, group in sent_to(here.aws, arn)] == [one, two]


def redirected(here: Account) -> str:
    arn, _ = here.balancer("app", "application")
    group = here.group("one", 30081, "HTTP")
    here.listener(arn, 80, group, "HTTP")
    action = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "StatusCode": "HTTP_301"}}
    here.listener(arn, 81, group, "HTTP", DefaultActions=[action])
    return arn


def by_address(here: Account) -> str:
    arn, _ = here.balancer("web")
    here.listener(arn, 80, here.group("pods", 8080, TargetType="ip"))
    return arn


def facing_the_internet(here: Account) -> str:
    arn, _ = here.balancer("web", scheme="internet-facing")
    here.listener(arn, 80, here.group("web", 30080))
    return arn


def with_another_attribute(here: Account) -> str:
    arn, _ = here.balancer("web")
    here.listener(arn, 80, here.group("web", 30080))
    pair = {"Key": "ipv6.deny_all_igw_traffic", "Value": "true"}
    here.elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[pair])
    return arn


def let_in_by_group(here: Account) -> str:
    arn, _ = here.balancer("app", "application")
    here.listener(arn, 80, here.group("one", 30081, "HTTP"), "HTTP")
    ec2: Any = here.aws.ec2
    pair = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": here.security_group}]}
    ec2.authorize_security_group_ingress(GroupId=here.security_group, IpPermissions=[pair])
    return arn


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (redirected, "load balancer app: listener 81 default action is redirect: only what forwards to instances"),
        (by_address, "load balancer web: target group pods targetType is ip: only targets by instance are moved"),
        (facing_the_internet, "load balancer web: scheme is internet-facing: the new side's balancers are internal"),
        (with_another_attribute, "load balancer web: attribute ipv6.deny_all_igw_traffic is true: isn't carried"),
        (let_in_by_group, "load balancer app: rule of sg-"),
    ],
)
def test_what_cant_be_carried_is_named_with_its_value_and_a_remedy(here: Account, make: Any, said: str) -> None:
    refused = read(here.aws, make(here)).refused
    assert any(sentence.startswith(said) for sentence in refused), refused
