"""What stops a swap before it begins: versions with known faults, long round trips, and those nobody measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from migration.clients.etcd import Etcd
from migration.etcd.preflight import preflight
from migration.etcd.round_trips import NAME, RoundTrips, parsed
from migration.etcd.versions import judge
from migration.runtime.deadline import Permanent, Retryable

BOUNDS = [0.0001 * 2**power for power in range(16)]


def histogram(peer: int, seconds: list[float]) -> list[str]:
    """As etcd writes what it observed of one peer."""
    to = f'To="{peer:x}"'
    lines = [f'{NAME}_bucket{{{to},le="{bound}"}} {sum(one <= bound for one in seconds)}' for bound in BOUNDS]
    lines.append(f'{NAME}_bucket{{{to},le="+Inf"}} {len(seconds)}')
    return [*lines, f"{NAME}_sum{{{to}}} {sum(seconds)}", f"{NAME}_count{{{to}}} {len(seconds)}"]


@dataclass
class Voters:
    """Two voters, 10 and 11, each with a version and what it measured of the other."""

    seconds: dict[int, list[float]] = field(default_factory=lambda: {10: [0.002] * 20, 11: [0.002] * 20})
    versions: dict[int, str] = field(default_factory=lambda: {10: "3.6.16", 11: "3.6.16"})

    def close(self) -> None:
        pass

    def post(self, endpoint: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if path == "cluster/member/list":
            return {
                "members": [
                    {"ID": str(one), "name": f"m{one}", "peerURLs": [f"p{one}"], "clientURLs": [f"c{one}"]}
                    for one in self.versions
                ]
            }
        if path == "maintenance/alarm":
            return {}
        return {"header": {"member_id": endpoint[1:]}, "leader": "10", "version": self.versions[int(endpoint[1:])]}

    def metrics(self, endpoint: str, name: str) -> list[str]:
        one = int(endpoint[1:])
        if one not in self.seconds:
            raise Retryable("HTTP 404")
        return histogram(21 - one, self.seconds[one])

    def stream(self, endpoint: str, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        raise AssertionError("nothing is streamed")


def asked(voters: Voters, round_trips: RoundTrips | None = None) -> tuple[str, list[str]]:
    told: list[str] = []
    etcd = Etcd(["c10"], voters)
    return preflight(etcd, ours=lambda _: False, log=told.append, round_trips=round_trips), told


def test_near_voters_of_a_good_version_pass_and_the_slowest_pair_is_told() -> None:
    assert asked(Voters()) == ("2 voters healthy, slowest round trip between them 2 ms", [])


def test_a_round_trip_between_members_is_refused_however_near_the_operator_is() -> None:
    far = Voters(seconds={10: [0.002] * 20, 11: [0.25] * 20})
    with pytest.raises(Retryable, match=r"takes 250 ms \(m11 to m10\); the limit is 180 ms"):
        asked(far)


def test_a_hundredth_of_long_round_trips_is_not_hidden_by_the_mean() -> None:
    seconds = [0.002] * 95 + [0.9] * 5
    [seen] = parsed(histogram(10, seconds)).values()
    assert (seen.observations, seen.judged) == (100, 0.8192)
    with pytest.raises(Retryable, match="takes 819 ms"):
        asked(Voters(seconds={10: [0.002] * 20, 11: seconds}))


def test_a_bad_minute_is_over_once_enough_was_measured_after_it() -> None:
    seen, bad = RoundTrips(), [0.9] * 5
    for since in ([], [0.002] * 9):
        with pytest.raises(Retryable, match="takes 819 ms"):
            asked(Voters(seconds={10: [0.002] * 20, 11: [0.002] * 95 + bad + since}), seen)
    told, _ = asked(Voters(seconds={10: [0.002] * 20, 11: [0.002] * 95 + bad + [0.002] * 10}), seen)
    assert told.endswith("slowest round trip between them 2 ms")


def test_a_good_week_does_not_hide_a_bad_minute() -> None:
    seen, week = RoundTrips(), [0.002] * 20000
    assert asked(Voters(seconds={10: week, 11: week}), seen)[1] == []
    with pytest.raises(Retryable, match=r"takes 200 ms \(m11 to m10\)"):
        asked(Voters(seconds={10: week, 11: week + [0.2] * 10}), seen)


def test_what_an_etcd_measured_that_was_started_again_since_is_forgotten() -> None:
    seen = RoundTrips()
    with pytest.raises(Retryable, match="takes 900 ms"):
        asked(Voters(seconds={10: [0.002] * 20, 11: [0.9] * 30}), seen)
    assert asked(Voters(seconds={10: [0.002] * 20, 11: [0.002] * 12}), seen)[1] == []


def test_a_long_one_is_warned_of_and_not_called_longer_than_it_is() -> None:
    # Both lie in the histogram's bucket from 102 to 205 ms.
    seen, told = asked(Voters(seconds={10: [0.002] * 20, 11: [0.12] * 20}))
    assert "120 ms" in seen
    assert told == ["warning: a round trip between members takes 120 ms (m11 to m10); 180 ms is too long"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ({10: [0.002] * 20}, "can't be seen: c11/metrics isn't answered .*operatorNetworks"),
        ({10: [0.002] * 20, 11: []}, "m11 has measured the round trip to m10 0 times"),
        ({10: [0.0] * 4, 11: [0.002] * 20}, "m10 has measured the round trip to m11 4 times.* 10 are wanted"),
    ],
    ids=["no answer", "nothing measured", "too young"],
)
def test_a_round_trip_that_is_not_measured_is_not_short(seconds: dict[int, list[float]], said: str) -> None:
    with pytest.raises(Retryable, match=said):
        asked(Voters(seconds=seconds))


@pytest.mark.parametrize("version", ["3.4.30", "3.5.0", "3.5.1", "3.5.19", "3.6.0", "3.6.11", "3.6.0-rc.3"])
def test_versions_with_known_faults_are_refused(version: str) -> None:
    with pytest.raises(Permanent, match=f"etcd {version} isn't safe to swap members with: .*; upgrade every member"):
        asked(Voters(versions={10: "3.6.16", 11: version}))


def test_a_version_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(Permanent, match="etcd of m11 says its version is ''"):
        asked(Voters(versions={10: "3.6.16", 11: ""}))


@pytest.mark.parametrize("version", ["3.5.30", "3.6.12", "3.6.16", "3.7.3"])
def test_good_versions_pass(version: str) -> None:
    assert judge({"a": version, "b": version}) == []
