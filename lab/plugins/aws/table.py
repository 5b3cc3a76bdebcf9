"""All rows, by token."""

from __future__ import annotations

from lab.plugins.aws import vpc
from lab.plugins.aws.call import Call
from lab.plugins.schema import ResourceType

TABLE: dict[str, ResourceType[Call]] = {row.token: row for module in (vpc,) for row in module.ROWS}
