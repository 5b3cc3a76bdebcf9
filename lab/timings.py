"""How long the lab's AWS takes: `quick`, so that a rehearsal takes minutes, or as long as AWS does (`aws`). Pure.

`LAB_TIMING`, or `timing` in `lab.json`. Keys that `lab.json` gives come before the set's. Whatever the set, the first
cluster is there quickly: machines and targets in the VPC that it begins in take `QUICK` times, since what is tried is
the migration. A time that differs from one to the next is a span, ``[240, 420]``, of which one is drawn by the seed.
"""

from __future__ import annotations

import hashlib
from typing import Any

BUILT = "timing"
QUICK, AWS = "quick", "aws"

Span = tuple[float, float]
"""The shortest and the longest that a time may be, in seconds."""

# Key of `LabSettings` → its value. Sources: "reference" is M. Tougeron, "Live migrating a Kubernetes cluster across
# VPCs without downtime"; the others are AWS's documentation by guide and page.
TIMINGS: dict[str, dict[str, Any]] = {
    QUICK: {},
    AWS: {
        # Together 4 to 7 min from launch to node (reference, step 7).
        "instance_boot_s": (210.0, 360.0),
        "node_join_s": (30.0, 60.0),
        # Pulling an image and starting: of the order of what workloads show, no figure of AWS's.
        "pod_start_s": 5.0,
        # NLB, "Health checks for target groups": interval 5 to 300 s, thresholds 2 to 10, TCP's timeout 10 s.
        "health_interval_s": 10.0,
        "healthy_threshold": 2,
        "unhealthy_threshold": 2,
        "health_timeout_s": 10.0,
        # NLB, "Target health status": `initial` while registering and at the first checks. With those two 30 to 90 s.
        "target_registration_s": (20.0, 80.0),
        # NLB, "Edit target group attributes": 300 s where nobody sets it; what this program sets is 120.
        "deregistration_s": 120.0,
        # NLB, "Listeners": the idle timeout of UDP flows.
        "udp_idle_s": 120.0,
        # Route 53, API reference, ChangeResourceRecordSets: changes "generally" reach all servers within 60 s.
        "change_pending_s": (20.0, 60.0),
        # Route 53, "Values specific for simple records": 300 s is what its console proposes.
        "record_ttl_s": 300,
        # Route 53, "Choosing between alias and non-alias records": 60 s for an alias to a load balancer.
        "alias_ttl_s": 60,
        # NLB, "CloudWatch metrics": in intervals of 60 s.
        "metric_period_s": 60.0,
        # How late they come is documented nowhere: one or two periods, as was seen (facts).
        "metric_lag_s": (60.0, 120.0),
    },
}


def filled(values: dict[str, Any]) -> dict[str, Any]:
    """Settings with what their set says where they say nothing themselves; another set's name adds nothing."""
    timing = values.get("timing", QUICK)
    return {**(TIMINGS.get(timing, {}) if isinstance(timing, str) else {}), **values}


def fraction(text: str) -> float:
    """A number from 0 up to 1 that depends on nothing but `text`."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def drawn(time: float | Span, seed: int, *what: object) -> float:
    """Seconds: `time` itself, or one within the span, the same for the same seed and `what`."""
    if not isinstance(time, tuple):
        return time
    low, high = time
    return low + (high - low) * fraction(" ".join(map(str, (seed, *what))))


def bounds(time: float | Span) -> Span:
    """The shortest and the longest that a time may be."""
    return time if isinstance(time, tuple) else (time, time)
