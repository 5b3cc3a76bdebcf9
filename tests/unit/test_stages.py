"""The stage table says what the design says."""

from __future__ import annotations

import pytest

from migration.stages import STAGES, Placement, stage

A, B, N = Placement.OLD, Placement.BOTH, Placement.NEW

# The table of the design, written a second time on purpose: a slip in either is seen.
EXPECTED = [
    ("baseline", A, A, A, A, A, A),
    ("network", B, A, A, A, A, A),
    ("shared", B, B, A, A, A, A),
    ("workers", B, B, B, A, B, A),
    ("traffic-both", B, B, B, B, B, A),
    ("traffic-new", B, B, B, N, B, A),
    ("workloads", B, B, N, N, N, A),
    ("control-plane", B, B, N, N, N, N),
    ("cleanup", N, N, N, N, N, N),
]


def test_the_table_is_the_designs() -> None:
    rows = [(s.name, s.network, s.shared, s.workers, s.traffic, s.workloads, s.control_plane) for s in STAGES]
    assert rows == EXPECTED
    assert [s.number for s in STAGES] == list(range(9))


def test_no_concern_jumps_from_old_to_new_unless_it_can_or_goes_back() -> None:
    order = {A: 0, B: 1, N: 2}
    for concern in ("network", "shared", "workers", "traffic", "workloads", "control_plane"):
        places = [order[getattr(s, concern)] for s in STAGES]
        assert places == sorted(places), concern


def test_workloads_are_never_drained_before_all_traffic_has_moved() -> None:
    assert all(s.traffic is N for s in STAGES if s.workloads is N)


def test_a_stage_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="stages are 0 to 8"):
        stage(9)
