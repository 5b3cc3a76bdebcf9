"""What the proof says that must be so. Pure."""

from __future__ import annotations

from lab.controllers import EXTERNAL_DNS, STAND_IN
from lab.workload.awkward import EXTERNAL_DNS_NAMESPACE
from migration.stages import LAST
from migration.stages.table import swapped
from proof.model import Report
from rehearsal.forms import Form


def one_away(reason: str, voters: int, window: str) -> bool:
    """Whether a sentence of the proof only says that one of so many voters was away in this window of the run."""
    away = (f"etcd was down to {voters - 1} healthy voters at ", "etcd's voter ")
    return f"({window})" in reason and reason.startswith(away)


def paused(reason: str, last: int) -> bool:
    """Whether a sentence only says that external-dns was paused, as stage 0 asks, and resumed after the last stage."""
    scaled = f"Deployment {EXTERNAL_DNS_NAMESPACE}/{EXTERNAL_DNS} was scaled from 1 to 0 at "
    return reason.startswith(scaled) and reason.endswith(f"; {1 if last == LAST else 0} pods are ready now.")


def of_form(reason: str, form: Form, voters: int | None, last: int = LAST) -> bool:
    """Whether a sentence is meant on a form that went to stage `last`: a member away while its volume moves, or real
    controllers paused.
    """
    if form.controllers != STAND_IN and paused(reason, last):
        return True
    return form.etcd == "volume" and voters is not None and one_away(reason, voters, f"stage {swapped().number}")


def parted(report: Report, form: Form, last: int = LAST) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A report's sentences: those that are wrong, and those that are meant."""
    voters = report.etcd.healthy_voters_at_start
    meant = tuple(reason for reason in report.reasons if of_form(reason, form, voters, last))
    return tuple(reason for reason in report.reasons if reason not in meant), meant
