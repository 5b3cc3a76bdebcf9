"""A recording of the world (`rehearsal/world.py`): AWS through boto3, the cluster through the lab's own client.

Neither goes through the program's clients: a fault of theirs must not be in what judges them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3

from lab.addresses import REGION
from lab.kubernetes.access import access, read, ready
from lab.kubernetes.client import Client
from lab.machines.nodes import NODE_IP
from rehearsal import world
from rehearsal.world import NO_GROUP, Cloud, Cluster, World

Item = Mapping[str, Any]
GROUP_TAG = "aws:autoscaling:groupName"
PROOFS_OWN = "proof"
"""The namespace in which the proof writes: it comes and goes with it."""
ENDED = ("shutting-down", "terminated")
NAME_LABEL = "kubernetes.io/hostname"
AS_DUE = "as is due"


def world_now(kubeconfig: Path, region: str = REGION) -> World:
    """Everything as it is now. Raises what boto3 and the lab's client raise where they can't see."""
    client = Client(access(read(kubeconfig)))
    seen = CloudReader(region, serving_now(client))
    return World.of(seen.cloud(), cluster_now(client, seen.group_of))


def cloud_now(region: str = REGION) -> Cloud:
    """AWS as it is now."""
    return CloudReader(region).cloud()


def digest(value: Any) -> str:
    """Enough to see that a value is another one, without showing it."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def tags_of(item: Item) -> dict[str, str]:
    """An object's tags."""
    return {tag["Key"]: tag["Value"] for tag in item.get("Tags") or ()}


