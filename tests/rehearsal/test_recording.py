"""What a recording sees: one thing is changed in the lab's AWS (in this process) or in the cluster, and found."""

from __future__ import annotations

import copy
import json
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import httpx
import pytest

from lab.addresses import LabAddresses
from lab.aws.server import LabAws
from lab.aws.world import WORLD
from lab.kubernetes.access import Access
from lab.kubernetes.client import Client
from lab.settings import LabSettings
from rehearsal.leftovers import left_of
from rehearsal.recording import AS_DUE, CloudReader, cloud_now, cluster_now, health_of, serving_now
from rehearsal.world import NO_GROUP, Cloud, Cluster, World, blanks, differences

IMAGE = "ami-12c6146b"
REGION = "eu-central-1"
ZONE = "pet.lab.internal."
RECORD = "CNAME api.pet.lab.internal."


@pytest.fixture(scope="module")
def server() -> Iterator[LabAws]:
    running = LabAws().start()
    yield running
    running.stop()


def policy(action: str) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Small:
    """An AWS with a little of everything that a recording holds."""

    def __init__(self) -> None:
        client: Any = boto3.client
        names = ("ec2", "autoscaling", "elbv2", "route53", "ssm", "iam")
        clients = (client(name, region_name=REGION) for name in names)
        self.ec2, self.groups, self.elb, self.dns, self.ssm, self.iam = clients
        self.vpc = self.ec2.create_vpc(CidrBlock="127.10.0.0/16")["Vpc"]["VpcId"]
        self.corp = self.ec2.create_vpc(CidrBlock="127.50.0.0/16")["Vpc"]["VpcId"]
        cut = {"VpcId": self.vpc, "CidrBlock": "127.10.0.0/20", "AvailabilityZone": "eu-central-1a"}
        self.subnet = self.ec2.create_subnet(**cut)["Subnet"]["SubnetId"]
        self.table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        asked = self.ec2.create_vpc_peering_connection(VpcId=self.vpc, PeerVpcId=self.corp)
        self.peering = asked["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        self.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=self.peering)
        made = self.ec2.create_security_group(GroupName="nodes", Description="nodes", VpcId=self.vpc)
        self.group = made["GroupId"]
        data = {"ImageId": IMAGE, "InstanceType": "m5.large", "SecurityGroupIds": [self.group]}
        made = self.ec2.create_launch_template(LaunchTemplateName="workers", LaunchTemplateData=data)
        self.template = made["LaunchTemplate"]["LaunchTemplateId"]
        made = self.elb.create_target_group(
            Name="ingress", Protocol="TCP", Port=30080, VpcId=self.vpc, TargetType="instance"
        )
        self.targets = made["TargetGroups"][0]["TargetGroupArn"]
        made = self.elb.create_load_balancer(Name="ingress", Type="network", Scheme="internal", Subnets=[self.subnet])
        self.balancer = made["LoadBalancers"][0]["LoadBalancerArn"]
        self.listen(8080)
        self.groups.create_auto_scaling_group(
            AutoScalingGroupName="workers",
            MinSize=0,
            MaxSize=4,
            DesiredCapacity=1,
            VPCZoneIdentifier=self.subnet,
            LaunchTemplate={"LaunchTemplateId": self.template, "Version": "$Latest"},
            TargetGroupARNs=[self.targets],
        )
        made = self.dns.create_hosted_zone(
            Name=ZONE,
            CallerReference="1",
            VPC={"VPCRegion": REGION, "VPCId": self.vpc},
            HostedZoneConfig={"PrivateZone": True},
        )
        self.zone = made["HostedZone"]["Id"]
        self.point(TTL=60)
        self.ssm.put_parameter(Name="/pet/pki/ca.key", Value="planted", Type="SecureString")
        self.iam.create_role(RoleName="nodes", AssumeRolePolicyDocument="{}")
        self.iam.put_role_policy(RoleName="nodes", PolicyName="own", PolicyDocument=policy("s3:GetObject"))
        self.gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        made = self.ec2.create_volume(AvailabilityZone="eu-central-1a", Size=10, VolumeType="gp3")
        self.volume = made["VolumeId"]

    def listen(self, port: int) -> None:
        forward = {"Type": "forward", "TargetGroupArn": self.targets}
        self.elb.create_listener(LoadBalancerArn=self.balancer, Protocol="TCP", Port=port, DefaultActions=[forward])

    def point(self, **more: Any) -> None:
        values = [{"Value": "api-pet.elb.example"}]
        record = {"Name": "api.pet.lab.internal", "Type": "CNAME", "ResourceRecords": values} | more
        batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
        self.dns.change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch=batch)

    def open(self, **source: Any) -> None:
        allowed = {"IpProtocol": "tcp", "FromPort": 2379, "ToPort": 2379, **source}
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[allowed])

    def route(self, to: str, **via: str) -> None:
        self.ec2.create_route(RouteTableId=self.table, DestinationCidrBlock=to, **via)

    def choose(self, *types: str) -> None:
        policy = {
            "LaunchTemplateSpecification": {"LaunchTemplateId": self.template, "Version": "$Latest"},
            "Overrides": [{"InstanceType": one} for one in types],
        }
        mixed = {"LaunchTemplate": policy}
        self.groups.update_auto_scaling_group(AutoScalingGroupName="workers", MixedInstancesPolicy=mixed)

    def tag(self, id_: str) -> None:
        self.ec2.create_tags(Resources=[id_], Tags=[{"Key": "migration:side", "Value": "main"}])

    def instance(self) -> str:
        [group] = self.groups.describe_auto_scaling_groups()["AutoScalingGroups"]
        return group["Instances"][0]["InstanceId"]


