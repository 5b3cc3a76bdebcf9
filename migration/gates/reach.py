"""Gate before the first client is sent over: machines of the new VPC reach what the old ones reach, tried from them.

One machine of each zone is told through Systems Manager to connect to registries, AWS's APIs, names, connected networks
and the old nodes; an old member's machine to the new nodes. What fails there is tried from the other side, too: what
the old VPC doesn't reach either (a registry behind a mirror, an API that nobody uses) is said, and no reason to refuse.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.session import get_session

from migration.clients.aws import Instance
from migration.clients.documents import Document, listed, mapping
from migration.clients.kubernetes import NODES, PODS
from migration.contracts.gates import KUBELET, NewMachinesReach
from migration.drain.nodes import instance_of, name_of
from migration.etcd.machine import shell
from migration.gates.live import Live
from migration.runtime.deadline import Deadline, OutOfTime, Permanent, Retryable

SECONDS = 5.0
"""How long one connection, or one name, may take."""
ASKING_SECONDS = 90.0
"""How long a machine may take to answer a command, its agent's way included."""
HTTPS = 443
DOCKER_HUB = "registry-1.docker.io"
PODS_TRIED = 3
"""How many pods or nodes are tried, of which one must answer: any of them may be going just now."""
SERVICES = ("ec2", "sts", "ssm", "api.ecr", "autoscaling", "elasticloadbalancing", "s3", "kms", "logs")
"""AWS's APIs that nodes, their agents and cloud controllers commonly ask: the first part of their hosts' names."""

# Prints how many doors were tried, and of those that didn't answer the place in the list with the reason.
SCRIPT = """
import json, os, socket, ssl, sys, threading, time
seconds, doors = json.loads(sys.argv[1])
wrong = {place: "no answer within %g s" % seconds for place in range(len(doors))}
trust = ssl.create_default_context()
trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
def attempt(way, host, port):
    if way == "NAME":
        socket.getaddrinfo(host, None)
        return
    with socket.create_connection((host, port), timeout=seconds) as plain:
        if way == "TLS":
            trust.wrap_socket(plain, server_hostname=host).close()
def look(place, way, host, port):
    try:
        attempt(way, host, port)
        wrong.pop(place)
    except (OSError, ValueError) as error:
        wrong[place] = str(error) or type(error).__name__
threads = [threading.Thread(target=look, args=(place, *door), daemon=True) for place, door in enumerate(doors)]
for one in threads:
    one.start()
end = time.monotonic() + 3 * seconds
for one in threads:
    one.join(max(0, end - time.monotonic()))
print(json.dumps({"tried": len(doors), "wrong": dict(wrong)}))
sys.stdout.flush()
os._exit(0)
"""
_WITHOUT_PYTHON = "no python3 on this machine to try connections with: migration:tryFromMachines: skip leaves it out"


@dataclass(frozen=True)
class Door:
    """What is tried: `what` in words; `way` is ``NAME``, ``TCP`` or ``TLS``.

    `places`: hosts and ports, of which one must answer. `either`: it is no fault where the other side's machine can't
    reach it either.
    """

    what: str
    way: str
    places: tuple[tuple[str, int], ...]
    either: bool = False

    def __str__(self) -> str:
        shown = (host if self.way == "NAME" else f"{host}:{port}" for host, port in self.places)
        return f"{self.what} {' or '.join(shown)}"


@dataclass
class _Seen:
    """What all machines together showed."""

    doors: int = 0
    places: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])
    neither: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class _Cluster:
    """The cluster's running pods, and its nodes' names by instance.

    By instance and not by address: a kubelet may be told another of its machine's addresses than EC2 calls the first.
    """

    pods: Sequence[Mapping[str, Any]]
    nodes: Mapping[str, str]

    def registries(self) -> set[tuple[str, int]]:
        """Hosts that images come from, each with its port."""
        return {registry_of(str(one["image"])) for pod in self.pods for one in _containers(pod)}

    def doors_of_pods(self, machines: Iterable[Instance]) -> tuple[tuple[str, int], ...]:
        """Addresses and ports of ready pods on these machines, of pods that have an address and a port of their own."""
        names = {self.nodes.get(one.id) for one in machines} - {None}
        found = sorted(
            (str(mapping(pod, "status")["podIP"]), port)
            for pod in self.pods
            if mapping(pod, "spec").get("nodeName") in names and _ready(pod)
            for port in _ports(pod)[:1]
        )
        return tuple(found[:PODS_TRIED])


