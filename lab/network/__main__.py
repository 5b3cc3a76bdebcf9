"""`python -m lab.network`: runs until it is told to end (SIGTERM, SIGINT)."""

from __future__ import annotations

import resource
import sys
from collections.abc import Coroutine
from typing import Any

from lab.addresses import from_environment, lab_dir
from lab.network.network import Network
from lab.network.priority import prefer_this_process
from lab.serving import serve
from lab.settings import LabSettings


def _network() -> Coroutine[Any, Any, None]:
    directory = lab_dir()
    return Network(from_environment(), LabSettings.load(directory), directory).run()


def main() -> int:
    # Two descriptors a flow and one a listener: the usual 1,024 don't last for 200 nodes.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    prefer_this_process()
    return serve("lab.network", _network)


if __name__ == "__main__":
    sys.exit(main())