def settled(wanted: Callable[[Cloud], bool]) -> Cloud:
    """The first recording for which `wanted` holds: the lab's AWS moves by itself."""
    deadline = time.monotonic() + 20
    while not wanted(cloud := cloud_now(REGION)):
        assert time.monotonic() < deadline, cloud.model_dump_json(indent=1)
        time.sleep(0.1)
    return cloud


@pytest.fixture(scope="module")
def aws(server: LabAws) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for key, value in LabAddresses().aws_environment().items():
            patch.setenv(key, value)
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        yield


@pytest.fixture
def small(aws: None) -> Small:
    WORLD.reset(LabSettings(instance_boot_s=0))
    return Small()


class Touched:
    """One AWS that is changed again and again: what was seen last is what the next change is compared with."""

    def __init__(self) -> None:
        WORLD.reset(LabSettings(instance_boot_s=0))
        self.aws = Small()
        self.last = settled(launched)

    def paths(self) -> list[tuple[str, ...]]:
        """Where it differs from when it was last looked at."""
        before, self.last = self.last, cloud_now(REGION)
        return [difference.path for difference in differences(seen(before), seen(self.last))]


@pytest.fixture(scope="module")
def touched(aws: None) -> Touched:
    return Touched()


def seen(cloud: Cloud, cluster: Cluster | None = None) -> World:
    empty = Cluster(nodes={}, services={}, workloads={}, objects={})
    return World.of(cloud, cluster or empty)


def launched(cloud: Cloud) -> bool:
    """The group's one machine is seen everywhere: what AWS is asked first may be older than what it is asked last."""
    there = len(cloud.instances.get("workers", ())) == cloud.groups["workers"].running == 1
    return there and bool(cloud.target_groups["ingress"].targets)


