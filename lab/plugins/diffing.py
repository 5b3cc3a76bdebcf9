"""Check and Diff over a table row: pure functions of inputs and recorded outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lab.plugins.host import Change, Difference, Failure, Props, Request
from lab.plugins.schema import Kind, Prop, ResourceType, canonical
from lab.plugins.wire import UNKNOWN, Unknown


def check(row: ResourceType[Any], request: Request) -> tuple[Props, list[Failure]]:
    """Inputs with defaults filled in, and everything wrong with them at once."""
    news = {k: v for k, v in request.inputs.items() if not k.startswith("__")}
    failures = list(_unsuitable(row.props, news, ""))
    for name, prop in row.props.items():
        if news.get(name) is None and prop.default is not None:
            news[name] = prop.default
    if row.validate is not None and not failures:
        failures += [Failure(name, reason) for name, reason in row.validate(news)]
    return news, failures


def _unsuitable(props: Mapping[str, Prop], values: Mapping[str, Any], under: str) -> Iterator[Failure]:
    for name, value in values.items():
        path = f"{under}{name}"
        if name not in props:
            if value is not None and not name.startswith("__"):
                yield Failure(path, f"property '{path}' is not one the lab's plugin supports")
            continue
        prop = props[name]
        if value is None or isinstance(value, Unknown):
            continue
        if prop.choices and canonical(prop, value) not in prop.choices:
            yield Failure(path, f"'{path}' is {value!r}; expected one of {', '.join(map(str, prop.choices))}")
        elif prop.kind is Kind.NUMBER and not _is_number(value):
            yield Failure(path, f"'{path}' is {value!r}; expected a number")
        elif prop.kind is Kind.BLOCK:
            if isinstance(value, Mapping):
                yield from _unsuitable(prop.fields, value, f"{path}.")
            else:
                yield Failure(path, f"'{path}' is {value!r}; expected an object")
        elif prop.kind in (Kind.BLOCKS, Kind.LISTED, Kind.SET):
            if not isinstance(value, list):
                yield Failure(path, f"'{path}' is {value!r}; expected a list")
            elif prop.fields:
                for index, inner in enumerate(value):
                    if isinstance(inner, Mapping):
                        yield from _unsuitable(prop.fields, inner, f"{path}[{index}].")
        elif prop.kind is Kind.MAP and not isinstance(value, Mapping):
            yield Failure(path, f"'{path}' is {value!r}; expected an object")
    for name, prop in props.items():
        if prop.required and values.get(name) is None:
            yield Failure(f"{under}{name}", f"missing required property '{under}{name}'")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def diff(row: ResourceType[Any], request: Request) -> Difference:
    """What applying the inputs would change about the recorded outputs."""
    news = with_ignored(request.inputs, request.old_outputs, request.ignore)
    changes: list[Change] = []
    for name, prop in row.props.items():
        changes += compare(prop, name, request.old_outputs.get(name), news.get(name))
    if row.also_replaces is not None:
        more = row.also_replaces(request.old_outputs, news)
        changes = [Change(c.path, c.kind, c.replace or c.top in more) for c in changes]
    if row.update is None:
        changes = [Change(c.path, c.kind, True) for c in changes]
    return Difference(changes, _delete_first(row, changes, request))


def _delete_first(row: ResourceType[Any], changes: Sequence[Change], request: Request) -> bool:
    if not any(c.replace for c in changes):
        return False
    # pulumi-terraform-bridge, nameRequiresDeleteBeforeReplace: a name the program chose can't exist twice.
    return bool(row.unique) and request.inputs.get(row.unique) == request.old_outputs.get(row.unique)


def compare(prop: Prop, path: str, old: Any, new: Any) -> list[Change]:
    """The changes that turn `old` (recorded) into `new` (wanted)."""
    if new is None:
        if prop.computed:
            return []
        new = prop.usual if prop.default is None else prop.default
    if old is None:
        old = prop.usual
    if isinstance(new, Unknown):
        return [Change(path, "update", prop.replace)]
    if prop.kind is Kind.BLOCK and isinstance(old, Mapping) and isinstance(new, Mapping):
        found = [c for k, p in prop.fields.items() for c in compare(p, f"{path}.{k}", old.get(k), new.get(k))]
        return [Change(c.path, c.kind, c.replace or prop.replace) for c in found]
    if prop.kind is Kind.MAP:
        return _compare_maps(prop, path, canonical(prop, old) or {}, canonical(prop, new) or {})
    if prop.kind in (Kind.BLOCKS, Kind.LISTED):
        if _blocks_match(prop, old or [], new or []):
            return []
        if inner := _block_by_block(prop, path, old or [], new or []):
            return inner
    was, wanted = canonical(prop, old), canonical(prop, new)
    if was == wanted or (_empty(was) and _empty(wanted)):
        return []
    kind = "add" if _absent(was) else "delete" if _absent(wanted) else "update"
    return [Change(path, kind, prop.replace or _replacing_field(prop, was, wanted))]


def _replacing_field(prop: Prop, was: Any, wanted: Any) -> bool:
    # A block that comes or goes replaces if one of the fields it carries does.
    whole = wanted if wanted else was
    return prop.kind is Kind.BLOCK and any(prop.fields[k].replace for k in whole or {} if k in prop.fields)


def _one_of(prop: Prop) -> Prop:
    return prop.but(kind=Kind.BLOCK, computed=False, default=None)


def _block_by_block(prop: Prop, path: str, old: Any, new: Any) -> list[Change]:
    """The changes inside blocks that stand where they stood, so that a preview shows no other; none if they moved."""
    if len(old) != len(new):
        return []
    pairs = enumerate(zip(old, new, strict=True))
    inner = [found for i, (o, n) in pairs if (found := compare(_one_of(prop), f"{path}[{i}]", o, n))]
    return [c for found in inner for c in found] if prop.kind is Kind.LISTED or len(inner) == 1 else []


def _blocks_match(prop: Prop, old: Any, new: Any) -> bool:
    """Whether blocks are equal when what AWS adds to each (computed fields, defaults) is left aside."""
    if len(old) != len(new):
        return False
    one = _one_of(prop)
    if prop.kind is Kind.LISTED:
        return all(not compare(one, "", o, n) for o, n in zip(old, new, strict=True))
    left = list(old)
    for wanted in new:
        match = next((o for o in left if not compare(one, "", o, wanted)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _compare_maps(prop: Prop, path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    changes: list[Change] = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) == new.get(key):
            continue
        kind = "add" if key not in old else "delete" if key not in new else "update"
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key)
        changes.append(Change(f"{path}.{key}" if plain else f'{path}["{key}"]', kind, prop.replace))
    return changes


def _absent(value: Any) -> bool:
    return value in (None, "", [], {})


def _empty(value: Any) -> bool:
    return _absent(value) or value is False or value == 0


def with_ignored(news: Mapping[str, Any], olds: Mapping[str, Any], ignore: Sequence[str]) -> Props:
    """`news` with each ignored path set back to what is recorded. Paths: `a`, `a.b`, `a["b"]`, `*`."""
    result = dict(news)
    if "*" in ignore:
        return {**result, **{k: v for k, v in olds.items() if k in result}}
    for path in ignore:
        parts = [a or b for a, b in re.findall(r"([^.\[\]\"]+)|\[\"?([^\]\"]+)\"?\]", path)]
        _set_back(result, olds, parts)
    return result


def _set_back(news: Props, olds: Mapping[str, Any], parts: Sequence[str]) -> None:
    if not parts:
        return
    head, rest = parts[0], parts[1:]
    if rest and isinstance(news.get(head), Mapping) and isinstance(olds.get(head), Mapping):
        news[head] = dict(news[head])
        _set_back(news[head], olds[head], rest)
    elif not rest and head in olds:
        news[head] = olds[head]
    elif not rest:
        news.pop(head, None)


def preview_outputs(row: ResourceType[Any], request: Request) -> Props:
    """Outputs as far as a preview can know them; the rest is unknown."""
    outputs: Props = dict(request.inputs)
    creating = not request.id
    news = with_ignored(request.inputs, request.old_outputs, request.ignore)
    changed = {n for n, p in row.props.items() if compare(p, n, request.old_outputs.get(n), news.get(n))}
    for name, prop in row.props.items():
        if outputs.get(name) is None and (prop.computed or not creating):
            outputs[name] = UNKNOWN if creating else request.old_outputs.get(name)
    for name in row.computed:
        inputs = row.recomputed.get(name)
        stale = inputs is not None and bool(changed & set(inputs) if inputs else changed)
        outputs[name] = UNKNOWN if creating or stale else request.old_outputs.get(name)
    return outputs
