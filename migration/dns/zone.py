"""A hosted zone as Route 53 holds it."""

from __future__ import annotations

from migration.clients.aws import Aws, described
from migration.clients.documents import Document


def zone_records(aws: Aws, zone: str) -> list[Document]:
    """Every record set of a hosted zone."""
    pages = aws.route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
    return [record for page in pages for record in described(page["ResourceRecordSets"])]
