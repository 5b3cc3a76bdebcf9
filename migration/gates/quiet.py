"""Quiet: no new flow on an old balancer for long enough, so that nobody is sent into the void when it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from migration.contracts.gates import ApiQuiet, BalancerRef, IngressQuiet, Quiet
from migration.gates.live import Live
from migration.runtime.deadline import Retryable

NAMESPACE, METRIC = "AWS/NetworkELB", "NewFlowCount"
# A metric is "seen" if it had a datum lately: a balancer reports flows only while there are any.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-cloudwatch-metrics.html
SEEN = timedelta(hours=3)


def window(ttl: int, period: int, periods: int) -> int:
    """Seconds without a new flow that count as quiet: max(2 × TTL, `periods`), and a period for the last datum."""
    return max(2 * ttl, periods * period) + period


def flows(points: Sequence[Mapping[str, Any]], since: datetime) -> float:
    """New flows in data that begin at or after `since`."""
    return sum(float(point["Sum"]) for point in points if point["Timestamp"] >= since)


def _points(live: Live, balancer: str, start: datetime, end: datetime, period: int) -> list[Mapping[str, Any]]:
    """Data of the balancer, in as many questions as CloudWatch's 1,440 data a question ask for."""
    found: list[Mapping[str, Any]] = []
    step = timedelta(seconds=period * 1440)
    while start < end:
        answer = live.aws.cloudwatch.get_metric_statistics(
            Namespace=NAMESPACE,
            MetricName=METRIC,
            Dimensions=[{"Name": "LoadBalancer", "Value": balancer}],
            StartTime=start,
            EndTime=min(end, start + step),
            Period=period,
            Statistics=["Sum"],
        )
        found += answer["Datapoints"]
        start += step
    return found


def _quiet(q: Quiet, live: Live, old: BalancerRef) -> str:
    balancer = old.arn.split(":loadbalancer/", 1)[-1]
    period = q.metric_period_seconds
    # The old TTL was waited out at stage 2; what clients remember now is the lowered one.
    seconds = window(q.ttl, period, q.quiet_periods)
    now = datetime.now(UTC)
    points = _points(live, balancer, now - SEEN, now + timedelta(seconds=period), period)
    if q.allow_traffic:
        recent = flows(points, now - timedelta(seconds=seconds))
        return f"{recent:.0f} new flows on {balancer} in {seconds} s, allowed by migration:allowTrafficOnOldBalancers"
    if not points:
        hours = int(SEEN.total_seconds() // 3600)
        raise Retryable(
            f"CloudWatch has no {METRIC} of {balancer} within {hours} h, so quiet can't be told from unseen; if nobody "
            f"ever used it, say so with migration:allowTrafficOnOldBalancers"
        )
    recent = flows(points, now - timedelta(seconds=seconds))
    if recent:
        raise Retryable(
            f"{recent:.0f} new flows on {balancer} within {seconds} s: some client still resolves or pins the old "
            f"address (or set migration:allowTrafficOnOldBalancers)"
        )
    return f"no new flow on {balancer} for {seconds} s"


def ingress(q: IngressQuiet, live: Live) -> str:
    """The old ingress balancer is quiet. Its last healthy targets go at stage 6."""
    return _quiet(q, live, live.ingress(live.side(q.old)))


def api(q: ApiQuiet, live: Live) -> str:
    """The old API balancer is quiet. Its targets go with the swaps."""
    return _quiet(q, live, live.api(live.side(q.old)))
