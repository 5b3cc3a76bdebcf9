"""72 worker groups on the real engine: what a stage asks of AWS, and how large its state is. The whole program."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.benches.state_size import measured
from rehearsal.benches.up import between
from tests.lab.plugins.cluster import served
from tests.lab.plugins.whole import Whole, whole

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]
GROUPS = 72
CONSTANT = 50
"""Calls of an `up` to stage 3 that are as many with one group: the record, names, sides, pages of what many share."""


@pytest.fixture
def stack(tmp_path: Path, aws_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Whole]:
    with served() as cluster:
        yield whole(tmp_path, aws_url, cluster, monkeypatch, profile="wide")


MOST = 5000
"""Bytes a resource, of JSON without spaces; half of it is what copied groups and templates say, twice."""


def test_state_and_calls_stay_small_with_72_groups(stack: Whole) -> None:
    before = asked(stack)
    stack.up(3)
    calls = between(before, asked(stack))
    state = measured(resources(stack), file=None)

    assert len([one for one in resources(stack) if one["type"] == "aws:autoscaling/group:Group"]) == GROUPS
    assert state.size / state.resources <= MOST, state
    # Hooks are asked for group by group; an old group's maximum and its processes are held by a call each.
    assert calls.ours <= 3 * GROUPS + CONSTANT, calls.by_caller


def asked(stack: Whole) -> Any:
    with urllib.request.urlopen(f"{stack.url}/_backplane/asked", timeout=30) as answer:
        return json.load(answer)


def resources(stack: Whole) -> list[dict[str, Any]]:
    return json.loads(stack.run("stack", "export"))["deployment"]["resources"]
