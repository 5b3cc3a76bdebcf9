"""HCL, as much of it as an import file needs: blocks, attributes, references. Pure.

No library for writing it is among this program's: those on PyPI read HCL, or write JSON, which nobody edits by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True)
class Expression:
    """Written as it is: a reference such as ``aws_vpc.main.id``."""

    text: str


@dataclass(frozen=True)
class Block:
    """``kind "label" "label" { … }``. An attribute that is None is left out; nested blocks come last."""

    kind: str
    labels: tuple[str, ...]
    attributes: Mapping[str, object]
    blocks: tuple[Block, ...] = ()
    comment: str = ""


def quoted(text: str) -> str:
    """A string literal in which nothing is a template."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def value(item: object, indent: str = "") -> str:
    """A value as an expression."""
    if isinstance(item, Expression):
        return item.text
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int | float):
        return str(item)
    if isinstance(item, str):
        return quoted(item)
    if isinstance(item, Mapping):
        return _mapping(cast(Mapping[str, object], item), indent)
    if isinstance(item, Sequence):
        return "[" + ", ".join(value(one, indent) for one in cast(Sequence[object], item)) + "]"
    raise TypeError(f"{type(item).__name__} has no form in HCL")


def _mapping(items: Mapping[str, object], indent: str) -> str:
    if not items:
        return "{}"
    inner = indent + "  "
    lines = [f"{inner}{quoted(key)} = {value(one, inner)}" for key, one in items.items()]
    return "{\n" + "\n".join(lines) + f"\n{indent}}}"


def written(blocks: Iterable[Block], indent: str = "") -> str:
    """The blocks as a file's text, formatted as ``terraform fmt`` has it but for the alignment."""
    parts: list[str] = []
    for block in blocks:
        head = " ".join([block.kind, *(quoted(label) for label in block.labels)])
        inner = indent + "  "
        lines = [f"{indent}# {line}" for line in block.comment.splitlines()]
        lines.append(f"{indent}{head} {{")
        lines += [f"{inner}{key} = {value(one, inner)}" for key, one in block.attributes.items() if one is not None]
        for nested in block.blocks:
            lines += ["", written([nested], inner).rstrip("\n")]
        lines.append(f"{indent}}}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)
