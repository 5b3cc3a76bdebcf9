"""Files that a machine's user data writes, where it is a shell script: its here-documents. Pure.

What a script computes, fetches or unpacks isn't seen: who reads this says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from migration.discover import cloud_config

# ``cat > PATH <<'END'`` and ``tee PATH <<-END``, either order of redirections.
_BEGIN = re.compile(r"^\s*(?:sudo\s+)?(?:cat|tee)\b[^|;&]*$")
_WORD = re.compile(r"<<(-?)\s*(['\"]?)(\w+)\2")
_TARGET = re.compile(r"(?:>>?\s*|\btee\s+(?:-a\s+)?)[\"']?(/[^\s\"'<>]+)")


def files(user_data: str) -> dict[str, str]:
    """Path to content of every file that user data writes as text, be it a cloud-config or a script."""
    found = cloud_config.files(user_data)
    if user_data.startswith("#!"):
        found |= dict(_here_documents(user_data))
    return found


def _here_documents(script: str) -> Iterator[tuple[str, str]]:
    lines = iter(script.splitlines())
    for line in lines:
        word = _WORD.search(line)
        if word is None:
            continue
        dashed, quoted, end = word.groups()
        body: list[str] = []
        for one in lines:
            plain = one.lstrip("\t") if dashed else one
            if plain == end:
                break
            body.append(plain)
        # What goes through another program first is something else in the end.
        target = _TARGET.search(_WORD.sub("", line)) if _BEGIN.match(_WORD.sub("", line)) else None
        if target is not None:
            text = "\n".join(body) + "\n"
            # Without quotes the shell takes a backslash before these away: bash(1), Here Documents.
            yield target[1], text if quoted else re.sub(r"\\([$`\\])", r"\1", text)
