"""What the cluster itself is told: where its migration stands, and what the operator's role may do."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from components.base import Args, Component
from migration.settings.secret import is_inline

# Exactly the verbs this program uses; docs/adopting.md explains each.
OPERATOR_RULES: list[kubernetes.rbac.v1.PolicyRuleArgsDict] = [
    {"api_groups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch", "patch"]},
    {"api_groups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {"api_groups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
    {"api_groups": [""], "resources": ["services"], "verbs": ["get", "list", "patch"]},
    {
        "api_groups": [""],
        "resources": ["configmaps", "endpoints", "persistentvolumes", "persistentvolumeclaims", "namespaces"],
        "verbs": ["get", "list"],
    },
    {"api_groups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
    {
        "api_groups": ["apps"],
        "resources": ["deployments", "replicasets", "statefulsets", "daemonsets"],
        "verbs": ["get", "list", "patch"],
    },
    {"api_groups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": ["get", "list"]},
    {"api_groups": [""], "resources": ["replicationcontrollers"], "verbs": ["get", "list"]},
    {"api_groups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list"]},
    {"api_groups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["get", "list", "watch"]},
    {"api_groups": ["storage.k8s.io"], "resources": ["volumeattachments"], "verbs": ["get", "list"]},
    {
        "api_groups": ["admissionregistration.k8s.io"],
        "resources": ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
        "verbs": ["get", "list"],
    },
    {"api_groups": ["apiregistration.k8s.io"], "resources": ["apiservices"], "verbs": ["get", "list"]},
    {
        "api_groups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "create", "update", "delete"],
    },
]


class ClusterObjects(Component):
    """A ConfigMap that tells everybody in the cluster which stage it is at, and the operator's ClusterRole."""

    def __init__(self, name: str, args: Args, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("cluster_objects:Objects", name, args, opts)
        settings = args.scope.settings
        c = settings.configuration
        provider = kubernetes.Provider(
            "cluster",
            kubeconfig=pulumi.Output.secret(c.kubeconfig) if c.kubeconfig and is_inline(c.kubeconfig) else c.kubeconfig,
            # Without it, an edited kubeconfig would look like another cluster and replace everything.
            cluster_identifier=c.cluster,
            # The status changes with every stage; the provider would replace the ConfigMap by default.
            enable_config_map_mutable=True,
            opts=self.child(),
        )
        kubernetes.rbac.v1.ClusterRole(
            "operator",
            metadata={"name": "vpc-migration-operator"},
            rules=OPERATOR_RULES,
            opts=self.child(provider=provider),
        )
        kubernetes.core.v1.ConfigMap(
            "status",
            metadata={"name": "vpc-migration", "namespace": "kube-system"},
            data={
                "stage": str(settings.stage.number),
                "name": settings.stage.name,
                "from": c.from_,
                "to": c.to,
            },
            opts=self.child(provider=provider),
        )
