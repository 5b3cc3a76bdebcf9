"""Which cluster this is: the UID of its namespace kube-system, which no other cluster has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migration.clients.documents import mapping
from migration.clients.kubernetes import NAMESPACES
from migration.runtime.deadline import Permanent

if TYPE_CHECKING:
    from migration.clients.kubernetes import Kubernetes


def cluster_uid(kubernetes: Kubernetes) -> str:
    """The UID; raises `Permanent` where the API doesn't give one."""
    uid = mapping(kubernetes.get(NAMESPACES, "kube-system"), "metadata").get("uid")
    if not isinstance(uid, str) or not uid:
        raise Permanent("the Kubernetes API gives no UID of namespace kube-system: which cluster this is can't be told")
    return uid
