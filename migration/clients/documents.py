"""Reading nested documents of an API, where whatever is empty may be missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]


def mapping(document: Document, *keys: str) -> Document:
    """The mapping that `keys` lead to; empty where one of them is missing or null."""
    for key in keys:
        document = document.get(key) or {}
    return document


def listed(document: Document, *keys: str) -> Sequence[Document]:
    """The list of mappings that `keys` lead to; empty where one of them is missing or null."""
    return mapping(document, *keys[:-1]).get(keys[-1]) or ()
