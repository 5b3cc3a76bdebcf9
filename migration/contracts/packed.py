"""Plain data as one short text, for what a state keeps encrypted: there nobody reads it, and each byte is kept twice.

Inputs and notes name the same groups, tags and user data over and over, which a compressed text holds once.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

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
