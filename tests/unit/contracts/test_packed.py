"""Packed data are the data, short where they repeat themselves, and no longer where they don't read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from migration.contracts.packed import MARK, pack, unfolded, unpack

GROUPS: dict[str, Any] = {
    "groups": [
        {"group": f"nodes-{number}.pet", "template": {"imageId": "ami-1", "userData": "x" * 800, "keyName": None}}
        for number in range(72)
    ]
}


def test_it_comes_out_as_it_went_in() -> None:
    assert unpack(pack(GROUPS)) == GROUPS
    assert pack(GROUPS) == pack(json.loads(json.dumps(GROUPS)))


def test_what_many_groups_share_is_there_once() -> None:
    assert len(pack(GROUPS)) < len(json.dumps(GROUPS)) / 20


@pytest.mark.parametrize("kept", [None, {"groups": []}, "04da6b54-80e4-46f7-96ec-b56ff0331ba9", ""])
def test_what_was_not_packed_is_as_it_was(kept: Any) -> None:
    assert unpack(kept) == kept


@pytest.mark.parametrize("kept", [MARK, f"{MARK}!", pack(GROUPS)[:-20], f"{MARK}aGVsbG8="])
def test_what_was_cut_is_told(kept: str) -> None:
    with pytest.raises(ValueError):
        unpack(kept)


def test_an_export_with_its_secrets_shown_is_unfolded() -> None:
    kept = {"outputs": {"inputs": {"plaintext": json.dumps(pack(GROUPS))}, "result": pack(GROUPS)}, "urns": ["a", 1]}
    assert unfolded(kept) == {"outputs": {"inputs": {"plaintext": GROUPS}, "result": GROUPS}, "urns": ["a", 1]}
