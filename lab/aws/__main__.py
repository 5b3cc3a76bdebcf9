"""`python -m lab.aws`: serves until SIGTERM or SIGINT, on the port the lab's index gives."""

from __future__ import annotations

import os
import signal
import threading

from lab import addresses
from lab.aws.server import LabAws
from lab.aws.world import WORLD
from lab.settings import LabSettings


def main() -> None:
    # boto3 is used inside moto; it must find a region and keys, and never a real account.
    lab = addresses.from_environment()
    os.environ.update(lab.aws_environment())
    WORLD.settings = LabSettings.load()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = LabAws(lab.aws_port).start()
    print(f"lab.aws: {server.url}", flush=True)
    stop.wait()
    server.stop()


if __name__ == "__main__":
    main()
