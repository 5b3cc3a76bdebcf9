"""Oddities of traffic: several listeners, TLS, UDP, a second way in, an application balancer, a Service's own."""

from __future__ import annotations

from random import Random
from typing import Any

from lab.addresses import INGRESS_NODE_PORT
from lab.legacy import plan
from lab.legacy.awkward.names import lead
from lab.legacy.awkward.networks import worker_groups
from lab.legacy.balancing import found, legal
from lab.legacy.cloud import once, pairs, specification
from lab.legacy.members import Site

POLICIES = ("ELBSecurityPolicy-TLS13-1-2-2021-06", "ELBSecurityPolicy-2016-08")
SECOND_NODE_PORT, UDP_NODE_PORT, SERVICE_NODE_PORT = 30_081, 30_053, 31_234
PATHS = ("/api/*", "/v2/*")
"""By which of these a rule of the application balancer goes, its numbers say."""
INTRANET, WEB, WEB_SHOP, CHECKOUT = "intranet-direct", "web", "shop-web", "checkout"
"""Names in the cluster's private zone that lead to these balancers: without one, no client could be moved."""
SERVICE = "shop/checkout"
"""Namespace and name of the Service of type LoadBalancer."""
SERVICE_BALANCER = "a5f1c0ffee5e4b1ce0decade00000001"
"""Its balancer: the controller makes the name of the Service's UID."""


def several_listeners(site: Site, draw: Random) -> None:
    """The ingress balancer also listens on 80, and on 443 with TLS: certificate and policy are AWS's to keep."""
    balancer = _balancer(site, f"ingress-{site.cluster}")
    plain = _targets(site, "ingress-http", INGRESS_NODE_PORT, stickiness=draw.random() < 0.5)
    secure = _targets(site, "ingress-tls", INGRESS_NODE_PORT)
    _listen(site, balancer, 80, "TCP", plain)
    _listen(
        site,
        balancer,
        443,
        "TLS",
        secure,
        SslPolicy=draw.choice(POLICIES),
        Certificates=[{"CertificateArn": _certificate(site)}],
        AlpnPolicy=["HTTP2Preferred"],
    )


def _certificate(site: Site) -> str:
    """The ARN of the ingress names' certificate in ACM."""
    acm, name = site.cloud.acm, site.settings.ingress_wildcard
    known = [c["CertificateArn"] for c in acm.list_certificates()["CertificateSummaryList"] if c["DomainName"] == name]
    return known[0] if known else acm.request_certificate(DomainName=name, ValidationMethod="DNS")["CertificateArn"]


def second_ingress(site: Site, draw: Random) -> None:
    """Another ingress: proxy protocol, clients' addresses kept, its own times, and UDP beside TCP."""
    balancer = _balancer(site, f"intranet-{site.cluster}", cross_zone=draw.random() < 0.5)
    inner = _targets(
        site,
        "intranet",
        SECOND_NODE_PORT,
        proxy_protocol=True,
        delay=draw.choice((30, 300)),
        preserve=draw.random() < 0.5,
    )
    names = _targets(site, "intranet-udp", UDP_NODE_PORT, protocol="UDP")
    _listen(site, balancer, 8_081, "TCP", inner)
    _admit(site, SECOND_NODE_PORT)
    _listen(site, balancer, 53, "UDP", names)
    _admit(site, UDP_NODE_PORT, "udp")
    lead(site, INTRANET, _dns_name(site, balancer))


