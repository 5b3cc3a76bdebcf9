"""Listeners: certificates, protocols that go together, attributes by protocol."""

from __future__ import annotations

from typing import Any

from tests.lab.aws.conftest import Aws, Side

UNKNOWN = "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"


def certificate(aws: Aws, name: str = "pet.example") -> dict[str, str]:
    made = aws.client("acm").request_certificate(DomainName=name, ValidationMethod="DNS")
    return {"CertificateArn": made["CertificateArn"]}


def listen(side: Side, name: str, protocol: str, targets: str, **more: Any) -> str:
    kind = "application" if protocol.startswith("HTTP") else "network"
    made = side.aws.elb.create_listener(
        LoadBalancerArn=side.new_balancer(name, Type=kind)["LoadBalancerArn"],
        Port=443,
        Protocol=protocol,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": targets}],
        **more,
    )
    return made["Listeners"][0]["ListenerArn"]


def test_a_listener_leads_to_targets_of_a_protocol_that_goes_with_it(old: Side, refuses: Any) -> None:
    targets = old.new_targets("udp", Protocol="UDP")
    refuses(
        "IncompatibleProtocols",
        "listener_and_group_of_different_protocols",
        lambda: listen(old, "one", "TCP", targets),
    )
    listen(old, "two", "UDP", old.new_targets("both", Protocol="TCP_UDP"))


def test_a_secure_listener_needs_a_certificate_that_is_there(aws: Aws, old: Side, refuses: Any) -> None:
    targets = old.new_targets("tcp")
    refuses(
        "CertificateNotFound",
        "listener_certificate",
        lambda: listen(old, "a", "TLS", targets, Certificates=[{"CertificateArn": UNKNOWN}]),
    )
    for number, (protocol, given) in enumerate((("TLS", []), ("TCP", [certificate(aws)]))):
        refuses(
            "ValidationError",
            "listener_certificate",
            lambda n=number, p=protocol, g=given: listen(old, f"b{n}", p, old.new_targets(f"b{n}"), Certificates=g),
        )


def test_certificates_beside_the_default_one(aws: Aws, old: Side, refuses: Any) -> None:
    default, more = certificate(aws), certificate(aws, "more.example")
    listener = listen(old, "tls", "TLS", old.new_targets("tcp"), Certificates=[default])
    for _ in range(2):  # the second time it is there already
        aws.elb.add_listener_certificates(ListenerArn=listener, Certificates=[more])
    found = aws.elb.describe_listener_certificates(ListenerArn=listener)["Certificates"]
    assert [(one["CertificateArn"], one["IsDefault"]) for one in found] == [
        (default["CertificateArn"], True),
        (more["CertificateArn"], False),
    ]
    [described] = aws.elb.describe_listeners(ListenerArns=[listener])["Listeners"]
    assert described["Certificates"] == [default], "only the default one is said with the listener"
    refuses(
        "OperationNotPermitted",
        "default_certificate_taken_away",
        lambda: aws.elb.remove_listener_certificates(ListenerArn=listener, Certificates=[default]),
    )
    plain = listen(old, "plain", "TCP", old.new_targets("plain"))
    refuses(
        "ValidationError",
        "certificate_of_a_plain_listener",
        lambda: aws.elb.add_listener_certificates(ListenerArn=plain, Certificates=[more]),
    )


def test_a_changed_listener_keeps_what_isnt_said_and_loses_its_certificate_with_tls(aws: Aws, old: Side) -> None:
    default = certificate(aws)
    listener = listen(old, "tls", "TLS", old.new_targets("tcp"), Certificates=[default])
    [changed] = aws.elb.modify_listener(ListenerArn=listener, Port=8443)["Listeners"]
    assert (changed["Port"], changed["Protocol"], changed["Certificates"]) == (8443, "TLS", [default])
    assert changed["SslPolicy"] == "ELBSecurityPolicy-2016-08"
    [plain] = aws.elb.modify_listener(ListenerArn=listener, Protocol="TCP")["Listeners"]
    assert plain["Protocol"] == "TCP" and not plain.get("Certificates")


def test_an_attribute_belongs_to_its_protocols(aws: Aws, old: Side, refuses: Any) -> None:
    idle = [{"Key": "tcp.idle_timeout.seconds", "Value": "600"}]
    tcp, udp = (
        listen(old, "tcp", "TCP", old.new_targets("t")),
        listen(old, "udp", "UDP", old.new_targets("u", Protocol="UDP")),
    )
    refuses(
        "ValidationError",
        "listener_attribute_unknown",
        lambda: aws.elb.modify_listener_attributes(ListenerArn=udp, Attributes=idle),
    )
    aws.elb.modify_listener_attributes(ListenerArn=tcp, Attributes=idle)
    assert aws.elb.describe_listener_attributes(ListenerArn=tcp)["Attributes"] == idle


def test_a_changed_rule_leads_to_its_own_balancers_groups(aws: Aws, old: Side, refuses: Any) -> None:
    taken, own = (old.new_targets(name, Protocol="HTTP", HealthCheckProtocol="HTTP") for name in ("taken", "own"))
    listen(old, "one", "HTTP", taken)
    made = aws.elb.create_rule(
        ListenerArn=listen(old, "two", "HTTP", own),
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["/a"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": own}],
    )["Rules"][0]["RuleArn"]
    refuses(
        "TargetGroupAssociationLimit",
        "target_group_of_a_changed_rule",
        lambda: aws.elb.modify_rule(RuleArn=made, Actions=[{"Type": "forward", "TargetGroupArn": taken}]),
    )
