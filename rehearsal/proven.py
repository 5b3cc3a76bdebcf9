"""Something driven on a lab while the proof watches: what happened, and what the proof says of it, in one report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from proof.html import write_html
from proof.model import Parts, Report, Summary
from proof.report import build
from rehearsal.driver import FAILURES, Driver
from rehearsal.held_up import held_up
from rehearsal.watch import Watch


@dataclass(kw_only=True)
class Proven(Driver):
    """A driver whose moves are watched from the first to the last."""

    leftovers: list[str] | None = field(default=None)
    watching: Watch | None = None
    summary: Summary = field(default_factory=Summary)
    page: str = ""
    """The page with everything, beside the rows; empty where the proof didn't run."""

    def prove(
        self,
        name: str,
        prepare: Callable[[], None],
        act: Callable[[Watch], None],
        look: Callable[[], None],
        wrong: Callable[[], Sequence[str]],
    ) -> Report:
        """Prepare, act under the proof's eyes, look afterwards where nothing failed; the report says what happened.

        `wrong`: what the caller found, as sentences. Only Ctrl-C ends it without a report.
        """
        watch = None
        try:
            prepare()
            watch = self.watching = self.watch(name)
            act(watch)
        except FAILURES as error:
            self.failed(error)
        except KeyboardInterrupt:
            if watch is not None:
                watch.abandon()
            raise
        if watch is not None:
            try:
                self.summary = watch.stop()
                if not self.errors:
                    look()
            except FAILURES as error:
                self.failed(error)
        report = self._report(wrong())
        if watch is not None:
            self.page = f"{name}.html"
            write_html(report, watch.out, self.reports / self.page)
        return report

    def failed(self, error: BaseException) -> None:
        """Keep what a failing part said."""
        text = str(error) or type(error).__name__
        self.errors.append(f"{self.stages[-1].title}: {text}" if self.stages else text)
        self.say(f"failed: {text}")

    def _report(self, wrong: Sequence[str]) -> Report:
        parts = Parts(
            profile=self.settings.profile,
            versions=self.versions(),
            seconds=time.monotonic() - self.began,
            stages=tuple(self.stages),
            leftovers=None if self.leftovers is None else tuple(self.leftovers),
            errors=(*self.errors, *wrong, *held_up(self.addresses.network_url, self.summary)),
        )
        return build(self.summary, parts)
