"""What the proof may know of the product."""

from __future__ import annotations

import ast
from pathlib import Path

import proof

ALLOWED = ("migration.clients", "migration.runtime")
ROOMS = {"migration", "components", "providers", "lab", "rehearsal", "pulumi"}


def test_of_the_product_the_proof_uses_clients_and_nothing_else() -> None:
    found: set[str] = set()
    for path in Path(proof.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    of_rooms = {name for name in found if name.split(".")[0] in ROOMS}
    assert of_rooms, "it looked at no import"
    assert [name for name in sorted(of_rooms) if not name.startswith(ALLOWED)] == []
