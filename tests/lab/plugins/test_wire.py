from __future__ import annotations

import pytest
from google.protobuf import struct_pb2

from lab.plugins.errors import PluginError
from lab.plugins.wire import UNKNOWN, from_struct, has_unknown, to_struct

SIGNATURE = "4dabf18193072939515e22adb298388d"


def test_plain_values_survive_both_ways() -> None:
    values = {"a": 1, "b": 1.5, "c": "x", "d": True, "e": [1, {"f": []}], "g": {}}
    assert from_struct(to_struct(values)) == values


def test_whole_numbers_are_ints_and_flags_stay_flags() -> None:
    back = from_struct(to_struct({"n": 3, "flag": True}))
    assert type(back["n"]) is int
    assert back["flag"] is True


def test_nothing_is_left_out_at_the_top_and_within_objects() -> None:
    assert from_struct(to_struct({"a": None, "b": {"c": None, "d": 1}})) == {"b": {"d": 1}}


def test_unknowns_are_one_thing_here_and_the_engines_text_there() -> None:
    struct = to_struct({"a": [UNKNOWN]})
    assert struct.fields["a"].list_value.values[0].string_value == "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    assert from_struct(struct)["a"] == [UNKNOWN]
    assert has_unknown({"a": {"b": [UNKNOWN]}})
    assert not has_unknown({"a": {"b": ["x"]}})


def test_a_secret_is_unwrapped() -> None:
    struct = struct_pb2.Struct()
    struct.update({"p": {SIGNATURE: "1b47061264138c4ac30d75fd1eb44270", "value": "v"}})
    assert from_struct(struct) == {"p": "v"}


def test_an_asset_is_refused() -> None:
    struct = struct_pb2.Struct()
    struct.update({"p": {SIGNATURE: "c44067f5952c0a294b673a41bacd8c17", "text": "v"}})
    with pytest.raises(PluginError, match="assets"):
        from_struct(struct)
