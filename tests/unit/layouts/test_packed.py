"""Programs without comments are the same programs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from migration.etcd import userdata
from migration.layouts.packed import without_comments

BOOT = Path(userdata.__file__).with_name("boot")
WITH_EVERYTHING = '''\
#!/usr/bin/env python3
"""A docstring
of two lines."""

import os  # why

TEXT = """a text

# that is no comment
"""


class Empty(Exception):
    """Only this."""


def one(x: int) -> str:
    """Says.

    More.
    """
    # A line of its own.
    return f"{x} # and no comment" if x else '#'  # but this is
'''


def bare(program: str) -> str:
    """What it does: its syntax tree without docstrings that stand before something."""
    tree = ast.parse(program)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:] or node.body
    return ast.dump(tree)


@pytest.mark.parametrize("program", [WITH_EVERYTHING, *(path.read_text() for path in sorted(BOOT.glob("*.py")))])
def test_a_program_stays_what_it_is_and_begins_as_it_did(program: str) -> None:
    shorter = without_comments(program)
    assert bare(shorter) == bare(program)
    assert without_comments(shorter) == shorter
    assert shorter.splitlines()[0] == program.splitlines()[0]


def test_only_what_is_for_readers_goes() -> None:
    assert without_comments(WITH_EVERYTHING) == (
        '#!/usr/bin/env python3\nimport os\nTEXT = """a text\n\n# that is no comment\n"""\n'
        'class Empty(Exception):\n    """Only this."""\ndef one(x: int) -> str:\n'
        "    return f\"{x} # and no comment\" if x else '#'\n"
    )
