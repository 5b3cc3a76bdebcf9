"""For tests on moto's plain AWS whose objects are made up: the lab's rules about them rest, in a process that has them.

A worker that has run the lab's AWS before keeps its rules over moto.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lab.aws import hooks
from lab.aws.records import ABOUT_ALIASES


@contextmanager
def balancers() -> Iterator[None]:
    """Aliases may lead to balancers that aren't there."""
    with ExitStack() as off:
        for rule in ABOUT_ALIASES:
            off.enter_context(hooks.without(rule))
        yield
