"""Gate before anything begins: what clients come by is carried whole, or named with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from migration.balancing.compare import api_form_of, api_refused, differing, lost, told, told_api
from migration.balancing.read import Found, controllers_object, read, sent_to
from migration.clients.aws import Aws, described
from migration.clients.documents import Document, listed, mapping
from migration.clients.kubernetes import SERVICES
from migration.contracts.gates import BalancerRef, TrafficCarried
from migration.dns.ownership import owners, plain_target
from migration.dns.zone import zone_records, zones_seen_by
from migration.gates.cluster import PLAN
from migration.gates.live import Live
from migration.names import plain
from migration.runtime.deadline import Refused

TAGS_AT_ONCE = 20
"""DescribeTags takes 20 ARNs a call."""


def carried(q: TrafficCarried, live: Live) -> str:
    """Everything in front of the old side is in the configuration; raises `Permanent` with all that isn't."""
    side = live.side(q.old)
    if q.old.vpc_id is None:
        return f"side {side.name} is this program's: its balancers are as the configuration says"
    wrong: list[str] = []
    different: list[str] = []
    names: dict[str, str] = {}
    arns: dict[str, str] = {}
    for role, balancer in (*live.ingresses(side).items(), ("api", live.api(side))):
        found = read(live.aws, balancer.arn)
        names |= {plain_target(balancer.dns_name): found.name}
        arns[found.name] = balancer.arn
        wrong += _of_balancer(q, role, balancer, found)
        different += [f"{found.name} {path}" for path in _otherwise(q, role, found)]
    known = {balancer.arn for balancer in (*live.ingresses(side).values(), live.api(side))}
    others = _others(live.aws, q, known)
    wrong += [sentence for sentence, _ in others if sentence]
    wrong += _of_names(q, live.aws, names, arns)
    services = live.kubernetes.list(SERVICES)
    wrong += _behind(q, services)
    wrong += _of_services(q, services, {arn: what for sentence, (arn, what) in others if not sentence})
    if wrong:
        raise Refused(wrong)
    said = f"; copies differ in {', '.join(different)}, as configured" if different else ""
    moved = sum(len(one) for one in q.records.values())
    some = [
        f"{role} {key} for pools {', '.join(group.pools)}"
        for role, form in q.ingress.items()
        for key, group in form.groups.items()
        if group.pools
    ]
    said += f"; not every pool's nodes are targets: {'; '.join(some)}" if some else ""
    return f"{len(known)} balancers and {moved} names are carried{said}"


def _of_balancer(q: TrafficCarried, role: str, balancer: BalancerRef, found: Found) -> Iterator[str]:
    yield from found.refused
    if role == "api":
        yield from api_refused(found)
    if found.protected and balancer.arn in q.retired:
        yield (
            f"load balancer {found.name}: deletion_protection.enabled is true: the last stage deletes this balancer; "
            f"take the protection away, or move its line from migration:retire to migration:keep"
        )
    live, made, key = _told(q, role, found)
    yield from lost(found.name, live, made, key, said=role in q.described)


def _told(q: TrafficCarried, role: str, found: Found) -> tuple[dict[str, str], dict[str, str], str]:
    """What is there and what is made, a value a path, and the key that says the latter."""
    if role == "api":
        form = api_form_of(found)
        return (told_api(form) if form else {}), told_api(q.api), "migration:api.balancer"
    key = "migration:ingress.balancer" if role == "ingress" else f"migration:moreIngress[{role}].balancer"
    return told(found.form), told(q.ingress[role]), key


def _otherwise(q: TrafficCarried, role: str, found: Found) -> list[str]:
    live, made, _ = _told(q, role, found)
    return differing(live, made) if role in q.described else []