class CloudReader:
    """One look at AWS. The instances come first: targets and nodes are told by their group.

    `serving`: for each node port the instances that must answer there, None for all (`serving_now`).
    """

    def __init__(self, region: str, serving: Mapping[int, frozenset[str] | None] | None = None) -> None:
        self._serving = serving or {}
        # By the default session, which has read botocore's large tables of AWS's calls once.
        client: Any = boto3.client
        names = ("ec2", "autoscaling", "elbv2", "route53", "ssm", "iam")
        self._clients: dict[str, Any] = {name: client(name, region_name=region) for name in names}
        self._instances = [
            instance
            for one in self._all("ec2", "describe_instances", "Reservations")
            for instance in one["Instances"]
            if instance["State"]["Name"] not in ENDED
        ]
        placed = (item for item in self._instances if "PrivateIpAddress" in item)
        self._at = {item["PrivateIpAddress"]: item["InstanceId"] for item in placed}
        self.group_of = {item["InstanceId"]: tags_of(item).get(GROUP_TAG, NO_GROUP) for item in self._instances}

    def _all(self, service: str, operation: str, key: str, **arguments: Any) -> list[Any]:
        """Every item of a listing, over all its pages."""
        client = self._clients[service]
        if client.can_paginate(operation):
            return [item for page in client.get_paginator(operation).paginate(**arguments) for item in page[key]]
        return list(getattr(client, operation)(**arguments)[key])

    def cloud(self) -> Cloud:
        """Everything of AWS."""
        instances: dict[str, dict[str, str]] = {}
        for item in self._instances:
            instances.setdefault(self.group_of[item["InstanceId"]], {})[item["InstanceId"]] = item.get("VpcId", "")
        return Cloud(
            zones=dict(self._zones()),
            vpcs=dict(self._vpcs()),
            subnets=dict(self._subnets()),
            security_groups=dict(self._security_groups()),
            route_tables=dict(self._route_tables()),
            peerings=dict(self._peerings()),
            gateways=dict(self._gateways()),
            interfaces=dict(self._interfaces()),
            groups=dict(self._groups()),
            instances=instances,
            templates=dict(self._templates()),
            volumes=dict(self._volumes()),
            balancers=dict(self._balancers()),
            target_groups=dict(self._target_groups()),
            roles=dict(self._roles()),
            parameters=dict(self._parameters()),
        )

    def _zones(self) -> Iterator[tuple[str, world.Zone]]:
        for zone in self._all("route53", "list_hosted_zones", "HostedZones"):
            known = self._clients["route53"].get_hosted_zone(Id=zone["Id"])
            records = self._all("route53", "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone["Id"])
            yield (
                zone["Name"],
                world.Zone(
                    vpcs=tuple(sorted(vpc["VPCId"] for vpc in known.get("VPCs") or ())),
                    records=dict(_record(item) for item in records),
                ),
            )

    def _vpcs(self) -> Iterator[tuple[str, world.Vpc]]:
        for vpc in self._all("ec2", "describe_vpcs", "Vpcs"):
            dns: dict[str, bool] = {}
            for name in ("enableDnsSupport", "enableDnsHostnames"):
                told = self._clients["ec2"].describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute=name)
                dns[name] = told[name[0].upper() + name[1:]]["Value"]
            cidrs = tuple(sorted(one["CidrBlock"] for one in vpc["CidrBlockAssociationSet"]))
            yield vpc["VpcId"], world.Vpc(cidrs=cidrs, dns=dns, tags=tags_of(vpc))

    def _subnets(self) -> Iterator[tuple[str, world.Subnet]]:
        for item in self._all("ec2", "describe_subnets", "Subnets"):
            yield (
                item["SubnetId"],
                world.Subnet(
                    vpc=item["VpcId"], cidr=item["CidrBlock"], zone=item["AvailabilityZone"], tags=tags_of(item)
                ),
            )

    def _security_groups(self) -> Iterator[tuple[str, world.SecurityGroup]]:
        for item in self._all("ec2", "describe_security_groups", "SecurityGroups"):
            rules = {**dict(_rules("in", item["IpPermissions"])), **dict(_rules("out", item["IpPermissionsEgress"]))}
            yield (
                item["GroupId"],
                world.SecurityGroup(vpc=item["VpcId"], name=item["GroupName"], rules=rules, tags=tags_of(item)),
            )

    def _route_tables(self) -> Iterator[tuple[str, world.RouteTable]]:
        for item in self._all("ec2", "describe_route_tables", "RouteTables"):
            associated = (one.get("SubnetId") or "main" for one in item["Associations"])
            yield (
                item["RouteTableId"],
                world.RouteTable(
                    vpc=item["VpcId"],
                    routes=dict(_route(route) for route in item["Routes"]),
                    subnets=tuple(sorted(associated)),
                    tags=tags_of(item),
                ),
            )

    def _peerings(self) -> Iterator[tuple[str, world.Peering]]:
        for item in self._all("ec2", "describe_vpc_peering_connections", "VpcPeeringConnections"):
            # AWS shows those that are over for a while.
            if item["Status"]["Code"] in ("deleted", "rejected", "expired", "failed"):
                continue
            ends = [item[f"{end}VpcInfo"] for end in ("Requester", "Accepter")]
            dns = {
                end.get("VpcId", ""): bool((end.get("PeeringOptions") or {}).get("AllowDnsResolutionFromRemoteVpc"))
                for end in ends
            }
            yield (
                item["VpcPeeringConnectionId"],
                world.Peering(vpcs=tuple(sorted(dns)), state=item["Status"]["Code"], dns=dns, tags=tags_of(item)),
            )

    def _gateways(self) -> Iterator[tuple[str, world.Gateway]]:
        for item in self._all("ec2", "describe_internet_gateways", "InternetGateways"):
            vpcs = tuple(sorted(one["VpcId"] for one in item["Attachments"]))
            yield item["InternetGatewayId"], world.Gateway(kind="internet", vpcs=vpcs, tags=tags_of(item))
        for item in self._all("ec2", "describe_nat_gateways", "NatGateways"):
            if item["State"] not in ("deleted", "deleting", "failed"):
                yield item["NatGatewayId"], world.Gateway(kind="NAT", vpcs=(item["VpcId"],), tags=tags_of(item))
        for item in self._all("ec2", "describe_vpc_endpoints", "VpcEndpoints"):
            if item.get("State", "").lower() not in ("deleted", "deleting"):
                kind = f"endpoint of {item['ServiceName']}"
                yield item["VpcEndpointId"], world.Gateway(kind=kind, vpcs=(item["VpcId"],), tags=tags_of(item))
        for item in self._all("ec2", "describe_addresses", "Addresses"):
            yield item["AllocationId"], world.Gateway(kind="elastic address", vpcs=(), tags=tags_of(item))

    def _interfaces(self) -> Iterator[tuple[str, world.Interface]]:
        for item in self._all("ec2", "describe_network_interfaces", "NetworkInterfaces"):
            # An instance's own counts with it.
            if (item.get("Attachment") or {}).get("InstanceId") not in self.group_of:
                yield (
                    item["NetworkInterfaceId"],
                    world.Interface(vpc=item["VpcId"], description=item.get("Description") or ""),
                )

    def _groups(self) -> Iterator[tuple[str, world.Group]]:
        for item in self._all("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups"):
            in_service = (one["LifecycleState"] == "InService" for one in item.get("Instances") or ())
            mixed = (item.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
            template = item.get("LaunchTemplate") or mixed.get("LaunchTemplateSpecification") or {}
            yield (
                item["AutoScalingGroupName"],
                world.Group(
                    minimum=item["MinSize"],
                    maximum=item["MaxSize"],
                    desired=item["DesiredCapacity"],
                    running=sum(in_service),
                    suspended=tuple(sorted(one["ProcessName"] for one in item.get("SuspendedProcesses") or ())),
                    subnets=tuple(sorted(item.get("VPCZoneIdentifier", "").split(","))),
                    template=f"{template.get('LaunchTemplateId')} version {template.get('Version')}",
                    types=tuple(sorted(one["InstanceType"] for one in mixed.get("Overrides") or ())),
                    target_groups=tuple(sorted(item.get("TargetGroupARNs") or ())),
                    health_check=f"{item['HealthCheckType']} after {item.get('HealthCheckGracePeriod', 0)} s",
                    tags=tags_of(item),
                ),
            )

    def _templates(self) -> Iterator[tuple[str, world.Template]]:
        for item in self._all("ec2", "describe_launch_templates", "LaunchTemplates"):
            yield (
                item["LaunchTemplateId"],
                world.Template(
                    name=item["LaunchTemplateName"],
                    default=item["DefaultVersionNumber"],
                    latest=item["LatestVersionNumber"],
                    tags=tags_of(item),
                ),
            )

    def _volumes(self) -> Iterator[tuple[str, world.Volume]]:
        ending = {
            disk["Ebs"]["VolumeId"]
            for instance in self._instances
            for disk in instance.get("BlockDeviceMappings") or ()
            if disk.get("Ebs", {}).get("DeleteOnTermination")
        }
        for item in self._all("ec2", "describe_volumes", "Volumes"):
            if item["VolumeId"] not in ending:
                yield item["VolumeId"], world.Volume(attached=bool(item.get("Attachments")), tags=tags_of(item))

    def _balancers(self) -> Iterator[tuple[str, world.Balancer]]:
        items = self._all("elbv2", "describe_load_balancers", "LoadBalancers")
        tags = self._elb_tags(item["LoadBalancerArn"] for item in items)
        for item in items:
            arn = item["LoadBalancerArn"]
            listeners = self._all("elbv2", "describe_listeners", "Listeners", LoadBalancerArn=arn)
            attributes = self._clients["elbv2"].describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
            yield (
                item["LoadBalancerName"],
                world.Balancer(
                    arn=arn,
                    vpc=item["VpcId"],
                    scheme=item["Scheme"],
                    state=item["State"]["Code"],
                    subnets=tuple(sorted(zone["SubnetId"] for zone in item["AvailabilityZones"])),
                    listeners=dict(_listener(one) for one in listeners),
                    attributes={one["Key"]: one["Value"] for one in attributes},
                    tags=tags.get(arn, {}),
                ),
            )

    def _target_groups(self) -> Iterator[tuple[str, world.TargetGroup]]:
        items = self._all("elbv2", "describe_target_groups", "TargetGroups")
        tags = self._elb_tags(item["TargetGroupArn"] for item in items)
        for item in items:
            arn = item["TargetGroupArn"]
            health = self._clients["elbv2"].describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            attributes = self._clients["elbv2"].describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
            yield (
                item["TargetGroupName"],
                world.TargetGroup(
                    arn=arn,
                    vpc=item.get("VpcId", ""),
                    kind=item.get("TargetType", ""),
                    port=item.get("Port", 0),
                    health_check={
                        key: str(value)
                        for key, value in item.items()
                        if key.startswith(("HealthCheck", "HealthyThreshold", "UnhealthyThreshold"))
                    },
                    attributes={one["Key"]: one["Value"] for one in attributes},
                    targets=dict(Counter(self._target(one) for one in health)),
                    health=dict(Counter(health_of(one, self._serving) for one in health)),
                    tags=tags.get(arn, {}),
                ),
            )

    def _target(self, item: Item) -> str:
        # By address, too: which one a machine gets depends on how many were launched before it.
        target = item["Target"]["Id"]
        who = self.group_of.get(self._at.get(target, target), target)
        return f"{who}:{item['Target'].get('Port')}"

    def _elb_tags(self, arns: Iterable[str]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for batch in _batches(arns, 20):  # DescribeTags takes 20
            told = self._clients["elbv2"].describe_tags(ResourceArns=batch)["TagDescriptions"]
            found |= {one["ResourceArn"]: tags_of(one) for one in told}
        return found

    def _roles(self) -> Iterator[tuple[str, dict[str, str]]]:
        iam = self._clients["iam"]
        for role in self._all("iam", "list_roles", "Roles"):
            name = role["RoleName"]
            inline = self._all("iam", "list_role_policies", "PolicyNames", RoleName=name)
            attached = self._all("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=name)
            documents = {
                policy: digest(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
                for policy in inline
            }
            yield name, documents | {one["PolicyArn"]: "attached" for one in attached}

    def _parameters(self) -> Iterator[tuple[str, str]]:
        names = [item["Name"] for item in self._all("ssm", "describe_parameters", "Parameters")]
        for batch in _batches(names, 10):  # GetParameters takes 10
            for item in self._clients["ssm"].get_parameters(Names=batch, WithDecryption=True)["Parameters"]:
                yield item["Name"], digest(item["Value"])


def health_of(target: Item, serving: Mapping[int, frozenset[str] | None]) -> str:
    """A target's state; where it is known what that must be, whether it is."""
    state, port = str(target["TargetHealth"]["State"]), target["Target"].get("Port")
    if port not in serving:
        return state
    who = serving[port]
    due = "healthy" if who is None or target["Target"]["Id"] in who else "unhealthy"
    return AS_DUE if state == due else f"{state}, and {due} is due"


def _batches(values: Iterable[str], size: int) -> Iterator[list[str]]:
    every = list(values)
    for start in range(0, len(every), size):
        yield every[start : start + size]


def _record(item: Item) -> tuple[str, world.Record]:
    which = f" ({item['SetIdentifier']})" if item.get("SetIdentifier") else ""
    values = [one["Value"] for one in item.get("ResourceRecords") or ()]
    if item.get("AliasTarget"):
        evaluated = ", its health evaluated" if item["AliasTarget"].get("EvaluateTargetHealth") else ""
        values.append(f"alias of {item['AliasTarget']['DNSName']}{evaluated}")
    record = world.Record(ttl=item.get("TTL"), weight=item.get("Weight"), values=tuple(sorted(values)))
    return f"{item['Type']} {item['Name']}{which}", record


def _rules(way: str, permissions: Iterable[Item]) -> Iterator[tuple[str, str]]:
    peers = (
        ("IpRanges", "CidrIp"),
        ("Ipv6Ranges", "CidrIpv6"),
        ("UserIdGroupPairs", "GroupId"),
        ("PrefixListIds", "PrefixListId"),
    )
    for permission in permissions:
        protocol = "all" if permission["IpProtocol"] == "-1" else permission["IpProtocol"]
        ports = f" {permission['FromPort']}–{permission['ToPort']}" if "FromPort" in permission else ""
        for several, key in peers:
            for peer in permission.get(several) or ():
                yield f"{way} {protocol}{ports} {peer.get(key)}", peer.get("Description") or ""


def _route(item: Item) -> tuple[str, str]:
    to = next((str(item[key]) for key in item if key.startswith("Destination")), "")
    via = next((str(item[key]) for key in sorted(item) if key.endswith("Id") and not key.startswith("Dest")), "")
    return to, f"{via} {item.get('State', '')}".strip()


def _listener(item: Item) -> tuple[str, str]:
    led = []
    for action in item.get("DefaultActions") or ():
        weighted = (action.get("ForwardConfig") or {}).get("TargetGroups") or ()
        led += [action.get("TargetGroupArn") or "", *(one["TargetGroupArn"] for one in weighted)]
    return f"{item['Protocol']} {item['Port']}", ", ".join(sorted({arn for arn in led if arn}))


def serving_now(client: Client) -> dict[int, frozenset[str] | None]:
    """For each node port the instances that must answer: with a policy of Local those with a ready pod, else all: None.

    Which ones those are changes with every pod that is moved; that they and no others answer must not.
    """
    instances = {item["metadata"]["name"]: _instance(item) for item in client.list("/api/v1/nodes")}
    ready_on: dict[str, set[str]] = {}
    for item in client.list("/apis/discovery.k8s.io/v1/endpointslices"):
        name = (item["metadata"].get("labels") or {}).get("kubernetes.io/service-name", "")
        for one in item.get("endpoints") or ():
            # Absent means ready (discovery.k8s.io/v1, EndpointConditions).
            if (one.get("conditions") or {}).get("ready") is not False:
                nodes = ready_on.setdefault(f"{item['metadata']['namespace']}/{name}", set())
                nodes.add(instances.get(one.get("nodeName", ""), ""))
    found: dict[int, frozenset[str] | None] = {}
    for item in client.list("/api/v1/services"):
        local = item["spec"].get("externalTrafficPolicy") == "Local"
        for port in item["spec"].get("ports") or ():
            if "nodePort" in port:
                found[port["nodePort"]] = frozenset(ready_on.get(_key(item), ())) if local else None
    return found


def _instance(node: Item) -> str:
    """The instance that a Node is on, by its provider id."""
    return str(node["spec"].get("providerID") or "").rpartition("/")[2]


def cluster_now(client: Client, group_of: Mapping[str, str]) -> Cluster:
    """The cluster as it is now; `group_of`: the Auto Scaling group of each instance."""
    nodes: dict[str, list[world.Node]] = {}
    for item in client.list("/api/v1/nodes"):
        nodes.setdefault(group_of.get(_instance(item), NO_GROUP), []).append(node(item))
    return Cluster(
        nodes={group: tuple(sorted(found, key=lambda one: one.model_dump_json())) for group, found in nodes.items()},
        services={_key(item): service(item) for item in client.list("/api/v1/services")},
        workloads={
            f"{kind} {_key(item)}": workload(item)
            for kind, plural in WORKLOADS
            for item in client.list(f"/apis/apps/v1/{plural}")
        },
        objects={
            f"{kind} {_key(item)}": "present"
            for kind, path in OBJECTS
            for item in client.list(path)
            if item["metadata"].get("namespace") != PROOFS_OWN
        },
    )


WORKLOADS = (("Deployment", "deployments"), ("StatefulSet", "statefulsets"), ("DaemonSet", "daemonsets"))
OBJECTS = (
    ("ConfigMap", "/api/v1/configmaps"),
    ("PodDisruptionBudget", "/apis/policy/v1/poddisruptionbudgets"),
    ("ClusterRole", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
    ("ClusterRoleBinding", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"),
    ("PersistentVolume", "/api/v1/persistentvolumes"),
)
"""What a program may leave in a cluster, apart from what is recorded in itself."""


def _key(item: Item) -> str:
    metadata = item["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else metadata["name"]


def node(item: Item) -> world.Node:
    """A Node as the API gives it."""
    metadata, spec = item["metadata"], item["spec"]
    taints = (f"{one['key']}={one.get('value', '')}:{one['effect']}" for one in spec.get("taints") or ())
    return world.Node(
        ready=ready(item),
        unschedulable=bool(spec.get("unschedulable")),
        taints=tuple(sorted(taints)),
        labels={key: value for key, value in (metadata.get("labels") or {}).items() if key != NAME_LABEL},
        annotations={key: value for key, value in (metadata.get("annotations") or {}).items() if key != NODE_IP},
    )


def service(item: Item) -> world.Service:
    """A Service as the API gives it."""
    metadata, spec = item["metadata"], item["spec"]
    ports = (
        f"{one['port']}→{one.get('targetPort')} node {one.get('nodePort', '–')}" for one in spec.get("ports") or ()
    )
    return world.Service(
        kind=spec.get("type", ""),
        policy=spec.get("externalTrafficPolicy") or "",
        ports=tuple(sorted(ports)),
        annotations=metadata.get("annotations") or {},
        labels=metadata.get("labels") or {},
    )


def workload(item: Item) -> world.Workload:
    """A workload as the API gives it."""
    spec, status = item["spec"], item.get("status") or {}
    of_pods = (spec["template"].get("metadata") or {}).get("annotations") or {}
    template = {**spec["template"], "metadata": {"labels": (spec["template"].get("metadata") or {}).get("labels")}}
    rest = {key: value for key, value in spec.items() if key != "replicas"} | {"template": template}
    return world.Workload(
        replicas=spec.get("replicas", status.get("desiredNumberScheduled", 0)),
        ready=status.get("readyReplicas", status.get("numberReady", 0)),
        annotations=of_pods,
        spec=digest(rest),
    )
