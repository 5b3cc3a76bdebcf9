"""The balancers before workers and API servers, as a configuration describes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migration.balancing.compare import api_form_of, api_refused
from migration.balancing.read import Found, controllers_object
from migration.discover import traffic
from migration.discover.inventory import Group, Inventory, LoadBalancer
from migration.runtime.deadline import Permanent
from migration.settings.balancers import ApiBalancerForm, BalancerForm, HealthCheck, ServiceKeys, TargetGroupForm
from migration.settings.forms import health_check, plain_api, plain_form
from migration.settings.model import Limits

_LONGEST = 16
_TAKEN = frozenset({"ingress", "api", "apimembers", "api-check"})


@dataclass(frozen=True, kw_only=True)
class Ingress:
    """An ingress balancer: what records say they serve, and what the configuration holds of it."""

    role: str
    balancer: LoadBalancer
    read: Found
    form: BalancerForm
    service: ServiceKeys

    def reference(self) -> dict[str, Any]:
        """The old side's `loadBalancers` entry; target groups in the form's order."""
        return {
            "arn": self.balancer.arn,
            "dnsName": self.balancer.dns_name,
            "zoneId": self.balancer.zone_id,
            "port": self.form.listeners[0].port,
            "targetGroups": [self.read.arns[key] for key in self.form.groups],
        }


def ingresses(
    inventory: Inventory,
    workers: Sequence[Group],
    services: Sequence[Mapping[str, Any]],
    *,
    api: str,
    first: str | None,
    service: str | None,
    log: Callable[[str], None],
    controllers: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Ingress]:
    """Every balancer before the workers, the chosen or only one first. `service` is what is behind that one.

    `api`: the API balancer's ARN. `controllers`: balancers that a controller made, with the Service each is for; they
    are carried, too. What can't be carried is logged; stage 0 refuses it. Raises `Permanent` where there
    is none, or where no Service has a node port.
    """
    every, made = list(workers), controllers or {}
    there = {
        one.name: one
        for one in inventory.balancers
        if one.arn != api
        and one.read
        and (one.name in made or (controllers_object(one.tags) is None and traffic.serves(one, every)))
    }
    if first is not None and first not in there:
        raise Permanent(
            f"no load balancer {first!r} of {inventory.vpc['VpcId']} sends to the worker machines of cluster "
            f"{inventory.cluster!r}; there are: {', '.join(there) or 'none'}"
        )
    if not there:
        seen = ", ".join(one.name for one in inventory.balancers) or "none"
        raise Permanent(
            f"no load balancer of {inventory.vpc['VpcId']} sends to the worker machines of cluster "
            f"{inventory.cluster!r}; there are: {seen}"
        )
    order = sorted(there, key=lambda name: (name != first, name in made, name))
    found: list[Ingress] = []
    for position, name in enumerate(order):
        balancer, read = there[name], there[name].read
        assert read is not None
        for sentence in read.refused:
            log(f"must be put right before stage 0: {sentence}")
        if not read.form.listeners:
            raise Permanent(f"nothing of load balancer {name} can be carried: {'; '.join(read.refused)}")
        used = _used(read.form)
        behind = {
            key: _service(services, group.port, service if position == 0 and key == read.form.primary else None)
            for key, group in used.groups.items()
        }
        own = behind[read.form.primary]
        groups = {
            key: _with(group, behind[key], own, _pools(inventory, every, balancer, read.arns[key]))
            for key, group in used.groups.items()
        }
        called = "-".join(made[name]["metadata"][key] for key in ("namespace", "name")) if name in made else name
        role = "ingress" if position == 0 else _role(called, inventory.cluster, [one.role for one in found])
        form = used.model_copy(update={"groups": groups})
        found.append(Ingress(role=role, balancer=balancer, read=read, form=form, service=own))
    return found


def _used(form: BalancerForm) -> BalancerForm:
    """Without groups to which nothing leads that could be carried."""
    used = {one.group for each in form.listeners for one in each.forward}
    used |= {one.group for each in form.listeners for rule in each.rules for one in rule.forward}
    return form.model_copy(update={"groups": {key: group for key, group in form.groups.items() if key in used}})


def _service(services: Sequence[Mapping[str, Any]], port: int, wanted: str | None) -> ServiceKeys:
    one = traffic.ingress_service(services, port, wanted)
    return ServiceKeys(
        namespace=one["metadata"]["namespace"],
        service=one["metadata"]["name"],
        external_traffic_policy=one["spec"].get("externalTrafficPolicy", "Cluster"),
    )


def _with(group: TargetGroupForm, service: ServiceKeys, own: ServiceKeys, pools: tuple[str, ...]) -> TargetGroupForm:
    return group.model_copy(update={"service": None if service == own else service, "pools": pools})


def _pools(inventory: Inventory, workers: Sequence[Group], balancer: LoadBalancer, arn: str) -> tuple[str, ...]:
    """The pools that a target group takes; none where it takes all, or is filled by hand."""
    from migration.discover.groups import short_name

    attached = [group for group in workers if arn in group.target_groups]
    by_hand = set(balancer.targets.get(arn, ())) - {one["InstanceId"] for group in attached for one in group.instances}
    if not attached or len(attached) == len(workers) or by_hand:
        return ()
    return tuple(short_name(group.name, inventory.cluster) for group in attached)


def _role(name: str, cluster: str, taken: Iterable[str]) -> str:
    """A short name for a further balancer, from its own without the cluster's."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    mine = set(re.split(r"[^a-z0-9]+", cluster.lower()))
    kept = [word for word in words if word not in mine] or words
    role = "-".join(kept)[:_LONGEST].strip("-")
    role = role if re.match(r"[a-z]", role) else f"b{role}"[:_LONGEST].strip("-")
    others, base, number = {*taken, *_TAKEN}, role, 2
    while role in others:
        role = f"{base[: _LONGEST - len(str(number)) - 1]}-{number}"
        number += 1
    return role