def _others(aws: Aws, q: TrafficCarried, known: set[str]) -> list[tuple[str, tuple[str, str]]]:
    """Balancers of the old VPC that send to its workers and aren't configured: a sentence, or a controller's object."""
    groups = aws.groups(q.worker_groups)
    attached = {str(arn) for group in groups.values() for arn in listed(group, "TargetGroupARNs")}
    machines: set[str] = {one["InstanceId"] for group in groups.values() for one in listed(group, "Instances")}
    pages = aws.elbv2.get_paginator("describe_load_balancers").paginate()
    there: list[Document] = [
        one
        for page in pages
        for one in described(page["LoadBalancers"])
        if one.get("VpcId") == q.old.vpc_id
        and one["LoadBalancerArn"] not in known
        and one.get("Type") in ("network", "application")
    ]
    tags = _tags(aws, [one["LoadBalancerArn"] for one in there])
    found: list[tuple[str, tuple[str, str]]] = []
    for one in there:
        arn, name = one["LoadBalancerArn"], one["LoadBalancerName"]
        of = controllers_object(tags.get(arn, {}))
        behind = [group for _, group in sent_to(aws, str(arn))]
        sends = any(group in attached or machines & _targets(aws, group) for group in behind)
        if of is not None:
            found.append(("", (str(name), of)))
        elif sends:
            sentence = (
                f"load balancer {name} sends to workers of side {q.old.name} and isn't carried: add it to "
                f"migration:moreIngress (python -m migration discover writes it), or take those workers out of it"
            )
            found.append((sentence, (str(name), "")))
    return found


def _targets(aws: Aws, group: str) -> set[str]:
    return {target.id for target in aws.target_health(group)}


