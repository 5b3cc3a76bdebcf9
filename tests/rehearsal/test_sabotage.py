"""What a row of the sabotage says: a verdict may be wrong in either direction."""

from __future__ import annotations

import pytest

from proof.model import Report
from rehearsal.breaks import AT_REST, Break
from rehearsal.sabotage import CONTROL, row_of


def report(*reasons: str, doubts: tuple[str, ...] = ()) -> Report:
    return Report(ok=not reasons and not doubts, reasons=(*reasons, *doubts), doubts=doubts, believable=not doubts)


def row(named: tuple[str, ...], *reasons: str, along: tuple[str, ...] = (), doubts: tuple[str, ...] = ()) -> str:
    item = Break(name="x", make=lambda world: None, named=named, along=along)
    return row_of(item, report(*reasons, doubts=doubts))["verdict"]


BUSY = ("This machine was too busy to be believed: ingress_fresh.",)


@pytest.mark.parametrize(
    ("verdict", "of"),
    [
        ("caught", row(())),
        ("wrong", row((), "ingress_fresh from old: 1 of 100 requests failed.")),
        ("doubted", row((), doubts=BUSY)),
        ("caught", row(("ingress_fresh",), "ingress_fresh from old: 3 failed.")),
        ("wrong", row(("ingress_fresh",))),
        ("wrong", row(("ingress_fresh",), "api_kept from old: 3 failed.")),
        ("wrong", row(("ingress_fresh",), "ingress_fresh from old: 3 failed.", "The budget shop/web was violated.")),
        ("caught", row(("ingress_fresh",), "ingress_fresh: 3 failed.", "api_kept: 1 failed.", along=("api_kept",))),
        ("wrong", row(("ingress_fresh", "api_kept"), "ingress_fresh from old: 3 failed.")),
        ("wrong", row(("ingress_fresh",), doubts=BUSY)),
        ("caught", row(("ingress_fresh",), "ingress_fresh from old: 3 failed.", doubts=BUSY)),
    ],
)
def test_a_verdict_is_right_when_it_names_the_break_and_nothing_else(verdict: str, of: str) -> None:
    assert of == verdict


def test_every_break_has_a_name_of_its_own_and_words_to_be_named_by() -> None:
    names = [item.name for item in AT_REST]
    assert len(set(names)) == len(names)
    assert CONTROL not in names
    assert all(item.named for item in AT_REST)
