"""Services of type LoadBalancer that are carried: which balancers are theirs, and what serves in the end."""

from __future__ import annotations

from collections.abc import Iterator

from migration.settings.errors import Problem
from migration.settings.forms import carried_services, ingress_forms
from migration.settings.model import Configuration, ReferencedSide

_KEY = "migration:traffic"


def are_carried_whole(c: Configuration) -> Iterator[Problem]:
    """Each is a described balancer of a side by reference, before one Service that answers on every node."""
    traffic = c.traffic
    if traffic.load_balancer_services != "carried":
        if traffic.service_balancers:
            remedy = "goes only with loadBalancerServices: carried; say that, or take this out"
            yield Problem(f"{_KEY}.serviceBalancers", list(traffic.service_balancers), remedy)
        return
    forms = ingress_forms(c)
    for role in traffic.service_balancers:
        if role not in forms:
            remedy = f"is no balancer of this configuration; those are {', '.join(forms)}"
            yield Problem(f"{_KEY}.serviceBalancers", role, remedy)
    if traffic.service_balancers and not isinstance(c.sides.get(c.from_), ReferencedSide):
        remedy = f"the balancers of {c.from_} are this program's, and no cloud controller's; take this out"
        yield Problem(f"{_KEY}.serviceBalancers", list(traffic.service_balancers), remedy)
    yield from _answer_everywhere(c)
    if not traffic.service_balancers:
        return
    if traffic.afterwards is None:
        remedy = (
            "nobody has decided what serves the Services' clients after stage 7: say keep (this program's balancer "
            "stays, and each Service becomes a NodePort at 8)"
        )
        yield Problem(f"{_KEY}.afterwards", None, remedy)
    if traffic.afterwards == "second-service":
        remedy = (
            "a second Service isn't made by this program: say keep; after stage 8 make a Service of type LoadBalancer "
            "with the same selector by hand, wait for its balancer in the new VPC, and lead the names there"
        )
        yield Problem(f"{_KEY}.afterwards", traffic.afterwards, remedy)


def _answer_everywhere(c: Configuration) -> Iterator[Problem]:
    for role, service in carried_services(c).items():
        name = f"{service.namespace}/{service.service}"
        if service.external_traffic_policy == "Local":
            remedy = (
                f"{role} is before Service {name} with externalTrafficPolicy Local: its port for health checks closes "
                f"when the policy becomes Cluster at stage 3, and the old balancer resets what it holds; make it "
                f"Cluster before, or plan it by hand (loadBalancerServices: planned)"
            )
            yield Problem(f"{_KEY}.serviceBalancers", role, remedy)
        others = {
            f"{one.service.namespace}/{one.service.service}"
            for one in ingress_forms(c)[role].groups.values()
            if one.service is not None
        } - {name}
        if others:
            remedy = (
                f"{role} is before several Services ({', '.join(sorted({name, *others}))}), and a controller's isn't"
            )
            yield Problem(f"{_KEY}.serviceBalancers", role, remedy)
