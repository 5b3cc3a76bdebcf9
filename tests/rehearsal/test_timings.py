"""What the lab tells the program of its times, and what a rehearsal says before it begins."""

from __future__ import annotations

import pytest

from lab.addresses import LabAddresses
from lab.settings import LabSettings
from lab.timings import AWS, QUICK
from migration.contracts.durations import Prediction, Term, Timings
from migration.contracts.seen import Unseen
from migration.settings.model import Limits, Traffic
from rehearsal.__main__ import _form, parser
from rehearsal.stack import LIMITS, TTL_S, paced
from rehearsal.timings import kept, of_lab
from tests.unit.plan.test_durations import said

QUICKLY, SLOWLY = LabSettings(), LabSettings(timing=AWS)


def test_every_time_that_the_lab_sets_is_told() -> None:
    told = of_lab(SLOWLY)
    assert told.boot == SLOWLY.instance_boot_s
    assert told.in_sync == SLOWLY.change_pending_s
    assert told.metric_lag == SLOWLY.metric_lag_s
    assert told.deregistration_at_most == SLOWLY.deregistration_s
    assert told.checks is not None
    assert (told.checks.interval, told.checks.healthy_threshold) == (10.0, 2)
    assert told.model_fields_set == Timings.model_fields.keys() - {"drain_to_bound"}


@pytest.mark.parametrize("stage", range(1, 9))
def test_a_quick_lab_is_said_to_be_quicker(stage: int) -> None:
    quick, slow = said(stage, of_lab(QUICKLY)), said(stage, of_lab(SLOWLY))
    assert quick.high is not None
    assert slow.high is not None
    assert quick.low <= slow.low
    assert quick.high <= slow.high


def test_on_a_slow_lab_the_program_has_its_own_limits() -> None:
    assert paced(SLOWLY) == []
    assert SLOWLY.metric_period_s == Limits().metric_period_seconds
    assert SLOWLY.alias_ttl_s == Limits().alias_ttl_seconds
    assert SLOWLY.deregistration_s == Limits().deregistration_seconds
    assert Traffic.model_fields["ttl"].default != TTL_S


def test_on_a_quick_lab_the_limits_fit_its_times() -> None:
    words = paced(QUICKLY)
    given = dict(word.split("=") for word in words if "=" in word)
    periods = {"metricPeriodSeconds": int(QUICKLY.metric_period_s), "aliasTtlSeconds": QUICKLY.alias_ttl_s}
    assert given == {key: str(value) for key, value in {**LIMITS, **periods}.items()}
    assert words[:2] == ["--ttl", str(TTL_S)]


def test_a_prediction_is_kept_with_its_terms_and_none_without_one() -> None:
    takes = Prediction(low=1.04, high=None, terms=(Term(what="boot", low=1, high=90, why="AWS"),), unseen=("drain: x",))
    found = kept(takes)
    assert found is not None
    assert (found.low, found.high, found.unseen) == (1.0, None, ("drain: x",))
    assert found.terms == ("boot 1 s to 1 min 30 s (AWS)",)
    assert kept(Unseen(unseen="a way back isn't predicted")) is None


def test_timing_is_asked_for_by_option_or_by_either_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TIMING", "LAB_TIMING"):
        monkeypatch.delenv(name, raising=False)
    assert _form(parser().parse_args(["rehearse"])).timing == QUICK
    assert _form(parser().parse_args(["rehearse", "--timing", "aws"])).timing == AWS
    monkeypatch.setenv("LAB_TIMING", AWS)
    assert _form(parser().parse_args(["rehearse"])).timing == AWS
    monkeypatch.setenv("TIMING", "slow")
    with pytest.raises(ValueError, match="TIMING='slow': must be one of quick, aws"):
        _form(parser().parse_args(["rehearse"]))


def test_the_lab_of_an_index_knows_its_own_vpcs() -> None:
    assert LabAddresses(index=5).moved_to("127.35.16.4")
