"""What moto works out anew for every value of every answer, and is the same each time: worked out once.

Two fifths of the time of a call that describes hundreds of things went there, and the world is locked meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from moto.core.serialize import AttributePickerContext, XFormedAttributePicker

from lab.aws.hooks import instead

Keys = Callable[[XFormedAttributePicker, AttributePickerContext], Iterator[str]]

KNOWN: dict[tuple[type, Any, str], tuple[str, ...]] = {}
"""By class of what is described, its place in the service's model, and the value's name there: no more than those."""


@instead(XFormedAttributePicker, "get_possible_keys")
def possible_keys(plain: Keys, picker: XFormedAttributePicker, context: AttributePickerContext) -> tuple[str, ...]:
    """The names under which the object may have a value."""
    which = (type(context.obj), context.shape, context.key)
    if which not in KNOWN:
        KNOWN[which] = tuple(dict.fromkeys(plain(picker, context)))
    return KNOWN[which]
