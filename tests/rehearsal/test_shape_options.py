"""`make rehearse PROFILE=large PODS=4000 SHAPE=awkward SEED=7`: what is told to the lab, and to discovery."""

from __future__ import annotations

import pytest

from lab.settings import LabSettings
from rehearsal import __main__ as command
from rehearsal.forms import Form
from rehearsal.shapes import variations
from rehearsal.stack import told_of_shape


def test_shape_and_seed_come_from_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHAPE", "awkward")
    monkeypatch.setenv("SEED", "7")
    options = command.parser().parse_args(["rehearse"])
    assert (options.shape, options.seed) == ("awkward", 7)


def test_discovery_is_told_what_only_an_operator_knows() -> None:
    settings = LabSettings.model_validate({"shape": "awkward"})
    assert told_of_shape(settings) == [
        "--ingress-balancer", "ingress-awkward-k8s-lab-internal", "--ingress-service", "ingress/ingress",
    ]  # fmt: skip
    assert told_of_shape(LabSettings()) == []


def test_variations_are_seeds_from_0_on_or_those_named() -> None:
    assert [form.seed for form in variations(3)] == [0, 1, 2]
    assert variations(10, "7,3,7") == (Form(shape="awkward", seed=7), Form(shape="awkward", seed=3))
    with pytest.raises(ValueError, match=r"SEEDS='7,x': x: must be numbers of at least 0"):
        variations(10, "7,x")


def test_real_controllers_are_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "controllers" not in str(Form(shape="awkward"))
    assert str(Form(shape="awkward", controllers="real")).endswith(", awkward 0, real controllers")
    monkeypatch.setenv("CONTROLLERS", "real")
    assert command.parser().parse_args(["rehearse"]).controllers == "real"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"SHAPE": "neat"}, "SHAPE='neat': must be one of pet, awkward"),
        ({"PROFILE": "huge"}, "PROFILE='huge': must be one of small, wide, large"),
        ({"PROFILE": "large", "PODS": "many"}, "PODS='many': must be a number of pods"),
        ({"PROFILE": "large", "PODS": "100000"}, "PODS=100000: the 200 nodes of profile large hold"),
        ({"PROFILE": "large", "PODS": "9"}, "PODS=9: the 100 applications of profile large have"),
        ({"PODS": "4000"}, "PODS=4000: profile small has 218 pods of the teams'; as many as asked for has large"),
        ({"CONTROLLERS": "mine"}, "CONTROLLERS='mine': must be one of stand-in, real"),
        ({"CONTROLLERS": "real"}, "CONTROLLERS='real': shape pet with layout cloud-config has none that are real"),
        ({"CONTROLLERS": "real", "SHAPE": "awkward", "LAYOUT": "kubeadm"}, "set SHAPE=awkward and LAYOUT=cloud-config"),
    ],
)
def test_what_make_is_told_wrongly_is_refused_before_a_lab_is_touched(
    said: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert command.main(["rehearse"]) == 2
    assert told in capsys.readouterr().err


def test_size_comes_from_make_and_a_large_report_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROFILE", "large")
    monkeypatch.setenv("PODS", "1200")
    options = command.parser().parse_args(["rehearse"])
    assert (options.profile, options.pods) == ("large", "1200")
    large = Form(profile="large", pods=1200)
    assert str(large).endswith(", large with 1200 pods") and str(Form(profile="large")).endswith(", large")
    assert "small" not in str(Form())
    assert (Form().report, large.report) == ("rehearsal", "rehearsal-large")
