"""Names, ports and the time it takes to see that nobody uses the old ones any more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from migration.dns.ownership import plain_target
from migration.names import plain
from migration.settings.errors import Problem
from migration.settings.forms import ingress_forms
from migration.settings.model import Configuration, ReferencedSide
from migration.settings.rules.common import twice

# The API's balancer has a second listener above the first: it checks the members' instances before they serve.
HIGHEST_API_PORT = 65534


def leads_to_the_old_side(c: Configuration) -> Iterator[Problem]:
    """Clients of the API and of the ingress come by names that lead to the old side's balancers, each once."""
    records = c.traffic.records
    roles = ("api", *ingress_forms(c))
    for serves in roles:
        if not any(record.serves == serves for record in records):
            remedy = f"none serves {serves}, whose clients would stay behind; add the name they use"
            yield Problem("migration:traffic.records", [record.name for record in records], remedy)
    for record in records:
        if record.serves not in roles:
            remedy = f"is no balancer of this configuration; those are {', '.join(roles)}"
            yield Problem(f"migration:traffic.records[{record.name}].serves", record.serves, remedy)
    for zone, entries in c.traffic.zones().items():
        for name in twice(plain(record.name) for record in entries):
            where = "" if zone == c.traffic.zone_id else f" for zone {zone}"
            yield Problem("migration:traffic.records", name, f"is listed twice{where}; list it once")
    for zone in sorted(set(c.traffic.public_zones) - c.traffic.zones().keys()):
        yield Problem("migration:traffic.publicZones", zone, "no name of traffic.records is in it; correct it")
    if plain(c.api.name) not in {plain(record.name) for record in records if record.serves == "api"}:
        remedy = "isn't a name of migration:traffic.records that serves the api; add it there, or correct it"
        yield Problem("migration:api.name", c.api.name, remedy)
    old = c.sides.get(c.from_)
    if not isinstance(old, ReferencedSide):
        return
    for record in records:
        balancer = old.load_balancers.serving(record.serves)
        if balancer is None:
            # A name that serves nothing is another rule's, and a balancer that isn't described, too.
            continue
        leads = plain_target if record.is_alias else plain
        if record.value is None or leads(record.value) != leads(balancer.dns_name):
            remedy = (
                f"isn't {balancer.dns_name}, {c.from_}'s {record.serves} balancer; correct one of the two, or "
                f"leave the name out if it leads elsewhere on purpose"
            )
            yield Problem(f"migration:traffic.records[{record.name}].value", record.value, remedy)
    for role in dict.fromkeys(record.serves for record in records if record.is_alias):
        balancer = old.load_balancers.serving(role)
        if balancer is not None and balancer.zone_id is None:
            place = "more." + role if role not in ("ingress", "api") else role
            named = ", ".join(record.name for record in records if record.is_alias and record.serves == role)
            remedy = (
                f"is needed by the alias {named}; give the balancer's CanonicalHostedZoneId "
                f"(aws elbv2 describe-load-balancers)"
            )
            yield Problem(f"migration:sides.{c.from_}.loadBalancers.{place}.zoneId", None, remedy)


def records_are_of_their_type(c: Configuration) -> Iterator[Problem]:
    """A CNAME has a TTL; an alias has none of its own, and may have its balancer's health evaluated."""
    for record in c.traffic.records:
        place = f"migration:traffic.records[{record.name}]"
        if record.is_alias and record.ttl is not None:
            yield Problem(f"{place}.ttl", record.ttl, "an alias has no TTL of its own; leave it out")
        if not record.is_alias and record.ttl is None:
            yield Problem(f"{place}.ttl", None, "a CNAME needs the seconds it has now; or say type: alias")
        if not record.is_alias and record.evaluate_target_health:
            yield Problem(f"{place}.evaluateTargetHealth", True, "is an alias's; leave it out, or say type: alias")


def ports_fit(c: Configuration) -> Iterator[Problem]:
    """A member's three ports differ, and the check's listener has room."""
    if c.api.port > HIGHEST_API_PORT:
        remedy = f"the balancer's check listens one above it; give at most {HIGHEST_API_PORT}"
        yield Problem("migration:api.port", c.api.port, remedy)
    checked = c.api.port + 1
    for port in c.api.balancer.ports if c.api.balancer else ():
        if port in (c.api.port, checked):
            what = "is migration:api.port" if port == c.api.port else "is where the balancer's check listens"
            yield Problem("migration:api.balancer.ports", port, f"{what}; take it out, or choose another")
        if port < c.api.port:
            remedy = "is below migration:api.port, which is the lowest of the API's ports; exchange the two"
            yield Problem("migration:api.balancer.ports", port, remedy)
    users: dict[int, list[str]] = defaultdict(list)
    users[c.api.on_members].append("api.port" if c.api.server_port is None else "api.serverPort")
    users[c.etcd.client_port].append("etcd.clientPort")
    users[c.etcd.peer_port].append("etcd.peerPort")
    for port, keys in users.items():
        for key in keys[1:]:
            remedy = f"is also migration:{keys[0]}, and both listen on a member's machine; give each its own"
            yield Problem(f"migration:{key}", port, remedy)


def quiet_fits_its_gate(c: Configuration) -> Iterator[Problem]:
    """A gate that waits for quiet may wait for as long as quiet takes."""
    wanted = c.limits.quiet_window(c.traffic.kept(c.limits.alias_ttl_seconds))
    if wanted > c.limits.gate_seconds:
        remedy = (
            f"is less than the {wanted} s without a new flow that count as quiet (traffic.ttl, limits.quietPeriods, "
            f"limits.metricPeriodSeconds); raise it or shorten those"
        )
        yield Problem("migration:limits.gateSeconds", c.limits.gate_seconds, remedy)
