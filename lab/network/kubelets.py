"""What stands for kubelets on the network: their port on the machine of every ready Node, and that they are healthy."""

from __future__ import annotations

import socket
from functools import partial

import h11

from lab.network.cluster import Cluster, Node
from lab.network.fabric import Dropped, Fabric
from lab.network.listeners import Handler, Listeners, Place
from lab.network.pods import Home, Pods, Reply
from lab.network.relay import Hop

OWNER = "kubelets"
PORT = 10_250
"""https://kubernetes.io/docs/reference/networking/ports-and-protocols/"""


class Kubelets:
    """`/healthz` over plain HTTP; there is nothing else to be asked of a Node that nobody works on."""

    def __init__(self, cluster: Cluster, fabric: Fabric, listeners: Listeners, pods: Pods) -> None:
        self._cluster = cluster
        self._fabric = fabric
        self._listeners = listeners
        self._pods = pods

    def sync(self) -> None:
        """Follows nodes and the instances below them."""
        alive = self._fabric.state.hosts
        wanted: dict[Place, Handler] = {
            (node.ip, PORT): partial(self._accept, node)
            for node in self._cluster.nodes.values()
            if node.ready and node.ip in alive
        }
        self._listeners.sync(OWNER, wanted)

    def _accept(self, node: Node, client: socket.socket, peer: Place, place: Place) -> None:
        hop = Hop(self._fabric.callers.identify(peer, place), *place)
        try:
            self._fabric.check(hop.source, hop.target, hop.port)
        except Dropped as error:
            self._fabric.drop(client, str(error))
            return
        self._pods.serve(client, Home(f"kubelet {node.name}", ("", node.name), node.name, (hop,)), _answer)


def _answer(request: h11.Request, _: bytes) -> Reply:
    healthy = request.method == b"GET" and request.target == b"/healthz"
    return Reply(200, b'"ok"') if healthy else Reply(401, b'"Unauthorized"')
