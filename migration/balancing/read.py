"""A load balancer as AWS has it, read into the form that its copy is made from. Reads only.

What a copy can't have isn't left out silently: it is a sentence in `refused`, with its value and what to do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from migration.balancing import attributes as known
from migration.clients.aws import Aws, described
from migration.clients.documents import Document, listed, mapping
from migration.settings.balancers import (
    BalancerForm,
    Condition,
    Forward,
    HealthCheck,
    ListenerForm,
    Rule,
    TargetGroupForm,
)

if TYPE_CHECKING:
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client

USUAL_TIMEOUT = 10
DESCRIBED_AT_ONCE = 20
"""Target groups a call; ELB answers pages of up to 400."""

# Field of a condition to the key that AWS keeps its values under.
_CONDITIONS = {
    "host-header": "HostHeaderConfig",
    "path-pattern": "PathPatternConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "query-string": "QueryStringConfig",
    "source-ip": "SourceIpConfig",
}
_REGEX = "RegexValues"
# Tags of balancers that a controller in the cluster makes, and takes away again: cloud-provider-aws, and the AWS Load
# Balancer Controller.
CONTROLLERS = ("kubernetes.io/service-name", "service.k8s.aws/stack", "ingress.k8s.aws/stack")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A balancer's form, its target groups' ARNs by their keys there, and what can't be carried (sentences).

    `protected`: it can't be deleted as it is.
    """

    name: str
    form: BalancerForm
    arns: Mapping[str, str]
    protected: bool = False
    refused: tuple[str, ...] = ()


