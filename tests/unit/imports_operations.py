"""Run as a module with an address, as a dynamic provider's host is; but it isn't one."""

from __future__ import annotations

import threading

import providers.operations  # noqa: F401 - importing it is what is looked at

if __name__ == "__main__":
    print([thread.name for thread in threading.enumerate()])
