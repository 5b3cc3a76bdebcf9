"""`python -m lab.machines`: runs until told to end (SIGTERM, SIGINT), and ends its machines' processes then."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from lab.addresses import from_environment, lab_dir
from lab.machines.place import Place
from lab.machines.supervisor import Supervisor
from lab.settings import LabSettings, SettingsError


async def _run() -> None:
    directory = lab_dir()
    place = Place(directory=directory, addresses=from_environment(), settings=LabSettings.load(directory))
    task = asyncio.create_task(Supervisor(place).run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logging.info("told to end; everything has ended")


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(name)s %(message)s", datefmt="%H:%M:%S")
    try:
        asyncio.run(_run())
    except (SettingsError, ValueError, OSError) as error:
        print(f"lab.machines: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
