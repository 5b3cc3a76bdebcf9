"""The words of a resource table: properties, their rules, and the type they belong to."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from lab.plugins.errors import PluginError
from lab.plugins.wire import Unknown

CallT = TypeVar("CallT")


class Kind(enum.Enum):
    """How values of a property are compared."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    SET = "set"  # of plain values, order doesn't
    MAP = "map"
    JSON = "json"  # a document, compared by meaning
    BLOCK = "block"
    BLOCKS = "blocks"  # many, order doesn't count
    LISTED = "listed"  # many, order counts


@dataclass(frozen=True, kw_only=True)
class Prop:
    """One input property and its rules, as the provider documents them."""

    kind: Kind = Kind.TEXT
    required: bool = False
    replace: bool = False  # "Forces new resource"
    default: Any = None
    usual: Any = None  # what AWS has where nothing was ever said: absence, on either side of a change, is this
    computed: bool = False  # AWS answers something where nothing was given: absence is no difference
    unreadable: bool = False  # AWS never answers it; what was given is kept
    choices: tuple[Any, ...] = ()
    fields: Mapping[str, Prop] = field(default_factory=dict)

    def but(self, **changes: Any) -> Prop:
        """This property with some rules changed."""
        return replace(self, **changes)


def text(**rules: Any) -> Prop:
    """A string."""
    return Prop(**rules)


def number(**rules: Any) -> Prop:
    """A number; given as text it counts the same, as in the provider."""
    return Prop(kind=Kind.NUMBER, **rules)


def flag(**rules: Any) -> Prop:
    """True or false; absent is false unless there is a default."""
    return Prop(kind=Kind.FLAG, **rules)


def texts(**rules: Any) -> Prop:
    """Strings whose order means nothing."""
    return Prop(kind=Kind.SET, **rules)


def mapping(**rules: Any) -> Prop:
    """Text to text."""
    return Prop(kind=Kind.MAP, **rules)


def document(**rules: Any) -> Prop:
    """A JSON document as a string."""
    return Prop(kind=Kind.JSON, **rules)


def block(fields: Mapping[str, Prop], **rules: Any) -> Prop:
    """One nested block."""
    return Prop(kind=Kind.BLOCK, fields=fields, **rules)


def blocks(fields: Mapping[str, Prop], **rules: Any) -> Prop:
    """Nested blocks in no order."""
    return Prop(kind=Kind.BLOCKS, fields=fields, **rules)


def listed(fields: Mapping[str, Prop], **rules: Any) -> Prop:
    """Nested blocks whose order counts."""
    return Prop(kind=Kind.LISTED, fields=fields, **rules)


@dataclass(frozen=True, kw_only=True)
class ResourceType(Generic[CallT]):
    """A row of the table.

    `create` returns the new id (and calls `made` as soon as it exists, if more steps follow); `read` returns everything
    known, inputs and computed values by their wire names, or None when the resource is gone; `update` None means that
    every property replaces; `delete` need not care whether it is still there: an error code in `gone` counts as done.
    """

    token: str
    source: str
    props: Mapping[str, Prop]
    create: Callable[[CallT], str]
    read: Callable[[CallT], dict[str, Any] | None]
    delete: Callable[[CallT], None]
    update: Callable[[CallT], object] | None = None
    computed: tuple[str, ...] = ()
    recomputed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # output → inputs; () = any input
    gone: tuple[str, ...] = ()
    unique: str = ""  # a name that can't exist twice: a replacement that keeps it deletes first
    validate: Callable[[Mapping[str, Any]], list[tuple[str, str]]] | None = None
    # An import id to the resource's id, and what `read` then finds in `old`.
    identify: Callable[[str], tuple[str, dict[str, Any]]] = lambda given: (given, {})
    # Rules that hang on both sides of a change: recorded outputs, wanted inputs → properties that now replace.
    also_replaces: Callable[[Mapping[str, Any], Mapping[str, Any]], set[str]] | None = None


def canonical(prop: Prop, value: Any) -> Any:
    """`value` in the one form in which equal values are equal. Unknowns stay."""
    if value is None or isinstance(value, Unknown):
        return value
    if prop.kind is Kind.TEXT:
        return _plain_text(value)
    if prop.kind is Kind.NUMBER:
        try:
            real = float(value)
        except (TypeError, ValueError):
            raise PluginError(f"{value!r} is not a number") from None
        return int(real) if real.is_integer() else real
    if prop.kind is Kind.FLAG:
        return value in (True, "true", "True", "1", 1)
    if prop.kind is Kind.SET:
        return sorted((v if isinstance(v, Unknown) else _plain_text(v) for v in value), key=str)
    if prop.kind is Kind.MAP:
        return {k: v if isinstance(v, Unknown) else _plain_text(v) for k, v in value.items()}
    if prop.kind is Kind.JSON:
        try:
            return json.dumps(json.loads(value), sort_keys=True) if value else ""
        except ValueError:
            return value
    if prop.kind is Kind.BLOCK:
        return {k: canonical(prop.fields[k], v) for k, v in value.items() if k in prop.fields and v is not None}
    inner = [canonical(prop.but(kind=Kind.BLOCK), v) for v in value]
    return inner if prop.kind is Kind.LISTED else sorted(inner, key=_order)


def _plain_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _order(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)
