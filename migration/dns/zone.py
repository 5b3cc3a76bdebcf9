"""A hosted zone as Route 53 holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from migration.clients.aws import Aws, described
from migration.clients.documents import Document, mapping

if TYPE_CHECKING:
    from mypy_boto3_route53.literals import VPCRegionType


def zone_records(aws: Aws, zone: str) -> list[Document]:
    """Every record set of a hosted zone."""
    pages = aws.route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
    return [record for page in pages for record in described(page["ResourceRecordSets"])]


def zones_seen_by(aws: Aws, vpc: str) -> list[tuple[str, str]]:
    """Hosted zones that a VPC resolves, by id and name: the private ones associated with it, and all public ones."""
    region = cast("VPCRegionType", aws.region)
    mine: set[str] = set()
    token: dict[str, str] = {}
    while True:
        answer = aws.route53.list_hosted_zones_by_vpc(VPCId=vpc, VPCRegion=region, **token)
        mine |= {str(one["HostedZoneId"]).rpartition("/")[2] for one in described(answer["HostedZoneSummaries"])}
        following = answer.get("NextToken")
        if not following:
            break
        token = {"NextToken": following}
    found: list[tuple[str, str]] = []
    for page in aws.route53.get_paginator("list_hosted_zones").paginate():
        for zone in described(page["HostedZones"]):
            zone_id = str(zone["Id"]).rpartition("/")[2]
            if zone_id in mine or not mapping(zone, "Config").get("PrivateZone"):
                found.append((zone_id, str(zone["Name"]).rstrip(".")))
    return sorted(found)
