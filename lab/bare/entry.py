"""`python -m lab.bare.entry PORT TARGET…`: one endpoint over several API servers, a connection to each in turn.

As a network load balancer does it: bytes only, and who is asked is decided once a connection.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
from collections.abc import Sequence

from lab.addresses import LOOPBACK
from lab.network.listeners import Listeners, Place
from lab.network.relay import Flows, Plan
from lab.serving import serve


async def spread(port: int, targets: Sequence[int]) -> None:
    """Runs until cancelled. Raises OSError where the port can't be had."""
    loop = asyncio.get_running_loop()
    flows, turn = Flows(loop), itertools.cycle(targets)

    def accept(client: socket.socket, peer: Place, dialled: Place) -> None:
        flows.open(client, Plan(source=LOOPBACK, host=LOOPBACK, port=next(turn), hops=()))

    listeners = Listeners(loop)
    listeners.sync("entry", {(LOOPBACK, port): accept})
    if listeners.failed:
        raise OSError(f"port {port}: {listeners.failed[LOOPBACK, port]}")
    try:
        await asyncio.Event().wait()
    finally:
        listeners.close()


def main() -> int:
    port, *targets = map(int, sys.argv[1:])
    return serve("lab.bare.entry", lambda: spread(port, targets))


if __name__ == "__main__":
    sys.exit(main())
