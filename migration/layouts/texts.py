"""User data as text, whichever way EC2 holds it. Pure."""

from __future__ import annotations

import base64
import binascii
import gzip


def plain_text(user_data: str | None) -> str:
    """What base64 user data says, unpacked where it is gzip; empty where there is none or it is no text."""
    try:
        raw = base64.b64decode(user_data or "")
        return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    except (binascii.Error, OSError, EOFError, UnicodeDecodeError):
        return ""
