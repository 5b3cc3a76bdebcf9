"""The rules as a whole: each says where AWS says so, and each is broken by a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.aws import hooks

TESTS = "".join(p.read_text() for p in Path(__file__).parent.glob("test_*.py") if p.name != Path(__file__).name)


def test_every_rule_names_the_aws_page_it_comes_from(aws: Any) -> None:
    assert len(hooks.RULES) > 40
    for rule in hooks.RULES.values():
        assert any(word in rule.source for word in ("reference", "guide")), rule.name


def test_every_rule_is_broken_by_some_test(aws: Any) -> None:
    unproven = {rule.name for rule in hooks.RULES.values() if f'"{rule.name}"' not in TESTS}
    assert unproven == set()
