"""What shape `awkward` has in the cluster beside the plain workload: a Service with a balancer of its own. Pure."""

from __future__ import annotations

from lab.legacy.awkward.balancers import SERVICE, SERVICE_NODE_PORT
from lab.workload.apps import Budget
from lab.workload.objects import SERVES, Object, budget, deployment, namespace, pod_template, service

NAMESPACE, NAME = SERVICE.split("/")
NLB = "service.beta.kubernetes.io/aws-load-balancer-type"


def checkout(zone_name: str) -> list[Object]:
    """Pods that answer HTTP behind a Service of type LoadBalancer, whose name external-dns is told to keep."""
    found = service(NAME, NAMESPACE, 80, 8080, type="LoadBalancer", nodePort=SERVICE_NODE_PORT)
    found["metadata"]["annotations"] = {
        NLB: "nlb",
        "external-dns.alpha.kubernetes.io/hostname": f"{NAME}.{zone_name}",
    }
    return [
        namespace(NAMESPACE),
        deployment(NAME, NAMESPACE, 3, pod_template(NAME, annotations={SERVES: "http"})),
        budget(NAME, NAMESPACE, Budget(field="maxUnavailable", value=1)),
        found,
    ]


def status(dns_name: str) -> Object:
    """What the cloud controller has written into the Service's status: the balancer's name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "status": {"loadBalancer": {"ingress": [{"hostname": dns_name}]}},
    }
