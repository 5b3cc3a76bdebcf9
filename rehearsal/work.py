"""How much was done: AWS's changing calls and the evictions that the API servers accepted."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3

from lab.addresses import LabAddresses
from lab.kubernetes.access import Access, access, read
from lab.kubernetes.client import Client
from rehearsal.driver import RehearsalError
from rehearsal.watch import running_members
from rehearsal.world import Fact

_ACCEPTED = re.compile(
    r'^apiserver_request_total\{(?=[^}]*code="2\d\d")(?=[^}]*resource="pods")(?=[^}]*subresource="eviction")[^}]*\}'
    r" (?P<count>[0-9.e+]+)$",
    re.MULTILINE,
)


class Work(Fact):
    """What was done between two moments. `evictions` is None where an API server came or went meanwhile: its count
    began, or ended, with it.
    """

    calls: dict[str, int]
    """The operator's calls to AWS that changed something, by action."""
    evictions: int | None

    @property
    def operations(self) -> int:
        """All of them."""
        return sum(self.calls.values()) + (self.evictions or 0)


class Counted(Fact):
    """The counters at a moment; evictions by API server."""

    calls: dict[str, int]
    evictions: dict[str, int]


def done_between(before: Counted, after: Counted) -> Work:
    """What was done from one moment to the other."""
    calls = {name: count - before.calls.get(name, 0) for name, count in after.calls.items()}
    evictions = None
    if before.evictions and before.evictions.keys() == after.evictions.keys():
        evictions = sum(after.evictions.values()) - sum(before.evictions.values())
        if any(after.evictions[server] < count for server, count in before.evictions.items()):
            evictions = None  # one began anew
    return Work(calls={name: count for name, count in calls.items() if count}, evictions=evictions)


def granted(parts: Iterable[Work]) -> int | None:
    """Evictions over several stretches of time, but for those in which an API server came or went; None: none is known.

    Of those nobody knows. Where members are swapped nothing is drained.
    """
    known = [part.evictions for part in parts if part.evictions is not None]
    return sum(known) if known else None


def accepted_evictions(metrics: str) -> int:
    """Of an API server's metrics: evictions that it answered with success, of one pod twice or of two."""
    return sum(int(float(found["count"])) for found in _ACCEPTED.finditer(metrics))


class Counter:
    """The lab's counters. `api_port` is the API servers' on their machines."""

    def __init__(
        self, addresses: LabAddresses, kubeconfig: Path, environment: Mapping[str, str], api_port: int
    ) -> None:
        self._url = addresses.aws_url
        self._key = environment["AWS_ACCESS_KEY_ID"]
        self._access: Access = access(read(kubeconfig))
        self._ec2: Any = boto3.client("ec2")
        self._port = api_port

    def now(self) -> Counted:
        """As they are. Raises `RehearsalError` and what boto3 and the lab's client raise."""
        try:
            with urllib.request.urlopen(f"{self._url}/_backplane/calls", timeout=30) as answer:
                calls: dict[str, dict[str, int]] = json.load(answer)
        except OSError as error:
            raise RehearsalError(f"the lab's AWS doesn't say how many calls it had: {error}") from error
        evictions: dict[str, int] = {}
        for address in running_members(self._ec2):
            client = Client(replace(self._access, server=f"https://{address}:{self._port}"))
            evictions[address] = accepted_evictions(client.text("/metrics"))
        return Counted(calls=calls.get(self._key, {}), evictions=evictions)
