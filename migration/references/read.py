"""The account's security group rules and prefix lists. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migration.clients.documents import Document
from migration.contracts.references import Naming
from migration.discover.tags import tags_of
from migration.references.find import CLUSTER, ROLE, Elsewhere

if TYPE_CHECKING:
    from migration.clients.aws import Aws


def _pages(client: Any, call: str, key: str, **arguments: Any) -> list[Document]:
    return [item for page in client.get_paginator(call).paginate(**arguments) for item in page[key]]


def elsewhere(aws: Aws) -> Elsewhere:
    """Every group, rule and prefix list that this account sees in its region. AWS's own errors pass through."""
    lists = _pages(aws.ec2, "describe_managed_prefix_lists", "PrefixLists")
    entries = {
        one["PrefixListId"]: _pages(
            aws.ec2, "get_managed_prefix_list_entries", "Entries", PrefixListId=one["PrefixListId"]
        )
        for one in lists
        if one.get("OwnerId") != "AWS"
    }
    return Elsewhere(
        groups=_pages(aws.ec2, "describe_security_groups", "SecurityGroups"),
        rules=_pages(aws.ec2, "describe_security_group_rules", "SecurityGroupRules"),
        lists=lists,
        entries=entries,
        account=aws.sts.get_caller_identity()["Account"],
    )


def groups_made(aws: Aws, cluster: str, side: str) -> dict[str, str]:
    """The security groups of a side that this program made, by role; empty where there are none."""
    marks: list[Any] = [
        {"Name": f"tag:{CLUSTER}", "Values": [cluster]},
        {"Name": "tag:migration:side", "Values": [side]},
    ]
    found = _pages(aws.ec2, "describe_security_groups", "SecurityGroups", Filters=marks)
    roles = {tags_of(one).get(ROLE, ""): one["GroupId"] for one in found}
    return {role: id_ for role, id_ in roles.items() if role in ("nodes", "control-plane")}


def naming(vpc_id: str, ranges: tuple[str, ...], groups: dict[str, str]) -> Naming:
    """By what rules name a side."""
    return Naming(vpc_id=vpc_id, ranges=ranges, groups=groups)
