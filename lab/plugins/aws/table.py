"""All rows, by token."""

from __future__ import annotations

from lab.plugins.aws import (
    autoscaling,
    balancing,
    dns,
    launch_template,
    listeners,
    names,
    peering,
    routing,
    scaling,
    security,
    small,
    targets,
    vpc,
)
from lab.plugins.aws.call import Call
from lab.plugins.schema import ResourceType

_MODULES = (
    vpc,
    routing,
    peering,
    security,
    launch_template,
    autoscaling,
    scaling,
    balancing,
    targets,
    listeners,
    dns,
    names,
    small,
)

TABLE: dict[str, ResourceType[Call]] = {row.token: row for module in _MODULES for row in module.ROWS}
