"""What a cloud controller asks of AWS and moto lacks: instances' place in the network, a classic balancer's check."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses.instances import InstanceResponse
from moto.elb.models import ELBBackend, FakeHealthCheck, LoadBalancer

from lab.aws.hooks import define, instead

WITH_TOPOLOGY = ("hpc", "p3dn.", "p4d.", "p4de.", "p5", "p6", "trn1", "trn2", "g6e.")
"""Types that AWS tells the place of; of others the answer has nothing (EC2 user guide, Instance topology)."""


def _topology(response: InstanceResponse) -> ActionResult:
    """DescribeInstanceTopology: of running instances of the types it knows, by id, group or filter.

    Source: EC2 API reference, DescribeInstanceTopology.
    """
    response.error_on_dryrun()
    named = response._get_param("InstanceIds", [])
    found: list[dict[str, Any]] = []
    for reservation in response.ec2_backend.describe_instances(filters=response._filters_from_querystring()):
        for instance in reservation.instances:
            if (named and instance.id not in named) or instance.state != "running":
                continue
            if str(instance.instance_type).startswith(WITH_TOPOLOGY):
                zone = str(instance.availability_zone)
                found.append(
                    {
                        "InstanceId": instance.id,
                        "InstanceType": instance.instance_type,
                        "AvailabilityZone": zone,
                        "ZoneId": f"euc1-az{'bca'.index(zone[-1]) + 1 if zone[-1] in 'abc' else 1}",
                        "NetworkNodes": [f"nn-{level}{zone[-1]}0000000000000" for level in (1, 2, 3)],
                    }
                )
    return ActionResult({"Instances": found})


define(InstanceResponse, "describe_instance_topology", _topology)


@instead(ELBBackend, "create_load_balancer")
def with_a_health_check(original: Any, backend: ELBBackend, *args: Any, **kwargs: Any) -> LoadBalancer:
    """A classic balancer has a health check from the start: TCP to the first listener's instance port.

    Source: Elastic Load Balancing API reference (2012-06-01), HealthCheck; classic user guide, Health check defaults.
    """
    made: LoadBalancer = original(backend, *args, **kwargs)
    if made.health_check is None and made.listeners:
        check: Any = FakeHealthCheck("5", "10", "2", "30", f"TCP:{made.listeners[0].instance_port}")
        made.health_check = check
    return made
