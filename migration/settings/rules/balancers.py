"""Balancers as they are described: whole in themselves, and of a form that can be made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from migration.balancing import attributes
from migration.settings.balancers import BalancerForm, Forward
from migration.settings.errors import Problem
from migration.settings.forms import ingress_forms
from migration.settings.model import Configuration, ReferencedSide
from migration.settings.rules.common import twice

# What is called by these in a state or in a hosted zone already.
_TAKEN = frozenset({"ingress", "api", "apimembers", "api-check"})


def _described(c: Configuration) -> Iterator[tuple[str, str, BalancerForm]]:
    """Role, key and form of the balancers that the configuration describes."""
    if c.ingress.balancer is not None:
        yield "ingress", "migration:ingress.balancer", c.ingress.balancer
    for one in c.more_ingress:
        yield one.name, f"migration:moreIngress[{one.name}].balancer", one.balancer


def are_whole(c: Configuration) -> Iterator[Problem]:
    """Every listener leads to groups that are described, every group has a listener, and none is there twice."""
    for _, key, form in _described(c):
        if not form.listeners or not all(one.forward for one in form.listeners):
            yield Problem(f"{key}.listeners", [one.port for one in form.listeners], "each must be there and lead on")
            continue
        for port in twice(str(one.port) for one in form.listeners):
            yield Problem(f"{key}.listeners", int(port), "is a listener twice; AWS takes one a port")
        used: set[str] = set()
        for listener in form.listeners:
            place = f"{key}.listeners[{listener.port}]"
            places: list[tuple[str, tuple[Forward, ...]]] = [(place, listener.forward)]
            places += [(f"{place}.rules[{rule.priority}]", rule.forward) for rule in listener.rules]
            for where, forward in places:
                for one in forward:
                    used.add(one.group)
                    if one.group not in form.groups:
                        there = ", ".join(form.groups) or "none"
                        yield Problem(f"{where}.forward", one.group, f"is no group of this balancer; there are {there}")
            for priority in twice(str(rule.priority) for rule in listener.rules):
                yield Problem(f"{place}.rules", int(priority), "is the priority of two rules; AWS takes each once")
        for unused in sorted(form.groups.keys() - used):
            yield Problem(f"{key}.groups", unused, "no listener leads there; take it out, or name it in one")


def have_forms_that_aws_takes(c: Configuration) -> Iterator[Problem]:
    """Protocols fit the type, TLS has its certificates, attributes are known ones with values of their kind."""
    for _, key, form in _described(c):
        web = form.type == "application"
        for place, protocol in (
            *((f"{key}.listeners[{one.port}].protocol", one.protocol) for one in form.listeners),
            *((f"{key}.groups.{name}.protocol", one.protocol) for name, one in form.groups.items()),
        ):
            if (protocol in attributes.WEB) is not web:
                takes = "HTTP and HTTPS" if web else "TCP, UDP, TCP_UDP and TLS"
                yield Problem(place, protocol, f"doesn't go with the type {form.type}, which takes {takes}")
        for one in form.listeners:
            place = f"{key}.listeners[{one.port}]"
            secured = one.protocol in ("TLS", "HTTPS")
            if secured is not bool(one.certificates):
                remedy = (
                    "needs the ARN of one at least" if secured else f"goes only with TLS or HTTPS, not {one.protocol}"
                )
                yield Problem(f"{place}.certificates", list(one.certificates), remedy)
            if not web and (one.rules or len(one.forward) > 1):
                what = [rule.priority for rule in one.rules] or [each.group for each in one.forward]
                yield Problem(place, what, "has rules or several groups, which only an application balancer takes")
            yield from _misread(f"{place}.attributes", attributes.of_listener(one.protocol), one.attributes)
        yield from _misread(f"{key}.attributes", attributes.of_balancer(form.type), form.attributes)
        for name, group in form.groups.items():
            table = attributes.of_group(group.protocol)
            yield from _misread(f"{key}.groups.{name}.attributes", table, group.attributes)
            unknown = sorted(set(group.pools) - {pool.name for pool in c.pools})
            if unknown:
                yield Problem(f"{key}.groups.{name}.pools", unknown, "are no pools of migration:pools")
    api = c.api.balancer
    if api is not None:
        yield from _misread("migration:api.balancer.attributes", attributes.NETWORK, api.attributes)
        table = attributes.NETWORK_GROUP
        yield from _misread("migration:api.balancer.targetAttributes", table, api.target_attributes)
        table = attributes.NETWORK_LISTENER
        yield from _misread("migration:api.balancer.listenerAttributes", table, api.listener_attributes)


def _misread(key: str, table: attributes.Table, said: Mapping[str, str]) -> Iterator[Problem]:
    for name, why in attributes.misread(table, said).items():
        yield Problem(f"{key}[{name}]", said[name], why)


def fit_the_service(c: Configuration) -> Iterator[Problem]:
    """The first listener and its group are those that `migration:ingress` names."""
    form = c.ingress.balancer
    if form is None or not form.listeners or not form.listeners[0].forward or form.primary not in form.groups:
        return
    if form.listeners[0].port != c.ingress.listener_port:
        remedy = f"isn't migration:ingress.listenerPort ({c.ingress.listener_port}), which must be the first"
        yield Problem("migration:ingress.balancer.listeners[0].port", form.listeners[0].port, remedy)
    port = form.groups[form.primary].port
    if port != c.ingress.node_port:
        remedy = f"isn't migration:ingress.nodePort ({c.ingress.node_port}), to which the first listener leads"
        yield Problem(f"migration:ingress.balancer.groups.{form.primary}.port", port, remedy)


def are_told_apart(c: Configuration) -> Iterator[Problem]:
    """Further balancers have names of their own, in the configuration, in the state and in AWS."""
    for name in twice(one.name for one in c.more_ingress):
        yield Problem("migration:moreIngress", name, "is the name of two balancers; give each its own")
    owners: dict[str, str] = {}
    forms = ingress_forms(c)
    for role, form in forms.items():
        if role in _TAKEN and role != "ingress":
            yield Problem(f"migration:moreIngress[{role}].name", role, "is taken; choose another name")
        listeners = [f"{role}-{one.port}" for one in form.listeners[1:]]
        for name in {role, *listeners, *(f"{role}-{key}" for key in form.groups)}:
            if owners.setdefault(name, role) != role:
                remedy = f"makes {name}, as {owners[name]} does; choose another name"
                yield Problem(f"migration:moreIngress[{role}].name", role, remedy)


def are_the_old_sides(c: Configuration) -> Iterator[Problem]:
    """Each balancer that is described was there on a referenced old side, with as many groups, in the same order."""
    forms = ingress_forms(c)
    for name, side in sorted(c.sides.items()):
        if not isinstance(side, ReferencedSide):
            continue
        there = side.load_balancers.ingresses()
        key = f"migration:sides.{name}.loadBalancers"
        for role in sorted(forms.keys() ^ there.keys()):
            where, what = ("more", "migration:moreIngress") if role in forms else ("moreIngress", f"{key}.more")
            remedy = f"is described in {what} and not in {where}; both or none"
            yield Problem(f"{key}.more" if role in forms else "migration:moreIngress", role, remedy)
        for role, form in forms.items():
            balancer = there.get(role)
            if balancer is None or (role == "ingress" and c.ingress.balancer is None):
                continue
            if len(balancer.target_groups) != len(form.groups):
                remedy = (
                    f"names {len(balancer.target_groups)} target groups, and the balancer's description "
                    f"{len(form.groups)} ({', '.join(form.groups)}); list their ARNs in that order"
                )
                yield Problem(f"{key}.{role}.targetGroups", list(balancer.target_groups), remedy)
