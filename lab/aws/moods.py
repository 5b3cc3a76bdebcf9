"""Throttling and read-after-write lag, seeded: `LAB_THROTTLE`, `LAB_LAG_S`, `LAB_SEED`.

A call is throttled, and a read is behind, by a number drawn from the seed, the action and how often it was asked: the
same calls meet the same moods. The lab's own tooling is spared: it isn't what is tried.

A read that is behind answers as it did when this caller asked before, and as was still true `LAB_LAG_S` ago.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field

from lab.aws.front import Request, Turned
from lab.aws.hooks import active, inner_rule
from lab.aws.identity import EC2_TYPES, ROOT_KEY
from lab.aws.world import WORLD
from lab.timings import fraction

inner_rule("request_rate_exceeded", "EC2 API reference, Request throttling; API references, Common errors: Throttling")
inner_rule("reads_lag_behind_writes", "EC2 API reference, Eventual consistency; IAM user guide, Troubleshoot: changes")

LAGGING = ("ec2", "autoscaling", "elasticloadbalancing", "iam")
"""Services that say of themselves to be eventually consistent; Parameter Store and Route 53's changes aren't."""
READS = ("Describe", "Get", "List")
MAKES = ("Create", "Run", "Allocate", "Request")
ID = re.compile(r"\b(" + "|".join(EC2_TYPES) + r")-[0-9a-f]{17}\b")
NOT_FOUND = {
    "vpc": "InvalidVpcID.NotFound",
    "subnet": "InvalidSubnetID.NotFound",
    "i": "InvalidInstanceID.NotFound",
    "vol": "InvalidVolume.NotFound",
    "sg": "InvalidGroup.NotFound",
    "sgr": "InvalidSecurityGroupRuleId.NotFound",
    "lt": "InvalidLaunchTemplateId.NotFound",
    "rtb": "InvalidRouteTableID.NotFound",
    "igw": "InvalidInternetGatewayID.NotFound",
    "nat": "NatGatewayNotFound",
    "pcx": "InvalidVpcPeeringConnectionID.NotFound",
    "eipalloc": "InvalidAllocationID.NotFound",
    "vpce": "InvalidVpcEndpointId.NotFound",
    "eni": "InvalidNetworkInterfaceID.NotFound",
    "acl": "InvalidNetworkAclID.NotFound",
}
"""EC2's error codes for ids it doesn't know (EC2 API reference, Error codes)."""

Answer = tuple[str, list[tuple[str, str]], bytes]


@dataclass
class Moods:
    """What was answered and made so far. Guarded by the world's lock."""

    asked: Counter[str] = field(default_factory=Counter[str])
    answers: dict[str, tuple[float, Answer]] = field(default_factory=dict[str, tuple[float, Answer]])
    """By service, caller and question: when it was answered last, and what."""
    made: dict[str, float] = field(default_factory=dict[str, float])
    """By id."""

    def throttle(self, request: Request) -> None:
        """Raises Turned for the share of calls that the settings say."""
        share = WORLD.settings.throttle
        if (
            share
            and request.key != ROOT_KEY
            and active("request_rate_exceeded")
            and self._draw("rate", request) < share
        ):
            raise _too_often(request)

    def behind(self, request: Request) -> Answer | None:
        """An answer from before the last change, or None for the present one. Raises Turned for ids too new to know."""
        lag = WORLD.settings.lag_s
        if not lag or request.key == ROOT_KEY or not _lags(request) or not active("reads_lag_behind_writes"):
            return None
        now = WORLD.clock()
        young = [v for v in request.values.values() if now - self.made.get(v, 0.0) < lag]
        recent = now - _last(request.service) < lag
        if not (young or recent) or self._draw("lag", request) < 0.5:
            return None
        if young:
            kind = young[0].partition("-")[0]
            raise Turned(NOT_FOUND[kind], f"The {EC2_TYPES[kind]} ID '{young[0]}' does not exist")
        kept = self.answers.get(_question(request))
        # Old news, but the truth of `lag` seconds ago at the oldest: nothing may have moved between the two.
        behind = kept and _last(request.service, now - lag) <= kept[0] < _last(request.service)
        return kept[1] if kept and behind else None

    def note(self, request: Request, answer: Answer) -> None:
        """Remembers an answer that was given."""
        if not WORLD.settings.lag_s or request.service not in LAGGING or answer[0] >= "400":
            return
        now = WORLD.clock()
        if _lags(request):
            self.answers[_question(request)] = (now, answer)
            return
        if request.service == "ec2" and request.action.startswith(MAKES):
            known = set(request.values.values())
            text = answer[2].decode("utf-8", "replace")
            self.made |= {found[0]: now for found in ID.finditer(text) if found[0] not in known}

    def _draw(self, what: str, request: Request) -> float:
        """A number from 0 to 1, the same for the same seed, action and count."""
        key = f"{what} {request.name}"
        self.asked[key] += 1
        return fraction(f"{WORLD.settings.seed} {key} {self.asked[key]}")


def _lags(request: Request) -> bool:
    return request.service in LAGGING and request.action.startswith(READS)


def _last(service: str, until: float = math.inf) -> float:
    """When something of the service moved last, up to then: by its own calls, by another's, or by itself."""
    return max(WORLD.moves[one].last(until) for one in ("", service))


def _question(request: Request) -> str:
    return f"{request.key} {request.name} {sorted(request.values.items())}"


def _too_often(request: Request) -> Turned:
    if request.service == "ec2":
        return Turned("RequestLimitExceeded", "Request limit exceeded.", 503)
    return Turned("ThrottlingException" if request.protocol == "json" else "Throttling", "Rate exceeded")
