"""Oddities of names: a public zone beside the private one, aliases, policies, external-dns, members' names."""

from __future__ import annotations

import time
from random import Random
from typing import Any

from lab.addresses import ZONES
from lab.legacy import plan
from lab.legacy.balancing import found, legal
from lab.legacy.cloud import pairs
from lab.legacy.launching import addresses, name_tag
from lab.legacy.members import Site

TTLS_S = (5, 10)
"""Stand for the minute or five of an account's names: the longest is waited out before names move."""
OWNER = "heritage=external-dns,external-dns/owner=awkward,external-dns/resource=service/ingress/ingress"


def public_zone(site: Site, draw: Random) -> None:
    """A public zone of the same name, where customers' names lead to the balancers, one of them by alias."""
    wanted = f"{site.settings.zone_name}."
    zone = _zone(site, private=False)
    if zone is None:
        zone = site.cloud.route53.create_hosted_zone(
            Name=wanted,
            CallerReference=f"public-{site.cluster}-{time.time_ns()}",
            HostedZoneConfig={"Comment": f"public names of {site.cluster}", "PrivateZone": False},
        )["HostedZone"]["Id"].rpartition("/")[2]
        site.cloud.route53.change_tags_for_resource(
            ResourceType="hostedzone",
            ResourceId=zone,
            AddTags=pairs(plan.tags(site.settings.zone_name, site.cluster, "shared")),
        )
    dns, hosted = _ingress(site)
    _make(
        site,
        zone,
        {"Name": f"shop.{wanted}", "Type": "CNAME", "TTL": draw.choice(TTLS_S), "ResourceRecords": [{"Value": dns}]},
        {"Name": f"www.{wanted}", "Type": "A", "AliasTarget": _alias(dns, hosted)},
    )


def records_of_their_own(site: Site, draw: Random) -> None:
    """In the private zone: an alias, a name with a policy of its own, and one that external-dns claims by its TXT."""
    zone = _zone(site, private=True)
    assert zone is not None, "the plain cluster has a private zone"
    name = site.settings.zone_name
    dns, hosted = _ingress(site)
    half = {"Type": "CNAME", "TTL": TTLS_S[0], "ResourceRecords": [{"Value": dns}]}
    _make(
        site,
        zone,
        {"Name": f"intranet.{name}.", "Type": "A", "AliasTarget": _alias(dns, hosted)},
        {"Name": f"canary.{name}.", **half, "SetIdentifier": "blue", "Weight": draw.randint(1, 255)},
        {"Name": f"owned.{name}.", **half},
        {
            "Name": f"cname-owned.{name}.",
            "Type": "TXT",
            "TTL": 300,
            "ResourceRecords": [{"Value": f'"{OWNER}"'}],
        },
    )


def member_names(site: Site, draw: Random) -> None:
    """Addresses of the members under names, as etcd's peer URLs have them where an operator gives it names."""
    del draw
    zone = _zone(site, private=True)
    assert zone is not None, "the plain cluster has a private zone"
    role = site.settings.control_plane.etcd_role
    records = [
        {
            "Name": f"{member}.internal.{site.settings.zone_name}.",
            "Type": "A",
            "TTL": TTLS_S[0],
            "ResourceRecords": [{"Value": address}],
        }
        for member, address in addresses(site.cloud, site.cluster, role, name_tag).items()
    ]
    assert len(records) <= len(ZONES)
    if records:
        _make(site, zone, *records)


def lead(site: Site, label: str, dns: str) -> None:
    """A CNAME of the private zone to a balancer, where there is none of that name: whoever moved it has moved it."""
    zone = _zone(site, private=True)
    assert zone is not None, "the plain cluster has a private zone"
    name = f"{label}.{site.settings.zone_name}."
    known = site.cloud.route53.list_resource_record_sets(
        HostedZoneId=zone, StartRecordName=name, StartRecordType="CNAME", MaxItems="1"
    )["ResourceRecordSets"]
    if not known or known[0]["Name"] != name:
        record = {
            "Name": name,
            "Type": "CNAME",
            "TTL": site.settings.record_ttl_s,
            "ResourceRecords": [{"Value": dns}],
        }
        _make(site, zone, record)


def _zone(site: Site, *, private: bool) -> str | None:
    wanted = f"{site.settings.zone_name}."
    zones = site.cloud.route53.list_hosted_zones_by_name(DNSName=wanted)["HostedZones"]
    fitting = [z for z in zones if z["Name"] == wanted and bool(z["Config"]["PrivateZone"]) is private]
    return fitting[0]["Id"].rpartition("/")[2] if fitting else None


def _ingress(site: Site) -> tuple[str, str]:
    """The ingress balancer's name in DNS, and that name's hosted zone."""
    known: Any = found(site.cloud, "describe_load_balancers", "LoadBalancers", legal(f"ingress-{site.cluster}"))
    return known["DNSName"], known["CanonicalHostedZoneId"]


def _alias(dns: str, hosted: str) -> dict[str, Any]:
    return {"HostedZoneId": hosted, "DNSName": dns, "EvaluateTargetHealth": True}


def _make(site: Site, zone: str, *records: dict[str, Any]) -> None:
    """Those whose names have no record yet: by now they may lead elsewhere, or in pairs."""
    pages = site.cloud.route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
    there = {one["Name"] for page in pages for one in page["ResourceRecordSets"]}
    changes = [{"Action": "CREATE", "ResourceRecordSet": record} for record in records if record["Name"] not in there]
    if changes:
        site.cloud.route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
