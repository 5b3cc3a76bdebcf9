"""What can go wrong with a tool, each with a sentence that says what to do."""

from __future__ import annotations


class MissingTool(Exception):
    """A tool isn't there, or couldn't be got. The message is for a person: what is missing and the remedy."""
