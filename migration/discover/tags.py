"""How a cluster marks what is its own: the tags that cloud controllers and installers have agreed on. Pure.

`kubernetes.io/cluster/<name>` = owned | shared, and the older `KubernetesCluster` = <name>.
Source: https://github.com/kubernetes/cloud-provider-aws, pkg/providers/v1/tags.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from migration.clients.documents import Document, listed

PREFIX = "kubernetes.io/cluster/"
OLD_KEY = "KubernetesCluster"
OWNER_KEYS = ("Owner", "owner", "Team", "team")


def tags_of(described: Document, key: str = "Tags") -> dict[str, str]:
    """AWS's list of tags as a mapping."""
    return {tag["Key"]: tag.get("Value", "") for tag in listed(described, key)}


def belongs_to(tags: Mapping[str, str], cluster: str) -> bool:
    """Whether the tags say that this is part of the cluster, or shared with it."""
    return PREFIX + cluster in tags or tags.get(OLD_KEY) == cluster


def owned_by(tags: Mapping[str, str], cluster: str) -> bool:
    """Whether the cluster alone owns it: what is shared, or also another cluster's, is not."""
    if clusters_of(tags) - {cluster}:
        return False
    value = tags.get(PREFIX + cluster)
    return value == "owned" or (value in (None, "") and tags.get(OLD_KEY) == cluster)


def clusters_of(tags: Mapping[str, str]) -> set[str]:
    """The names of all clusters that the tags mention."""
    named = {key.removeprefix(PREFIX) for key in tags if key.startswith(PREFIX)}
    return named | ({tags[OLD_KEY]} if OLD_KEY in tags else set())


def owner_of(tags: Mapping[str, str]) -> str | None:
    """Who answers for it, as far as its tags say."""
    return next((tags[key] for key in OWNER_KEYS if tags.get(key)), None)
