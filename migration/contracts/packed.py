"""Plain data as one short text, for what a state keeps encrypted: there nobody reads it, and each byte is kept twice.

Inputs and notes name the same groups, tags and user data over and over, which a compressed text holds once.
`pulumi stack export --show-secrets | python -m migration.contracts.packed` shows a state with all of them in full.
"""

from __future__ import annotations

import base64
import json
import sys
import zlib
from typing import Any, cast

MARK = "deflate:"
"""What a packed text begins with; what doesn't was kept by a version that packed nothing."""


def pack(data: dict[str, Any]) -> str:
    """`data` as a text; the same data give the same text."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return MARK + base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpack(kept: Any) -> Any:
    """What `pack` was given; anything else as it is. Raises ValueError for a text that was cut or changed."""
    if not isinstance(kept, str) or not kept.startswith(MARK):
        return kept
    try:
        return json.loads(zlib.decompress(base64.b64decode(kept.removeprefix(MARK), validate=True)))
    except zlib.error as error:
        raise ValueError(f"a packed text can't be read: {error}") from error


def unfolded(value: Any) -> Any:
    """Any JSON with every packed text in it unpacked."""
    if isinstance(value, dict):
        return {key: unfolded(item) for key, item in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [unfolded(item) for item in cast("list[Any]", value)]
    if isinstance(value, str) and value.startswith(f'"{MARK}'):
        # As an export with its secrets in plain has them: JSON in a text.
        return unpack(json.loads(value))
    return unpack(value)


if __name__ == "__main__":
    json.dump(unfolded(json.load(sys.stdin)), sys.stdout, indent=1, ensure_ascii=False)
