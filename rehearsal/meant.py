"""What the proof says that must be so. Pure."""

from __future__ import annotations


def one_away(reason: str, voters: int, window: str) -> bool:
    """Whether a sentence of the proof only says that one of so many voters was away in this window of the run."""
    away = (f"etcd was down to {voters - 1} healthy voters at ", "etcd's voter ")
    return f"({window})" in reason and reason.startswith(away)
