"""What discovery finds of a cluster it has never seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from migration import __main__ as cli
from migration.discover.write import write
from migration.runtime.deadline import Permanent
from migration.settings import ConfigurationError, load_file


def test_the_file_it_writes_is_valid_unedited(legacy: Any, tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.stage-0.yaml"
    write(path, "eu-central-1", legacy.discover())
    settings = load_file(path)
    assert settings.stage.number == 0
    assert (settings.configuration.from_, settings.configuration.to) == ("legacy", "main")


def test_the_old_side_is_referenced_with_all_its_ids(legacy: Any) -> None:
    side = legacy.discover()["sides"]["legacy"]
    assert side["kind"] == "referenced"
    assert side["cidr"] == "127.10.0.0/16"
    assert sorted(side["zones"]) == ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    assert all(zone["private"] != zone["public"] for zone in side["zones"].values())
    assert len(side["routeTables"]) == 5  # one a zone, the public one, the main one
    assert side["loadBalancers"]["ingress"]["port"] == 8080
    assert side["loadBalancers"]["api"]["port"] == 6443
    assert side["securityGroups"]["nodes"] != side["securityGroups"]["controlPlane"]


def test_the_new_side_gets_the_next_free_range_and_the_same_zones(legacy: Any) -> None:
    side = legacy.discover()["sides"]["main"]
    del side["rules"]
    assert side == {
        "kind": "managed",
        "cidr": "127.11.0.0/16",
        "suffix": "-main",
        "zones": ["eu-central-1a", "eu-central-1b", "eu-central-1c"],
        "nat": "none",
    }
    assert legacy.discover(to_cidr="127.30.0.0/16", to_name="b")["sides"]["b"]["cidr"] == "127.30.0.0/16"


def test_every_worker_group_is_a_pool(legacy: Any) -> None:
    pools = legacy.discover()["pools"]
    assert len(pools) == 12
    spot = next(pool for pool in pools if pool["group"] == "nodes-m5-large-b-spot.pet")
    assert spot["name"] == "nodes-m5-large-b-spot"
    assert (spot["market"], spot["instanceType"], spot["zones"]) == ("spot", "m5.large", ["eu-central-1b"])


def test_members_have_their_own_names_addresses_and_volumes(legacy: Any) -> None:
    members = legacy.discover()["members"]
    assert [member["name"] for member in members] == ["master-a", "master-b", "master-c"]
    assert [member["zone"][-1] for member in members] == ["a", "b", "c"]
    assert all(member["address"].startswith("127.10.") for member in members)
    assert len({member["volumeId"] for member in members}) == 3
    assert members[0]["volumeSize"] == 20


def test_names_services_and_ranges_are_found(legacy: Any) -> None:
    found = legacy.discover()
    records = found["traffic"]["records"]
    assert [(r["name"], r["serves"], r["ttl"]) for r in records] == [
        ("api.pet.lab.internal", "api", 5),
        ("*.apps.pet.lab.internal", "ingress", 5),
    ]
    assert found["ingress"] == {
        "namespace": "ingress",
        "service": "ingress",
        "nodePort": 30080,
        "listenerPort": 8080,
        "externalTrafficPolicy": "Local",
    }
    assert (found["podCidr"], found["serviceCidr"]) == ("100.64.0.0/16", "172.20.0.0/16")
    assert found["drain"]["ingressSelector"] == {"app": "ingress"}
    assert (found["controlPlaneRole"], found["workerRole"]) == ("masters.pet", "nodes.pet")
    assert found["etcd"] == {
        "access": "direct",
        "certificates": "/pet/operator/etcd",
        "clientPort": 2379,
        "peerPort": 2380,
    }


def test_who_is_connected_is_found_by_the_peering(legacy: Any) -> None:
    found = legacy.discover()
    [corp] = found["connectedNetworks"]
    assert (corp["name"], corp["cidr"], len(corp["routeTables"])) == ("corp", "127.50.0.0/16", 1)


def test_nobody_is_let_in_to_etcd_who_was_not_named(legacy: Any) -> None:
    # The control plane's group lets the office in to the API, and the office is connected: neither is etcd.
    assert legacy.discover(operator_networks=())["operatorNetworks"] == []
    assert legacy.discover(operator_networks=("127.50.7.0/24",))["operatorNetworks"] == ["127.50.7.0/24"]


def test_the_file_is_written_and_says_what_only_the_operator_can(
    legacy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "migration.discover.run.discover", lambda _clients, _options: legacy.discover(operator_networks=())
    )
    path = tmp_path / "Pulumi.prod.yaml"
    arguments = ["discover", "--cluster", "pet", "--vpc", legacy.vpc, "--region", "eu-central-1", "--output", str(path)]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "no stage begins before this is said: migration:operatorNetworks is []: nobody could reach etcd" in said
    assert "pulumi config set --path 'migration:operatorNetworks[0]' CIDR" in said
    assert "--operator-network CIDR --overwrite" in said
    assert yaml.safe_load(path.read_text())["config"]["migration:operatorNetworks"] == []
    assert cli.main(["check", str(path)]) == 2
    assert "migration:operatorNetworks" in capsys.readouterr().err


def test_what_was_said_wrong_is_rejected_though_it_is_the_operators(legacy: Any, tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.prod.yaml"
    with pytest.raises(ConfigurationError, match=r"0\.0\.0\.0/0': would open etcd"):
        write(path, "eu-central-1", legacy.discover(operator_networks=("0.0.0.0/0",)))
    assert not path.exists()


def test_only_what_the_cluster_owns_is_retired(legacy: Any) -> None:
    found = legacy.discover()
    counted: dict[str, int] = {}
    for item in found["retire"]:
        counted[item["type"]] = counted.get(item["type"], 0) + 1
    assert counted == {
        "autoscaling-group": 15,
        "launch-template": 15,
        "load-balancer": 2,
        "target-group": 2,
        "security-group": 2,
        "volume": 3,
    }


def test_volumes_that_move_with_their_members_are_kept(legacy: Any) -> None:
    plain, found = legacy.discover(), legacy.discover(etcd_strategy="volume")
    assert found["etcd"]["strategy"] == "volume"
    moving = [{"type": "volume", "id": member["volumeId"]} for member in found["members"]]
    assert len(moving) == 3
    assert [item for item in plain["retire"] if item not in found["retire"]] == moving
    assert all(item in found["keep"] for item in moving)
    assert "strategy" not in plain["etcd"]


def test_somebody_elses_things_are_kept_with_their_owner(legacy: Any) -> None:
    keep = legacy.discover()["keep"]
    owned = {(item["type"], item.get("owner")) for item in keep if item.get("owner")}
    assert owned == {
        ("network-interface", "payments-team"),
        ("security-group", "payments-team"),
        ("peering", "network-team"),
    }
    assert {"vpc", "subnet", "route-table", "internet-gateway"} <= {item["type"] for item in keep}


def test_a_second_discovery_finds_the_same(legacy: Any) -> None:
    assert legacy.discover() == legacy.discover()


def test_a_vpc_that_is_not_there_is_refused_with_those_that_are(legacy: Any) -> None:
    with pytest.raises(Permanent, match=rf"no VPC 'vpc-none'.*{legacy.vpc} \(legacy\.pet\)"):
        legacy.discover(vpc="vpc-none")


def test_a_cluster_that_is_not_there_is_refused_with_those_that_are(legacy: Any) -> None:
    with pytest.raises(Permanent, match="cluster 'dog'; clusters tagged there: pet"):
        legacy.discover(cluster="dog")


def test_overlap_with_a_connected_network_is_refused(legacy: Any) -> None:
    with pytest.raises(Permanent, match=r"overlaps 127\.50\.0\.0/16"):
        legacy.discover(to_cidr="127.50.0.0/16")


def test_a_service_that_has_no_such_node_port_is_refused(legacy: Any) -> None:
    with pytest.raises(Permanent, match=r"has no NodePort 30080.*ingress/ingress"):
        legacy.discover(ingress_service="web/front")


def test_what_is_there_already_is_not_overwritten_unasked(legacy: Any, tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text("encryptionsalt: v1:abc\nconfig:\n  other:key: 1\n")
    found = legacy.discover()
    write(path, "eu-central-1", found)
    content = yaml.safe_load(path.read_text())
    assert content["encryptionsalt"] == "v1:abc"
    assert content["config"]["other:key"] == 1
    assert content["config"]["migration:stage"] == 0
    with pytest.raises(Permanent, match="--overwrite"):
        write(path, "eu-central-1", found)
    write(path, "eu-central-1", found, overwrite=True)


def test_the_command_says_in_a_sentence_what_is_wrong(legacy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["discover", "--cluster", "pet", "--vpc", "vpc-none", "--region", "eu-central-1"]) == 2
    assert capsys.readouterr().err.startswith("discover: there is no VPC 'vpc-none'")


def test_an_unreachable_aws_is_a_sentence(
    legacy: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert cli.main(["discover", "--cluster", "pet", "--vpc", legacy.vpc, "--region", "eu-central-1"]) == 2
    assert "AWS can't be asked" in capsys.readouterr().err


def test_two_clusters_under_one_tag_are_refused(fresh: Any) -> None:
    legacy = fresh()
    ec2, scaling = legacy.cloud.ec2, legacy.cloud.autoscaling
    vpc = ec2.create_vpc(CidrBlock="127.90.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="127.90.0.0/24", AvailabilityZone="eu-central-1a")["Subnet"]
    group = ec2.create_security_group(GroupName="x", Description="x", VpcId=vpc)["GroupId"]
    template = ec2.create_launch_template(
        LaunchTemplateName="x",
        LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "m5.large", "SecurityGroupIds": [group]},
    )["LaunchTemplate"]["LaunchTemplateId"]
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="x",
        LaunchTemplate={"LaunchTemplateId": template},
        MinSize=0,
        MaxSize=0,
        VPCZoneIdentifier=subnet["SubnetId"],
        Tags=[{"Key": "kubernetes.io/cluster/pet", "Value": "owned", "PropagateAtLaunch": True}],
    )
    with pytest.raises(Permanent, match=f"two clusters under one tag.*{vpc}"):
        legacy.discover()


def test_what_a_group_is_scaled_by_is_written_and_valid(fresh: Any, tmp_path: Path) -> None:
    legacy = fresh()
    client, name = legacy.aws.autoscaling, "nodes-m5-large-b-spot.pet"
    metric = {"PredefinedMetricType": "ASGAverageCPUUtilization"}
    client.put_scaling_policy(
        AutoScalingGroupName=name,
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={"TargetValue": 60.0, "PredefinedMetricSpecification": metric},
    )
    client.put_scheduled_update_group_action(
        AutoScalingGroupName=name, ScheduledActionName="night", Recurrence="0 20 * * *", MinSize=0
    )
    found = legacy.discover()
    by_group = {pool["group"]: pool for pool in found["pools"]}
    scaling = by_group.pop(name)
    assert scaling["scaling"] == [{"name": "cpu", "target": 60.0, "predefined": "ASGAverageCPUUtilization"}]
    assert scaling["schedules"] == [{"name": "night", "recurrence": "0 20 * * *", "min": 0}]
    assert not any("scaling" in pool or "schedules" in pool for pool in by_group.values())
    path = tmp_path / "Pulumi.stage-0.yaml"
    write(path, "eu-central-1", found)
    settings = load_file(path)
    assert [one.name for pool in settings.configuration.pools for one in pool.scaling] == ["cpu"]
