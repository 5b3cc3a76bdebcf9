"""The lab's AWS alone, in this process, and the addresses of a lab that finds it there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from lab.addresses import LabAddresses
from lab.aws.server import LabAws
from lab.aws.world import WORLD
from lab.settings import LabSettings


class Somewhere(LabAddresses):
    """A lab whose AWS listens where there was room."""

    url: ClassVar[str] = ""

    @property
    def aws_url(self) -> str:
        """Where it is now."""
        return self.url


@contextmanager
def lab_aws(index: int = 0, settings: LabSettings | None = None) -> Iterator[LabAddresses]:
    """An AWS without anything in it."""
    WORLD.reset(settings or LabSettings())
    server = LabAws().start()
    Somewhere.url = server.url
    try:
        yield Somewhere(index=index)
    finally:
        server.stop()
