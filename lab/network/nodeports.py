"""NodePorts, as kube-proxy keeps them on every worker."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from functools import partial

from lab.network.cluster import Cluster, Endpoint, Name, Node, Service, ServicePort, usable
from lab.network.fabric import Dropped, Fabric
from lab.network.listeners import DatagramHandler, Datagrams, Handler, Listeners, Place
from lab.network.pods import Home, Pods, dns_answer, page_of, web_page
from lab.network.relay import Hop, reset
from lab.network.state import TCP, UDP

OWNER = "nodeports"


class NodePorts:
    """A listener per node and NodePort for as long as an endpoint may be used from there. Where none may, nothing
    listens: the port answers with a reset, so that health checks of either protocol see it."""

    def __init__(
        self,
        cluster: Cluster,
        fabric: Fabric,
        listeners: Listeners,
        datagrams: Datagrams,
        pods: Pods,
        side: Callable[[str], str],
    ) -> None:
        self._cluster = cluster
        self._fabric = fabric
        self._listeners = listeners
        self._datagrams = datagrams
        self._pods = pods
        self._side = side
        self._turns: dict[tuple[Name, str], itertools.count[int]] = {}

    def sync(self) -> None:
        """Follows nodes, Services, endpoints, and the instances below the nodes."""
        wanted: dict[Place, Handler] = {}
        of_datagrams: dict[Place, DatagramHandler] = {}
        alive = self._fabric.state.hosts
        nodes = [n for n in self._cluster.nodes.values() if n.ready and n.ip in alive]
        for service in self._cluster.services.values():
            for port in service.ports:
                if port.node_port:
                    endpoints = list(self._cluster.endpoints(service.name, port.name))
                    for node in self._serving(nodes, service, endpoints):
                        place = (node.ip, port.node_port)
                        if port.transport == UDP:
                            of_datagrams[place] = partial(self._answer, node, service.name, port)
                        else:
                            wanted[place] = partial(self._accept, node, service.name, port)
        self._listeners.sync(OWNER, wanted)
        self._datagrams.sync(OWNER, of_datagrams)

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
        endpoint = self._choose(node, name, port)
        if endpoint is None:
            reset(client)
            return
        self._deliver(client, caller, node, endpoint, place)

    def _choose(self, node: Node, name: Name, port: ServicePort) -> Endpoint | None:
        service = self._cluster.services.get(name)
        endpoints = list(self._cluster.endpoints(name, port.name))
        choices = usable(endpoints, node.name if service is not None and service.local else None)
        turn = next(self._turns.setdefault((name, port.name), itertools.count()))
        return choices[turn % len(choices)] if choices else None

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
        home = Home(endpoint.uid, endpoint.pod, endpoint.node, hops, pod is not None and pod.proxy_protocol)
        page = web_page(endpoint.pod[1], endpoint.node, self._side_of(endpoint))
        self._pods.serve(client, home, page)

    def _side_of(self, endpoint: Endpoint) -> str:
        target = self._cluster.node(endpoint.node)
        return self._side(target.ip) if target else ""

    def _answer(
        self,
        node: Node,
        name: Name,
        port: ServicePort,
        data: bytes,
        peer: Place,
        place: Place,
        sock: socket.socket,
    ) -> None:
        """A datagram to a pod, which speaks DNS. What can't arrive vanishes, as datagrams do."""
        endpoint = self._choose(node, name, port)
        try:
            if endpoint is None:
                raise Dropped(f"{name[1]} has no endpoint for {node.name}")
            caller = self._fabric.callers.of_datagram(peer[0])
            for hop in (Hop(caller, *place, transport=UDP), *self._onward(node, endpoint, UDP)):
                self._fabric.check(hop.source, hop.target, hop.port, UDP)
        except Dropped as error:
            self._fabric.lose(str(error))
            return
        pod = self._cluster.pods.get(endpoint.pod) if endpoint.pod else None
        if endpoint.pod is None or endpoint.uid in self._cluster.gone or (pod and pod.serves == "none"):
            return
        answer = dns_answer(data, page_of(endpoint.pod[1], endpoint.node, self._side_of(endpoint)))
        if answer is not None:
            self._pods.answered += 1
            sock.sendto(answer, peer)

    def _onward(self, node: Node, endpoint: Endpoint, transport: str = TCP) -> tuple[Hop, ...]:
        """The hop to another node's pod. Raises Dropped where that node's machine is gone."""
        if endpoint.node == node.name:
            return ()
        target = self._cluster.node(endpoint.node)
        if target is None or target.ip not in self._fabric.state.hosts:
            raise Dropped(f"{node.name} → {endpoint.address}: its node {endpoint.node} is gone")
        return (Hop(node.ip, target.ip, endpoint.port, transport=transport),)
