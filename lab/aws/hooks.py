"""How AWS's rules are laid over moto's models: one function a rule, each with the page it comes from.

Rules and replacements are collected by decorators when their modules are imported and laid over moto once, by
`install()`. A rule can be switched off for a moment (`without`), which is how the tests show that it is the rule that
refuses, and not moto.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from moto.core.exceptions import ServiceException


class Refused(ServiceException):
    """An AWS error: `Refused(code, message)`; it reaches the wire as the service writes its errors."""


@dataclass(frozen=True)
class Rule:
    """One thing AWS refuses. `check(backend, arguments)` raises Refused; `source` is the AWS page that says so."""

    name: str
    owner: type
    method: str
    source: str
    check: Callable[[Any, dict[str, Any]], None]


@dataclass(frozen=True)
class Replacement:
    """`function(original, self, *args, **kwargs)` in place of a method of moto's."""

    owner: type
    method: str
    function: Callable[..., Any]


RULES: dict[str, Rule] = {}
_replacements: list[Replacement] = []
_definitions: list[tuple[type, str, Any]] = []
_off: set[str] = set()
_installed: list[bool] = []


def rule(owner: type, *methods: str, source: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers the decorated `check(backend, arguments)` to run before these methods, arguments by name."""

    def register(check: Callable[..., None]) -> Callable[..., None]:
        name = str(getattr(check, "__name__", check))
        for method in methods:
            key = name if len(methods) == 1 else f"{name}:{method}"
            RULES[key] = Rule(name, owner, method, source, check)
        return check

    return register


def instead(owner: type, *methods: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers the decorated function to run instead of moto's method, which it gets as its first argument."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _replacements.extend(Replacement(owner, method, function) for method in methods)
        return function

    return register


def define(owner: type, name: str, value: Any) -> None:
    """Registers an attribute (a property, a missing API call) to be set on one of moto's classes."""
    _definitions.append((owner, name, value))


@contextmanager
def without(name: str) -> Iterator[None]:
    """Switches the rule of that function name off (tests only)."""
    if not any(r.name == name for r in RULES.values()):
        raise KeyError(f"no such rule: {name}")
    _off.add(name)
    try:
        yield
    finally:
        _off.discard(name)


def active(name: str) -> bool:
    """Whether the rule is on: for the few that live inside a replacement and have no method of their own."""
    return name not in _off


def inner_rule(name: str, source: str) -> None:
    """Names a rule that lives inside a replacement (asked for with `active(name)`)."""
    RULES[name] = Rule(name, object, "", source, lambda _backend, _arguments: None)


def install() -> None:
    """Lays everything registered over moto, once a process."""
    if _installed:
        return
    _installed.append(True)
    for owner, name, value in _definitions:
        setattr(owner, name, value)
    for replacement in _replacements:
        _replace(replacement)
    for registered in RULES.values():
        if registered.method:
            _guard(registered)


def _replace(replacement: Replacement) -> None:
    original = getattr(replacement.owner, replacement.method)

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return replacement.function(original, self, *args, **kwargs)

    setattr(replacement.owner, replacement.method, method)


def _guard(registered: Rule) -> None:
    original = getattr(registered.owner, registered.method)
    signature = inspect.signature(original)

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if registered.name not in _off:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            arguments = dict(bound.arguments)
            arguments.pop("self", None)
            arguments.update(arguments.pop("kwargs", {}))
            registered.check(self, arguments)
        return original(self, *args, **kwargs)

    setattr(registered.owner, registered.method, method)
