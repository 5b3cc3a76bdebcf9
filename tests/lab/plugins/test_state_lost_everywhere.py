"""Every stage refreshed, and its state lost and built anew: some ten minutes, so by a command, `make test-lost`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from migration.stages.table import STAGES
from tests.lab.plugins.cluster import served
from tests.lab.plugins.losing import rebuilt, unchanged_by_refresh
from tests.lab.plugins.whole import Whole, whole

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3000)]


@pytest.fixture
def stack(tmp_path: Path, aws_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Whole]:
    with served() as cluster:
        yield whole(tmp_path, aws_url, cluster, monkeypatch)


def test_every_stage_is_left_as_it_was(stack: Whole) -> None:
    for stage in STAGES:
        stack.up(stage.number)
        unchanged_by_refresh(stack)
        rebuilt(stack)
