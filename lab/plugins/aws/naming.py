"""Physical names."""

from __future__ import annotations

import secrets

from lab.plugins.aws.call import Call


def name_wanted(call: Call) -> str:
    """The name given or generated at check, or the given prefix with a unique end."""
    if call.new.get("name"):
        return str(call.new["name"])
    return f"{call.new['namePrefix']}{secrets.token_hex(4)}"