# What is changed, and the path of the one difference it makes.
Change = Callable[[Small], Any]
Path = Callable[[Small], tuple[str, ...]]
CHANGES: dict[str, tuple[Change, Path]] = {
    "a record's TTL": (
        lambda aws: aws.point(TTL=2),
        lambda aws: ("zones", ZONE, "records", RECORD, "ttl"),
    ),
    "a zone's VPCs": (
        lambda aws: aws.dns.associate_vpc_with_hosted_zone(
            HostedZoneId=aws.zone, VPC={"VPCRegion": REGION, "VPCId": aws.corp}
        ),
        lambda aws: ("zones", ZONE, "vpcs"),
    ),
    "a VPC's tags": (
        lambda aws: aws.tag(aws.vpc),
        lambda aws: ("vpcs", aws.vpc, "tags", "migration:side"),
    ),
    "a VPC's DNS": (
        lambda aws: aws.ec2.modify_vpc_attribute(VpcId=aws.vpc, EnableDnsHostnames={"Value": True}),
        lambda aws: ("vpcs", aws.vpc, "dns", "enableDnsHostnames"),
    ),
    "a subnet's tags": (
        lambda aws: aws.tag(aws.subnet),
        lambda aws: ("subnets", aws.subnet, "tags", "migration:side"),
    ),
    "a rule from a range": (
        lambda aws: aws.open(IpRanges=[{"CidrIp": "127.30.0.0/16"}]),
        lambda aws: ("security_groups", aws.group, "rules", "in tcp 2379–2379 127.30.0.0/16"),
    ),
    "a rule from a group": (
        lambda aws: aws.open(UserIdGroupPairs=[{"GroupId": aws.group}]),
        lambda aws: ("security_groups", aws.group, "rules", f"in tcp 2379–2379 {aws.group}"),
    ),
    "a route": (
        lambda aws: aws.route("0.0.0.0/0", GatewayId=aws.gateway),
        lambda aws: ("route_tables", aws.table, "routes", "0.0.0.0/0"),
    ),
    "a route table's subnets": (
        lambda aws: aws.ec2.associate_route_table(RouteTableId=aws.table, SubnetId=aws.subnet),
        lambda aws: ("route_tables", aws.table, "subnets"),
    ),
    "a gateway's tags": (
        lambda aws: aws.tag(aws.gateway),
        lambda aws: ("gateways", aws.gateway, "tags", "migration:side"),
    ),
    "a group's maximum": (
        lambda aws: aws.groups.update_auto_scaling_group(AutoScalingGroupName="workers", MaxSize=1),
        lambda aws: ("groups", "workers", "maximum"),
    ),
    "a group's minimum": (
        lambda aws: aws.groups.update_auto_scaling_group(AutoScalingGroupName="workers", MinSize=1),
        lambda aws: ("groups", "workers", "minimum"),
    ),
    "a group's suspended processes": (
        lambda aws: aws.groups.suspend_processes(AutoScalingGroupName="workers", ScalingProcesses=["Launch"]),
        lambda aws: ("groups", "workers", "suspended"),
    ),
    "a group's tags": (
        lambda aws: aws.groups.create_or_update_tags(
            Tags=[
                {
                    "ResourceId": "workers",
                    "ResourceType": "auto-scaling-group",
                    "Key": "migration:hold",
                    "Value": "{}",
                    "PropagateAtLaunch": False,
                }
            ]
        ),
        lambda aws: ("groups", "workers", "tags", "migration:hold"),
    ),
    "the types that a group may choose from": (
        lambda aws: aws.choose("m5.large", "m5a.large"),
        lambda aws: ("groups", "workers", "types"),
    ),
    "a template's version": (
        lambda aws: aws.ec2.create_launch_template_version(
            LaunchTemplateId=aws.template, LaunchTemplateData={"ImageId": IMAGE}
        ),
        lambda aws: ("templates", aws.template, "latest"),
    ),
    "a volume's tags": (
        lambda aws: aws.tag(aws.volume),
        lambda aws: ("volumes", aws.volume, "tags", "migration:side"),
    ),
    "a listener": (
        lambda aws: aws.listen(8081),
        lambda aws: ("balancers", "ingress", "listeners", "TCP 8081"),
    ),
    "a balancer's attributes": (
        lambda aws: aws.elb.modify_load_balancer_attributes(
            LoadBalancerArn=aws.balancer, Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}]
        ),
        lambda aws: ("balancers", "ingress", "attributes", "deletion_protection.enabled"),
    ),
    "a target group's tags": (
        lambda aws: aws.elb.add_tags(ResourceArns=[aws.targets], Tags=[{"Key": "a", "Value": "b"}]),
        lambda aws: ("target_groups", "ingress", "tags", "a"),
    ),
    "a role's policy": (
        lambda aws: aws.iam.put_role_policy(
            RoleName="nodes", PolicyName="own", PolicyDocument=policy("ssm:GetParameter")
        ),
        lambda aws: ("roles", "nodes", "own"),
    ),
    "a parameter": (
        lambda aws: aws.ssm.put_parameter(Name="/pet/members/a/ticket", Value="x", Type="String"),
        lambda aws: ("parameters", "/pet/members/a/ticket"),
    ),
    "a parameter's value": (
        lambda aws: aws.ssm.put_parameter(Name="/pet/pki/ca.key", Value="other", Type="SecureString", Overwrite=True),
        lambda aws: ("parameters", "/pet/pki/ca.key"),
    ),
    "a peering that is gone": (
        lambda aws: aws.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=aws.peering),
        lambda aws: ("peerings", aws.peering),
    ),
    "a network interface": (
        lambda aws: aws.ec2.create_network_interface(SubnetId=aws.subnet),
        lambda aws: ("interfaces",),
    ),
}


