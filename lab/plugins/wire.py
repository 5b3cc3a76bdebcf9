"""Property values as they travel: protobuf `Struct` to plain Python and back.

The plugins decline secrets, outputs and resource references, so what arrives is JSON, unknowns (a GUID string, see
pulumi/pulumi `sdk/go/common/resource/plugin/rpc.go`) and, from an engine that sends them anyway, signed objects, of
which secrets are unwrapped and everything else is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf import struct_pb2

from lab.plugins.errors import PluginError

_UNKNOWN_WIRE: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"


class Unknown:
    """A value that only the update will tell. There is one: `UNKNOWN`."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


def has_unknown(value: Any) -> bool:
    """Whether a value is, or holds anywhere, an unknown."""
    if isinstance(value, Unknown):
        return True
    if isinstance(value, Mapping):
        return any(has_unknown(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(has_unknown(v) for v in value)
    return False


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """The plain value of a Struct. Whole numbers become `int`: the wire has doubles only."""
    return {key: _from_value(value) for key, value in struct.fields.items()}


def _from_value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "string_value":
        return UNKNOWN if value.string_value == _UNKNOWN_WIRE else value.string_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_from_value(v) for v in value.list_value.values]
    fields = value.struct_value.fields
    if _SIGNATURE in fields:
        if fields[_SIGNATURE].string_value == _SECRET:
            return _from_value(fields["value"])
        raise PluginError("assets, archives and resource references are not supported by the lab's plugins")
    return from_struct(value.struct_value)


def to_struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """A Struct of plain values; keys whose value is None are left out, as the official bridge does."""
    struct = struct_pb2.Struct()
    for key, value in properties.items():
        if value is not None:
            _into(struct.fields[key], value)
    return struct


def _into(target: struct_pb2.Value, value: Any) -> None:
    if isinstance(value, Unknown):
        target.string_value = _UNKNOWN_WIRE
    elif value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, (int, float)):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, Mapping):
        target.struct_value.SetInParent()
        for key, inner in value.items():
            if inner is not None:
                _into(target.struct_value.fields[str(key)], inner)
    elif isinstance(value, Sequence):
        target.list_value.SetInParent()
        for inner in value:
            _into(target.list_value.values.add(), inner)
    else:
        raise PluginError(f"a value of type {type(value).__name__} can't be sent to the engine")
