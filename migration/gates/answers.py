"""Gate before the first client is sent over: every listener of the new balancers answers a real connection.

A network balancer passes a handshake on to a target, so that one that succeeds was answered by a node or a server. Each
balancer has an address in every zone, and each of them is tried: a name would lead to any.
"""

from __future__ import annotations

import json
import shlex
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from migration.clients.aws import described
from migration.contracts.gates import BalancerRef, NewBalancersAnswer
from migration.etcd.machine import shell
from migration.gates.live import Live
from migration.runtime.deadline import Deadline, Permanent, Retryable

SECONDS = 5.0
"""How long one connection may take."""
ASKING_SECONDS = 60.0
"""How long a machine may take to answer a command."""

# The same as `_tried` on a machine: prints what didn't answer, a line each.
_SCRIPT = """
import json, socket, ssl, sys
seconds, doors = json.loads(sys.argv[1])
for address, port, way in doors:
    try:
        with socket.create_connection((address, port), timeout=seconds) as plain:
            if way == "TLS":
                trust = ssl.create_default_context()
                trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
                trust.wrap_socket(plain).close()
    except OSError as error:
        print(f"{address}:{port} {error}")
"""


@dataclass(frozen=True)
class Door:
    """One address and port of a balancer, and what is spoken there: ``TCP`` or ``TLS``."""

    balancer: str
    address: str
    port: int
    way: str


def answer(q: NewBalancersAnswer, live: Live) -> str:
    """Every listener's port of every balancer of the new side is connected to, at each of its addresses."""
    new = live.side(q.new)
    doors: list[Door] = []
    silent: list[str] = []
    for role, balancer in live.ingresses(new).items():
        found, left = _doors(live, role, balancer)
        doors += found
        silent += left
    doors += [
        Door(balancer=one.balancer, address=one.address, port=one.port, way="TLS")
        for one in _doors(live, "api", live.api(new))[0]
    ]
    places: list[str] = []
    if q.from_here:
        _refuse("this machine", list(_tried(doors)))
        places.append("this machine")
    for machine in () if q.from_here else _machines(q, live):
        _refuse(machine, _asked(live, machine, doors))
        places.append(machine)
    untried = f"; not tried, being UDP: {', '.join(silent)}" if silent else ""
    return f"{len(doors)} listeners' addresses answer {' and '.join(places)}{untried}"


def _doors(live: Live, role: str, balancer: BalancerRef) -> tuple[list[Door], list[str]]:
    """What can be connected to, and listeners that can't be, by role and port."""
    listeners = described(live.aws.elbv2.describe_listeners(LoadBalancerArn=balancer.arn)["Listeners"])
    named = balancer.arn.split(":loadbalancer/", 1)[-1]
    answer = live.aws.ec2.describe_network_interfaces(Filters=[{"Name": "description", "Values": [f"ELB {named}"]}])
    addresses = sorted(str(one["PrivateIpAddress"]) for one in described(answer["NetworkInterfaces"]))
    if not addresses:
        raise Retryable(f"the {role} balancer of the new side ({named}) has no address yet")
    doors: list[Door] = []
    silent: list[str] = []
    for one in listeners:
        if one["Protocol"] == "UDP":
            silent.append(f"{role} {one['Port']}")
            continue
        way = "TLS" if one["Protocol"] in ("TLS", "HTTPS") else "TCP"
        doors += [Door(role, address, int(one["Port"]), way) for address in addresses]
    return doors, silent


def _tried(doors: Sequence[Door]) -> Iterator[str]:
    """Those that don't answer this machine, with the reason. Who they are isn't asked: only that they answer."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    for one in doors:
        try:
            with socket.create_connection((one.address, one.port), timeout=SECONDS) as plain:
                if one.way == "TLS":
                    trust.wrap_socket(plain).close()
        except OSError as error:
            yield f"{one.balancer} {one.address}:{one.port} ({error})"


def _machines(q: NewBalancersAnswer, live: Live) -> list[str]:
    """A running machine of each old member's group, to be asked through Systems Manager."""
    running = [one.id for one in live.aws.instances_of_groups(q.member_groups) if one.state == "running"]
    if not running:
        raise Permanent(
            f"no machine of {', '.join(q.member_groups)} runs from which the new balancers could be tried; with "
            f"migration:etcd.access: direct they are tried from this machine"
        )
    return running


def _asked(live: Live, machine: str, doors: Sequence[Door]) -> list[str]:
    told = json.dumps([SECONDS, [[one.address, one.port, one.way] for one in doors]])
    command = f"python3 -c {shlex.quote(_SCRIPT)} {shlex.quote(told)}"
    text = shell(live.aws, machine, command, Deadline(ASKING_SECONDS), live.context.alive)
    return [line for line in text.splitlines() if line.strip()]


def _refuse(place: str, wrong: Sequence[str]) -> None:
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise Retryable(
            f"of the new balancers' listeners {', '.join(wrong[:3])}{more} don't answer {place}: clients would fail "
            f"there; see the node ports' rules, and whether a Service answers on them"
        )
