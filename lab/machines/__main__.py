"""`python -m lab.machines`: runs until told to end (SIGTERM, SIGINT), and ends its machines' processes then."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from typing import Any

from lab.addresses import from_environment, lab_dir
from lab.machines.place import Place
from lab.machines.supervisor import Supervisor
from lab.serving import serve
from lab.settings import LabSettings


def _supervisor() -> Coroutine[Any, Any, None]:
    directory = lab_dir()
    place = Place(directory=directory, addresses=from_environment(), settings=LabSettings.load(directory))
    return Supervisor(place).run()


if __name__ == "__main__":
    sys.exit(serve("lab.machines", _supervisor))
