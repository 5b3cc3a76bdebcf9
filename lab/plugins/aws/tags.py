"""Tags in AWS's several shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.schema import mapping

TAGS = {"tags": mapping()}


def as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """`[{Key, Value}]`."""
    return [{"Key": k, "Value": v} for k, v in sorted(tags.items())]


def as_dict(tags: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    """The other way round."""
    return {t["Key"]: t.get("Value", "") for t in tags or ()}


def specification(call: Call, kind: str) -> dict[str, Any]:
    """EC2's `TagSpecifications` argument, or nothing where there are no tags."""
    tags = call.tags_wanted
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": as_list(tags)}]} if tags else {}


def sync_ec2(call: Call) -> None:
    """Makes the tags of an EC2 resource the wanted ones; tags that were never recorded are left alone."""
    wanted, recorded = call.tags_wanted, call.old.get("tags") or {}
    if gone := [k for k in recorded if k not in wanted]:
        call.ec2.delete_tags(Resources=[call.id], Tags=[{"Key": k} for k in sorted(gone)])
    if fresh := {k: v for k, v in wanted.items() if recorded.get(k) != v}:
        call.ec2.create_tags(Resources=[call.id], Tags=as_list(fresh))
