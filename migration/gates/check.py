"""What a check is, and all of them by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from migration.gates import balancers, cleanup, cluster, members, names, network, permissions, quiet, workloads
from migration.runtime.context import Context

Facts = Mapping[str, Any]
"""`migration.facts.gate_facts` with the sides' ids completed, and `stage`, the number of the stage."""

Check = Callable[[Facts, Context], str]

CHECKS: dict[str, Check] = {
    "permissions": permissions.permissions,
    "cluster-healthy": cluster.healthy,
    "networks-disjoint": network.disjoint,
    "reachable-both-ways": network.reachable,
    "api-served-by-new-balancer": balancers.api_served,
    "ttls-lowered": names.ttls_lowered,
    "writers-known": cluster.writers_known,
    "new-nodes-ready": workloads.new_nodes_ready,
    "new-targets-healthy": balancers.new_targets,
    "clients-reach-new-side": network.clients_reach,
    "records-in-sync": names.in_sync,
    "ingress-quiet": quiet.ingress,
    "api-quiet": quiet.api,
    "nothing-movable-on-old-nodes": workloads.nothing_movable,
    "etcd-preflight": members.preflight,
    "members-all-new": members.all_new,
    "nothing-names-the-old-vpc": cleanup.nothing_names_old,
    "api-group-healthy": balancers.api_instances,
    "retired": cleanup.retired,
}