def reach(q: NewMachinesReach, live: Live) -> str:
    """A machine of each new zone reaches what the old ones do. Raises `Retryable` with every failure, `Permanent`
    where no machine can be asked."""
    if q.by == "skip":
        return "nothing was tried from a machine of the new VPC: migration:tryFromMachines is skip"
    new, old = _running(live, q.new_groups), _running(live, q.old_groups)
    member = next(iter(_running(live, q.member_groups)), None)
    if member is None:
        raise Permanent(f"no machine of {', '.join(q.member_groups)} runs from which the way to new nodes can be tried")
    chosen = {zone: one for one in reversed(new) for zone in [one.zone] if zone in q.zones}
    if not chosen:
        raise Retryable(f"no machine of {', '.join(q.new_groups)} runs from which the new VPC's ways could be tried")
    cluster = _seen_cluster(live)
    outward, untested = _outward(q, live, cluster, old or [member], member)
    inward, more = _inward(cluster, new, chosen, member)
    seen = _Seen()
    for one in chosen.values():
        _try(live, one, outward, member, seen)
    _try(live, member, inward, next(iter(chosen.values())), seen)
    if seen.wrong:
        raise Retryable(
            f"{'; '.join(seen.wrong)}. See security groups' egress and ingress, network ACLs, routes, endpoints and "
            f"names of the new VPC; migration:tryFromMachines: skip leaves this out"
        )
    untested += [*more, *(f"zone {zone}, where no new machine runs" for zone in q.zones if zone not in chosen)]
    neither = f"; the other side doesn't reach either: {', '.join(dict.fromkeys(seen.neither))}" if seen.neither else ""
    left = f"; untested: {', '.join(untested)}" if untested else ""
    return f"{seen.doors} ways were tried from {', '.join(seen.places)}{neither}{left}"


def _running(live: Live, groups: Sequence[str]) -> list[Instance]:
    found = live.aws.instances_of_groups(groups)
    return sorted((one for one in found if one.state == "running"), key=lambda one: one.id)


def _seen_cluster(live: Live) -> _Cluster:
    nodes = {instance_of(node): name_of(node) for node in live.kubernetes.list(NODES)}
    pods = [one for one in live.kubernetes.list(PODS) if mapping(one, "status").get("phase") == "Running"]
    return _Cluster(pods=pods, nodes=nodes)


def _outward(
    q: NewMachinesReach, live: Live, cluster: _Cluster, old: Sequence[Instance], member: Instance
) -> tuple[list[Door], list[str]]:
    """What each new machine tries, and what can't be tried."""
    untested: list[str] = []
    doors = [Door("the API's name", "NAME", ((q.api, 0),))]
    doors += [Door("the name", "NAME", ((one.replace("*", "migration-tries"), 0),), either=True) for one in q.names]
    for host, port in sorted({*cluster.registries(), (registry_of_account(live), HTTPS)}):
        doors.append(Door("the registry", "TLS" if port == HTTPS else "TCP", ((host, port),), either=True))
    doors += [Door("AWS's API", "TLS", ((host, HTTPS),), either=True) for host in apis(live)]
    doors += [Door("migration:sides.<new>.reach", "TCP", (_target(one),)) for one in q.reach]
    doors.append(Door("kubelets of old nodes", "TCP", tuple((one.ip, KUBELET) for one in old[:PODS_TRIED])))
    pods = cluster.doors_of_pods(old)
    if pods:
        doors.append(Door("pods of old nodes", "TCP", pods, either=member.id in cluster.nodes))
    else:
        untested.append("pods of old nodes, where none is ready with a TCP port")
    if q.connected and not q.reach:
        untested.append(f"connected networks ({', '.join(q.connected)}), sides.<new>.reach being empty")
    if q.resolver_rules:
        untested.append(f"names of resolver rules ({', '.join(q.resolver_rules)}), which aren't known")
    return doors, untested


def _inward(
    cluster: _Cluster, new: Sequence[Instance], chosen: Mapping[str, Instance], member: Instance
) -> tuple[list[Door], list[str]]:
    """What an old member's machine tries, and what can't be tried."""
    doors = [Door("the new node's kubelet", "TCP", ((one.ip, KUBELET),)) for one in chosen.values()]
    pods = cluster.doors_of_pods(new)
    if member.id not in cluster.nodes:
        return doors, [f"the way from old nodes to new pods, {member.id} being no node"]
    if not pods:
        return doors, ["pods of new nodes, where none is ready with a TCP port"]
    return [*doors, Door("pods of new nodes", "TCP", pods, either=True)], []


