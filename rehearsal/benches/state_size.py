"""How large a stack's state is, and what it is made of. Pure; bytes of JSON without spaces, but for the file's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rehearsal.benches.steps import DYNAMIC
from rehearsal.world import Fact

SHOWN = 10


class Largest(Fact):
    """One resource and its bytes."""

    type: str
    name: str
    size: int


class StateSize(Fact):
    """`file`: bytes of the state as its backend keeps it, None where that couldn't be read.

    `resources`: how many there are; `size`: bytes of all of them; `operations`: of them, those of dynamic providers.
    `by_key`: of a resource's keys (inputs, outputs, dependencies, …) over all of them; `by_type`: over each type.
    """

    file: int | None
    resources: int
    size: int
    operations: int
    operations_size: int
    largest: tuple[Largest, ...]
    by_key: dict[str, int]
    by_type: dict[str, int]

    @property
    def each(self) -> float | None:
        """Bytes a resource: of the file, or of what is in it where that is more."""
        if not self.resources or self.file is None:
            return None
        return max(self.file, self.size) / self.resources


def measured(resources: Sequence[dict[str, Any]], file: int | None) -> StateSize:
    """Of a state's resources, as an export gives them with secrets encrypted."""
    sizes = [(_bytes(one), one) for one in resources]
    by_key: dict[str, int] = {}
    by_type: dict[str, int] = {}
    for size, one in sizes:
        by_type[one["type"]] = by_type.get(one["type"], 0) + size
        for key, value in one.items():
            by_key[key] = by_key.get(key, 0) + _bytes({key: value})
    largest = sorted(sizes, key=lambda pair: -pair[0])[:SHOWN]
    operations = [size for size, one in sizes if one["type"].startswith(DYNAMIC)]
    return StateSize(
        file=file,
        resources=len(sizes),
        size=sum(size for size, _ in sizes),
        operations=len(operations),
        operations_size=sum(operations),
        largest=tuple(
            Largest(type=one["type"], name=one["urn"].rpartition("::")[2], size=size) for size, one in largest
        ),
        by_key=_descending(by_key),
        by_type=_descending(by_type),
    )


def _bytes(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def _descending(sizes: dict[str, int]) -> dict[str, int]:
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))
