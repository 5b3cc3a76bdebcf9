"""What a killed engine left unreadable beside a stack's checkpoint, in a file backend.

A checkpoint is written elsewhere and renamed, so it is whole at every moment. What the backend keeps beside it (its
kind and a checksum, `<checkpoint>.attrs`) is written in place (`blob/fileblob/attrs.go` of gocloud.dev): killed between
making and filling it, an engine leaves it empty, and every later command ends with "failed to load checkpoint: EOF".
Without that file the checkpoint is read all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from migration.recover.lock import ATTRIBUTES


def torn(folder: Path, project: str, stack: str) -> Iterator[Path]:
    """Attributes of the stack's checkpoint and of its backup that can't be read; `folder` is the backend's."""
    stacks = folder / ".pulumi" / "stacks"
    # The second is where backends from before there were projects keep them.
    for where in (stacks / project, stacks):
        for path in sorted(where.iterdir()) if where.is_dir() else []:
            if path.name.startswith(f"{stack}.json") and path.name.endswith(ATTRIBUTES) and not _whole(path):
                yield path


def _whole(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    return True
