"""NodePorts, as kube-proxy keeps them on every worker."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from functools import partial

from lab.network.cluster import Cluster, Endpoint, Name, Node, Service, ServicePort, usable
from lab.network.fabric import Dropped, Fabric
from lab.network.listeners import Handler, Listeners, Place
from lab.network.pods import Home, Pods, web_page
from lab.network.relay import Hop, reset

OWNER = "nodeports"


class NodePorts:
    """A listener per node and NodePort for as long as an endpoint may be used from there. Where none may, nothing
    listens: the port answers with a reset, so that health checks of either protocol see it."""

    def __init__(
        self, cluster: Cluster, fabric: Fabric, listeners: Listeners, pods: Pods, side: Callable[[str], str]
    ) -> None:
        self._cluster = cluster
        self._fabric = fabric
        self._listeners = listeners
        self._pods = pods
        self._side = side
        self._turns: dict[tuple[Name, str], itertools.count[int]] = {}

    def sync(self) -> None:
        """Follows nodes, Services, endpoints, and the instances below the nodes."""
        wanted: dict[Place, Handler] = {}
        alive = self._fabric.state.hosts
        nodes = [n for n in self._cluster.nodes.values() if n.ready and n.ip in alive]
        for service in self._cluster.services.values():
            for port in service.ports:
                if port.node_port:
                    endpoints = list(self._cluster.endpoints(service.name, port.name))
                    for node in self._serving(nodes, service, endpoints):
                        wanted[node.ip, port.node_port] = partial(self._accept, node, service.name, port)
        self._listeners.sync(OWNER, wanted)

    @staticmethod
    def _serving(nodes: list[Node], service: Service, endpoints: list[Endpoint]) -> list[Node]:
        if not service.local:
            return nodes if usable(endpoints) else []
        here = {e.node for e in endpoints if e.ready or (e.serving and e.terminating)}
        return [n for n in nodes if n.name in here]

    def _accept(
        self, node: Node, name: Name, port: ServicePort, client: socket.socket, peer: Place, place: Place
    ) -> None:
        caller = self._fabric.callers.identify(peer, place)
        service = self._cluster.services.get(name)
        endpoints = list(self._cluster.endpoints(name, port.name))
        choices = usable(endpoints, node.name if service is not None and service.local else None)
        turn = next(self._turns.setdefault((name, port.name), itertools.count()))
        if not choices:
            reset(client)
            return
        self._deliver(client, caller, node, choices[turn % len(choices)], place)

    def _deliver(self, client: socket.socket, caller: str, node: Node, endpoint: Endpoint, place: Place) -> None:
        try:
            hops = (Hop(caller, *place), *self._onward(node, endpoint))
            for hop in hops:
                self._fabric.check(hop.source, hop.target, hop.port)
        except Dropped as error:
            self._fabric.drop(client, str(error))
            return
        pod = self._cluster.pods.get(endpoint.pod) if endpoint.pod else None
        if endpoint.pod is None or endpoint.uid in self._cluster.gone or (pod and pod.serves == "none"):
            reset(client)
            return
        home = Home(endpoint.uid, endpoint.pod, endpoint.node, hops)
        target = self._cluster.node(endpoint.node)
        page = web_page(endpoint.pod[1], endpoint.node, self._side(target.ip) if target else "")
        self._pods.serve(client, home, page)

    def _onward(self, node: Node, endpoint: Endpoint) -> tuple[Hop, ...]:
        """The hop to another node's pod. Raises Dropped where that node's machine is gone."""
        if endpoint.node == node.name:
            return ()
        target = self._cluster.node(endpoint.node)
        if target is None or target.ip not in self._fabric.state.hosts:
            raise Dropped(f"{node.name} → {endpoint.address}: its node {endpoint.node} is gone")
        return (Hop(node.ip, target.ip, endpoint.port),)