@pytest.mark.parametrize(("change", "path"), CHANGES.values(), ids=CHANGES)
def test_one_thing_that_is_changed_in_aws_is_one_difference(touched: Touched, change: Change, path: Path) -> None:
    change(touched.aws)
    wanted = path(touched.aws)
    assert [one[: len(wanted)] for one in touched.paths()] == [wanted]


def test_a_world_that_nobody_touches_has_no_difference_and_nothing_is_blank(small: Small) -> None:
    before = settled(launched)
    assert differences(seen(before), seen(cloud_now(REGION))) == []
    assert blanks(seen(before)) == ["nodes", "services", "workloads", "objects"]
    assert "planted" not in before.model_dump_json()


def test_a_target_out_of_its_group_and_a_machine_replaced_are_seen(small: Small) -> None:
    before = settled(launched)
    [old] = before.instances["workers"]
    small.elb.deregister_targets(TargetGroupArn=small.targets, Targets=[{"Id": old}])
    gone = settled(lambda cloud: not cloud.target_groups["ingress"].targets)
    found = {difference.path[:3] for difference in differences(seen(before), seen(gone))}
    assert found == {("target_groups", "ingress", "targets"), ("target_groups", "ingress", "health")}
    small.ec2.terminate_instances(InstanceIds=[old])
    after = settled(lambda cloud: launched(cloud) and old not in cloud.instances.get("workers", {}))
    paths = {difference.path for difference in differences(seen(before), seen(after))}
    [new] = after.instances["workers"]
    assert {("instances", "workers", old), ("instances", "workers", new)} <= paths
    assert all(path[0] in ("instances", "target_groups") for path in paths), paths


def test_a_record_made_a_weighted_pair_is_seen_as_one_gone_and_two_new(small: Small) -> None:
    before = settled(launched)
    record: dict[str, Any] = {"Name": "api.pet.lab.internal", "Type": "CNAME", "TTL": 60}
    record["ResourceRecords"] = [{"Value": "api-pet.elb.example"}]
    changes = [{"Action": "DELETE", "ResourceRecordSet": record}]
    changes += [
        {"Action": "CREATE", "ResourceRecordSet": record | {"SetIdentifier": side, "Weight": weight}}
        for side, weight in (("legacy", 100), ("main", 0))
    ]
    small.dns.change_resource_record_sets(HostedZoneId=small.zone, ChangeBatch={"Changes": changes})
    found = differences(seen(before), seen(cloud_now(REGION)))
    assert [one.path[-1] for one in found] == [RECORD, f"{RECORD} (legacy)", f"{RECORD} (main)"]


