"""Looking at several parts of the world side by side; what doesn't answer in time isn't waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from botocore.exceptions import BotoCoreError, ConnectionError, HTTPClientError

from migration.contracts.seen import Unseen
from migration.plan.reading import NotReading
from migration.runtime.deadline import Deadline
from migration.status import UNSEEN

T = TypeVar("T")

EXPECTED = (*UNSEEN, NotReading)


def words(error: BaseException) -> str:
    """Why something can't be seen; the same for every service of an AWS that doesn't answer."""
    if isinstance(error.__cause__, BotoCoreError):
        return words(error.__cause__)
    if isinstance(error, ConnectionError | HTTPClientError):
        return "AWS doesn't answer; check network and region"
    if isinstance(error, BotoCoreError):
        return f"AWS can't be asked: {error}"
    return str(error)


class Look(Generic[T]):
    """One part being looked at, in a thread that nobody has to wait for. `seen` gives what was found."""

    def __init__(self, part: Callable[[], T]) -> None:
        self._part = part
        self._found: Future[T | Unseen] = Future()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._found.set_result(self._part())
        except EXPECTED as error:
            self._found.set_result(Unseen(unseen=words(error)))
        finally:
            # Anything else is an error of this program: the thread tells it, and the others go on.
            if not self._found.done():
                self._found.set_result(Unseen(unseen="an error of this program, see standard error"))

    def seen(self, deadline: Deadline) -> T | Unseen:
        """What was found, waiting until `deadline` at most."""
        try:
            return self._found.result(timeout=deadline.remaining)
        except TimeoutError:
            return Unseen(unseen=f"no answer within {deadline.seconds:g} s")
