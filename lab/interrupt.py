"""Ctrl-C that can't be lost.

Python raises KeyboardInterrupt wherever it happens to be. Where that is a callback of the interpreter's own (a weak
reference's during an import, a finalizer), it is printed as "ignored" and forgotten, and the program goes on as if
nobody had pressed anything. Whoever waits in a loop asks `check` in each turn.
"""

from __future__ import annotations

import signal
from types import FrameType

_pressed = False


def install() -> None:
    """From now on Ctrl-C is remembered as well as raised.

    A shell's background job keeps ignoring it, but in a way that its children don't inherit: the engine ends its
    plugins by this signal, and would wait 5 s for them at the end of every command.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _press)
    elif signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: None)


def _press(number: int, frame: FrameType | None) -> None:
    global _pressed
    _pressed = True
    signal.default_int_handler(number, frame)


def check() -> None:
    """Raises KeyboardInterrupt if Ctrl-C was pressed since the last time this raised."""
    global _pressed
    if _pressed:
        _pressed = False
        raise KeyboardInterrupt
