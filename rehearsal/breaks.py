"""The breaks a sabotage run makes, one at a time, each with its repair and what the report must name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from lab import processes
from lab.addresses import API_PORT, ETCD_PEER_PORT
from lab.settings import LabSettings
from migration.clients.etcd import Direct, Etcd, client_trust
from migration.clients.kubernetes import CONFIG_MAPS, PODS, SERVICES, Kubernetes
from rehearsal.watch import Watch

# An address nobody listens on: a learner that will never start.
NOBODY = "127.0.0.254"


@dataclass(kw_only=True)
class World:
    """What a break may touch: the lab's AWS and cluster, and the proof that is watching."""

    directory: Path
    settings: LabSettings
    watch: Watch
    undo: list[Callable[[], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kubernetes = Kubernetes(kubeconfig=str(self.directory / "kubeconfig"))
        session: Any = boto3.Session()
        self.ec2, self.route53, self.ssm = (session.client(name) for name in ("ec2", "route53", "ssm"))

    def etcd(self) -> Etcd:
        """etcd through the members' own network, as the proof's sampler reaches it."""
        section = json.loads(self.watch.config.read_text())["etcd"]
        trust = client_trust(self.ssm, f"/{self.settings.cluster}/operator/etcd")
        return Etcd(section["endpoints"], Direct(trust, source_address=section["source_address"]))


def policy_flipped(world: World) -> None:
    """The ingress Service goes back to Local while nodes without an ingress pod are still targets."""
    namespace, name = world.settings.ingress_service.split("/")

    def policy(value: str) -> object:
        return world.kubernetes.patch(SERVICES, name, {"spec": {"externalTrafficPolicy": value}}, namespace)

    policy("Cluster")
    time.sleep(5)  # long enough for every node to become a healthy target
    policy("Local")
    world.undo.append(lambda: time.sleep(3))


def record_deleted(world: World) -> None:
    """The ingress record is deleted and made again, with a moment between, instead of in one change batch."""
    zone = world.route53.list_hosted_zones_by_name(DNSName=world.settings.zone_name)["HostedZones"][0]["Id"]
    records = world.route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    record = next(item for item in records if "apps" in item["Name"] and item["Type"] == "CNAME")

    def change(action: str) -> None:
        batch: Any = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        world.route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)

    change("DELETE")
    world.undo.append(lambda: change("CREATE"))
    time.sleep(world.settings.record_ttl_s + 3)


def rule_missing(world: World) -> None:
    """One security-group rule is missing: the API's port from the VPC, through which its balancer reaches it."""
    masters = world.ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [f"masters.{world.settings.cluster}"]}]
    )["SecurityGroups"][0]
    group = masters.get("GroupId", "")
    rules = world.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    removed = [
        rule
        for rule in rules["SecurityGroupRules"]
        if not rule.get("IsEgress") and rule.get("FromPort") == API_PORT and rule.get("CidrIpv4")
    ]
    for rule in removed:
        world.ec2.revoke_security_group_ingress(
            GroupId=group, SecurityGroupRuleIds=[rule.get("SecurityGroupRuleId", "")]
        )

    def give_back() -> None:
        for rule in removed:
            permission: Any = {
                "IpProtocol": "tcp",
                "FromPort": API_PORT,
                "ToPort": API_PORT,
                "IpRanges": [{"CidrIp": rule.get("CidrIpv4")}],
            }
            world.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])

    world.undo.append(give_back)
    time.sleep(4)


def pod_deleted(world: World) -> None:
    """Pods of one application are deleted, not evicted, past what its budget allows."""
    pods = world.kubernetes.list(PODS, "billing", labels="app=ledger")
    for pod in pods[:5]:
        world.kubernetes.delete(PODS, pod["metadata"]["name"], "billing")
    time.sleep(6)


def learner_left(world: World) -> None:
    """A learner is added to etcd and never started."""
    etcd = world.etcd()
    member = etcd.add_learner(f"https://{NOBODY}:{ETCD_PEER_PORT}")
    world.undo.append(lambda: etcd.remove(member.id, etcd.endpoints[0]))
    time.sleep(3)


def write_removed(world: World) -> None:
    """An acknowledged write disappears."""
    time.sleep(3)
    keys = world.kubernetes.list(CONFIG_MAPS, "proof")
    written = [item["metadata"]["name"] for item in keys if item["metadata"]["name"].startswith("w-")]
    world.kubernetes.delete(CONFIG_MAPS, written[0], "proof")


def process_left(world: World) -> None:
    """A process of an instance that is terminated goes on running."""
    environment = os.environ | {
        "LAB_DIR": str(world.directory),
        "LAB_INSTANCE": "i-0000000000000dead",
        processes.MARK: "sabotage",
    }
    left = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(120)"], env=environment, stdin=subprocess.DEVNULL
    )

    def end() -> None:
        left.kill()
        left.wait()

    world.undo.append(end)


@dataclass(frozen=True, kw_only=True)
class Break:
    """One break and the words of which at least one reason of the report must hold one."""

    name: str
    make: Callable[[World], None]
    named: tuple[str, ...]


AT_REST: tuple[Break, ...] = (
    Break(name="policy-flipped-without-narrowing", make=policy_flipped, named=("ingress_fresh", "ingress_kept")),
    Break(name="record-deleted-before-made-again", make=record_deleted, named=("ingress_fresh",)),
    Break(name="security-group-rule-missing", make=rule_missing, named=("api_fresh",)),
    Break(name="pod-deleted-past-its-budget", make=pod_deleted, named=("budget billing/ledger",)),
    Break(name="learner-left-behind", make=learner_left, named=("left with a learner",)),
    Break(name="acknowledged-write-removed", make=write_removed, named=("acknowledged writes are lost",)),
    Break(name="terminated-instances-process-left", make=process_left, named=("i-0000000000000dead",)),
)