def _tags(aws: Aws, arns: Sequence[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for start in range(0, len(arns), TAGS_AT_ONCE):
        answer = aws.elbv2.describe_tags(ResourceArns=list(arns[start : start + TAGS_AT_ONCE]))
        for one in described(answer["TagDescriptions"]):
            found[one["ResourceArn"]] = {tag["Key"]: tag["Value"] for tag in listed(one, "Tags")}
    return found


# Names


def _of_names(q: TrafficCarried, aws: Aws, names: Mapping[str, str], arns: Mapping[str, str]) -> Iterator[str]:
    """Records of every zone that lead to a balancer that moves, and don't move themselves, or not as they are."""
    for zone, title in zones_seen_by(aws, q.old.vpc_id or ""):
        moved = {plain(name) for name in q.records.get(zone, ())}
        aliases = {plain(name): evaluated for name, evaluated in q.aliases.get(zone, {}).items()}
        records = zone_records(aws, zone)
        owned = owners(records)
        for record in records:
            name = plain(record["Name"])
            alias = mapping(record, "AliasTarget")
            values = [str(one["Value"]) for one in listed(record, "ResourceRecords")]
            targets = [str(alias["DNSName"])] if alias else values
            leads = [names[to] for to in map(plain_target, targets) if to in names]
            if not leads:
                continue
            place = f"record {record['Type']} {name} of zone {title} ({zone}) leads to {leads[0]}"
            if record.get("SetIdentifier"):
                yield (
                    f"{place} with a policy of its own (set identifier {record['SetIdentifier']}): a name is moved as "
                    f"a weighted pair of the two sides; make it a simple record and add it to "
                    f"migration:traffic.records, as discovery does"
                )
            elif alias and record["Type"] != "A":
                yield (
                    f"{place} as an alias, and carried balancers have IPv4 addresses only, so it answers nothing: "
                    f"delete this record; one of type A of the same name stays"
                )
            elif name not in moved:
                owner = f" (external-dns {owned[name]} owns it)" if name in owned else ""
                how = " as an alias" if alias else ""
                yield (
                    f"{place} and isn't carried{owner}: add it to migration:traffic.records{how}, with its zone where "
                    f"that isn't migration:traffic.zoneId; let it lead elsewhere if its clients are to stay behind"
                )
            elif (name in aliases) is not bool(alias):
                there, said = ("an alias", "a CNAME") if alias else ("a CNAME", "an alias")
                yield f"{place} as {there} and is configured as {said}: correct its type in migration:traffic.records"
            elif alias:
                yield from _of_alias(aws, place, alias, aliases[name], leads[0], arns[leads[0]])


def _of_alias(aws: Aws, place: str, alias: Document, evaluated: bool, balancer: str, arn: str) -> Iterator[str]:
    """An alias that would come back otherwise than it is, or whose weights Route 53 would pass over.

    For Route 53 a balancer is healthy if each of its target groups has a healthy target; of a pair it answers with
    records of healthy ones alone, even with one of weight 0.
    https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html
    """
    live = bool(alias.get("EvaluateTargetHealth"))
    if live is not evaluated:
        yield (
            f"{place} as an alias: its EvaluateTargetHealth is {live} and configured as {evaluated}, which it would "
            f"get back: correct one of the two"
        )
    elif evaluated:
        every = dict.fromkeys(group for _, group in sent_to(aws, arn))
        without = [one for one in every if not any(target.state == "healthy" for target in aws.target_health(one))]
        if without:
            yield (
                f"{place} as an alias that evaluates its health, and {', '.join(map(_short, without))} of {balancer} "
                f"has no healthy target: Route 53 takes the balancer for unhealthy and would answer with the new one "
                f"as soon as that is healthy, whatever the weights: give the group a healthy target, take its "
                f"listener away, or set EvaluateTargetHealth of the record and in migration:traffic.records to false"
            )


def _short(group: str) -> str:
    """A target group's name, of its ARN."""
    return group.split(":targetgroup/", 1)[-1].split("/", 1)[0]


# Services


def _behind(q: TrafficCarried, services: Sequence[Document]) -> Iterator[str]:
    """Target groups whose Service, where it is named, isn't there as it is named."""
    named = {f"{one['metadata']['namespace']}/{one['metadata']['name']}": one for one in services}
    for role, form in q.ingress.items():
        for key, group in form.groups.items():
            if group.service is None:
                continue
            name, place = f"{group.service.namespace}/{group.service.service}", f"target group {key} of {role}"
            spec = mapping(named.get(name, {}), "spec")
            if group.port not in [one.get("nodePort") for one in listed(spec, "ports")]:
                yield f"{place}: Service {name} has no node port {group.port}: name the one that has"
                continue
            policy = spec.get("externalTrafficPolicy", "Cluster")
            if policy != group.service.external_traffic_policy:
                yield (
                    f"{place}: externalTrafficPolicy of Service {name} is {policy} and configured as "
                    f"{group.service.external_traffic_policy}, which it would get back: correct one of the two"
                )


def _of_services(q: TrafficCarried, services: Sequence[Document], made: Mapping[str, str]) -> Iterator[str]:
    """Services for which the cloud controller keeps a balancer in the old VPC."""
    if q.services != "refuse":
        # Those that are carried have a gate of their own.
        return
    for service in services:
        if service["spec"].get("type") != "LoadBalancer" or PLAN in (service["metadata"].get("annotations") or {}):
            continue
        name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
        status = listed(mapping(service, "status", "loadBalancer"), "ingress")
        shown = [str(one.get("hostname") or one.get("ip")) for one in status]
        shown += [balancer for balancer, of in made.items() if of == name]
        yield (
            f"Service {name} is of type LoadBalancer ({', '.join(shown) or 'without a balancer yet'}): the cloud "
            f"controller makes balancers in its own VPC only and keeps the old one for ever; it takes nodes of any VPC "
            f"for targets, and from stage 3 on one of the new VPC makes its whole sync fail, after it took old ones "
            f"out. Let it be carried: write the configuration anew with python -m migration discover, or see "
            f"migration:traffic.serviceBalancers. Or put a balancer of your own over the node ports of a Service of "
            f"type NodePort, which is carried; or say how it moves by annotation {PLAN}, or for all with "
            f"migration:traffic.loadBalancerServices: planned, "
            f"and keep new nodes out of it with the label node.kubernetes.io/exclude-from-external-load-balancers"
        )