def test_a_group_scaled_differs_in_what_it_wants_and_has(small: Small) -> None:
    before = settled(launched)
    small.groups.set_desired_capacity(AutoScalingGroupName="workers", DesiredCapacity=2)
    after = settled(lambda cloud: cloud.groups["workers"].running == 2)
    paths = {one.path for one in differences(seen(before), seen(after))}
    assert {("groups", "workers", "desired"), ("groups", "workers", "running")} <= paths


def test_what_the_old_side_leaves_is_found_in_a_recording(small: Small) -> None:
    owned = [{"Key": "kubernetes.io/cluster/pet", "Value": "owned"}]
    small.ec2.create_tags(Resources=[small.volume, small.template], Tags=owned)
    settled(launched)
    small.ec2.create_tags(Resources=[small.peering], Tags=[{"Key": "migration:side", "Value": "main"}])
    small.ec2.create_network_interface(SubnetId=small.subnet)
    # The balancer's own are there, too.
    interfaces = cloud_now(REGION).interfaces
    assert len(interfaces) == 2
    configuration = {
        "cluster": "pet",
        "from": "legacy",
        "to": "main",
        "sides": {"legacy": {"kind": "referenced", "vpcId": small.vpc}},
    }
    everything = {
        f"instance {small.instance()}",
        f"security-group {small.group}",
        *(f"network-interface {id_}" for id_ in interfaces),
        "autoscaling-group workers",
        f"load-balancer {small.balancer}",
        f"target-group {small.targets}",
        f"volume {small.volume}",
        f"launch-template {small.template}",
        f"peering {small.peering}",
    }
    assert set(left_of(cloud_now(REGION), configuration)) == everything
    # What is kept, and what belongs to the new side, isn't left over.
    small.tag(small.template)
    keep = [{"id": small.volume}, {"id": small.group}]
    rest = everything - {f"volume {small.volume}", f"security-group {small.group}"}
    found = set(left_of(cloud_now(REGION), configuration | {"keep": keep}))
    assert found == rest - {f"launch-template {small.template}"}


def test_a_route_that_leads_nowhere_is_left_over(small: Small) -> None:
    small.route("127.50.0.0/16", VpcPeeringConnectionId=small.peering)
    small.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=small.peering)
    configuration = {
        "cluster": "pet",
        "from": "legacy",
        "to": "main",
        "sides": {"legacy": {"kind": "referenced", "vpcId": small.vpc}},
    }
    assert f"route {small.table} to 127.50.0.0/16" in left_of(cloud_now(REGION), configuration)


# The cluster

NODE = {
    "metadata": {
        "name": "ip-1",
        "labels": {"kubernetes.io/hostname": "ip-1", "pool": "a"},
        "annotations": {"lab/vpc": "vpc-1"},
    },
    "spec": {"providerID": "aws:///eu-central-1a/i-1", "taints": []},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}
SERVICE = {
    "metadata": {"namespace": "ingress", "name": "ingress", "annotations": {}, "labels": {}},
    "spec": {"type": "NodePort", "externalTrafficPolicy": "Local", "ports": [{"port": 80, "nodePort": 30080}]},
}
DEPLOYMENT = {
    "metadata": {"namespace": "shop", "name": "web"},
    "spec": {
        "replicas": 3,
        "strategy": {"type": "RollingUpdate"},
        "template": {"metadata": {"labels": {"app": "web"}}},
    },
    "status": {"readyReplicas": 3},
}
AGENT = {
    "metadata": {"namespace": "kube-system", "name": "agent"},
    "spec": {"template": {"metadata": {}}},
    "status": {"desiredNumberScheduled": 2, "numberReady": 2},
}
CONFIG_MAP = {"metadata": {"namespace": "shop", "name": "settings"}}
LISTS: dict[str, list[dict[str, Any]]] = {
    "/api/v1/nodes": [NODE],
    "/api/v1/services": [SERVICE],
    "/apis/apps/v1/deployments": [DEPLOYMENT],
    "/apis/apps/v1/daemonsets": [AGENT],
    "/api/v1/configmaps": [CONFIG_MAP],
}


