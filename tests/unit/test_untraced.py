"""No stack of the program's frames goes with a resource, as long as the SDK has the function that collects it."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from components.untraced import COLLECTS, untraced


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = importlib.import_module("pulumi.runtime.resource")
    # Whatever a test does to it is undone.
    monkeypatch.setattr(found, COLLECTS, getattr(found, COLLECTS))
    return found


def test_the_pinned_sdk_has_it_and_afterwards_it_collects_nothing(module: Any) -> None:
    assert untraced()
    assert not getattr(module, COLLECTS)().frames


def test_an_sdk_without_it_is_left_alone(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(module, COLLECTS)
    assert not untraced()
    assert not hasattr(module, COLLECTS)
