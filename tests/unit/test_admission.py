"""What the program lets register: the record's consent, and no way back that isn't built."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from migration.contracts.record import Record
from migration.stages import admission
from migration.stages.moves import IllegalMove
from tests.samples import settings


def recorded(monkeypatch: pytest.MonkeyPatch, reached: int) -> None:
    record = Record(owner="migration/default", from_side="legacy", to_side="main", reached=reached, tried=reached)
    monkeypatch.setattr(admission, "read_record", lambda aws, cluster: record)
    monkeypatch.setattr(admission, "Clients", lambda **connection: SimpleNamespace(aws=None))
    monkeypatch.setattr(admission, "_new_voters", lambda record, settings, clients: 0)


def test_the_next_stage_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, 3)
    assert admission.admit(settings(4), "migration/default").target == 4


@pytest.mark.parametrize("reached", [2, 3, 6])
def test_a_way_back_that_is_not_built_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch, reached: int) -> None:
    recorded(monkeypatch, reached)
    with pytest.raises(IllegalMove, match=rf"going back from stage {reached} isn't there yet.*up -s stage-{reached}"):
        admission.admit(settings(reached - 1), "migration/default")


@pytest.mark.parametrize("reached", [1, 4, 5])
def test_a_way_back_of_names_and_networks_is_admitted(monkeypatch: pytest.MonkeyPatch, reached: int) -> None:
    recorded(monkeypatch, reached)
    assert admission.admit(settings(reached - 1), "migration/default").target == reached - 1