def client_of(lists: dict[str, list[dict[str, Any]]]) -> Client:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": lists.get(request.url.path, [])})

    return Client(Access("http://api", ssl.create_default_context()), transport=httpx.MockTransport(answer))


def cluster(lists: dict[str, list[dict[str, Any]]], groups: dict[str, str] | None = None) -> World:
    found = cluster_now(client_of(lists), {"i-1": "workers"} if groups is None else groups)
    none = {name: {} for name in Cloud.model_fields}
    return World.of(Cloud.model_validate(none), found)


def changed(path: str, edit: Callable[[dict[str, Any]], Any]) -> list[tuple[tuple[str, ...], Any, Any]]:
    """What differs once the first object of a list was edited."""
    lists = copy.deepcopy(LISTS)
    edit(lists[path][0])
    found = differences(cluster(LISTS), cluster(lists))
    return [(one.path, one.before, one.after) for one in found]


TAINT = {"key": "migration", "value": "migration", "effect": "NoSchedule"}
AT = ("nodes", "workers", "1")
WEB = ("workloads", "Deployment shop/web")


@pytest.mark.parametrize(
    ("path", "edit", "difference"),
    [
        (
            "/api/v1/nodes",
            lambda o: o["spec"].update(taints=[TAINT]),
            ((*AT, "taints"), [], ["migration=migration:NoSchedule"]),
        ),
        ("/api/v1/nodes", lambda o: o["spec"].update(unschedulable=True), ((*AT, "unschedulable"), False, True)),
        ("/api/v1/nodes", lambda o: o["status"].update(conditions=[]), ((*AT, "ready"), True, False)),
        (
            "/api/v1/nodes",
            lambda o: o["metadata"]["annotations"].update({"migration/cordoned": "true"}),
            ((*AT, "annotations", "migration/cordoned"), None, "true"),
        ),
        ("/api/v1/nodes", lambda o: o["metadata"]["labels"].pop("pool"), ((*AT, "labels", "pool"), "a", None)),
        (
            "/api/v1/services",
            lambda o: o["spec"].update(externalTrafficPolicy="Cluster"),
            (("services", "ingress/ingress", "policy"), "Local", "Cluster"),
        ),
        (
            "/api/v1/services",
            lambda o: o["metadata"]["annotations"].update({"migration/narrowed": "[]"}),
            (("services", "ingress/ingress", "annotations", "migration/narrowed"), None, "[]"),
        ),
        ("/apis/apps/v1/deployments", lambda o: o["spec"].update(replicas=4), ((*WEB, "replicas"), 3, 4)),
        ("/apis/apps/v1/deployments", lambda o: o["status"].update(readyReplicas=2), ((*WEB, "ready"), 3, 2)),
        (
            "/apis/apps/v1/deployments",
            lambda o: o["spec"]["template"]["metadata"].update(annotations={"at": "1"}),
            ((*WEB, "annotations", "at"), None, "1"),
        ),
        (
            "/apis/apps/v1/daemonsets",
            lambda o: o["status"].update(numberReady=1),
            (("workloads", "DaemonSet kube-system/agent", "ready"), 2, 1),
        ),
        (
            "/api/v1/configmaps",
            lambda o: o["metadata"].update(name="left"),
            (("objects", "ConfigMap shop/left"), None, "present"),
        ),
    ],
)
def test_one_thing_that_is_changed_in_the_cluster_is_seen(
    path: str, edit: Callable[[dict[str, Any]], Any], difference: tuple[tuple[str, ...], Any, Any]
) -> None:
    assert difference in changed(path, edit)


