"""Balancers and names as accounts have them: several listeners, several balancers, TLS, UDP, rules, zones."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from migration.settings import ConfigurationError, load
from tests.samples import configuration, flat
from tests.transitions.recorder import Declared, Key, at, declare

ARN = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:"
CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/"

WEB: dict[str, Any] = {
    "attributes": {"load_balancing.cross_zone.enabled": "true"},
    "groups": {
        "30080": {"port": 30080, "attributes": {"deregistration_delay.timeout_seconds": 45}},
        "30443": {
            "port": 30443,
            "protocol": "TLS",
            "attributes": {
                "proxy_protocol_v2.enabled": "true",
                "preserve_client_ip.enabled": "false",
                "stickiness.enabled": "true",
                "deregistration_delay.connection_termination.enabled": "true",
                "target_health_state.unhealthy.connection_termination.enabled": "false",
                "target_health_state.unhealthy.draining_interval_seconds": "60",
            },
            "healthCheck": {"protocol": "HTTPS", "port": 30999, "path": "/healthz", "matcher": "200-399"},
            "pools": ["m5-a"],
        },
    },
    "listeners": [
        {"port": 8080, "forward": [{"group": "30080"}], "attributes": {"tcp.idle_timeout.seconds": "600"}},
        {
            "port": 443,
            "protocol": "TLS",
            "forward": [{"group": "30443"}],
            "certificates": [f"{CERTIFICATE}a", f"{CERTIFICATE}b"],
            "policy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
            "alpn": "HTTP2Preferred",
        },
    ],
}
DNS: dict[str, Any] = {
    "groups": {"30053": {"port": 30053, "protocol": "UDP"}},
    "listeners": [{"port": 53, "protocol": "UDP", "forward": [{"group": "30053"}]}],
}
APP: dict[str, Any] = {
    "type": "application",
    "attributes": {"idle_timeout.timeout_seconds": "120"},
    "clients": ["10.50.0.0/16"],
    "groups": {
        "30081": {"port": 30081, "protocol": "HTTP", "healthCheck": {"protocol": "HTTP", "path": "/"}},
        "30082": {
            "port": 30082,
            "protocol": "HTTP",
            "protocolVersion": "GRPC",
            "service": {"namespace": "shop", "service": "cart", "externalTrafficPolicy": "Cluster"},
        },
    },
    "listeners": [
        {
            "port": 443,
            "protocol": "HTTPS",
            "certificates": [f"{CERTIFICATE}a"],
            "forward": [{"group": "30081"}],
            "rules": [
                {
                    "priority": 7,
                    "conditions": [
                        {"field": "host-header", "values": ["shop.pet.example"]},
                        {"field": "http-header", "name": "X-Beta", "values": ["yes"]},
                        {"field": "query-string", "values": ["v=2"]},
                    ],
                    "forward": [{"group": "30081", "weight": 1}, {"group": "30082", "weight": 9}],
                    "stickySeconds": 300,
                }
            ],
        }
    ],
}


def groups(*names: str) -> list[str]:
    return [f"{ARN}targetgroup/{name}/1" for name in names]


def several() -> dict[str, Any]:
    """The sample with 8080 and 443 before the ingress, a balancer for DNS and one with rules."""
    c = configuration()
    c["ingress"]["balancer"] = copy.deepcopy(WEB)
    old = c["sides"]["legacy"]["loadBalancers"]
    old["ingress"]["targetGroups"] = groups("plain", "secure")
    old["more"] = {
        "dns": {"arn": f"{ARN}loadbalancer/net/dns/1", "dnsName": "dns.elb.example", "targetGroups": groups("dns")},
        "app": {
            "arn": f"{ARN}loadbalancer/app/app/1",
            "dnsName": "app.elb.example",
            "targetGroups": groups("one", "two"),
        },
    }
    c["moreIngress"] = [
        {"name": "dns", "service": {"namespace": "dns", "service": "dns"}, "balancer": copy.deepcopy(DNS)},
        {"name": "app", "service": {"namespace": "ingress", "service": "ingress"}, "balancer": copy.deepcopy(APP)},
    ]
    c["traffic"]["records"] += [
        {"name": "ns.pet.example", "serves": "dns", "ttl": 60, "value": "dns.elb.example"},
        {"name": "shop.example.org", "serves": "app", "ttl": 300, "value": "app.elb.example", "zone": "Z2"},
    ]
    c["traffic"]["publicZones"] = ["Z2"]
    # What its nodes let in by hand, as discovery finds it.
    c["sides"]["main"]["rules"] = [
        {"group": "nodes", "direction": "ingress", **ports, **peer}
        for ports in (
            {"protocol": "tcp", "fromPort": 30443, "toPort": 30443},
            {"protocol": "udp", "fromPort": 30053, "toPort": 30053},
        )
        for peer in ({"ownVpc": True}, {"cidr": "10.50.0.0/16"})
    ]
    return c


def declared(stage: int, c: dict[str, Any] | None = None) -> dict[Key, Declared]:
    return declare(load(flat(c or several()), f"stage-{stage}"))


@pytest.fixture(scope="module")
def third() -> dict[Key, Declared]:
    return declared(3)


def test_every_listener_is_declared_and_the_first_keeps_its_name(third: dict[Key, Declared]) -> None:
    first, second = third[("Listener", "main-ingress")].inputs, third[("Listener", "main-ingress-443")].inputs
    assert (first["port"], first["protocol"], first["tcpIdleTimeoutSeconds"]) == (8080, "TCP", 600)
    assert first["defaultActions"] == [{"type": "forward", "targetGroupArn": "arn:main-ingress"}]
    assert second["defaultActions"] == [{"type": "forward", "targetGroupArn": "arn:main-ingress-30443"}]
    plain, secure = third[("TargetGroup", "main-ingress")].inputs, third[("TargetGroup", "main-ingress-30443")].inputs
    assert (plain["name"], plain["port"], plain["deregistrationDelay"]) == ("pet-ingress-main", 30080, 45)
    # What isn't said of a balancer that is described is AWS's default, not what `limits` says.
    assert (plain["healthCheck"]["interval"], plain["healthCheck"]["healthyThreshold"]) == (30, 5)
    assert (secure["name"], secure["port"]) == ("pet-ingress-30443-main", 30443)
    assert (secure["proxyProtocolV2"], secure["preserveClientIp"], secure["connectionTermination"]) == (
        True,
        "false",
        True,
    )
    assert secure["stickiness"] == {"enabled": True, "type": "source_ip"}
    assert secure["targetHealthStates"] == [
        {"enableUnhealthyConnectionTermination": False, "unhealthyDrainingInterval": 60}
    ]
    assert secure["healthCheck"]["path"] == "/healthz"


def test_tls_udp_and_their_ports_are_declared(third: dict[Key, Declared]) -> None:
    tls = third[("Listener", "main-ingress-443")].inputs
    assert (tls["certificateArn"], tls["sslPolicy"], tls["alpnPolicy"]) == (
        f"{CERTIFICATE}a",
        "ELBSecurityPolicy-TLS13-1-2-2021-06",
        "HTTP2Preferred",
    )
    assert third[("ListenerCertificate", "main-ingress-443-b")].inputs["certificateArn"] == f"{CERTIFICATE}b"
    assert third[("Listener", "main-dns")].inputs["protocol"] == "UDP"
    assert third[("TargetGroup", "main-dns")].inputs["protocol"] == "UDP"
    rules = {name: one.inputs for (kind, name), one in third.items() if kind == "SecurityGroupIngressRule"}
    opened = {
        (rule["ipProtocol"], rule["fromPort"])
        for name, rule in rules.items()
        if name.endswith("-from-corp") and name.startswith("main-ingress")
    }
    # A health check's own port, too.
    assert opened == {
        ("tcp", 30080), ("tcp", 30443), ("tcp", 30999), ("udp", 30053), ("tcp", 30081), ("tcp", 30082)
    }  # fmt: skip
    assert rules["legacy-ingress-30053-udp-from-main-clients"]["ipProtocol"] == "udp"


def test_what_lets_its_own_vpc_in_lets_in_both_once_it_is_copied() -> None:
    def admitted(*clients: str) -> set[str]:
        c = several()
        c["moreIngress"][1]["balancer"]["clients"] = list(clients)
        found = declared(3, c)
        start = "main-app-balancer-tcp-443-from-"
        return {one.inputs["cidrIpv4"] for (_, name), one in found.items() if name.startswith(start)}

    assert admitted("10.50.0.0/16") == {"10.50.0.0/16"}
    assert admitted("10.0.0.0/20", "10.50.0.0/16") == {"10.0.0.0/20", "10.1.0.0/16", "10.50.0.0/16"}
    assert admitted("10.0.0.0/8") == {"10.0.0.0/8"}
    assert admitted() == {"10.0.0.0/16", "10.1.0.0/16", "10.50.0.0/16"}


def test_an_application_balancers_rules_are_declared(third: dict[Key, Declared]) -> None:
    balancer = third[("LoadBalancer", "main-app")].inputs
    assert (balancer["loadBalancerType"], balancer["idleTimeout"]) == ("application", 120)
    assert balancer["securityGroups"] == ["id-main-app-balancer"]
    assert third[("SecurityGroupIngressRule", "main-app-balancer-tcp-443-from-10.50.0.0/16")].inputs["fromPort"] == 443
    assert third[("SecurityGroupEgressRule", "main-app-balancer-to-main")].inputs["cidrIpv4"] == "10.1.0.0/16"
    rule = third[("ListenerRule", "main-app-7")].inputs
    assert rule["priority"] == 7
    assert rule["conditions"] == [
        {"hostHeader": {"values": ["shop.pet.example"]}},
        {"httpHeader": {"httpHeaderName": "X-Beta", "values": ["yes"]}},
        {"queryStrings": [{"key": "v", "value": "2"}]},
    ]
    [action] = rule["actions"]
    assert [(one["arn"], one["weight"]) for one in action["forward"]["targetGroups"]] == [
        ("arn:main-app", 1),
        ("arn:main-app-30082", 9),
    ]
    assert action["forward"]["stickiness"] == {"enabled": True, "duration": 300}
    assert third[("TargetGroup", "main-app-30082")].inputs["protocolVersion"] == "GRPC"


def test_more_balancers_have_names_groups_and_policies_of_their_own(third: dict[Key, Declared]) -> None:
    names = {(side, name) for kind, name in third if kind == "Record" for side in ("legacy", "main")}
    assert third[("Record", "main-ns.pet.example")].inputs["records"] == ["main-dns.elb"]
    assert third[("Record", "legacy-ns.pet.example")].inputs["records"] == ["dns.elb.example"]
    assert names
    # Pools are targets of what their old groups were targets of.
    every = ["arn:main-ingress", "arn:main-dns", "arn:main-app", "arn:main-app-30082"]
    first = third[("Group", "main-m5-a")].inputs["targetGroupArns"]
    assert sorted(first) == sorted([*every, "arn:main-ingress-30443"])
    assert sorted(third[("Group", "main-m5-b")].inputs["targetGroupArns"]) == sorted(every)
    policies = {name: one for (kind, name), one in third.items() if kind == "IngressPolicy"}
    assert sorted(policies) == ["ingress-policy", "ingress-policy-dns-dns", "ingress-policy-shop-cart"]
    assert policies["ingress-policy"].asked["targetGroups"] == [
        "arn:main-ingress",
        "arn:main-ingress-30443",
        "arn:main-app",
    ]
    assert policies["ingress-policy-shop-cart"].asked["recorded"] == "Cluster"
    # One after the other: each keeps the groups from adding targets while it works.
    assert ("IngressPolicy", "ingress-policy") in policies["ingress-policy-dns-dns"].after
    assert ("IngressPolicy", "ingress-policy-dns-dns") in policies["ingress-policy-shop-cart"].after


def test_on_the_way_back_a_policy_is_given_the_old_sides_groups_of_its_service() -> None:
    policies = {name: one.asked for (kind, name), one in declared(2).items() if kind == "IngressPolicy"}
    assert policies["ingress-policy"]["targetGroups"] == groups("plain", "secure", "one")
    assert policies["ingress-policy-shop-cart"]["targetGroups"] == groups("two")


def test_each_zone_has_a_batch_of_its_own(third: dict[Key, Declared]) -> None:
    first, second = third[("DnsCut", "names")].asked, third[("DnsCut", "names-Z2")].asked
    assert [one["name"] for one in first["records"]] == ["api.pet.example", "*.apps.pet.example", "ns.pet.example"]
    assert (second["zoneId"], [one["name"] for one in second["records"]]) == ("Z2", ["shop.example.org"])
    record = third[("Record", "main-Z2-shop.example.org")]
    assert (record.inputs["zoneId"], record.inputs["records"]) == ("Z2", ["main-app.elb"])
    assert {("DnsCut", "names"), ("DnsCut", "names-Z2")} <= record.after
    # A public zone needs no VPC.
    assert {name for kind, name in third if kind == "ZoneAssociation"} == {"main-Z1"}
    private = several()
    del private["traffic"]["publicZones"]
    assert {name for kind, name in declared(1, private) if kind == "ZoneAssociation"} == {"main-Z1", "main-Z2"}


def test_the_api_listens_where_it_did_and_leads_to_its_servers() -> None:
    c = configuration()
    c["api"] |= {"port": 443, "serverPort": 6443}
    c["api"]["balancer"] = {
        "ports": [6443],
        "targetAttributes": {"preserve_client_ip.enabled": "true"},
        "healthCheck": {"protocol": "HTTPS", "path": "/readyz"},
    }
    found = declared(7, c)
    ports = {name: one.inputs["port"] for (kind, name), one in found.items() if kind == "Listener"}
    assert ports == {"main-ingress": 8080, "main-api": 443, "main-api-6443": 6443, "main-api-check": 444}
    for name in ("main-api", "main-apimembers"):
        group = found[("TargetGroup", name)].inputs
        assert (group["port"], group["preserveClientIp"]) == (6443, "false")
        assert group["healthCheck"]["path"] == "/readyz"
    assert "deregistrationDelay" not in found[("TargetGroup", "main-api")].inputs
    for name in ("main-api", "main-api-6443"):
        assert found[("Listener", name)].inputs["defaultActions"][0]["targetGroupArn"] == "arn:main-api"


def test_a_description_of_what_was_made_without_one_changes_nothing() -> None:
    c = configuration()
    group = {
        "port": 30080,
        "attributes": {"deregistration_delay.timeout_seconds": "120"},
        "healthCheck": {"interval": 10, "timeout": 5, "healthyThreshold": 2, "unhealthyThreshold": 2},
    }
    c["ingress"]["balancer"] = {
        "attributes": {"load_balancing.cross_zone.enabled": "true"},
        "groups": {"web": group},
        "listeners": [{"port": 8080, "forward": [{"group": "web"}]}],
    }
    found, before = declared(3, c), at(3)
    assert found.keys() == before.keys()
    for kind in ("LoadBalancer", "TargetGroup", "Listener"):
        for key in (one for one in before if one[0] == kind):
            assert found[key].inputs == before[key].inputs, key


WRONG: list[tuple[str, Any, str]] = [
    (
        "a group that isn't there",
        lambda c: c["ingress"]["balancer"]["listeners"][1]["forward"][0].update(group="x"),
        "migration:ingress.balancer.listeners[443].forward is 'x': is no group of this balancer; there are 30080",
    ),
    (
        "a group without a listener",
        lambda c: c["ingress"]["balancer"]["listeners"].pop(),
        "migration:ingress.balancer.groups is '30443': no listener leads there",
    ),
    (
        "an attribute that isn't carried",
        lambda c: c["moreIngress"][0]["balancer"].update(attributes={"ipv6.deny_all_igw_traffic": "true"}),
        "migration:moreIngress[dns].balancer.attributes[ipv6.deny_all_igw_traffic] is 'true': isn't an attribute",
    ),
    (
        "TLS without a certificate",
        lambda c: c["ingress"]["balancer"]["listeners"][1].update(certificates=[]),
        "migration:ingress.balancer.listeners[443].certificates is []: needs the ARN of one",
    ),
    (
        "a protocol of the other type",
        lambda c: c["ingress"]["balancer"]["listeners"][0].update(protocol="HTTP"),
        "migration:ingress.balancer.listeners[8080].protocol is 'HTTP': doesn't go with the type network",
    ),
    (
        "a pool that isn't there",
        lambda c: c["ingress"]["balancer"]["groups"]["30443"].update(pools=["gpu"]),
        "migration:ingress.balancer.groups.30443.pools is ['gpu']: are no pools of migration:pools",
    ),
    (
        "another node port than the Service's",
        lambda c: c["ingress"].update(nodePort=30090),
        "migration:ingress.balancer.groups.30080.port is 30080: isn't migration:ingress.nodePort (30090)",
    ),
    (
        "a balancer that the old side doesn't have",
        lambda c: c["sides"]["legacy"]["loadBalancers"]["more"].pop("dns"),
        "migration:sides.legacy.loadBalancers.more is 'dns': is described in migration:moreIngress and not in more",
    ),
    (
        "fewer target groups than described",
        lambda c: c["sides"]["legacy"]["loadBalancers"]["ingress"]["targetGroups"].pop(),
        "migration:sides.legacy.loadBalancers.ingress.targetGroups is",
    ),
    (
        "a balancer's name that is taken",
        lambda c: c["moreIngress"][0].update(name="ingress-443"),
        "migration:moreIngress[ingress-443].name is 'ingress-443': makes ingress-443, as ingress does",
    ),
    (
        "a record that serves nothing",
        lambda c: c["traffic"]["records"][2].update(serves="mail"),
        "migration:traffic.records[ns.pet.example].serves is 'mail': is no balancer of this configuration",
    ),
    (
        "a public zone without names",
        lambda c: c["traffic"].update(publicZones=["Z3"]),
        "migration:traffic.publicZones is 'Z3': no name of traffic.records is in it",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
def test_what_doesnt_fit_together_is_refused_with_its_key(change: Any, said: str) -> None:
    c = several()
    change(c)
    with pytest.raises(ConfigurationError) as refused:
        load(flat(c), "stage-3")
    assert any(str(one).startswith(said) for one in refused.value.problems), [
        str(one) for one in refused.value.problems
    ]
