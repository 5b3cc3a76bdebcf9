"""What discovery finds of traffic beyond one balancer with one listener and names in one zone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from migration.discover.write import write
from migration.settings import load_file


def test_listeners_balancers_and_zones_are_found_and_make_a_valid_file(
    fresh: Callable[[], Any], tmp_path: Path
) -> None:
    legacy = fresh()
    elb, route53 = legacy.cloud.elbv2, legacy.cloud.route53
    group = elb.describe_target_groups(Names=["ingress-pet"])["TargetGroups"][0]
    first = elb.describe_load_balancers(Names=["ingress-pet"])["LoadBalancers"][0]
    subnets = [zone["SubnetId"] for zone in first["AvailabilityZones"]]

    def behind(name: str, port: int) -> str:
        made = elb.create_target_group(
            Name=name, Protocol="TCP", Port=port, VpcId=group["VpcId"], TargetType="instance", HealthCheckProtocol="TCP"
        )["TargetGroups"][0]["TargetGroupArn"]
        legacy.cloud.autoscaling.attach_load_balancer_target_groups(
            AutoScalingGroupName="nodes-m5-large-b-spot.pet", TargetGroupARNs=[made]
        )
        return made

    def listen(balancer: Any, port: int, to: str) -> None:
        elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="TCP",
            Port=port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": to}],
        )

    listen(first, 8443, behind("secure", 30443))
    second = elb.create_load_balancer(Name="shop-pet", Type="network",
                                      Scheme="internal", Subnets=subnets)["LoadBalancers"][0]  # fmt: skip
    listen(second, 80, behind("shop", 30090))
    zone = route53.create_hosted_zone(Name="shop.example.", CallerReference="2")["HostedZone"]["Id"].rpartition("/")[2]
    for name, more in (("www.shop.example.", {}), ("blue.shop.example.", {"SetIdentifier": "blue", "Weight": 1})):
        record = {"Name": name, "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": second["DNSName"]}], **more}
        change = {"Action": "CREATE", "ResourceRecordSet": record}
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})
    for kind in ("A", "AAAA"):
        target = {
            "HostedZoneId": second["CanonicalHostedZoneId"],
            "DNSName": f"dualstack.{second['DNSName']}.",
            "EvaluateTargetHealth": True,
        }
        record = {"Name": "shop.example.", "Type": kind, "AliasTarget": target}
        change = {"Action": "CREATE", "ResourceRecordSet": record}
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})
    ingress = legacy.kubernetes.services[0]
    ports = [*ingress["spec"]["ports"], {"port": 443, "nodePort": 30443}]
    shop = {
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30090}], "selector": {"app": "shop"}},
    }
    legacy.kubernetes.services = [{**ingress, "spec": {**ingress["spec"], "ports": ports}}, shop]
    said: list[str] = []
    found = legacy.discover(ingress_balancer="ingress-pet", log=said.append)

    form = found["ingress"]["balancer"]
    assert [one["port"] for one in form["listeners"]] == [8080, 8443]
    assert form["groups"]["30443"]["pools"] == ["nodes-m5-large-b-spot"]
    assert "pools" not in form["groups"]["30080"]
    [more] = found["moreIngress"]
    assert (more["name"], more["service"]["namespace"], more["service"]["service"]) == ("shop", "shop", "web")
    old = found["sides"]["legacy"]["loadBalancers"]
    assert len(old["ingress"]["targetGroups"]) == 2
    assert old["more"]["shop"]["dnsName"] == second["DNSName"]
    apex, name = [one for one in found["traffic"]["records"] if one["serves"] == "shop"]
    assert apex == {
        "name": "shop.example",
        "serves": "shop",
        "type": "alias",
        "evaluateTargetHealth": True,
        "value": f"dualstack.{second['DNSName']}",
        "zone": zone,
    }
    assert old["more"]["shop"]["zoneId"] == second["CanonicalHostedZoneId"]
    assert any("shop.example in zone shop.example is an alias of type AAAA" in sentence for sentence in said)
    assert (name["name"], name["zone"], found["traffic"]["publicZones"]) == ("www.shop.example", zone, [zone])
    assert any("blue.shop.example" in sentence and "policy of its own" in sentence for sentence in said)
    path = tmp_path / "Pulumi.stage-0.yaml"
    write(path, "eu-central-1", found)
    assert load_file(path).configuration.more_ingress[0].name == "shop"