def test_another_strategy_is_another_digest() -> None:
    edited = changed("/apis/apps/v1/deployments", lambda o: o["spec"]["strategy"].update(type="Recreate"))
    assert [path for path, _, _ in edited] == [(*WEB, "spec")]


def test_a_node_replaced_by_its_like_is_no_difference_and_one_of_no_group_is() -> None:
    lists = copy.deepcopy(LISTS)
    lists["/api/v1/nodes"][0]["metadata"] |= {
        "name": "ip-2",
        "labels": {"kubernetes.io/hostname": "ip-2", "pool": "a"},
        "annotations": {"lab/vpc": "vpc-1", "alpha.kubernetes.io/provided-node-ip": "10.10.0.9"},
    }
    lists["/api/v1/nodes"][0]["spec"]["providerID"] = "aws:///eu-central-1a/i-2"
    assert differences(cluster(LISTS), cluster(lists, {"i-2": "workers"})) == []
    found = differences(cluster(LISTS), cluster(lists, {}))
    assert [one.path for one in found] == [("nodes", NO_GROUP), ("nodes", "workers")]


def test_what_the_proof_writes_is_not_part_of_the_world() -> None:
    lists = copy.deepcopy(LISTS)
    lists["/api/v1/configmaps"].append({"metadata": {"namespace": "proof", "name": "w-1"}})
    assert differences(cluster(LISTS), cluster(lists)) == []


def slice_of(service: str, *endpoints: dict[str, Any]) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": service}
    return {"metadata": {"namespace": "ingress", "name": f"{service}-1", "labels": labels}, "endpoints": endpoints}


def test_behind_a_node_port_those_must_answer_that_have_a_ready_pod_or_with_cluster_all() -> None:
    second = {"metadata": {"name": "ip-2"}, "spec": {"providerID": "aws:///eu-central-1a/i-2"}}
    lists = copy.deepcopy(LISTS)
    lists["/api/v1/nodes"].append(second)
    lists["/apis/discovery.k8s.io/v1/endpointslices"] = [
        slice_of("ingress", {"nodeName": "ip-1"}, {"nodeName": "ip-2", "conditions": {"ready": False}}),
        slice_of("other", {"nodeName": "ip-2"}),
    ]
    assert serving_now(client_of(lists)) == {30080: frozenset({"i-1"})}
    lists["/api/v1/services"][0]["spec"]["externalTrafficPolicy"] = "Cluster"
    assert serving_now(client_of(lists)) == {30080: None}
    # No pod anywhere: none may be healthy.
    assert serving_now(client_of(LISTS)) == {30080: frozenset()}


@pytest.mark.parametrize(
    ("state", "serving", "told"),
    [
        ("healthy", frozenset({"i-1"}), AS_DUE),
        ("unhealthy", frozenset({"i-0"}), AS_DUE),
        ("unhealthy", frozenset({"i-1"}), "unhealthy, and healthy is due"),
        ("healthy", frozenset({"i-0"}), "healthy, and unhealthy is due"),
        ("initial", frozenset({"i-0"}), "initial, and unhealthy is due"),
        ("healthy", None, AS_DUE),
        ("draining", None, "draining, and healthy is due"),
    ],
)
def test_a_target_that_is_not_as_is_due_is_told_from_one_that_moved(
    state: str, serving: frozenset[str] | None, told: str
) -> None:
    target = {"Target": {"Id": "i-1", "Port": 30080}, "TargetHealth": {"State": state}}
    assert health_of(target, {30080: serving}) == told
    assert health_of(target, {6443: serving}) == state


def test_targets_are_judged_by_what_serves(small: Small) -> None:
    settled(launched)
    seen = CloudReader(REGION, {30080: frozenset()}).cloud().target_groups["ingress"].health
    assert list(seen.values()) == [1]
    assert "unhealthy is due" in next(iter(seen))
