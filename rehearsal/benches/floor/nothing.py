"""A dynamic provider that does nothing: what the program's operations cost without what they do."""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult


class NothingProvider(ResourceProvider):
    """Remembers its input."""

    # Importable by name, as the program's own providers: pickled by reference.
    serialize_as_secret_always = False

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Changed where the input is."""
        return DiffResult(changes=_olds.get("generation") != _news.get("generation"), replaces=[])

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Nothing."""
        return CreateResult(id_="nothing", outs={"generation": props["generation"]})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Nothing."""
        return UpdateResult(outs={"generation": _news["generation"]})


class Nothing(Resource, module="floor", name="Nothing"):
    """A dynamic resource that is nothing."""

    def __init__(self, name: str, generation: int, opts: pulumi.ResourceOptions) -> None:
        super().__init__(NothingProvider(), name, {"generation": generation}, opts)
