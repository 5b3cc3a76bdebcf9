"""`python -m lab.aws`: serves until SIGTERM or SIGINT, on the port the lab's index gives."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from lab import addresses
from lab.aws.server import LabAws
from lab.aws.world import WORLD
from lab.settings import LabSettings


def main() -> None:
    # boto3 is used inside moto; it must find a region and keys, and never a real account.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        lab = addresses.from_environment()
        WORLD.settings = LabSettings.load()
    except ValueError as error:
        sys.exit(f"lab.aws: {error}")
    os.environ.update(lab.aws_environment())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        server = LabAws(lab.aws_port).start()
    except OSError as error:
        sys.exit(f"lab.aws: {lab.aws_url}: {error.strerror or error} (another lab with LAB_INDEX={lab.index}?)")
    print(f"lab.aws: {server.url}", flush=True)
    stop.wait()
    server.stop()


if __name__ == "__main__":
    main()
