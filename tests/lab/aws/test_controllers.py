"""What a cloud controller asks beside all that the product asks."""

from __future__ import annotations

from typing import Any


def test_topology_is_told_of_types_that_have_one(aws: Any, old: Any) -> None:
    plain, fast = old.new_instance(), old.new_instance(InstanceType="p4d.24xlarge")
    found = aws.ec2.describe_instance_topology(InstanceIds=[plain, fast])["Instances"]
    assert [(one["InstanceId"], one["AvailabilityZone"], len(one["NetworkNodes"])) for one in found] == [
        (fast, "eu-central-1a", 3)
    ]
    assert aws.ec2.describe_instance_topology(InstanceIds=[plain])["Instances"] == []


def test_a_classic_balancer_has_a_health_check_from_the_start(aws: Any, old: Any) -> None:
    classic = aws.client("elb")
    classic.create_load_balancer(
        LoadBalancerName="service",
        Listeners=[{"Protocol": "TCP", "LoadBalancerPort": 80, "InstancePort": 31234}],
        Subnets=old.subnets,
    )

    def check() -> dict[str, Any]:
        return classic.describe_load_balancers(LoadBalancerNames=["service"])["LoadBalancerDescriptions"][0][
            "HealthCheck"
        ]

    assert check() == {
        "Target": "TCP:31234",
        "Interval": 30,
        "Timeout": 5,
        "UnhealthyThreshold": 2,
        "HealthyThreshold": 10,
    }
    wanted = {**check(), "Target": "TCP:31235", "Interval": 10}
    classic.configure_health_check(LoadBalancerName="service", HealthCheck=wanted)
    assert check() == wanted