def ingress_keys(one: Ingress, limits: Limits) -> dict[str, Any]:
    """`migration:ingress`; `balancer` only where it is more than what is made without it."""
    port, node_port = one.form.listeners[0].port, one.form.groups[one.form.primary].port
    plain = plain_form(port, node_port, limits)
    return {
        "namespace": one.service.namespace,
        "service": one.service.service,
        "nodePort": node_port,
        "listenerPort": port,
        "externalTrafficPolicy": one.service.external_traffic_policy,
        **({} if _filled(one.form, limits) == plain else {"balancer": _dumped(one.form)}),
    }


def _filled(form: BalancerForm, limits: Limits) -> BalancerForm:
    """With the timeout that is made where a check's isn't said."""
    groups = {
        key: group.model_copy(update={"health_check": _usual(group.health_check, limits)})
        for key, group in form.groups.items()
    }
    return form.model_copy(update={"groups": groups})


def _usual(check: HealthCheck | None, limits: Limits) -> HealthCheck | None:
    if check is None or check.timeout is not None:
        return check
    return check.model_copy(update={"timeout": health_check(limits).timeout})


def more_keys(one: Ingress) -> dict[str, Any]:
    """An entry of `migration:moreIngress`."""
    return {"name": one.role, "service": _dumped(one.service), "balancer": _dumped(one.form)}


def _dumped(model: BalancerForm | ServiceKeys | ApiBalancerForm) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def api_keys(balancer: LoadBalancer, limits: Limits, log: Callable[[str], None]) -> dict[str, Any]:
    """`migration:api`'s `balancer`, where it is more than what is made without it; else nothing."""
    read = balancer.read
    if read is None:
        return {}
    for sentence in (*read.refused, *api_refused(read)):
        log(f"must be put right before stage 0: {sentence}")
    form = api_form_of(read)
    if form is None or form.model_copy(update={"health_check": _usual(form.health_check, limits)}) == plain_api(limits):
        return {}
    return {"balancer": _dumped(form)}
