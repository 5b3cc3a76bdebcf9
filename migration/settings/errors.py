"""How bad configuration is told: every error at once, each with key, value and remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the configuration: which key, what it holds, what to do."""

    key: str
    value: object
    remedy: str

    def __str__(self) -> str:
        return f"{self.key} is {self.value!r}: {self.remedy}"


class ConfigurationError(ValueError):
    """The configuration can't be used; `problems` holds every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{len(self.problems)} problem(s) in the configuration; nothing was changed:\n{lines}")
