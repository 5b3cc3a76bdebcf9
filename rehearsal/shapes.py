"""`make shapes`: the whole migration of accounts with oddities, a variation a seed; a row each.

A variation that stage 0 refuses is put right as the refusal says, and must pass then. `make rehearse SHAPE=awkward
SEED=…` is one of them.
"""

from __future__ import annotations

from lab.shapes import AWKWARD
from migration.stages import LAST
from rehearsal.forms import Form


def file_of(last: int) -> str:
    """The file of rows that end at stage `last`."""
    return "shapes.json" if last == LAST else f"shapes-to-{last}.json"


def variations(count: int, seeds: str = "") -> tuple[Form, ...]:
    """Seed 0, which has everything, and those after it, `count` in all; or those named: ``3,7``.

    Raises `ValueError` with a sentence.
    """
    words = seeds.split(",") if seeds else [str(seed) for seed in range(count)]
    wrong = [word for word in words if not word.isdigit()]
    if wrong:
        raise ValueError(f"SEEDS={seeds!r}: {', '.join(wrong)}: must be numbers of at least 0, with commas between")
    return tuple(Form(shape=AWKWARD, seed=seed) for seed in dict.fromkeys(map(int, words)))
