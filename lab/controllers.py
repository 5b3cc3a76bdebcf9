"""The controllers that users run, for real: AWS's cloud controller and external-dns. Stdlib only.

`LAB_CONTROLLERS=real`, or `controllers` in `lab.json`, in shape `awkward`. Their logs are in the lab's folder, and what
they say of errors can be counted here: a rehearsal asks whether one outlasted a stage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

BUILT = "controllers"
"""File in the lab's folder: which controllers the cluster that is there has."""
STAND_IN, REAL = "stand-in", "real"
WAYS = (STAND_IN, REAL)

CLOUD_CONTROLLER = "aws-cloud-controller-manager"
CLOUD_UNIT = f"{CLOUD_CONTROLLER}.service"
EXTERNAL_DNS = "external-dns"
TOOLS = (CLOUD_CONTROLLER, EXTERNAL_DNS)
"""Of the toolchain's extras."""
OWNER = "awkward"
"""What external-dns calls itself in its TXT records."""

TRIED_AGAIN = timedelta(minutes=5, seconds=10)
"""The longest pause before a Service is tried again, and some time for the call itself.

Source: k8s.io/cloud-provider, controllers/service: maxRetryDelay.
"""
_KLOG = re.compile(
    r"(?P<level>[IWEF])(?P<day>\d{4}) (?P<time>\d\d:\d\d:\d\d\.\d+)\s+\d+ (?P<where>[\w.-]+:\d+)\] (?P<text>.*)"
)
_LOGRUS = re.compile(r'time="(?P<time>[^"]+)" level=(?P<level>\w+) msg="(?P<text>(?:[^"\\]|\\.)*)"')
_PARTICULAR = re.compile(
    r"\bRequestID: \w+|\b(?:i-|vpc-|subnet-|sg-)?[0-9a-f]{8,}\b|\b\d+(?:\.\d+)*\b|\b[0-9a-f-]{36}\b"
)


@dataclass(frozen=True, kw_only=True)
class Said:
    """One line in which a controller told of an error. `at` is UTC."""

    at: datetime
    controller: str
    text: str

    @property
    def kind(self) -> str:
        """The text without what differs from time to time: ids and numbers."""
        return _PARTICULAR.sub("…", self.text)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One kind of error, from its first to its last line."""

    controller: str
    kind: str
    count: int
    first: datetime
    last: datetime


def logs(directory: Path) -> list[tuple[str, Path]]:
    """Every log of theirs in a lab's folder, with whose it is; machines that are gone left theirs."""
    machines = directory / "machines"
    found = [(CLOUD_CONTROLLER, path) for path in sorted(machines.glob(f"i-*/log/{CLOUD_UNIT}.log"))]
    return found + [(EXTERNAL_DNS, path) for path in sorted(machines.glob(f"{EXTERNAL_DNS}/*.log"))]


def errors(directory: Path, *, now: datetime | None = None) -> list[Said]:
    """What they told of errors, oldest first.

    Raises FileNotFoundError where there is no log at all: nothing said is not nothing wrong.
    """
    found = logs(directory)
    if not found:
        raise FileNotFoundError(f"no log of {' or '.join(TOOLS)} in {directory / 'machines'}")
    today = now or datetime.now(UTC)
    said = (one for name, path in found for one in read(name, path.read_text(errors="replace").splitlines(), today))
    return sorted(said, key=lambda one: one.at)


def read(controller: str, lines: Iterable[str], now: datetime) -> Iterator[Said]:
    """The errors in lines of klog (of this year, or of the one before where that would be in the future) and logrus."""
    for line in lines:
        if match := _KLOG.match(line):
            if match["level"] in "EF":
                yield Said(at=_klog_time(match["day"], match["time"], now), controller=controller, text=match["text"])
        elif (match := _LOGRUS.match(line)) and match["level"] in ("error", "fatal", "panic"):
            yield Said(at=_logrus_time(match), controller=controller, text=match["text"].replace('\\"', '"'))


def rounds(lines: Iterable[str]) -> Iterator[datetime]:
    """When external-dns said anything, of any level: it does so in each of its rounds."""
    for line in lines:
        if match := _LOGRUS.match(line):
            yield _logrus_time(match)


def _logrus_time(line: re.Match[str]) -> datetime:
    return datetime.fromisoformat(line["time"]).astimezone(UTC)


def _klog_time(day: str, time: str, now: datetime) -> datetime:
    local = now.astimezone()
    at = datetime.strptime(f"{local.year}{day} {time}", "%Y%m%d %H:%M:%S.%f").replace(tzinfo=local.tzinfo)
    if at > local + timedelta(days=1):
        at = at.replace(year=at.year - 1)
    return at.astimezone(UTC)


def troubles(said: Sequence[Said]) -> list[Trouble]:
    """The errors by kind, the most frequent first."""
    kinds: dict[tuple[str, str], list[Said]] = {}
    for one in said:
        kinds.setdefault((one.controller, one.kind), []).append(one)
    found = [
        Trouble(
            controller=name,
            kind=kind,
            count=len(those),
            first=min(one.at for one in those),
            last=max(one.at for one in those),
        )
        for (name, kind), those in kinds.items()
    ]
    return sorted(found, key=lambda one: -one.count)


def outlasting(said: Sequence[Said], stages: Sequence[tuple[datetime, datetime]]) -> list[Trouble]:
    """The kinds of error that were told in one stage and again after it. `stages` are beginning and end of each.

    What is told again much later than a controller tries again is another error of the same kind.
    """
    found = ((one, _of(said, one)) for one in troubles(said))
    return [one for one, those in found if any(_crosses(those, ended) for _, ended in stages)]


def _crosses(those: Sequence[Said], end: datetime) -> bool:
    before, after = [one.at for one in those if one.at <= end], [one.at for one in those if one.at > end]
    return bool(before and after) and min(after) - max(before) <= TRIED_AGAIN


def _of(said: Sequence[Said], trouble: Trouble) -> list[Said]:
    return [one for one in said if (one.controller, one.kind) == (trouble.controller, trouble.kind)]
