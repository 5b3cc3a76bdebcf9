"""Names that are unique, targets that are where their group is."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def test_a_second_balancer_of_that_name_is_refused(old: Any, new: Any, refuses: Any) -> None:
    old.new_balancer("ingress")
    message = refuses("DuplicateLoadBalancerName", "balancer_name_taken", lambda: new.new_balancer("ingress"))
    assert "ingress" in message


def test_the_same_balancer_asked_for_twice_is_one(aws: Any, old: Any) -> None:
    first, second = old.new_balancer("ingress"), old.new_balancer("ingress")
    assert first["LoadBalancerArn"] == second["LoadBalancerArn"]
    assert len(aws.elb.describe_load_balancers()["LoadBalancers"]) == 1


def test_two_balancers_have_two_names_in_dns(old: Any, new: Any) -> None:
    one, other = old.new_balancer("ingress"), new.new_balancer("ingress-main")
    assert one["DNSName"] != other["DNSName"]
    assert one["DNSName"].endswith(".elb.eu-central-1.amazonaws.com")
    assert ":loadbalancer/net/ingress/" in one["LoadBalancerArn"]


def test_a_second_auto_scaling_group_of_that_name_is_refused(old: Any, new: Any, refuses: Any) -> None:
    old.new_group("workers", 0)
    refuses("AlreadyExists", "group_name_taken", lambda: new.new_group("workers", 0))


def test_a_balancer_name_over_32_characters_is_refused(old: Any, refuses: Any) -> None:
    refuses("ValidationError", "balancer_name_too_long", lambda: old.new_balancer("a" * 33))


def test_a_balancer_takes_one_subnet_a_zone_of_one_vpc(old: Any, new: Any, refuses: Any) -> None:
    mixed = [old.subnets[0], new.subnets[1]]
    refuses("InvalidSubnet", "balancer_subnets", lambda: old.new_balancer("mixed", Subnets=mixed))


def test_a_balancer_with_a_group_of_another_vpc_is_refused(old: Any, new: Any, refuses: Any) -> None:
    refuses(
        "InvalidConfigurationRequest",
        "balancer_group_of_another_vpc",
        lambda: old.new_balancer("ingress", SecurityGroups=[new.group]),
    )


def test_a_group_with_targets_of_another_vpc_is_refused(old: Any, new: Any, refuses: Any) -> None:
    targets = old.new_targets("ingress")
    refuses(
        "ValidationError",
        "target_group_of_another_vpc",
        lambda: new.new_group("workers", 0, TargetGroupARNs=[targets]),
    )


def test_attaching_targets_of_another_vpc_to_a_group_is_refused(aws: Any, old: Any, new: Any, refuses: Any) -> None:
    targets, group = old.new_targets("ingress"), new.new_group("workers", 0)
    refuses(
        "ValidationError",
        "target_group_of_another_vpc",
        lambda: aws.asg.attach_load_balancer_target_groups(AutoScalingGroupName=group, TargetGroupARNs=[targets]),
    )


def test_an_ip_target_group_on_an_auto_scaling_group_is_refused(old: Any, refuses: Any) -> None:
    targets = old.new_targets("api", TargetType="ip")
    refuses(
        "ValidationError",
        "ip_target_group_on_a_group",
        lambda: old.new_group("members", 0, TargetGroupARNs=[targets]),
    )


def test_registering_an_instance_of_another_vpc_is_refused(aws: Any, old: Any, new: Any, refuses: Any) -> None:
    targets, instance = old.new_targets("ingress"), new.new_instance()
    refuses(
        "InvalidTarget",
        "instance_of_another_vpc",
        lambda: aws.elb.register_targets(TargetGroupArn=targets, Targets=[{"Id": instance}]),
    )


@pytest.mark.parametrize(
    ("address", "zone"),
    [("127.30.1.7", None), ("127.30.1.7", "eu-central-1a"), ("8.8.8.8", "all"), ("127.10.1.7", "all")],
    ids=["outside without a zone", "outside in a zone", "public", "inside with all"],
)
def test_an_ip_target_that_aws_would_not_take_is_refused(
    aws: Any, old: Any, refuses: Any, address: str, zone: str | None
) -> None:
    targets = old.new_targets("api", TargetType="ip", Port=6443)
    target = {"Id": address, **({"AvailabilityZone": zone} if zone else {})}
    refuses(
        "ValidationError",
        "address_outside_the_vpc",
        lambda: aws.elb.register_targets(TargetGroupArn=targets, Targets=[target]),
    )


def test_an_ip_target_over_the_peering_is_taken_with_zone_all(aws: Any, old: Any) -> None:
    targets = old.new_targets("api", TargetType="ip", Port=6443)
    aws.elb.register_targets(
        TargetGroupArn=targets, Targets=[{"Id": "127.30.1.7", "AvailabilityZone": "all"}, {"Id": "127.10.2.9"}]
    )
    zones = {t["id"]: t["zone"] for t in aws.state()["target_groups"][0]["targets"]}
    assert zones == {"127.30.1.7": "all", "127.10.2.9": "eu-central-1b"}


def test_one_target_group_on_two_balancers_is_refused(aws: Any, old: Any, refuses: Any) -> None:
    first, second, targets = old.new_balancer("one"), old.new_balancer("two"), old.new_targets("ingress")
    old.listen(first, targets)
    refuses("TargetGroupAssociationLimit", "target_group_on_two_balancers", lambda: old.listen(second, targets))


def test_pointing_a_listener_at_another_balancers_targets_is_refused(aws: Any, old: Any, refuses: Any) -> None:
    taken, own = old.new_targets("taken"), old.new_targets("own")
    old.listen(old.new_balancer("one"), taken)
    listener = old.listen(old.new_balancer("two"), own)
    refuses(
        "TargetGroupAssociationLimit",
        "target_group_moved_to_a_second_balancer",
        lambda: aws.elb.modify_listener(
            ListenerArn=listener, DefaultActions=[{"Type": "forward", "TargetGroupArn": taken}]
        ),
    )


def test_a_rule_to_another_balancers_targets_is_refused(aws: Any, old: Any, refuses: Any) -> None:
    options = {"Protocol": "HTTP", "HealthCheckProtocol": "HTTP"}
    taken, own = old.new_targets("taken", **options), old.new_targets("own", **options)
    listeners = [
        aws.elb.create_listener(
            LoadBalancerArn=old.new_balancer(name, Type="application")["LoadBalancerArn"],
            Port=80,
            Protocol="HTTP",
            DefaultActions=[{"Type": "forward", "TargetGroupArn": targets}],
        )["Listeners"][0]["ListenerArn"]
        for name, targets in (("one", taken), ("two", own))
    ]
    refuses(
        "TargetGroupAssociationLimit",
        "target_group_of_a_rule",
        lambda: aws.elb.create_rule(
            ListenerArn=listeners[1],
            Priority=1,
            Actions=[{"Type": "forward", "TargetGroupArn": taken}],
            Conditions=[{"Field": "path-pattern", "Values": ["/x"]}],
        ),
    )


def test_a_listener_moved_away_frees_its_target_group(aws: Any, old: Any) -> None:
    before, after = old.new_targets("before"), old.new_targets("after")
    listener = old.listen(old.new_balancer("one"), before)
    aws.elb.modify_listener(ListenerArn=listener, DefaultActions=[{"Type": "forward", "TargetGroupArn": after}])
    described = {g["TargetGroupName"]: g["LoadBalancerArns"] for g in aws.elb.describe_target_groups()["TargetGroups"]}
    assert described["before"] == []
    assert len(described["after"]) == 1
    old.listen(old.new_balancer("two"), before)


def test_a_second_listener_on_that_port_is_refused(old: Any, refuses: Any) -> None:
    balancer = old.new_balancer("one")
    old.listen(balancer, old.new_targets("a"))
    other = old.new_targets("b")
    refuses("DuplicateListener", "listener_port_taken", lambda: old.listen(balancer, other))


def test_a_target_group_in_use_is_not_deleted(aws: Any, old: Any) -> None:
    balancer, targets = old.new_balancer("one"), old.new_targets("a")
    old.listen(balancer, targets)
    with pytest.raises(ClientError, match="ResourceInUse"):
        aws.elb.delete_target_group(TargetGroupArn=targets)
    aws.elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    aws.elb.delete_target_group(TargetGroupArn=targets)


@pytest.mark.parametrize(("protocol", "said"), [("TCP", ["true"]), ("HTTP", [])])
def test_a_target_group_says_from_the_start_what_becomes_of_flows_of_unhealthy_targets(
    aws: Any, old: Any, protocol: str, said: list[str]
) -> None:
    arn = old.new_targets("ingress", Protocol=protocol)
    key = "target_health_state.unhealthy.connection_termination.enabled"
    attributes = aws.elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
    assert [one["Value"] for one in attributes if one["Key"] == key] == said
