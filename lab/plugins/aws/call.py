"""What a table row's functions are given: the AWS clients, one resource's inputs and outputs, waiting and retrying."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.plugins import waits
from lab.plugins.aws.young import Young
from lab.plugins.diffing import compare
from lab.plugins.errors import Cancelled, PluginError, TimedOut
from lab.plugins.host import Props
from lab.plugins.schema import ResourceType

T = TypeVar("T")
DEFAULT_TIMEOUT_S = 600.0  # what the provider gives most of these types; customTimeouts override it


def code_of(error: ClientError) -> str:
    """The AWS error code, such as `DependencyViolation`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def told(error: ClientError) -> str:
    """The code and AWS's own sentence."""
    return f"{code_of(error)}: {error.response.get('Error', {}).get('Message', '')}".rstrip(": ")


APP = "lab-aws-plugin"
"""What the plugin says it is in its calls, so that they can be told from the program's."""


class Clients:
    """boto3 clients by service, made when first asked for: `ec2` alone takes a third of a second."""

    def __init__(self, region: str | None) -> None:
        self._region = region
        self._lock = threading.Lock()
        self._session: boto3.Session | None = None
        self._made: dict[str, Any] = {}
        self._account: str | None = None
        self._young = Young()

    def get(self, service: str) -> Any:
        """The client of a service; `AWS_ENDPOINT_URL`, credentials and their kin are honoured by boto3 itself."""
        with self._lock:  # sessions are not made for threads
            if service not in self._made:
                self._session = self._session or boto3.Session(region_name=self._region)
                self._made[service] = self._session.client(
                    service,  # pyright: ignore[reportCallIssue, reportArgumentType]
                    config=Config(
                        retries={"mode": "standard", "total_max_attempts": 25},
                        max_pool_connections=32,
                        # The engine's environment names the program; what the provider asks is another matter.
                        user_agent_extra=f"app/{APP}",
                    ),
                )
                if service == "ec2":
                    self._young.watch(self._made[service])
            return self._made[service]

    @property
    def account(self) -> str:
        """The account's id."""
        if self._account is None:
            self._account = str(self.get("sts").get_caller_identity()["Account"])
        return self._account


@dataclass
class Clock:
    """Time as the waits see it; tests give their own."""

    now: Callable[[], float] = time.monotonic
    stop: threading.Event = field(default_factory=threading.Event)
    pause: Callable[[float], None] | None = None

    def sleep(self, seconds: float) -> None:
        """Sleeps, or raises `Cancelled` as soon as the engine asks to stop."""
        if self.pause is not None:
            self.pause(seconds)
        elif self.stop.wait(seconds):
            raise Cancelled("stopped while waiting, as the engine asked")


@dataclass
class Call:
    """One operation on one resource."""

    clients: Clients
    row: ResourceType[Any]
    name: str
    id: str = ""
    new: Props = field(default_factory=dict)  # wanted inputs, defaults filled
    old: Props = field(default_factory=dict)  # recorded outputs; empty on import
    old_inputs: Props = field(default_factory=dict)
    timeout_s: float = DEFAULT_TIMEOUT_S
    clock: Clock = field(default_factory=Clock)

    def client(self, service: str) -> Any:
        return self.clients.get(service)

    @property
    def ec2(self) -> Any:
        return self.client("ec2")

    @property
    def region(self) -> str:
        """The region the resource lives in."""
        return str(self.ec2.meta.region_name)

    def made(self, resource_id: str) -> str:
        """Records that the resource exists from here on, whatever fails later."""
        self.id = resource_id
        return resource_id

    def changed(self, *names: str) -> bool:
        """Whether any of these inputs differs from what is recorded."""
        return any(compare(self.row.props[n], n, self.old.get(n), self.new.get(n)) for n in names)

    def given(self, **names: str) -> dict[str, Any]:
        """Arguments for boto3, `Argument=property`, of the properties that are set."""
        return {k: self.new[v] for k, v in names.items() if self.new.get(v) is not None}

    @property
    def tags_wanted(self) -> dict[str, str]:
        return {k: str(v) for k, v in (self.new.get("tags") or {}).items()}

    def tags_read(self, live: Mapping[str, str]) -> Props:
        """The output of live tags. AWS's own (`aws:`) are nobody's to manage."""
        return {"tags": {k: v for k, v in live.items() if not k.startswith("aws:")}}

    def wait(
        self, what: str, probe: Callable[[], T | None], *, timeout_s: float | None = None, every_s: float = 0.1
    ) -> T:
        """Asks until `probe` answers something true. Raises `TimedOut`, saying what was waited for."""
        limit = timeout_s if timeout_s is not None else self.timeout_s
        deadline = self.clock.now() + limit
        while True:
            if answer := probe():
                return answer
            if self.clock.now() >= deadline:
                raise TimedOut(f"{what}: not so within {limit:g} s")
            self._sleep(every_s)
            every_s = min(every_s * 1.5, 2.0)

    def retry(self, codes: Collection[str], action: Callable[[], T], *, timeout_s: float | None = None) -> T:
        """Repeats `action` while AWS answers one of `codes` (its state lags behind itself), for a bounded time."""
        limit = timeout_s if timeout_s is not None else self.timeout_s
        deadline = self.clock.now() + limit
        pause = 0.1
        while True:
            try:
                return action()
            except ClientError as error:
                if code_of(error) not in codes:
                    raise
                if self.clock.now() >= deadline:
                    raise TimedOut(f"{told(error)} (still so after {limit:g} s)") from error
            self._sleep(pause)
            pause = min(pause * 1.5, 2.0)

    def _sleep(self, seconds: float) -> None:
        begin = time.time()
        self.clock.sleep(seconds)
        waits.note(self.row.token, self.name, begin, time.time())

    def refuse(self, reason: str) -> PluginError:
        """An error to raise."""
        return PluginError(reason)
