"""The real Pulumi CLI as an operator would type it, with its event log read for counts and progress."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import processes
from lab.machines.processes import renice_session
from lab.machines.services import lasting

POLL_S, FAST_POLL_S = 0.3, 0.03
"""Between two looks at an event log: for a person to read, and for somebody who acts on it."""
ENDS_WITHIN_S = 60.0
"""How long an engine that was told to end may take; then it is killed, and `recover` is there for what it held."""
Event = dict[str, Any]
COUNTED = ("create", "update", "replace", "delete", "same")


class EngineError(Exception):
    """A command of the engine failed; the message holds its last lines and where the rest is."""


@dataclass(frozen=True)
class Outcome:
    """What one command did: resource counts by operation, its wall time, what it said."""

    changes: dict[str, int]
    seconds: float
    log: Path
    diagnostics: list[str] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """How many resources were not left as they were."""
        return sum(count for kind, count in self.changes.items() if kind not in ("same", "read"))


class Engine:
    """Runs `pulumi` in the repository for one lab. `environment` is what `python -m lab env` exports."""

    def __init__(self, root: Path, environment: dict[str, str], logs: Path, progress: Callable[[str], None]) -> None:
        # The event log is a flag for those who drive the CLI from outside, as the Automation API does.
        # Marked as the lab's, so that `lab down` finds an engine whose rehearsal was killed.
        self.environment = {**environment, "PULUMI_DEBUG_COMMANDS": "true", processes.MARK: "engine"}
        self.root, self.logs, self.progress = root, logs, progress
        logs.mkdir(parents=True, exist_ok=True)

    def plain(self, *arguments: str) -> str:
        """A command without an event log (stack init, rename, export); returns its standard output."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EngineError(f"pulumi {' '.join(arguments)} failed:\n{(done.stderr or done.stdout).strip()[-3000:]}")
        return done.stdout

    def resources(self, stack: str) -> list[dict[str, Any]]:
        """The resources in the stack's state."""
        return json.loads(self.plain("stack", "export", "-s", stack))["deployment"].get("resources", [])

    def run(self, command: str, stack: str, *options: str) -> Outcome:
        """`pulumi preview|up|refresh -s stack`; raises `EngineError` when it fails."""
        return self.begin(command, stack, *options).end()

    def begin(self, command: str, stack: str, *options: str, seen: Callable[[Event], None] | None = None) -> Command:
        """The same, still running. `seen` gets every event of its log, from another thread, as it is written."""
        name = f"{stack}-{command}-{time.strftime('%H%M%S')}"
        events, output = self.logs / f"{name}.events", self.logs / f"{name}.log"
        arguments = ["pulumi", command, "-s", stack, "--non-interactive", "--color", "never"]
        arguments += ["--event-log", str(events), "--suppress-outputs", *options]
        if command != "preview":
            arguments += ["--yes"] if command == "refresh" else ["--yes", "--skip-preview"]
        tail = _Tail(events, self.progress, seen)
        with output.open("w") as sink:
            process = subprocess.Popen(
                arguments,
                cwd=self.root,
                env=self.environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            nice = lasting("pulumi")
            os.setpriority(os.PRIO_PROCESS, process.pid, nice)
            renice_session(process.pid, nice)
        return Command(f"pulumi {command} -s {stack}", process, tail, output)


class Command:
    """A command of the engine that runs."""

    def __init__(self, title: str, process: subprocess.Popen[bytes], tail: _Tail, output: Path) -> None:
        self.process, self.output = process, output
        self._title, self._tail, self._began = title, tail, time.monotonic()

    def end(self) -> Outcome:
        """Wait for its end; raises `EngineError` when it failed."""
        tail = self._tail
        try:
            code = self.process.wait()
        except BaseException:
            self.interrupt()
            raise
        finally:
            tail.stop()
        if code:
            lines = "\n".join(tail.errors or self.output.read_text().strip().splitlines()[-30:])
            raise EngineError(f"{self._title} failed (whole output: {self.output}):\n{lines}")
        return Outcome(tail.changes(), round(time.monotonic() - self._began, 1), self.output, tail.messages)

    def interrupt(self) -> None:
        """Ctrl-C: the engine is told as a terminal would, to finish what it holds. It is killed if it doesn't end."""
        self.process.send_signal(signal.SIGINT)
        self._tail.progress(
            f"told to end: it finishes what it holds, for {ENDS_WITHIN_S:.0f} s at most; Ctrl-C kills it"
        )
        try:
            self.process.wait(ENDS_WITHIN_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class _Tail(threading.Thread):
    """Follows an event log while the engine writes it: operations' own lines become progress."""

    def __init__(self, path: Path, progress: Callable[[str], None], seen: Callable[[Event], None] | None) -> None:
        super().__init__(daemon=True)
        self._path, self.progress, self._ended = path, progress, threading.Event()
        self._seen, self._poll_s = seen, POLL_S if seen is None else FAST_POLL_S
        self._summary: dict[str, int] = {}
        self.messages: list[str] = []
        self.errors: list[str] = []
        self.start()

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def changes(self) -> dict[str, int]:
        return {kind: self._summary.get(kind, 0) for kind in COUNTED} | {
            kind: count for kind, count in self._summary.items() if kind not in COUNTED and count
        }

    def run(self) -> None:
        for event in self._events():
            if self._seen is not None:
                self._seen(event)
            if "summaryEvent" in event:
                self._summary = event["summaryEvent"].get("resourceChanges") or {}
            if "diagnosticEvent" in event:
                self._diagnostic(event["diagnosticEvent"])

    def _diagnostic(self, event: Event) -> None:
        text = event.get("message", "").strip()
        if not text or event.get("ephemeral") or event.get("severity") == "debug":
            return
        if event.get("severity") == "error":
            self.errors.append(text)
        for line in text.splitlines():
            self.messages.append(line)
            self.progress(line)

    def _events(self) -> Iterator[Event]:
        rest, position = b"", 0
        while True:
            ended = self._ended.is_set()
            if self._path.exists():
                with self._path.open("rb") as source:
                    source.seek(position)
                    fresh = source.read()
                position += len(fresh)
                *lines, rest = (rest + fresh).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield json.loads(line)
            if ended:
                return
            self._ended.wait(self._poll_s)