def application_balancer(site: Site, draw: Random) -> None:
    """An ALB with rules by host and path, and a security group that the workers' group names."""
    ec2 = site.cloud.ec2
    name = f"alb.{site.cluster}"
    group: Any = site.cloud.named("describe_security_groups", "SecurityGroups", name, vpc_id=site.network.vpc)
    if group is None:
        group = ec2.create_security_group(
            GroupName=name,
            Description="application balancer",
            VpcId=site.network.vpc,
            TagSpecifications=specification("security-group", plan.tags(name, site.cluster)),
        )
    near = [{"CidrIp": cidr} for cidr in (site.cloud.addresses.legacy_cidr, site.cloud.addresses.corp_cidr)]
    into = [{"IpProtocol": "tcp", "FromPort": 8_000, "ToPort": 8_000, "IpRanges": near}]
    once(
        "InvalidPermission.Duplicate",
        lambda: ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=into),
    )
    pair = [{"GroupId": group["GroupId"], "Description": "from the application balancer"}]
    on = [{"IpProtocol": "tcp", "FromPort": 30_000, "ToPort": 32_767, "UserIdGroupPairs": pair}]
    once(
        "InvalidPermission.Duplicate",
        lambda: ec2.authorize_security_group_ingress(GroupId=site.access.nodes, IpPermissions=on),
    )
    elb = site.cloud.elbv2
    balancer = _balancer(site, f"web-{site.cluster}", kind="application", groups=[group["GroupId"]])
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=balancer, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "120"}]
    )
    first = _targets(site, "web", INGRESS_NODE_PORT, protocol="HTTP")
    second = _targets(site, "web-api", INGRESS_NODE_PORT, protocol="HTTP")
    listener = _listen(site, balancer, 8_000, "HTTP", first)
    for name in (WEB, WEB_SHOP):
        lead(site, name, _dns_name(site, balancer))
    if len(elb.describe_rules(ListenerArn=listener)["Rules"]) > 1:
        return
    zone = site.settings.zone_name
    elb.create_rule(
        ListenerArn=listener,
        Priority=10,
        Conditions=[{"Field": "host-header", "Values": [f"shop*.{zone}"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": second}],
    )
    elb.create_rule(
        ListenerArn=listener,
        Priority=20,
        Conditions=[{"Field": "path-pattern", "Values": [draw.choice(PATHS)]}],
        Actions=[{"Type": "forward", "TargetGroupArn": second}],
    )


def service_balancer(site: Site, draw: Random) -> None:
    """What the cloud controller made for a Service of type LoadBalancer: its name, its tags, no subnet's choice."""
    del draw
    if site.settings.real_controllers:
        # It makes the balancer itself, with the rules of the workers' group; and external-dns the name.
        return
    balancer = _balancer(site, SERVICE_BALANCER, tags={"kubernetes.io/service-name": SERVICE})
    # Its targets are the controller's matter (lab/machines/service_balancers.py), not the groups'.
    tags = {"kubernetes.io/service-name": SERVICE}
    targets = _targets(site, "k8s-shop-checkout", SERVICE_NODE_PORT, tags=tags, fed=False)
    _listen(site, balancer, 9_000, "TCP", targets)
    _admit(site, SERVICE_NODE_PORT)
    lead(site, CHECKOUT, _dns_name(site, balancer))


def _dns_name(site: Site, arn: str) -> str:
    return site.cloud.elbv2.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]["DNSName"]


def _admit(site: Site, port: int, protocol: str = "tcp") -> None:
    """Lets the VPC, and so its balancers, and the office in to a node port."""
    addresses = site.cloud.addresses
    ranges = [{"CidrIp": cidr} for cidr in (addresses.legacy_cidr, addresses.corp_cidr)]
    rule = [{"IpProtocol": protocol, "FromPort": port, "ToPort": port, "IpRanges": ranges}]
    once(
        "InvalidPermission.Duplicate",
        lambda: site.cloud.ec2.authorize_security_group_ingress(GroupId=site.access.nodes, IpPermissions=rule),
    )


def _balancer(
    site: Site,
    name: str,
    *,
    kind: str = "network",
    cross_zone: bool = True,
    groups: list[str] | None = None,
    tags: dict[str, str] | None = None,
) -> str:
    """The ARN of the balancer of this name, made where it isn't there."""
    elb = site.cloud.elbv2
    known = found(site.cloud, "describe_load_balancers", "LoadBalancers", legal(name))
    if known is not None:
        return known["LoadBalancerArn"]
    made = elb.create_load_balancer(
        Name=legal(name),
        Type=kind,
        Scheme="internal",
        Subnets=list(site.network.private.values()),
        Tags=pairs(plan.tags(name, site.cluster, **(tags or {}))),
        **({"SecurityGroups": groups} if groups else {}),
    )["LoadBalancers"][0]["LoadBalancerArn"]
    if kind == "network":
        elb.modify_load_balancer_attributes(
            LoadBalancerArn=made,
            Attributes=[{"Key": "load_balancing.cross_zone.enabled", "Value": str(cross_zone).lower()}],
        )
    return made


def _targets(
    site: Site,
    name: str,
    port: int,
    *,
    protocol: str = "TCP",
    proxy_protocol: bool = False,
    stickiness: bool = False,
    preserve: bool = True,
    delay: int = 120,
    tags: dict[str, str] | None = None,
    fed: bool = True,
) -> str:
    """A target group of the workers, `fed` by their groups; an ALB's has none of the network balancers' attributes."""
    elb = site.cloud.elbv2
    whole = legal(f"{name}-{site.cluster}")
    known = found(site.cloud, "describe_target_groups", "TargetGroups", whole)
    if known is None:
        known = elb.create_target_group(
            Name=whole,
            Protocol=protocol,
            Port=port,
            VpcId=site.network.vpc,
            TargetType="instance",
            HealthCheckProtocol="HTTP" if protocol == "HTTP" else "TCP",
            # UDP can't be asked: the same pods' port for TCP is.
            HealthCheckPort=str(SECOND_NODE_PORT) if protocol == "UDP" else "traffic-port",
            Tags=pairs(plan.tags(f"{name}.{site.cluster}", site.cluster, **(tags or {}))),
        )["TargetGroups"][0]
    attributes = {"deregistration_delay.timeout_seconds": str(delay)}
    if protocol != "HTTP":
        attributes |= {"preserve_client_ip.enabled": str(preserve or protocol == "UDP").lower()}
        if proxy_protocol:
            attributes["proxy_protocol_v2.enabled"] = "true"
        if stickiness:
            attributes |= {"stickiness.enabled": "true", "stickiness.type": "source_ip"}
    elb.modify_target_group_attributes(
        TargetGroupArn=known["TargetGroupArn"],
        Attributes=[{"Key": key, "Value": value} for key, value in attributes.items()],
    )
    for group in worker_groups(site) if fed else ():
        if known["TargetGroupArn"] not in group["TargetGroupARNs"]:
            site.cloud.autoscaling.attach_load_balancer_target_groups(
                AutoScalingGroupName=group["AutoScalingGroupName"], TargetGroupARNs=[known["TargetGroupArn"]]
            )
    return known["TargetGroupArn"]


def _listen(site: Site, balancer: str, port: int, protocol: str, targets: str, **more: Any) -> str:
    elb = site.cloud.elbv2
    for known in elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"]:
        if known["Port"] == port and known["Protocol"] == protocol:
            return known["ListenerArn"]
    made = elb.create_listener(
        LoadBalancerArn=balancer,
        Port=port,
        Protocol=protocol,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": targets}],
        **more,
    )
    return made["Listeners"][0]["ListenerArn"]
