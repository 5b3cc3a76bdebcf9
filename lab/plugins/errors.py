"""What can go wrong inside a plugin, as types, so that callers need not read messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class PluginError(Exception):
    """A sentence for the person at the keyboard; the host sends it to the engine unchanged."""


class UnknownType(PluginError):
    """A resource type or function that the plugin has no table entry for."""


class TimedOut(PluginError):
    """A bounded wait ended without the wanted state."""


class Cancelled(PluginError):
    """The engine asked to stop while an operation was waiting."""


class HalfMade(PluginError):
    """A resource exists, but a step after its creation or update failed.

    The engine then records it with its id, so that the next `up` continues instead of making a second one
    (`pulumirpc.ErrorResourceInitFailed`).
    """

    def __init__(self, reason: str, resource_id: str, outputs: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        super().__init__(reason)
        self.resource_id = resource_id
        self.outputs = outputs
        self.inputs = inputs
