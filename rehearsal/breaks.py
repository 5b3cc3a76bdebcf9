"""The breaks a sabotage run makes, one at a time, each with its repair and what the report must name."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3

from lab import processes
from lab.addresses import API_PORT
from lab.legacy.pki import authority
from lab.settings import LabSettings
from migration.clients.etcd import Direct, Etcd, client_trust
from migration.clients.kubernetes import CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICES, Kind, Kubernetes
from proof.config import KINDS, write_atomically
from rehearsal.watch import Watch

# An address nobody listens on: a member that will never start.
NOBODY = "127.0.0.254"
# Where another team's application, and another cluster's API server, answer.
STRANGER = "127.0.0.253"
QUOTAS = Kind("api/v1", "resourcequotas")
WRONG_UID = "00000000-dead-4000-8000-000000000000"


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
    port = world.settings.control_plane.api_port
    masters = world.ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [f"masters.{world.settings.cluster}"]}]
    )["SecurityGroups"][0]
    group = masters.get("GroupId", "")
    rules = world.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    removed = [
        rule
        for rule in rules["SecurityGroupRules"]
        if not rule.get("IsEgress") and rule.get("FromPort") == port and rule.get("CidrIpv4")
    ]
    for rule in removed:
        world.ec2.revoke_security_group_ingress(
            GroupId=group, SecurityGroupRuleIds=[rule.get("SecurityGroupRuleId", "")]
        )

    def give_back() -> None:
        for rule in removed:
            permission: Any = {
                "IpProtocol": "tcp",
                "FromPort": port,
                "ToPort": port,
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
    member = etcd.add_learner(f"https://{NOBODY}:{world.settings.control_plane.etcd_peer_port}")
    world.undo.append(lambda: etcd.remove(member.id, etcd.endpoints[0]))
    time.sleep(3)


def write_removed(world: World) -> None:
    """An acknowledged write disappears."""
    time.sleep(3)
    keys = world.kubernetes.list(CONFIG_MAPS, "proof")
    written = [item["metadata"]["name"] for item in keys if item["metadata"]["name"].startswith("w-")]
    world.kubernetes.delete(CONFIG_MAPS, written[0], "proof")


def writes_stalled(world: World) -> None:
    """Nothing is written for a minute, as under a policy that refuses it; then everything goes on as if nothing was."""
    policy = world.kubernetes
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "stalled"},
        "spec": {"hard": {"count/configmaps": "0"}},
    }
    policy.create(QUOTAS, body, "proof")
    world.undo.append(lambda: policy.delete(QUOTAS, "stalled", "proof"))
    time.sleep(60)


def voter_dead(world: World) -> None:
    """One of four voters is dead, which leaves as many healthy ones as there were."""
    etcd = world.etcd()
    peer = f"https://{NOBODY}:{world.settings.control_plane.etcd_peer_port}"
    added = etcd.anywhere(
        lambda endpoint: etcd.call(endpoint, "cluster/member/add", {"peerURLs": [peer], "isLearner": False})
    )
    world.undo.append(lambda: etcd.remove(added["member"]["ID"], etcd.endpoints[0]))
    time.sleep(20)


def place_dropped(world: World) -> None:
    """A place disappears from the proof's configuration, without having been ended."""
    config = json.loads(world.watch.config.read_text())
    config["places"] = [place for place in config["places"] if place["name"] != "connected"]
    write_atomically(world.watch.config, json.dumps(config))
    time.sleep(15)


def app_at_zero(world: World) -> None:
    """An application without a budget is scaled to nothing, and given its pods back."""

    def scale(replicas: int) -> object:
        return world.kubernetes.patch(DEPLOYMENTS, "scratchpad", {"spec": {"replicas": replicas}}, "tools")

    before = world.kubernetes.get(DEPLOYMENTS, "scratchpad", "tools")["spec"]["replicas"]
    scale(0)
    world.undo.append(lambda: scale(before))
    time.sleep(4)


