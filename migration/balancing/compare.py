"""Whether a configuration has all of a balancer that is there. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from migration.balancing.read import Found
from migration.settings.balancers import ApiBalancerForm, BalancerForm, Forward, HealthCheck

# What was never copied, and is made as `migration:limits` says, where nothing is said of a balancer.
_OF_LIMITS = re.compile(
    r".*health check.*|.*attributes\[(deregistration_delay\.timeout_seconds|load_balancing\.cross_zone\.enabled)\]"
)


def told(form: BalancerForm) -> dict[str, str]:
    """Everything of a form as one value a path, with target groups by port and protocol, however they are called."""
    found = {"type": form.type, "clients": ", ".join(form.clients)}
    found |= {f"attributes[{key}]": value for key, value in form.attributes.items()}
    for one in form.listeners:
        place = f"listeners[{one.port}]"
        found[place] = f"{one.protocol} to {_leads(form, one.forward)}"
        found |= {f"{place}.attributes[{key}]": value for key, value in one.attributes.items()}
        said = {"certificates": ", ".join(one.certificates), "policy": one.policy, "alpn": one.alpn}
        said["stickySeconds"] = str(one.sticky_seconds or "")
        found |= {f"{place}.{key}": value for key, value in said.items() if value}
        for rule in one.rules:
            conditions = " and ".join(
                f"{each.field}{f' {each.name}' if each.name else ''} {'|'.join(each.values)}"
                for each in rule.conditions
            )
            sticky = f", sticky for {rule.sticky_seconds} s" if rule.sticky_seconds else ""
            found[f"{place}.rules[{rule.priority}]"] = f"{conditions} to {_leads(form, rule.forward)}{sticky}"
    for key, group in form.groups.items():
        place = f"groups[{_group(form, key)}]"
        found |= {f"{place}.attributes[{name}]": value for name, value in group.attributes.items()}
        found[f"{place}.health check"] = _check(group.health_check)
        if group.protocol_version:
            found[f"{place}.protocolVersion"] = group.protocol_version
    return {path: value for path, value in found.items() if value}


def told_api(form: ApiBalancerForm) -> dict[str, str]:
    """The same of an API balancer."""
    found = {f"ports[{port}]": "TCP" for port in form.ports}
    found |= {f"attributes[{key}]": value for key, value in form.attributes.items()}
    found |= {f"targetAttributes[{key}]": value for key, value in form.target_attributes.items()}
    found |= {f"listenerAttributes[{key}]": value for key, value in form.listener_attributes.items()}
    return found | {"health check": _check(form.health_check) if form.health_check else ""}


def _leads(form: BalancerForm, forward: tuple[Forward, ...]) -> str:
    shares = f" ({', '.join(str(one.weight) for one in forward)})" if len(forward) > 1 else ""
    return ", ".join(_group(form, one.group) for one in forward) + shares


def _group(form: BalancerForm, key: str) -> str:
    group = form.groups.get(key)
    return f"{group.port}/{group.protocol}" if group else key


def _check(check: HealthCheck) -> str:
    way = f"{check.protocol} {check.port}{check.path or ''}"
    timeout = "" if check.timeout is None else f", {check.timeout} s"
    return (
        f"{way} every {check.interval} s{timeout}, {check.healthy_threshold} up, {check.unhealthy_threshold} down"
        f"{f', {check.matcher}' if check.matcher else ''}"
    )


def lost(name: str, live: dict[str, str], made: dict[str, str], key: str, *, said: bool) -> Iterator[str]:
    """What is there and isn't configured; with a description of the whole (`said`) only listeners and rules.

    Whoever describes a balancer may want its copy different; a listener is never left out on purpose.
    """
    for path, value in sorted(live.items()):
        if made.get(path) == value or (said and path in made):
            continue
        if said and not re.fullmatch(r"(listeners|ports)\[\d+\](\.rules\[\d+\])?", path):
            continue
        if not said and _OF_LIMITS.fullmatch(path):
            continue
        copy = f"and the copy would have {made[path]}" if path in made else "and the copy would have none"
        yield (
            f"load balancer {name}: {path} is {value}, {copy}: describe it in {key} (python -m migration discover "
            f"writes it)"
        )


def differing(live: dict[str, str], made: dict[str, str]) -> list[str]:
    """Paths that the copy has otherwise, for people."""
    return sorted(path for path in live.keys() | made.keys() if live.get(path) != made.get(path))


def api_form_of(read: Found) -> ApiBalancerForm | None:
    """An API balancer in the form that the configuration has for it; None where nothing leads anywhere."""
    if not read.form.listeners:
        return None
    first, *others = read.form.listeners
    group = read.form.groups[first.forward[0].group]
    # The copy has this one always off: members reach the API, and so themselves, through it.
    said = {key: value for key, value in group.attributes.items() if key != "preserve_client_ip.enabled"}
    return ApiBalancerForm(
        ports=tuple(one.port for one in others),
        attributes=read.form.attributes,
        target_attributes=said,
        listener_attributes=first.attributes,
        health_check=group.health_check,
    )


def api_refused(read: Found) -> list[str]:
    """What of an API balancer can't be carried: it is a network balancer whose listeners all lead to the servers."""
    found: list[str] = []
    name, form = f"load balancer {read.name}", read.form
    if form.type != "network":
        found.append(f"{name}: type is {form.type}: the API is carried behind a network balancer only")
    if form.clients:
        found.append(f"{name}: it has security groups: the copy for the API has none; take them away")
    if len({group.port for group in form.groups.values()}) > 1:
        ports = ", ".join(str(group.port) for group in form.groups.values())
        found.append(f"{name}: its listeners lead to ports {ports}: one port of the API servers is carried")
    for one in form.listeners:
        if one.protocol != "TCP":
            remedy = "API servers end TLS themselves; make it a TCP listener"
            found.append(f"{name}: listener {one.port} protocol is {one.protocol}: {remedy}")
    for group in form.groups.values():
        if group.protocol != "TCP":
            found.append(f"{name}: a target group's protocol is {group.protocol}: only TCP is carried for the API")
    return found
