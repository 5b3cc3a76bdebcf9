"""`python -m lab.network`: runs until it is told to end (SIGTERM, SIGINT)."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import sys

from lab.addresses import from_environment, lab_dir
from lab.network.network import Network
from lab.settings import LabSettings, SettingsError


async def _run() -> None:
    directory = lab_dir()
    network = Network(from_environment(), LabSettings.load(directory), directory)
    task = asyncio.create_task(network.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logging.info("told to end")


def main() -> int:
    # Two descriptors a flow and one a listener: the usual 1,024 don't last for 200 nodes.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(name)s %(message)s", datefmt="%H:%M:%S")
    try:
        asyncio.run(_run())
    except (SettingsError, ValueError, OSError) as error:
        print(f"lab.network: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
