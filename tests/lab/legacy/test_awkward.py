"""Each oddity of shape `awkward`, built alone on a small cluster, twice as once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest

from lab import shapes
from lab.addresses import ZONES, LabAddresses
from lab.aws.server import LabAws
from lab.aws.snapshot import snapshot
from lab.aws.world import WORLD
from lab.layouts import MASTER
from lab.legacy import access, awkward, balancing, groups, launching, network, plan
from lab.legacy.awkward import balancers, names
from lab.legacy.awkward.asked import asked
from lab.legacy.awkward.networks import ON_PREMISES, private_tables, secondary, worker_groups
from lab.legacy.cloud import Cloud
from lab.legacy.members import Site
from lab.network.parsing import parse
from lab.network.requests import forwards
from lab.settings import LabSettings, SettingsError


class Somewhere(LabAddresses):
    url = ""

    @property
    def aws_url(self) -> str:
        return self.url


@pytest.fixture(scope="module")
def server() -> Iterator[LabAws]:
    running = LabAws().start()
    yield running
    running.stop()


@pytest.fixture
def site(server: LabAws) -> Site:
    """What the plain builder makes, with three groups of no node."""
    settings = LabSettings.model_validate({"shape": "awkward"})
    WORLD.reset(settings)
    Somewhere.url = server.url
    cloud = Cloud(Somewhere())
    made = network.build(cloud, settings.cluster)
    rights = access.build(cloud, settings.cluster, made, settings.control_plane)
    balancers_made = balancing.build(cloud, settings, made)
    image = launching.image(cloud, "node")
    pools = [("on-demand", ZONES[0]), ("spot", ZONES[0]), ("spot", ZONES[1])]
    for market, zone in pools:
        pool = plan.Pool(type="m5.large", zone=zone, market=market, size=0)
        groups.workers(cloud, settings.cluster, pool, image, made, rights, balancers_made)
    return Site(cloud=cloud, settings=settings, network=made, access=rights, balancing=balancers_made)


def build(site: Site, oddity: str, seed: int = 0) -> None:
    for _ in range(2):
        awkward.BUILDERS[oddity](site, shapes.draw_for(oddity, seed))


def test_a_second_range_has_subnets_in_which_some_groups_launch(site: Site) -> None:
    build(site, "secondary_range", seed=1)
    vpc = site.cloud.ec2.describe_vpcs(VpcIds=[site.network.vpc])["Vpcs"][0]
    assert [one["CidrBlock"] for one in vpc["CidrBlockAssociationSet"]] == ["127.10.0.0/16", secondary(site)]
    inside = site.cloud.ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["secondary-*"]}])["Subnets"]
    assert inside and all(one["CidrBlock"].startswith("127.90.") for one in inside)
    assert any("," in group["VPCZoneIdentifier"] for group in worker_groups(site))


def test_workers_may_not_go_anywhere_they_like(site: Site) -> None:
    build(site, "restricted_egress")
    group = site.cloud.ec2.describe_security_groups(GroupIds=[site.access.nodes])["SecurityGroups"][0]
    out = group["IpPermissionsEgress"]
    open_to_all = [p for p in out if any(r["CidrIp"] == "0.0.0.0/0" for r in p["IpRanges"])]
    assert [(p["IpProtocol"], p["FromPort"]) for p in open_to_all] == [("tcp", 443)]
    assert any(p["PrefixListIds"] for p in out)


@pytest.mark.parametrize("seed", [0, 3])
def test_the_private_subnets_have_an_acl(site: Site, seed: int) -> None:
    settings = site.settings.model_copy(update={"seed": seed})
    one = Site(cloud=site.cloud, settings=settings, network=site.network, access=site.access, balancing=site.balancing)
    build(one, "network_acls", seed)
    acls = site.cloud.ec2.describe_network_acls(Filters=[{"Name": "tag:Name", "Values": ["private.*"]}])["NetworkAcls"]
    assert {a["SubnetId"] for a in acls[0]["Associations"]} == set(site.network.private.values())
    entries = [e for e in acls[0]["Entries"] if not e["Egress"] and e["RuleNumber"] < 32_767]
    assert [e["RuleAction"] for e in sorted(entries, key=lambda e: e["RuleNumber"])][:3] == ["deny", "deny", "allow"]
    admitted = {e["CidrBlock"] for e in entries if e["RuleAction"] == "allow" and e["RuleNumber"] < 200}
    assert admitted == ({"127.0.0.0/8"} if seed == 0 else {"127.10.0.0/16", "127.90.0.0/20", "127.50.0.0/16"})


def test_the_data_centre_is_behind_a_transit_gateway(site: Site) -> None:
    build(site, "transit_gateway")
    attached = site.cloud.ec2.describe_transit_gateway_vpc_attachments()["TransitGatewayVpcAttachments"]
    assert [one["VpcId"] for one in attached] == [site.network.vpc]
    for table in private_tables(site):
        ways = {r.get("DestinationCidrBlock"): r.get("TransitGatewayId") for r in table["Routes"]}
        assert ways[ON_PREMISES] == attached[0]["TransitGatewayId"]


def test_services_are_reached_by_endpoints(site: Site) -> None:
    build(site, "service_endpoints")
    found = site.cloud.ec2.describe_vpc_endpoints()["VpcEndpoints"]
    kinds = {one["ServiceName"].partition("eu-central-1.")[2]: one["VpcEndpointType"] for one in found}
    assert (kinds["s3"], kinds["ssm"], kinds["ec2"]) == ("Gateway", "Interface", "Interface")
    assert len(found) == len(kinds) == 5


def test_other_services_interfaces_are_theirs(site: Site) -> None:
    build(site, "requester_interfaces")
    managed = site.cloud.ec2.describe_network_interfaces(Filters=[{"Name": "requester-managed", "Values": ["true"]}])
    found = [one for one in managed["NetworkInterfaces"] if one["RequesterId"] != "amazon-elb"]
    assert {one["RequesterId"] for one in found} == {"amazon-rds", "amazon-efs", "amazon-lambda"}
    assert all(one.get("TagSet", []) == [] for one in found)
    assert len(found) == 3


def test_a_database_names_the_workers_group(site: Site) -> None:
    build(site, "database")
    found: Any = site.cloud.named("describe_security_groups", "SecurityGroups", "orders-db")
    rules = found["IpPermissions"]
    assert [p["GroupId"] for rule in rules for p in rule["UserIdGroupPairs"]] == [site.access.nodes]
    assert [len(r["CidrIp"]) > 0 for rule in rules for r in rule["IpRanges"]] == [True]


def listeners(site: Site, name: str) -> dict[int, str]:
    known: Any = balancing.found(site.cloud, "describe_load_balancers", "LoadBalancers", name)
    found = site.cloud.elbv2.describe_listeners(LoadBalancerArn=known["LoadBalancerArn"])["Listeners"]
    return {one["Port"]: one["Protocol"] for one in found}


def attributes(site: Site, name: str) -> dict[str, str]:
    known: Any = balancing.found(site.cloud, "describe_target_groups", "TargetGroups", name)
    found = site.cloud.elbv2.describe_target_group_attributes(TargetGroupArn=known["TargetGroupArn"])["Attributes"]
    return {one["Key"]: one["Value"] for one in found}


def test_the_ingress_balancer_has_several_listeners(site: Site) -> None:
    build(site, "several_listeners")
    name = "ingress-awkward-k8s-lab-internal"
    assert listeners(site, name) == {8080: "TCP", 80: "TCP", 443: "TLS"}
    for group in worker_groups(site):
        assert len(group["TargetGroupARNs"]) == 3


def test_a_second_ingress_differs_in_everything(site: Site) -> None:
    build(site, "second_ingress")
    assert listeners(site, "intranet-awkward-k8s-lab-interna") == {8081: "TCP", 53: "UDP"}
    assert attributes(site, "intranet-awkward-k8s-lab-interna")["proxy_protocol_v2.enabled"] == "true"
    assert leads_to(site, "intranet-direct") == "intranet-awkward-k8s-lab-interna"
    rules = site.cloud.ec2.describe_security_groups(GroupIds=[site.access.nodes])["SecurityGroups"][0]["IpPermissions"]
    admitted = {(rule["IpProtocol"], rule.get("FromPort")) for rule in rules}
    assert {("tcp", balancers.SECOND_NODE_PORT), ("udp", balancers.UDP_NODE_PORT)} <= admitted


def test_an_application_balancer_has_rules(site: Site) -> None:
    build(site, "application_balancer")
    assert listeners(site, "web-awkward-k8s-lab-internal") == {8000: "HTTP"}
    known: Any = balancing.found(site.cloud, "describe_load_balancers", "LoadBalancers", "web-awkward-k8s-lab-internal")
    arn = site.cloud.elbv2.describe_listeners(LoadBalancerArn=known["LoadBalancerArn"])["Listeners"][0]["ListenerArn"]
    rules = site.cloud.elbv2.describe_rules(ListenerArn=arn)["Rules"]
    assert [rule["Priority"] for rule in rules] == ["10", "20", "default"]
    assert leads_to(site, "web") == leads_to(site, "shop-web") == "web-awkward-k8s-lab-internal"


def test_a_service_has_a_balancer_of_its_own(site: Site) -> None:
    build(site, "service_balancer")
    known: Any = balancing.found(site.cloud, "describe_load_balancers", "LoadBalancers", balancers.SERVICE_BALANCER)
    told = site.cloud.elbv2.describe_tags(ResourceArns=[known["LoadBalancerArn"]])["TagDescriptions"][0]["Tags"]
    assert {t["Key"]: t["Value"] for t in told}["kubernetes.io/service-name"] == balancers.SERVICE
    assert leads_to(site, "checkout") == balancers.SERVICE_BALANCER


def test_a_real_cloud_controller_makes_the_services_balancer_itself(site: Site) -> None:
    real = site.settings.model_copy(update={"controllers": "real"})
    build(replace(site, settings=real), "service_balancer")
    assert balancing.found(site.cloud, "describe_load_balancers", "LoadBalancers", balancers.SERVICE_BALANCER) is None


def test_a_real_cloud_controller_finds_one_group_of_the_clusters_on_a_machine(site: Site) -> None:
    real = site.settings.model_copy(update={"controllers": "real"})
    build(replace(site, settings=real), "interface_form")
    groups = site.cloud.ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [f"extra.{site.cluster}"]}]
    )
    assert [tag["Key"] for tag in groups["SecurityGroups"][0]["Tags"]] == ["Name"]


def test_a_name_that_leads_elsewhere_by_now_is_left_alone(site: Site) -> None:
    names.lead(site, "web", "new.elb.eu-central-1.amazonaws.com")
    names.lead(site, "web", "old.elb.eu-central-1.amazonaws.com")
    assert records(site, private=True)["web", "CNAME"]["ResourceRecords"] == [
        {"Value": "new.elb.eu-central-1.amazonaws.com"}
    ]


def test_records_that_were_put_right_or_moved_are_left_alone(site: Site) -> None:
    build(site, "records_of_their_own")
    route53 = site.cloud.route53
    zones = route53.list_hosted_zones_by_name(DNSName=shapes.ZONE)["HostedZones"]
    zone = next(one["Id"] for one in zones if one["Config"]["PrivateZone"])
    canary = records(site, private=True)["canary", "CNAME"]
    simple = {key: value for key, value in canary.items() if key not in ("SetIdentifier", "Weight")}
    changes = [{"Action": "DELETE", "ResourceRecordSet": canary}, {"Action": "CREATE", "ResourceRecordSet": simple}]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    before = records(site, private=True)
    build(site, "records_of_their_own")
    assert records(site, private=True) == before


def leads_to(site: Site, label: str) -> str:
    """The name of the balancer to which a CNAME of the private zone leads."""
    target = records(site, private=True)[label, "CNAME"]["ResourceRecords"][0]["Value"]
    every = site.cloud.elbv2.describe_load_balancers()["LoadBalancers"]
    return next(one["LoadBalancerName"] for one in every if one["DNSName"] == target)


def records(site: Site, *, private: bool) -> dict[tuple[str, str], dict[str, Any]]:
    zones = site.cloud.route53.list_hosted_zones_by_name(DNSName=shapes.ZONE)["HostedZones"]
    zone = next(z["Id"] for z in zones if z["Config"]["PrivateZone"] is private)
    found = site.cloud.route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return {(one["Name"].removesuffix(f".{shapes.ZONE}."), one["Type"]): one for one in found}


def test_customers_names_are_in_a_public_zone(site: Site) -> None:
    build(site, "public_zone")
    found = records(site, private=False)
    assert found["shop", "CNAME"]["TTL"] in names.TTLS_S
    assert found["www", "A"]["AliasTarget"]["EvaluateTargetHealth"] is True
    assert ("shop", "CNAME") not in records(site, private=True)


def test_some_names_have_policies_or_owners(site: Site) -> None:
    build(site, "records_of_their_own")
    found = records(site, private=True)
    assert found["canary", "CNAME"]["SetIdentifier"] == "blue"
    assert "AliasTarget" in found["intranet", "A"]
    assert "owner=awkward" in found["cname-owned", "TXT"]["ResourceRecords"][0]["Value"]


def test_members_have_names(site: Site) -> None:
    image = launching.image(site.cloud, "node")
    data = launching.specified(
        type="m5.large", image=image, data="#!", group=site.access.control_plane, profile=site.access.nodes_profile
    )
    name = f"master-a.{site.cluster}"
    own = plan.tags(name, site.cluster, **{MASTER: "1"})
    template = launching.template(site.cloud, name, own, data)
    launching.group(site.cloud, name, own, template, site.network.private[ZONES[0]], 1, None, member=True)
    for _ in range(100):
        if launching.addresses(site.cloud, site.cluster, MASTER):
            break
        with WORLD.lock:
            WORLD.changed.wait(0.1)
    build(site, "member_names")
    assert records(site, private=True)["master-a.internal", "A"]["ResourceRecords"][0]["Value"].startswith("127.10.")


def test_groups_launch_several_types(site: Site) -> None:
    build(site, "mixed_policies")
    mixed = [group for group in worker_groups(site) if "MixedInstancesPolicy" in group]
    assert len(mixed) >= 2
    assert all(len(g["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]) == 3 for g in mixed)


def test_the_autoscalers_tags_stay_on_the_group(site: Site) -> None:
    build(site, "quiet_tags")
    for group in worker_groups(site):
        told = {t["Key"]: t["PropagateAtLaunch"] for t in group["Tags"]}
        assert told["k8s.io/cluster-autoscaler/enabled"] is False
        assert told["KubernetesCluster"] is True


def test_templates_have_groups_in_the_interface(site: Site) -> None:
    build(site, "interface_form")
    versions = [
        site.cloud.ec2.describe_launch_template_versions(
            LaunchTemplateName=group["AutoScalingGroupName"], Versions=["$Latest"]
        )["LaunchTemplateVersions"][0]
        for group in worker_groups(site)
    ]
    second = [one for one in versions if one["VersionNumber"] == 2]
    assert second and {one["VersionNumber"] for one in versions} <= {1, 2}
    assert all(len(one["LaunchTemplateData"]["NetworkInterfaces"][0]["Groups"]) == 2 for one in second)


def test_a_seed_chooses_and_varies() -> None:
    assert set(awkward.BUILDERS) == set(shapes.ODDITIES)
    assert shapes.oddities("pet", 5) == ()
    assert shapes.oddities("awkward", 0) == shapes.ODDITIES
    chosen = [shapes.oddities("awkward", seed) for seed in range(1, 11)]
    assert len(set(chosen)) == 10 and chosen == [shapes.oddities("awkward", seed) for seed in range(1, 11)]
    assert all(set(one) < set(shapes.ODDITIES) for one in chosen)
    assert shapes.draw_for("a", 1).random() == shapes.draw_for("a", 1).random() != Random("a 2").random()


def test_the_shape_gives_the_names_and_is_kept_while_the_cluster_is_there(tmp_path: Path) -> None:
    assert LabSettings() == LabSettings.load(tmp_path, {})
    asked = LabSettings.load(tmp_path, {"LAB_SHAPE": "awkward", "LAB_SEED": "7"})
    assert (asked.shape, asked.seed, asked.cluster) == ("awkward", 7, shapes.ZONE)
    with pytest.raises(SettingsError, match="LAB_SHAPE='odd': must be one of pet, awkward"):
        LabSettings.load(tmp_path, {"LAB_SHAPE": "odd"})
    asked.note_built(tmp_path)
    assert LabSettings.load(tmp_path, {}).cluster == shapes.ZONE
    assert LabSettings.load(tmp_path, {}).seed == LabSettings.load(tmp_path, {"LAB_SEED": "7"}).seed == 7
    with pytest.raises(SettingsError, match=r"LAB_SEED='8': the lab in .* has a cluster of seed 7"):
        LabSettings.load(tmp_path, {"LAB_SEED": "8"})
    with pytest.raises(SettingsError, match=r"LAB_SHAPE='pet': the lab in .* has a cluster of shape awkward"):
        LabSettings.load(tmp_path, {"LAB_SHAPE": "pet"})
    (tmp_path / "lab.json").write_text(json.dumps({"cluster": "mine"}))
    assert LabSettings.load(tmp_path, {}).cluster == "mine"


@pytest.mark.parametrize("seed", [0, 3])
def test_what_clients_ask_for_is_a_listener_and_its_name_leads_there(site: Site, seed: int) -> None:
    settings = site.settings.model_copy(update={"seed": seed})
    here = replace(site, settings=settings)
    wanted = asked(settings)
    chosen = shapes.oddities(settings.shape, seed)
    for oddity in ("several_listeners", "second_ingress", "application_balancer", "service_balancer"):
        if oddity in chosen:
            awkward.BUILDERS[oddity](here, shapes.draw_for(oddity, seed))
    found = {one["DNSName"]: one for one in site.cloud.elbv2.describe_load_balancers()["LoadBalancers"]}
    kinds = {"http": ("TCP", "HTTP"), "https": ("TLS",), "dns": ("UDP",)}
    names_there = records(site, private=True)
    for one in wanted:
        parts = urlsplit(one.url)
        label = (parts.hostname or "").removesuffix(f".{shapes.ZONE}")
        record = names_there.get((label, "CNAME")) or names_there["\\052.apps", "CNAME"]
        balancer: Any = found[record["ResourceRecords"][0]["Value"]]
        every = site.cloud.elbv2.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
        (listener,) = [each for each in every if each["Port"] == parts.port]
        assert listener["Protocol"] in kinds[parts.scheme]
        if one.name in ("web-host", "web-path"):
            state = parse(snapshot(WORLD)).load_balancers[balancer["LoadBalancerArn"]]
            (read,) = state.listeners
            assert forwards(read, parts.hostname or "", parts.path) != read.forwards


def test_what_is_there_reaches_the_network_with_certificates_rules_and_attributes(site: Site) -> None:
    for oddity in ("several_listeners", "second_ingress", "application_balancer"):
        build(site, oddity)
    state = parse(snapshot(WORLD))
    balancers_by_name = {one.name: one for one in state.load_balancers.values()}
    ingress, intranet, web = (
        balancers_by_name[name]
        for name in (
            "ingress-awkward-k8s-lab-internal",
            "intranet-awkward-k8s-lab-interna",
            "web-awkward-k8s-lab-internal",
        )
    )
    secure = next(one for one in ingress.listeners if one.secure)
    assert (secure.protocol, [c.names for c in secure.certificates]) == ("TLS", [(f"*.apps.{shapes.ZONE}",)])
    assert {one.protocol: one.transports for one in intranet.listeners} == {"TCP": ("tcp",), "UDP": ("udp",)}
    groups_of = {one.protocol: state.target_groups[one.target_groups[0]] for one in intranet.listeners}
    assert groups_of["TCP"].proxy_protocol
    assert groups_of["UDP"].cuts_when_drained
    assert not groups_of["TCP"].cuts_when_drained
    assert (web.type, web.cross_zone, web.attributes["idle_timeout.timeout_seconds"]) == ("application", True, "120")
    assert [rule.priority for rule in web.listeners[0].rules] == [10, 20]
    assert len(web.listeners[0].target_groups) == 2
    assert state.target_groups[web.listeners[0].target_groups[0]].health.matcher == "200"
