"""Attributes of balancers, target groups and listeners: AWS keeps them as pairs of text, the provider as properties.

Source: terraform-provider-aws, internal/service/elbv2: load_balancer.go (`loadBalancerAttributes`), target_group.go
(`targetGroupAttributes`) and listener.go (`listenerAttributes`). A property with a default in that schema has it here
as what absence means (`usual`); one that is Optional and Computed is left as it is where the program says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.plugins.schema import Kind, Prop, block, listed


@dataclass(frozen=True)
class Attribute:
    """One attribute by AWS's key, and the property that is it."""

    key: str
    prop: Prop


@dataclass(frozen=True)
class Nested:
    """A block of them. `many`: the provider has it as a list, of one. Not `computed`: it is to be said to be kept."""

    fields: Mapping[str, Attribute | Nested]
    many: bool = False
    computed: bool = True

    @property
    def prop(self) -> Prop:
        """The block as a property."""
        make = listed if self.many else block
        return make({name: one.prop for name, one in self.fields.items()}, computed=self.computed)


Table = Mapping[str, Attribute | Nested]


def props(table: Table) -> dict[str, Prop]:
    """The properties of a table."""
    return {name: one.prop for name, one in table.items()}


def written(value: Any) -> str:
    """An attribute's value as AWS takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def to_change(table: Table, values: Mapping[str, Any], live: Mapping[str, str]) -> dict[str, str]:
    """The attributes to set: what is said and isn't so, and what isn't said any more and isn't as it would be unsaid.

    What belongs to one block is set together: AWS takes some only beside their neighbours.
    """
    changes: dict[str, str] = {}
    for name, one in table.items():
        said = dict(_said({name: one}, values, within=False))
        unsaid = {
            key: value for key, value in _unsaid({name: one}, values) if key in live and key not in said
        }  # AWS keeps it for this kind of balancer
        if any(live.get(key) != value for key, value in (said | unsaid).items()):
            changes |= said | unsaid
    return changes


def _said(table: Table, values: Mapping[str, Any], *, within: bool) -> Iterator[tuple[str, str]]:
    for name, one in table.items():
        value = values.get(name)
        if isinstance(one, Attribute):
            # Inside a block, what isn't said is the provider's default, and is set as such.
            value = one.prop.usual if value is None and within else value
            if value is not None:
                yield one.key, _text(one.prop, value)
        elif value:
            yield from _said(one.fields, value[0] if one.many else value, within=True)


def _unsaid(table: Table, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, one in table.items():
        if isinstance(one, Attribute) and values.get(name) is None and one.prop.usual is not None:
            yield one.key, _text(one.prop, one.prop.usual)


def _text(prop: Prop, value: Any) -> str:
    if prop.kind is Kind.FLAG:
        return "true" if value in (True, "true", "True", "1", 1) else "false"
    return written(int(value)) if prop.kind is Kind.NUMBER else written(value)


def found(table: Table, live: Mapping[str, str]) -> dict[str, Any]:
    """The properties that live attributes are; those that aren't there are left out."""
    result: dict[str, Any] = {}
    for name, one in table.items():
        if isinstance(one, Attribute):
            if (value := live.get(one.key)) is not None:
                result[name] = _value(one.prop, value)
        elif inner := found(one.fields, live):
            result[name] = [inner] if one.many else inner
    return result


def _value(prop: Prop, value: str) -> Any:
    if prop.kind is Kind.FLAG:
        return value == "true"
    return int(value) if prop.kind is Kind.NUMBER else value


def pairs(attributes: Mapping[str, str]) -> list[dict[str, str]]:
    """`[{Key, Value}]`."""
    return [{"Key": key, "Value": value} for key, value in sorted(attributes.items())]


def by_key(answer: Any) -> dict[str, str]:
    """The other way round, of what a Describe…Attributes answers."""
    return {pair["Key"]: str(pair["Value"]) for pair in answer["Attributes"]}
