"""The public ports of every machine: etcd's and the API server's, behind which the processes listen hidden."""

from __future__ import annotations

from lab.network.fabric import Fabric
from lab.network.listeners import Handler, Listeners, Place
from lab.network.state import State

OWNER = "forwarder"


def sync(listeners: Listeners, fabric: Fabric, state: State) -> None:
    """A listener per forwarded port on each instance that is alive. Which instance runs what is not asked: where no
    hidden process listens the connection is reset at once, as a closed port answers."""
    wanted: dict[Place, Handler] = {
        (instance.ip, port): fabric.accept
        for instance in state.instances.values()
        if instance.alive and instance.ip
        for port in fabric.forwarded
    }
    listeners.sync(OWNER, wanted)
