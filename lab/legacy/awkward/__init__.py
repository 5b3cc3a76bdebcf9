"""Shape `awkward`: what accounts have that grew for years, on top of the plain cluster, one function an oddity.

Each is given the site and its own numbers, and makes what is missing: twice is as once.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from lab import shapes
from lab.legacy.awkward import balancers, groups, names, networks
from lab.legacy.members import Site

Oddity = Callable[[Site, Random], None]

BUILDERS: dict[str, Oddity] = {
    "secondary_range": networks.secondary_range,
    "restricted_egress": networks.restricted_egress,
    "network_acls": networks.network_acls,
    "transit_gateway": networks.transit_gateway,
    "service_endpoints": networks.service_endpoints,
    "requester_interfaces": networks.requester_interfaces,
    "database": networks.database,
    "several_listeners": balancers.several_listeners,
    "second_ingress": balancers.second_ingress,
    "application_balancer": balancers.application_balancer,
    "service_balancer": balancers.service_balancer,
    "public_zone": names.public_zone,
    "records_of_their_own": names.records_of_their_own,
    "member_names": names.member_names,
    "mixed_policies": groups.mixed_policies,
    "quiet_tags": groups.quiet_tags,
    "interface_form": groups.interface_form,
}


def build(site: Site) -> tuple[str, ...]:
    """Makes the oddities of the site's shape and seed, in order; returns their names."""
    chosen = shapes.oddities(site.settings.shape, site.settings.seed)
    for name in chosen:
        BUILDERS[name](site, shapes.draw_for(name, site.settings.seed))
    return chosen
