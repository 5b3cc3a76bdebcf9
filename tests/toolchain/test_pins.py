"""The table of tools agrees with the Go modules it is built from."""

from __future__ import annotations

import re

import pytest

from lab.toolchain.pins import EXTRAS, GO_MINIMUM, HERE, TOOLS, Tool

EVERY = (*TOOLS, *EXTRAS)


def _go_mod(tool: Tool) -> str:
    return (HERE / tool.module / "go.mod").read_text()


@pytest.mark.parametrize("tool", [t for t in EVERY if t.package], ids=lambda t: t.name)
def test_a_go_tool_is_built_from_the_version_its_pin_names(tool: Tool) -> None:
    assert tool.package is not None
    required = re.findall(r"^\t(?:require )?(\S+) v(\S+?)(?: //.*)?$", _go_mod(tool), re.M)
    own = [version for module, version in required if f"{tool.package}/".startswith(f"{module}/")]
    # Filed beside the engine under its version, but the last of its module is older.
    assert own == ["3.78.0" if tool.name == "pulumi-language-python" else tool.version]
    assert re.search(rf"^\t?(?:tool )?{re.escape(tool.package)}$", _go_mod(tool), re.M)


@pytest.mark.parametrize("tool", EVERY, ids=lambda t: t.name)
def test_no_module_asks_for_a_newer_go_than_the_one_that_is_ensured(tool: Tool) -> None:
    asked = re.search(r"^go (\d+)\.(\d+)", _go_mod(tool), re.M)
    assert asked is not None
    assert (int(asked[1]), int(asked[2])) <= GO_MINIMUM


def test_every_module_has_its_checksums() -> None:
    for module in {tool.module for tool in EVERY}:
        assert (HERE / module / "go.sum").stat().st_size > 0
