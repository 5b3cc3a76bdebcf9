"""What of an object differs, which differences need another object, and what drifted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lab.plugins.host import Change
from lab.plugins.wire import Unknown


def differences(old: Any, new: Any, forced: Sequence[str], path: str = "") -> list[Change]:
    """The changes that turn the inputs `old` into `new`, with Pulumi property paths."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: list[Change] = []
        for key in sorted(old.keys() | new.keys()):
            if key.startswith("__"):
                continue
            inner = _join(path, key)
            if key not in old or old[key] is None:
                found += [] if new.get(key) is None else [Change(inner, "add", _forced(inner, forced))]
            elif new.get(key) is None:
                found.append(Change(inner, "delete", _forced(inner, forced)))
            else:
                found += differences(old[key], new[key], forced, inner)
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            c for i, (o, n) in enumerate(zip(old, new, strict=True)) for c in differences(o, n, forced, f"{path}[{i}]")
        ]
    if isinstance(new, Unknown) or old != new:
        return [Change(path, "update", _forced(path, forced))]
    return []


def _join(path: str, key: str) -> str:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
        return f"{path}.{key}" if path else key
    return f'{path}["{key}"]'


def _forced(path: str, forced: Sequence[str]) -> bool:
    # What lies in a forced path counts, and so does the coming or going of something around one.
    return any(path == f or path.startswith((f"{f}.", f"{f}[")) or f.startswith(f"{path}.") for f in forced)


def drifted(inputs: Any, before: Any, now: Any) -> Any:
    """`inputs` with every value that changed in the cluster since it was recorded taken over.

    Compared are two live states, not an input with a live state: the API server writes some values its own way.
    """
    if isinstance(inputs, Mapping) and isinstance(before, Mapping) and isinstance(now, Mapping):
        result: dict[str, Any] = {}
        for key, value in inputs.items():
            if key in before and key not in now:
                continue
            result[key] = drifted(value, before.get(key), now[key]) if key in before and key in now else value
        return result
    if isinstance(inputs, list) and isinstance(before, list) and isinstance(now, list):
        if len(inputs) == len(before) == len(now):
            return [drifted(i, b, n) for i, b, n in zip(inputs, before, now, strict=True)]
        return inputs if before == now else now
    return inputs if before == now else now