def _renamed(world: World, name: str, address: str) -> None:
    """The record of `name` becomes one that leads to `address`, until it is undone."""
    zone = world.route53.list_hosted_zones_by_name(DNSName=world.settings.zone_name)["HostedZones"][0]["Id"]
    records: list[Any] = world.route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    label = name.split(".")[0]
    before = next(item for item in records if item["Type"] == "CNAME" and label in item["Name"])
    target = f"stranger-{label}.{world.settings.zone_name}."
    a_record = {"Name": target, "Type": "A", "TTL": before["TTL"], "ResourceRecords": [{"Value": address}]}

    def change(*changes: tuple[str, Any]) -> None:
        batch: Any = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]}
        world.route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)

    change(("CREATE", a_record), ("UPSERT", {**before, "ResourceRecords": [{"Value": target}]}))
    world.undo.append(lambda: time.sleep(before["TTL"] + 1))
    world.undo.append(lambda: change(("UPSERT", before), ("DELETE", a_record)))


def _stranger(world: World, port: int, body: bytes, tls: ssl.SSLContext | None) -> None:
    """A server that answers everything with `body`, and 200."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer((STRANGER, port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    world.undo.append(server.server_close)
    world.undo.append(server.shutdown)


def other_application(world: World) -> None:
    """The ingress name leads to another application, whose answers look as good."""
    _stranger(world, 8080, b'{"pod": "wiki-7d9", "node": "n", "side": ""}', None)
    _renamed(world, world.settings.ingress_wildcard.removeprefix("*."), STRANGER)
    time.sleep(world.settings.record_ttl_s + 3)


def other_cluster(world: World) -> None:
    """The API's name leads to the API server of a twin: the same certificate authority, another cluster."""
    names = [f"/{world.settings.cluster}/{world.settings.control_plane.keys}/ca.{part}" for part in ("crt", "key")]
    certificate, key = (
        world.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"].get("Value", "") for name in names
    )
    issued = authority(certificate, key).issue("twin", sans=(world.settings.api_name,), server=True)
    pem = world.directory / "sabotage-twin.pem"
    pem.write_text("".join(issued))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    pem.unlink()
    body = json.dumps({"kind": "Namespace", "metadata": {"name": "kube-system", "uid": WRONG_UID}})
    _stranger(world, API_PORT, body.encode(), tls)
    _renamed(world, world.settings.api_name, STRANGER)
    time.sleep(world.settings.record_ttl_s + 3)


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
    """One break, the words that the report's reasons must hold (each in one of them), and those of reasons that it may
    bring along. A reason with none of either is a false alarm."""

    name: str
    make: Callable[[World], None]
    named: tuple[str, ...]
    along: tuple[str, ...] = ()
    stays: bool = False
    """It must still be there when the proof looks for the last time."""


WRITES_STALLED = "No write was acknowledged for "

AT_REST: tuple[Break, ...] = (
    Break(name="policy-flipped-without-narrowing", make=policy_flipped, named=("ingress_",)),
    Break(
        name="record-deleted-before-made-again",
        make=record_deleted,
        named=("ingress_fresh", "had no address"),
        along=("ingress_kept",),
    ),
    Break(
        name="security-group-rule-missing",
        make=rule_missing,
        named=("api_fresh",),
        along=("api_kept", WRITES_STALLED, "writes a second"),
    ),
    Break(name="pod-deleted-past-its-budget", make=pod_deleted, named=("budget billing/ledger",)),
    Break(name="learner-left-behind", make=learner_left, named=("left with a learner",), stays=True),
    Break(name="acknowledged-write-removed", make=write_removed, named=("acknowledged writes are lost",)),
    Break(name="terminated-instances-process-left", make=process_left, named=("i-0000000000000dead",)),
    Break(name="writes-stalled", make=writes_stalled, named=(WRITES_STALLED,), along=("writes a second",)),
    Break(name="one-of-four-voters-dead", make=voter_dead, named=("etcd's voter ",)),
    Break(
        name="place-dropped",
        make=place_dropped,
        named=tuple(f"{kind} from connected: only " for kind in KINDS),
    ),
    Break(name="app-at-zero", make=app_at_zero, named=("Deployment tools/scratchpad was scaled from 10 to 0",)),
    Break(
        name="ingress-answered-by-another-application",
        make=other_application,
        named=("ingress_fresh from old: ", 'wrong answerer: \'{"pod": "wiki-'),
        along=("ingress_fresh", "ingress_kept"),
    ),
    Break(
        name="api-answered-by-another-cluster",
        make=other_cluster,
        named=("api_fresh from old: ", f"wrong answerer: cluster {WRONG_UID} answered"),
        along=("api_fresh", "api_kept", WRITES_STALLED, "writes a second"),
    ),
)
