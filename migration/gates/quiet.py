"""Quiet: no new flow on an old balancer for long enough and none open, so that nobody is cut off when it goes.

CloudWatch says nothing of flows while there are none, and what it says comes late. So silence counts only up to the
newest datum of another metric that the same balancer reports all the time: how many of its targets are healthy.
https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-cloudwatch-metrics.html
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from migration.clients.documents import Document
from migration.contracts.gates import ApiQuiet, BalancerRef, IngressQuiet, NewApiUnused, NewIngressUnused, Quiet
from migration.gates.live import Live
from migration.runtime.deadline import Retryable

NAMESPACE = "AWS/NetworkELB"
NEW, ACTIVE, HEALTHY = "NewFlowCount", "ActiveFlowCount", "HealthyHostCount"
# An application balancer speaks of requests and connections; of those, "the most useful statistic is Sum".
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
APPLICATION = "AWS/ApplicationELB"
REQUESTS, CONNECTIONS = "RequestCount", "ActiveConnectionCount"
LATE_PERIODS = 5
"""Periods the newest datum may lie back and still count as fresh: AWS's come one or two late."""
POINTS_PER_QUESTION = 1440


def window(ttl: int, period: int, periods: int) -> int:
    """Seconds without a new flow that count as quiet: max(2 × TTL, `periods`), and a period for the last datum."""
    return max(2 * ttl, periods * period) + period


def newest(points: Sequence[Document]) -> datetime | None:
    """When the newest of the data begins; None without any."""
    return max((point["Timestamp"] for point in points), default=None)


def within(points: Sequence[Document], since: datetime, until: datetime) -> Sequence[Document]:
    """Data that begin in a stretch of time, both ends included."""
    return [point for point in points if since <= point["Timestamp"] <= until]


def _points(
    live: Live,
    metric: str,
    dimensions: dict[str, str],
    statistic: Literal["Sum", "Maximum"],
    since: datetime,
    period: int,
) -> list[Document]:
    """Data of a metric from `since` on, in as many questions as CloudWatch's limit asks for."""
    found: list[Document] = []
    end, step = datetime.now(UTC) + timedelta(seconds=period), timedelta(seconds=period * POINTS_PER_QUESTION)
    named: Any = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    while since < end:
        answer = live.aws.cloudwatch.get_metric_statistics(
            Namespace=APPLICATION if dimensions["LoadBalancer"].startswith("app/") else NAMESPACE,
            MetricName=metric,
            Dimensions=named,
            StartTime=since,
            EndTime=min(end, since + step),
            Period=period,
            Statistics=[statistic],
        )
        found += answer["Datapoints"]
        since += step
    return found


def _last_word(live: Live, old: BalancerRef, balancer: str, since: datetime, period: int) -> datetime:
    """Up to when CloudWatch speaks of this balancer; raises `Retryable` where it hasn't lately."""
    data = [
        point
        for group in old.target_groups
        for point in _points(
            live,
            HEALTHY,
            {"TargetGroup": group.rsplit(":", 1)[-1], "LoadBalancer": balancer},
            "Maximum",
            since,
            period,
        )
    ]
    last = newest(data)
    fresh = datetime.now(UTC) - timedelta(seconds=LATE_PERIODS * period)
    if last is None or last < fresh:
        seen = f"its newest is of {last:%H:%M:%S}" if last else "there is none"
        raise Retryable(
            f"CloudWatch has no fresh {HEALTHY} of {balancer} ({seen}), so what it doesn't say of flows means nothing: "
            f"wait for it, or see whether the balancer still has targets"
        )
    return last


def _quiet(q: Quiet, live: Live, old: BalancerRef) -> str:
    balancer = old.arn.split(":loadbalancer/", 1)[-1]
    period = q.metric_period_seconds
    # The old TTL was waited out when the pairs were made; what clients remember now is the lowered one.
    seconds = window(q.ttl, period, q.quiet_periods)
    begin = datetime.now(UTC) - timedelta(seconds=seconds + LATE_PERIODS * period)
    last = _last_word(live, old, balancer, begin, period)
    since = last - timedelta(seconds=seconds)
    name, web = {"LoadBalancer": balancer}, balancer.startswith("app/")
    fresh = _points(live, REQUESTS if web else NEW, name, "Sum", begin, period)
    new = sum(float(point["Sum"]) for point in within(fresh, since, last))
    metric, statistic = (CONNECTIONS, "Sum") if web else (ACTIVE, "Maximum")
    recent = within(_points(live, metric, name, statistic, begin, period), last - timedelta(seconds=period), last)
    active = max((float(point[statistic]) for point in recent), default=0.0)
    accepted = q.accepted
    if new > accepted.new:
        raise Retryable(
            f"{new:.0f} new flows on {balancer} within {seconds} s, {accepted.new} are accepted: some client still "
            f"resolves or pins the old address; find it, or accept it by name in migration:traffic.acceptedFlows"
        )
    if active > accepted.active:
        raise Retryable(
            f"{active:.0f} open flows on {balancer}, {accepted.active} are accepted: clients that never ask again keep "
            f"them; end them there, or accept them by name in migration:traffic.acceptedFlows"
        )
    known = f" (accepted: {accepted.why or 'no reason given'})" if new or active else ""
    return f"{new:.0f} new flows on {balancer} in {seconds} s, {active:.0f} open{known}"


def ingress(q: IngressQuiet, live: Live) -> str:
    """The old ingress balancers are quiet. Their last healthy targets go at stage 6."""
    return "; ".join(_quiet(q, live, one) for one in live.ingresses(live.side(q.side)).values())


def api(q: ApiQuiet, live: Live) -> str:
    """The old API balancer is quiet. Its targets go with the swaps."""
    return _quiet(q, live, live.api(live.side(q.side)))


def new_ingress(q: NewIngressUnused, live: Live) -> str:
    """The new ingress balancers are quiet before their targets go; one without any can have served nobody."""
    ingresses = live.side(q.side).ingresses
    return "; ".join(_unused(q, live, balancer, role) for role, balancer in ingresses.items())


def new_api(q: NewApiUnused, live: Live) -> str:
    """The new API balancer is quiet before it goes."""
    return _unused(q, live, live.side(q.side).api, "API")


def _unused(q: Quiet, live: Live, balancer: BalancerRef | None, what: str) -> str:
    """Quiet, or nothing there that anybody could use: no balancer by its name, or no target behind it."""
    if balancer is None:
        return f"side {q.side.name} has no {what} balancer, so nobody can use one"
    if not any(live.aws.target_health(group) for group in balancer.target_groups):
        return f"the {what} balancer of side {q.side.name} has no target, so it serves nobody"
    return _quiet(q, live, balancer)
