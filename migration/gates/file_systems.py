"""EFS file systems that pods use: their mount targets are in the old VPC, and can't be in two VPCs at once."""

from __future__ import annotations

import re
from typing import Any

from migration.clients.documents import Document, mapping
from migration.clients.kubernetes import VOLUMES
from migration.contracts.gates import FileSystemsReached
from migration.gates.live import Live
from migration.runtime.deadline import Permanent

_DRIVER = "efs.csi.aws.com"
# As AWS describes a mount target's interface.
_TARGET = re.compile(r"EFS mount target for (fs-[0-9a-f]+)")


def _pages(client: Any, call: str, key: str, **arguments: Any) -> list[Document]:
    return [item for page in client.get_paginator(call).paginate(**arguments) for item in page[key]]


def reached(q: FileSystemsReached, live: Live) -> str:
    """No PersistentVolume is on a file system with mount targets in the old VPC, or new nodes are said to reach it."""
    vpc = live.vpc(live.side(q.old))
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    interfaces = _pages(live.aws.ec2, "describe_network_interfaces", "NetworkInterfaces", Filters=filters)
    here = {found[1] for one in interfaces if (found := _TARGET.search(one.get("Description", "")))}
    used: dict[str, list[str]] = {}
    for volume in live.kubernetes.list(VOLUMES):
        source = mapping(volume, "spec", "csi")
        if source.get("driver") == _DRIVER:
            name = str(source.get("volumeHandle", "")).split(":")[0]
            used.setdefault(name, []).append(volume["metadata"]["name"])
    both = {name: volumes for name, volumes in sorted(used.items()) if name in here}
    if both and q.efs == "refuse":
        told = "; ".join(f"{name} ({', '.join(volumes[:3])})" for name, volumes in both.items())
        raise Permanent(
            f"PersistentVolumes are on {told}, whose mount targets are in {vpc}: AWS takes those of one file system in "
            f"one VPC only, and its name doesn't resolve in another. Let new nodes reach it over the peering, by a "
            f"private zone with its name, or replicate it; then set migration:efs to reachable"
        )
    others = f"; {', '.join(sorted(here - set(both)))} is nobody's volume" if here - set(both) else ""
    return f"{len(both)} file systems with volumes have mount targets in {vpc} (efs: {q.efs}){others}"
