"""Discovery as a whole: ask AWS, ask the cluster, put together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from migration.clients import Clients
from migration.discover import cluster_api, inventory
from migration.discover.assemble import ClusterAnswers, configuration, control_plane_flag
from migration.discover.groups import control_plane_of, members_of, servers_of
from migration.discover.options import DiscoveryOptions
from migration.layouts.running import what_runs

# For each machine: a command through Systems Manager takes a second or two, and a machine may be gone.
ASKING_SECONDS = 60.0


def discover(clients: Clients, options: DiscoveryOptions) -> dict[str, Any]:
    """The configuration of the cluster; raises `Permanent` (or the clients' errors) with a sentence."""
    found = replace(inventory.read(clients.aws, options.cluster, options.vpc), layout=options.layout)
    members, form = members_of(found), control_plane_of(found)
    if options.ask_machines:
        asked = {group.name: group for group in (*members, *servers_of(found))}
        machines = [one["InstanceId"] for group in asked.values() for one in group.instances]
        found = replace(found, running=what_runs(clients.aws, machines, ASKING_SECONDS, options.log))
    kubernetes = clients.kubernetes
    services = cluster_api.services(kubernetes)
    pods = options.pod_cidr or form.pod_cidr or control_plane_flag(members, "cluster-cidr")
    pods = pods or cluster_api.flag_of_pods(kubernetes, "cluster-cidr")
    served = options.service_cidr or form.service_cidr or control_plane_flag(members, "service-cluster-ip-range")
    served = served or cluster_api.service_cidr(kubernetes)
    answers = ClusterAnswers(
        services=services,
        pod_cidr=cluster_api.only_ipv4(pods, "pods", "--pod-cidr"),
        service_cidr=cluster_api.only_ipv4(served, "Services", "--service-cidr"),
    )
    return configuration(found, answers, options)
