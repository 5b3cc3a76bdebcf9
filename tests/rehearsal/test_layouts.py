"""Forms of control planes without a lab: which there are, what may be meant, what their rows add up to."""

from __future__ import annotations

import pytest

from lab.layouts import LAYOUTS
from rehearsal.__main__ import main
from rehearsal.form_rows import FormRow, verdict
from rehearsal.forms import Form
from rehearsal.layouts import FORMS, parse_forms
from rehearsal.meant import of_form
from rehearsal.turn_rows import Probes, Writes

COMMIT = "c0ffee"
AWAY = "etcd was down to 2 healthy voters at 2026-11-26T02:28:25.04Z (stage 7); it had 3 at stage 0."


def row(form: Form, *reasons: str, commit: str = COMMIT) -> FormRow:
    return FormRow(
        layout=form.layout,
        etcd=form.etcd,
        ok=not reasons,
        commit=commit,
        reasons=reasons,
        meant=(),
        doubts=(),
        begin="2025-01-01T00:00:00Z",
        seconds=1.0,
        stages=(),
        probes=Probes(due=1),
        writes=Writes(acknowledged=1),
        voters=3,
        least_voters=3,
        report="r.html",
    )


def test_every_layout_of_the_lab_comes_with_both_strategies() -> None:
    assert len(FORMS) == len(set(FORMS)) == 2 * len(LAYOUTS) == 8


def test_all_must_be_there_ok_and_of_this_program() -> None:
    every = [row(form) for form in FORMS]
    assert verdict(every, FORMS, COMMIT) == []
    assert verdict(every[1:], FORMS, COMMIT) == [f"{FORMS[0]}: not run with this program"]
    assert verdict([row(FORMS[0], "a probe failed"), *every[1:]], FORMS, COMMIT) == [f"{FORMS[0]}: a probe failed"]
    assert len(verdict(every, FORMS, "another")) == len(verdict([], FORMS, COMMIT)) == 8
    # Where git can't tell what is run, nothing counts.
    assert len(verdict([row(form, commit="") for form in FORMS], FORMS, "")) == 8


def test_one_voter_away_is_meant_where_its_volume_moves_and_nowhere_else() -> None:
    volume, learner = Form(etcd="volume"), Form(etcd="learner")
    assert of_form(AWAY, volume, 3)
    assert not of_form(AWAY, learner, 3)
    assert not of_form(AWAY, volume, 5)
    assert not of_form(AWAY, volume, None)
    assert not of_form(AWAY.replace("stage 7", "stage 6"), volume, 3)
    assert not of_form("No write was acknowledged for 6.4 s (stage 7)", volume, 3)


PAUSED = "Deployment kube-system/external-dns was scaled from 1 to 0 at 2026-11-26T19:32:11.80Z; 1 pods are ready now."


def test_external_dns_is_paused_and_resumed_where_it_runs_and_nothing_else_is_scaled_down() -> None:
    real = Form(shape="awkward", controllers="real")
    assert of_form(PAUSED, real, 3)
    assert not of_form(PAUSED, Form(shape="awkward"), 3)
    assert not of_form(PAUSED.replace("kube-system/external-dns", "shop/web"), real, 3)
    # After the last stage it must be back; before, it can't be yet.
    left = PAUSED.replace("1 pods", "0 pods")
    assert not of_form(left, real, 3)
    assert of_form(left, real, 3, last=5) and not of_form(PAUSED, real, 3, last=5)


def test_forms_are_chosen_by_name_and_a_wrong_one_is_told_with_those_there_are() -> None:
    assert parse_forms("") == FORMS
    assert parse_forms("kubeadm/volume,custom/learner") == (
        Form(layout="kubeadm", etcd="volume"),
        Form(layout="custom", etcd="learner"),
    )
    with pytest.raises(
        ValueError, match="no form of control plane is called kops/volume; there are cloud-config/learner, "
    ):
        parse_forms("kops/volume")


@pytest.mark.parametrize("said", [{"LAYOUT": "kops"}, {"ETCD": "disk"}])
def test_a_form_that_make_is_told_wrongly_is_refused_before_a_lab_is_touched(
    said: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert main(["rehearse"]) == 2
    assert f"{said.get('LAYOUT', 'cloud-config')}/{said.get('ETCD', 'learner')}; there are" in capsys.readouterr().err