@dataclass
class _Reader:
    """`refused` collects what can't be carried."""

    elb: ElasticLoadBalancingv2Client
    ec2: Any
    name: str
    keys: dict[str, str] = field(default_factory=dict[str, str])
    refused: list[str] = field(default_factory=list[str])

    def refuse(self, what: str, value: object, remedy: str) -> None:
        self.refused.append(f"load balancer {self.name}: {what} is {value}: {remedy}")

    # Attributes

    def known(self, table: known.Table, live: Mapping[str, str], where: str) -> dict[str, str]:
        carried, unknown = known.carried(table, live)
        for key, value in sorted(unknown.items()):
            self.refuse(f"{where} {key}", value, "isn't carried; set it to its default, or make this balancer by hand")
        return carried

    # Actions

    def forward(self, actions: Sequence[Document], where: str) -> tuple[tuple[Forward, ...], int | None] | None:
        """Where actions send, and for how long a client stays with one group; None for any other action."""
        others = [one["Type"] for one in actions if one["Type"] != "forward"]
        if others or len(actions) != 1:
            kinds = ", ".join(others) or "several actions"
            self.refuse(where, kinds, "only what forwards to instances is carried; move it to a listener of its own")
            return None
        action = actions[0]
        config = mapping(action, "ForwardConfig")
        sticky = mapping(config, "TargetGroupStickinessConfig")
        groups = listed(config, "TargetGroups") or [{"TargetGroupArn": action.get("TargetGroupArn")}]
        if not all(one.get("TargetGroupArn") in self.keys for one in groups):
            # Refused with its reason already.
            return None
        alone = len(groups) == 1
        found = tuple(
            Forward(
                group=self.keys[one["TargetGroupArn"]],
                weight=1 if alone or one.get("Weight") is None else int(one["Weight"]),
            )
            for one in groups
        )
        seconds = sticky.get("DurationSeconds") if sticky.get("Enabled") in (True, "true") and not alone else None
        return found, None if seconds is None else int(seconds)

    # Target groups

    def group(self, group: Document) -> TargetGroupForm | None:
        arn, name = group["TargetGroupArn"], f"target group {group['TargetGroupName']}"
        before = len(self.refused)
        if group.get("TargetType", "instance") != "instance":
            remedy = "only targets by instance are moved with their nodes; make it a group of instances on a node port"
            self.refuse(f"{name} targetType", group["TargetType"], remedy)
        if group.get("IpAddressType", "ipv4") != "ipv4":
            self.refuse(f"{name} ipAddressType", group["IpAddressType"], "only IPv4 is carried")
        if group.get("HealthCheckEnabled") is False:
            self.refuse(f"{name} healthCheckEnabled", "false", "a copy of instances is always checked")
        if len(self.refused) > before:
            return None
        live = {
            one["Key"]: one["Value"]
            for one in described(self.elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"])
        }
        protocol = group["Protocol"]
        web = protocol in known.WEB
        return TargetGroupForm(
            port=int(group["Port"]),
            protocol=protocol,
            # HTTP1 is what there is where nothing is said.
            protocol_version=group.get("ProtocolVersion") if web and group.get("ProtocolVersion") != "HTTP1" else None,
            health_check=_health_check(group),
            attributes=self.known(known.of_group(protocol), live, f"{name} attribute"),
        )

    # Listeners

    def listener(self, listener: Document, kind: str) -> ListenerForm | None:
        where = f"listener {listener['Port']}"
        mutual = mapping(listener, "MutualAuthentication").get("Mode", "off")
        if mutual != "off":
            self.refuse(f"{where} mutualAuthentication", mutual, "isn't carried; make this balancer by hand")
        sent = self.forward(listed(listener, "DefaultActions"), f"{where} default action")
        rules = tuple(self.rules(listener["ListenerArn"], where)) if kind == "application" else ()
        if sent is None:
            return None
        protocol = listener["Protocol"]
        secured = protocol in ("TLS", "HTTPS")
        return ListenerForm(
            port=int(listener["Port"]),
            protocol=protocol,
            forward=sent[0],
            sticky_seconds=sent[1],
            certificates=self.certificates(listener),
            policy=listener.get("SslPolicy") if secured else None,
            alpn=next((str(one) for one in listed(listener, "AlpnPolicy")), None) if secured else None,
            attributes=self.known(
                known.of_listener(protocol), self.listener_attributes(listener, protocol), f"{where} attribute"
            ),
            rules=rules,
        )

    def listener_attributes(self, listener: Document, protocol: str) -> dict[str, str]:
        if protocol in ("UDP", "TCP_UDP"):
            # AWS: "The attribute is not supported for UDP"; a question would be an error.
            return {}
        answer = self.elb.describe_listener_attributes(ListenerArn=listener["ListenerArn"])
        return {one["Key"]: one["Value"] for one in described(answer["Attributes"])}

    def certificates(self, listener: Document) -> tuple[str, ...]:
        if listener["Protocol"] not in ("TLS", "HTTPS"):
            return ()
        first = [one["CertificateArn"] for one in listed(listener, "Certificates")]
        pages = self.elb.get_paginator("describe_listener_certificates").paginate(ListenerArn=listener["ListenerArn"])
        every = [one["CertificateArn"] for page in pages for one in described(page["Certificates"])]
        return tuple(dict.fromkeys([*first, *sorted(every)]))

    def rules(self, arn: str, where: str) -> Iterator[Rule]:
        pages = self.elb.get_paginator("describe_rules").paginate(ListenerArn=arn)
        for rule in (one for page in pages for one in described(page["Rules"])):
            if rule.get("IsDefault"):
                continue
            name = f"{where} rule {rule['Priority']}"
            sent = self.forward(rule["Actions"], f"{name} action")
            conditions = [self.condition(one, name) for one in rule["Conditions"]]
            if rule.get("Transforms"):
                self.refuse(f"{name} transforms", "said", "transforms aren't carried")
            if sent is None or None in conditions:
                continue
            yield Rule(
                priority=int(rule["Priority"]),
                conditions=tuple(one for one in conditions if one is not None),
                forward=sent[0],
                sticky_seconds=sent[1],
            )

    def condition(self, condition: Document, where: str) -> Condition | None:
        kind = condition["Field"]
        config = mapping(condition, _CONDITIONS.get(kind, ""))
        values: list[Any] = config.get("Values") or condition.get("Values") or []
        if kind not in _CONDITIONS or config.get(_REGEX) or condition.get(_REGEX) or not values:
            self.refuse(f"{where} condition", kind, "of this kind, or by regular expression, it isn't carried")
            return None
        if kind == "query-string":
            values = [f"{one.get('Key', '')}={one['Value']}" for one in values]
        return Condition(field=kind, name=config.get("HttpHeaderName"), values=tuple(values))

    # The balancer

    def clients(self, groups: Sequence[str], ports: Sequence[int]) -> tuple[str, ...]:
        """Ranges that the balancer's security groups let in to its ports."""
        if not groups:
            return ()
        found: dict[str, None] = {}
        answer = self.ec2.describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
        for group in answer:
            for rule in listed(group, "IpPermissions"):
                begin, end = int(rule.get("FromPort", 0)), int(rule.get("ToPort", 65535))
                if rule["IpProtocol"] != "-1" and not any(begin <= port <= end for port in ports):
                    continue
                found |= {one["CidrIp"]: None for one in listed(rule, "IpRanges")}
                for key, what in (("UserIdGroupPairs", "GroupId"), ("PrefixListIds", "PrefixListId")):
                    for one in listed(rule, key):
                        remedy = "names no range, and no copy of it would be right in another VPC; name ranges instead"
                        self.refuse(f"rule of {group['GroupId']}", one[what], remedy)
        return tuple(sorted(found))

    def balancer(self, balancer: Document) -> None:
        if balancer.get("Scheme", "internal") != "internal":
            remedy = "the new side's balancers are internal; move such a one by hand, or put an internal one behind it"
            self.refuse("scheme", balancer["Scheme"], remedy)
        if balancer.get("IpAddressType", "ipv4") != "ipv4":
            self.refuse("ipAddressType", balancer["IpAddressType"], "only IPv4 is carried")
        fixed = [
            str(address.get("AllocationId") or address.get("PrivateIPv4Address"))
            for zone in listed(balancer, "AvailabilityZones")
            for address in listed(zone, "LoadBalancerAddresses")
            if address.get("AllocationId") or address.get("PrivateIPv4Address")
        ]
        if fixed:
            remedy = "addresses stay in their VPC; whoever pins them must use the name first"
            self.refuse("fixed addresses", ", ".join(fixed), remedy)


def _health_check(group: Document) -> HealthCheck:
    protocol = group["HealthCheckProtocol"]
    web = protocol in known.WEB
    return HealthCheck(
        protocol=protocol,
        port=str(group.get("HealthCheckPort", "traffic-port")),
        path=group.get("HealthCheckPath") if web else None,
        matcher=(mapping(group, "Matcher").get("HttpCode") or mapping(group, "Matcher").get("GrpcCode"))
        if web
        else None,
        interval=int(group["HealthCheckIntervalSeconds"]),
        timeout=_timeout(group),
        healthy_threshold=int(group["HealthyThresholdCount"]),
        unhealthy_threshold=int(group["UnhealthyThresholdCount"]),
    )


def _timeout(group: Document) -> int | None:
    """Seconds; None for what AWS takes where nothing is said (CreateTargetGroup: 10 s for checks by TCP)."""
    seconds = group.get("HealthCheckTimeoutSeconds")
    usual = seconds == USUAL_TIMEOUT and group["HealthCheckProtocol"] == "TCP"
    return None if seconds is None or usual else int(seconds)


def controllers_object(tags: Mapping[str, str]) -> str | None:
    """The Service or Ingress for which a controller in the cluster made a balancer; None where none did."""
    return next((tags[tag] for tag in CONTROLLERS if tag in tags), None)


def forwarded(actions: Sequence[Document]) -> Iterator[str]:
    """ARNs of the target groups that actions send to."""
    for action in actions:
        if action.get("TargetGroupArn"):
            yield action["TargetGroupArn"]
        yield from (one["TargetGroupArn"] for one in listed(mapping(action, "ForwardConfig"), "TargetGroups"))


def sent_to(aws: Aws, arn: str) -> list[tuple[int, str]]:
    """Ports of a balancer's listeners with the target groups (ARN) behind each, those of rules included, in order."""
    elb = aws.elbv2
    pages = elb.get_paginator("describe_listeners").paginate(LoadBalancerArn=arn)
    listeners = [one for page in pages for one in described(page["Listeners"])]
    found: dict[tuple[int, str], None] = {}
    for one in sorted(listeners, key=lambda listener: int(listener["Port"])):
        actions = [*listed(one, "DefaultActions")]
        if one.get("Protocol") in known.WEB:
            rules = elb.get_paginator("describe_rules").paginate(ListenerArn=one["ListenerArn"])
            actions += [action for page in rules for rule in described(page["Rules"]) for action in rule["Actions"]]
        found |= {(int(one["Port"]), group): None for group in forwarded(actions)}
    return list(found)


def read(aws: Aws, arn: str) -> Found:
    """The balancer of that ARN. AWS's own errors pass through; a listener that leads nowhere here isn't in the form."""
    elb = aws.elbv2
    [balancer] = described(elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"])
    reader = _Reader(elb=elb, ec2=aws.ec2, name=balancer["LoadBalancerName"])
    reader.balancer(balancer)
    kind = balancer["Type"]
    pages = elb.get_paginator("describe_listeners").paginate(LoadBalancerArn=arn)
    listeners = sorted(
        (one for page in pages for one in described(page["Listeners"])), key=lambda one: int(one.get("Port", 0))
    )
    wanted = list(dict.fromkeys(group for _, group in sent_to(aws, arn)))
    groups = {one["TargetGroupArn"]: one for one in _target_groups(aws, wanted)}
    forms: dict[str, TargetGroupForm] = {}
    arns: dict[str, str] = {}
    for key, group in _keyed(groups, wanted):
        form = reader.group(group)
        if form is not None:
            forms[key], arns[key] = form, group["TargetGroupArn"]
            reader.keys[group["TargetGroupArn"]] = key
    made = [reader.listener(one, kind) for one in listeners]
    live = {
        one["Key"]: one["Value"]
        for one in described(elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"])
    }
    ports = [int(one["Port"]) for one in listeners]
    form = BalancerForm(
        type="application" if kind == "application" else "network",
        attributes=reader.known(known.of_balancer(kind), live, "attribute"),
        clients=reader.clients(balancer.get("SecurityGroups") or [], ports),
        groups=forms,
        listeners=tuple(one for one in made if one is not None),
    )
    return Found(
        name=reader.name,
        form=form,
        arns=arns,
        protected=live.get(known.PROTECTION) == "true",
        refused=tuple(reader.refused),
    )


def _target_groups(aws: Aws, arns: Sequence[str]) -> Iterator[Document]:
    for start in range(0, len(arns), DESCRIBED_AT_ONCE):
        yield from aws.target_groups(arns[start : start + DESCRIBED_AT_ONCE])


def _keyed(groups: Mapping[str, Document], order: Sequence[str]) -> Iterator[tuple[str, Document]]:
    """Target groups with their keys: the node port, and a number where several have the same."""
    count: dict[int, int] = defaultdict(int)
    for arn in order:
        port = int(groups[arn].get("Port", 0))
        count[port] += 1
        yield (str(port) if count[port] == 1 else f"{port}-{count[port]}"), groups[arn]
