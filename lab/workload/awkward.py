"""What shape `awkward` has in the cluster beside the plain workload: a second ingress, and a Service with a balancer of
its own. Pure."""

from __future__ import annotations

from lab.legacy.awkward.balancers import SECOND_NODE_PORT, SERVICE, SERVICE_NODE_PORT, UDP_NODE_PORT
from lab.workload.apps import Budget, at_most
from lab.workload.objects import (
    PRE_STOP_S,
    PROXY_PROTOCOL,
    SERVES,
    Object,
    budget,
    deployment,
    ingress_pod,
    namespace,
    pod_template,
    rolling,
    service,
)

NAMESPACE, NAME = SERVICE.split("/")
NLB = "service.beta.kubernetes.io/aws-load-balancer-type"


INTRANET = "intranet"
INTRANET_SERVICE = "ingress-intranet"


def intranet() -> list[Object]:
    """The second ingress: HTTP behind proxy protocol and DNS, each at a node port of one Service, kept as the first."""
    found = service(INTRANET_SERVICE, "ingress", 80, 8080, type="NodePort", externalTrafficPolicy="Local")
    found["spec"]["selector"] = {"app": INTRANET}
    found["spec"]["ports"] = [
        {"name": "main", "port": 80, "targetPort": 8080, "protocol": "TCP", "nodePort": SECOND_NODE_PORT},
        {"name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP", "nodePort": UDP_NODE_PORT},
    ]
    pod = ingress_pod(INTRANET, annotations={SERVES: "http", PROXY_PROTOCOL: "v2"})
    return [
        namespace("ingress"),
        deployment(INTRANET, "ingress", 4, pod, rolling(1, 0)),
        found,
        budget(INTRANET, "ingress", at_most(1)),
    ]


def checkout(zone_name: str) -> list[Object]:
    """Pods that answer HTTP behind a Service of type LoadBalancer, whose name external-dns is told to keep."""
    found = service(NAME, NAMESPACE, 80, 8080, type="LoadBalancer", nodePort=SERVICE_NODE_PORT)
    found["metadata"]["annotations"] = {
        NLB: "nlb",
        "external-dns.alpha.kubernetes.io/hostname": f"{NAME}.{zone_name}",
    }
    return [
        namespace(NAMESPACE),
        deployment(NAME, NAMESPACE, 3, _checkout_pod()),
        budget(NAME, NAMESPACE, Budget(field="maxUnavailable", value=1)),
        found,
    ]


def _checkout_pod() -> Object:
    # It serves on until no proxy sends it anything more, or every drain would lose requests.
    lifecycle = {"lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_S}}}}
    return pod_template(
        NAME, annotations={SERVES: "http"}, terminationGracePeriodSeconds=3 * PRE_STOP_S, container=lifecycle
    )


def status(dns_name: str) -> Object:
    """What the cloud controller has written into the Service's status: the balancer's name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "status": {"loadBalancer": {"ingress": [{"hostname": dns_name}]}},
    }
