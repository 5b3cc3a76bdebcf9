"""Services of type LoadBalancer as discovery finds them: all of them carried, or none, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from migration.discover.write import write
from migration.settings import load_file


def behind(legacy: Any, name: str = "a1", service: str = "shop/web") -> str:
    """A balancer as the cloud controller makes it, with a name that leads to it; its name in DNS."""
    elb, route53 = legacy.cloud.elbv2, legacy.cloud.route53
    first = elb.describe_load_balancers(Names=["ingress-pet"])["LoadBalancers"][0]
    made = elb.create_load_balancer(
        Name=name,
        Type="network",
        Scheme="internal",
        Subnets=[zone["SubnetId"] for zone in first["AvailabilityZones"]],
        Tags=[{"Key": "kubernetes.io/service-name", "Value": service}],
    )["LoadBalancers"][0]
    group = elb.create_target_group(
        Name=name, Protocol="TCP", Port=31000, VpcId=legacy.vpc, TargetType="instance", HealthCheckProtocol="TCP"
    )["TargetGroups"][0]["TargetGroupArn"]
    action = {"Type": "forward", "TargetGroupArn": group}
    elb.create_listener(LoadBalancerArn=made["LoadBalancerArn"], Protocol="TCP", Port=80, DefaultActions=[action])
    zone = route53.list_hosted_zones()["HostedZones"][0]["Id"].rpartition("/")[2]
    record = {
        "Name": f"{name}.pet.lab.internal",
        "Type": "CNAME",
        "TTL": 60,
        "ResourceRecords": [{"Value": made["DNSName"]}],
    }
    change: Any = {"Action": "CREATE", "ResourceRecordSet": record}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})
    return made["DNSName"]


def service(name: str, hostname: str, **spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "nodePort": 31000}]
    return {
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster", "ports": ports, **spec},
        "status": {"loadBalancer": {"ingress": [{"hostname": hostname}]}},
    }


def test_a_services_balancer_is_carried_with_its_names_and_makes_a_valid_file(
    fresh: Callable[[], Any], tmp_path: Path
) -> None:
    legacy = fresh()
    legacy.kubernetes.services = [*legacy.kubernetes.services, service("web", behind(legacy))]
    said: list[str] = []
    found = legacy.discover(log=said.append)
    [more] = found["moreIngress"]
    assert (more["name"], more["service"]["service"]) == ("shop-web", "web")
    assert more["balancer"]["groups"]["31000"]["port"] == 31000
    traffic = found["traffic"]
    assert [traffic[key] for key in ("loadBalancerServices", "serviceBalancers", "afterwards")] == [
        "carried",
        ["shop-web"],
        "keep",
    ]
    assert [one["name"] for one in traffic["records"] if one["serves"] == "shop-web"] == ["a1.pet.lab.internal"]
    assert any("each becomes a NodePort at stage 8" in sentence for sentence in said)
    path = tmp_path / "Pulumi.stage-0.yaml"
    write(path, "eu-central-1", found)
    assert load_file(path).configuration.traffic.service_balancers == ("shop-web",)


def test_where_one_cant_be_carried_none_is_and_it_is_said(fresh: Callable[[], Any]) -> None:
    legacy = fresh()
    hostname, before = behind(legacy), legacy.kubernetes.services
    for other, why in (
        (service("cart", "classic-1.elb.example"), "a classic one isn't carried"),
        (service("web", hostname, externalTrafficPolicy="Local"), "externalTrafficPolicy is Local"),
        (service("web", hostname, loadBalancerSourceRanges=["10.0.0.0/8"]), "spec.loadBalancerSourceRanges is"),
        (service("web", hostname, ports=[{"port": 80, "nodePort": 31001}]), "sends to 31000, which are no node ports"),
    ):
        said: list[str] = []
        legacy.kubernetes.services = [*before, service("web", hostname), other]
        found = legacy.discover(log=said.append)
        assert "moreIngress" not in found
        assert "loadBalancerServices" not in found["traffic"]
        assert any(why in sentence for sentence in said), said
