"""Whether a machine's call to AWS gets out at all (`LAB_EGRESS=enforce`): groups, ACLs, routes, NAT and endpoints.

A call that doesn't is never answered: the connection ends after `refuse_after_s`, which stands for a time-out.
"""

from __future__ import annotations

from lab.aws.front import Request
from lab.aws.hooks import active, inner_rule
from lab.aws.identity import machine_of
from lab.aws.snapshot import snapshot
from lab.aws.world import WORLD
from lab.network import outward
from lab.network.parsing import parse
from lab.network.reachability import Verdict
from lab.network.state import State

inner_rule(
    "no_way_to_the_service",
    "VPC user guide, Internet gateways; NAT gateways; PrivateLink guide, Access an AWS service using an interface VPC"
    " endpoint: private DNS names",
)
_states: list[State] = []


class Unanswered(Exception):
    """The packets are lost; the message says where."""


def check(request: Request) -> None:
    """Raises Unanswered for a machine's call that would find no way. Called under the world's lock."""
    if WORLD.settings.egress != "enforce" or not active("no_way_to_the_service"):
        return
    instance = machine_of(request.key)
    if instance is None:
        return
    verdict = reaches(instance.private_ip, request.service)
    if not verdict.ok:
        raise Unanswered(f"{instance.id} → {request.service}: {verdict.reason}")


def reaches(ip: str, service: str) -> Verdict:
    """Whether this address reaches a service's API: by an interface endpoint whose name is taken, or out of the VPC."""
    return outward.reaches(_state(), ip, service)


def _state() -> State:
    """The world as packets see it, read once a revision."""
    if not _states or _states[0].revision != WORLD.revision:
        _states[:] = [parse(snapshot(WORLD))]
    return _states[0]