def _try(live: Live, machine: Instance, doors: Sequence[Door], other: Instance, seen: _Seen) -> None:
    """What one machine doesn't reach, and of that what `other` doesn't reach either."""
    failed = _asked(live, machine, doors)
    both = [one for one in failed if one.either]
    also = _asked(live, other, both) if both else {}
    seen.doors += len(doors)
    seen.places.append(f"{machine.id} ({machine.zone})")
    seen.neither += [str(one) for one in also]
    seen.wrong += [
        f"{machine.id} ({machine.zone}) doesn't reach {one}: {why}" for one, why in failed.items() if one not in also
    ]


def _asked(live: Live, machine: Instance, doors: Sequence[Door]) -> dict[Door, str]:
    """The doors that don't answer this machine, with the reason."""
    flat = [(door, place) for door in doors for place in door.places]
    told = json.dumps([SECONDS, [[door.way, host, port] for door, (host, port) in flat]])
    command = (
        f"command -v python3 >/dev/null || {{ echo {shlex.quote(_WITHOUT_PYTHON)} >&2; exit 1; }}\n"
        f"python3 -c {shlex.quote(SCRIPT)} {shlex.quote(told)}"
    )
    try:
        text = shell(live.aws, machine.id, command, Deadline(ASKING_SECONDS), live.context.alive)
    except OutOfTime as reason:
        raise Permanent(
            f"Systems Manager doesn't reach {machine.id} of {machine.group} in {machine.zone} ({reason}): it needs the "
            f"SSM agent in its image, AmazonSSMManagedInstanceCore in its role and a way to ssm, ssmmessages and "
            f"ec2messages; where machines shall not have that, say migration:tryFromMachines: skip"
        ) from reason
    return _unanswered(machine, flat, text)


def _unanswered(machine: Instance, flat: Sequence[tuple[Door, tuple[str, int]]], text: str) -> dict[Door, str]:
    try:
        said = json.loads(text)
        wrong = {int(place): str(why) for place, why in said["wrong"].items()}
        tried = said["tried"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Permanent(f"{machine.id} answered the command that tries connections with {text[:200]!r}") from error
    if tried != len(flat):
        raise Permanent(f"{machine.id} tried {tried} of {len(flat)} connections")
    reasons: dict[Door, list[str]] = {}
    answered: set[Door] = set()
    for place, (door, _) in enumerate(flat):
        if place in wrong:
            reasons.setdefault(door, []).append(wrong[place])
        else:
            answered.add(door)
    return {door: ", ".join(dict.fromkeys(why)) for door, why in reasons.items() if door not in answered}


def registry_of(image: str) -> tuple[str, int]:
    """The host and port that an image's name says; Docker's own where it says none (as containerd reads it)."""
    first, slash, _ = image.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return DOCKER_HUB, HTTPS
    if first in ("docker.io", "index.docker.io"):
        return DOCKER_HUB, HTTPS
    host, _, port = first.partition(":")
    return host, int(port) if port.isdecimal() else HTTPS


def _domain(live: Live) -> str:
    """What hosts of the region end in, by botocore's own list: ``eu-central-1.amazonaws.com``."""
    session = get_session()
    name = session.get_partition_for_region(live.aws.region)
    every: list[Document] = session.get_data("partitions")["partitions"]
    [suffix] = (str(mapping(one, "outputs")["dnsSuffix"]) for one in every if one["id"] == name)
    return f"{live.aws.region}.{suffix}"


def apis(live: Live) -> Iterator[str]:
    """Hosts of AWS's APIs in the region."""
    domain = _domain(live)
    yield from (f"{service}.{domain}" for service in SERVICES)


def registry_of_account(live: Live) -> str:
    """The host of the account's own registry in the region."""
    return f"{live.aws.sts.get_caller_identity()['Account']}.dkr.ecr.{_domain(live)}"


def _target(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _containers(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in ("initContainers", "containers"):
        yield from listed(pod, "spec", key)


def _ports(pod: Mapping[str, Any]) -> list[int]:
    """TCP ports that the pod says to listen on."""
    every = (port for one in listed(pod, "spec", "containers") for port in one.get("ports") or ())
    return [int(port["containerPort"]) for port in every if port.get("protocol", "TCP") == "TCP"]


def _ready(pod: Mapping[str, Any]) -> bool:
    spec, status = mapping(pod, "spec"), mapping(pod, "status")
    conditions = {one.get("type"): one.get("status") for one in listed(status, "conditions")}
    leaving = "deletionTimestamp" in mapping(pod, "metadata")
    own = bool(status.get("podIP")) and not spec.get("hostNetwork")
    return own and not leaving and conditions.get("Ready") == "True"
