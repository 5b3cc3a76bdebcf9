"""Which fields of which models a piece of the program reads, found in its source and its annotations.

A read counts where the value read from is known to be of the model: by an annotation, or by following assignments,
loops, comprehensions, calls and returns from one. A field that only has the name of another isn't taken for it. Where a
type can't be followed nothing is found, so that what is doubtful is reported as unread.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import operator
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel

Read = tuple[type[BaseModel], str]


@dataclass(frozen=True)
class Of:
    """A value of a type."""

    kind: Any


@dataclass(frozen=True)
class Is:
    """This very module, class or function; `owner` is the class a method was looked up on."""

    it: Any
    owner: type | None = None


@dataclass(frozen=True)
class Here:
    """A function defined inside of another one."""

    node: ast.FunctionDef


Value = Of | Is | Here | None
Names = dict[str, Value]

_SAME = {"sorted", "list", "tuple", "set", "frozenset", "reversed", "iter"}
_ONE = {"next", "max", "min"}


@functools.cache
def _namespace(module: str) -> dict[str, Any]:
    """A module's names, with those that only a type checker imports."""
    known = dict(vars(importlib.import_module(module)))
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            exec(compile(ast.Module(node.body, []), module, "exec"), known)
    return known


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(importlib.import_module(module)))


@functools.cache
def _functions(module: str) -> dict[str, ast.FunctionDef]:
    def inside(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield from inside(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef):
                yield f"{prefix}{node.name}", node

    return dict(inside(_tree(module).body, ""))


@functools.cache
def _hints(it: Any) -> dict[str, Any]:
    """What a function's parameters and return, or a class's attributes, are annotated with."""
    found: dict[str, Any] = {}
    for holder in reversed(it.__mro__) if isinstance(it, type) else (it,):
        if not _ours(holder):
            continue
        known = _namespace(holder.__module__)
        for name, hint in vars(holder).get("__annotations__", getattr(holder, "__annotations__", {})).items():
            found[name] = eval(hint, known) if isinstance(hint, str) else hint
    return found


ROOMS = ("migration", "providers", "components", "tests")
"""The packages whose functions are followed."""


def _ours(it: Any) -> bool:
    return (getattr(it, "__module__", None) or "").partition(".")[0] in ROOMS


def _kinds(kind: Any) -> Iterator[Any]:
    """The types a type may stand for, without None, annotations and variables."""
    if get_origin(kind) in (Union, types.UnionType):
        for one in get_args(kind):
            yield from _kinds(one)
    elif get_origin(kind) in (Annotated, ClassVar):
        yield from _kinds(get_args(kind)[0])
    elif isinstance(kind, TypeVar):
        yield from _kinds(kind.__bound__)
    elif kind is not None and kind is not type(None):
        yield kind


def _joined(values: Iterable[Value]) -> Value:
    """One value that may be any of these."""
    known = list(dict.fromkeys(value for value in values if value is not None))
    kinds = [kind for value in known if isinstance(value, Of) for kind in _kinds(value.kind)]
    if kinds:
        return Of(functools.reduce(operator.or_, kinds))
    return known[0] if known else None


def _element(value: Value) -> Value:
    """What a loop over a value gives."""
    found: list[Value] = []
    for kind in _kinds(value.kind) if isinstance(value, Of) else ():
        arguments = get_args(kind)
        if get_origin(kind) is tuple:
            found += [Of(one) for one in arguments if one is not ...]
        elif arguments:
            found.append(Of(arguments[0]))
    return _joined(found)


def _kind(value: Value) -> Any:
    return value.kind if isinstance(value, Of) else object


class Reader:
    """Follows functions from where it is started and keeps every read of a model's field."""

    def __init__(self) -> None:
        self.found: set[Read] = set()
        self._seen: set[tuple[Any, type | None]] = set()
        self._attributes: dict[tuple[type, str], Value] = {}
        self._known = -1

    def again(self) -> bool:
        """Whether to go through it all (once more): a method may have given its object what an earlier one reads."""
        known, self._known = self._known, len(self.found) + len(self._attributes)
        self._seen.clear()
        return known != self._known

    def follow(self, function: Any, owner: type | None = None) -> None:
        """Read a function and all that it calls or hands on."""
        function = inspect.unwrap(getattr(function, "__func__", function))
        if not isinstance(function, types.FunctionType) or (function, owner) in self._seen:
            return
        self._seen.add((function, owner))
        node = _functions(function.__module__).get(function.__qualname__) if _ours(function) else None
        if node is not None:
            _Body(self, function.__module__, owner).function(node, {}, _hints(function))

    def attribute(self, value: Value, name: str) -> Value:
        """What ``value.name`` is."""
        if isinstance(value, Is):
            if isinstance(value.it, types.ModuleType):
                return self.thing(getattr(value.it, name, None))
            if isinstance(value.it, type):
                return self.thing(inspect.getattr_static(value.it, name, None), value.it)
            return None
        if not isinstance(value, Of):
            return None
        return _joined([self._member(kind, name) for kind in _kinds(value.kind)])

    def _member(self, kind: Any, name: str) -> Value:
        if get_origin(kind) is type:
            made = next(_kinds(get_args(kind)[0]), None)
            return self.thing(inspect.getattr_static(made, name, None), made) if made else None
        owner = get_origin(kind) or kind
        if not isinstance(owner, type):
            return None
        if issubclass(owner, BaseModel) and name in owner.model_fields:
            self.found.add((owner, name))
            return Of(owner.model_fields[name].annotation)
        member = inspect.getattr_static(owner, name, None)
        if isinstance(member, property | functools.cached_property):
            function = member.fget if isinstance(member, property) else member.func
            self.follow(function, owner)
            return Of(_hints(function).get("return")) if _ours(function) else None
        if callable(member) or isinstance(member, classmethod | staticmethod):
            return self.thing(member, owner)
        hint = _hints(owner).get(name) if _ours(owner) else None
        if hint is not None:
            return Of(hint)
        return _joined(self._attributes.get((base, name)) for base in owner.__mro__)

    def thing(self, it: Any, owner: type | None = None) -> Value:
        """A function, class or module that is named. A function that is named is taken to be called."""
        if isinstance(it, types.FunctionType | classmethod | staticmethod):
            self.follow(it, owner)
            return Is(getattr(it, "__func__", it), owner)
        if isinstance(it, type | types.ModuleType | types.BuiltinFunctionType):
            return Is(it)
        return None

    def keep(self, owner: type, name: str, value: Value) -> None:
        """An attribute that a method gives its object."""
        self._attributes[owner, name] = _joined([self._attributes.get((owner, name)), value])

    def called(self, function: Value) -> Value:
        """What a call gives, by its annotation; for a class, an object of it."""
        if not isinstance(function, Is):
            return None
        it = function.it
        if isinstance(it, type):
            for name in ("__init__", "__post_init__", "__enter__"):
                self.follow(inspect.getattr_static(it, name, None), it)
            return Of(it)
        if function.owner and getattr(it, "__name__", "") in ("model_validate", "model_validate_json", "model_copy"):
            return Of(function.owner)
        hint = _hints(it).get("return") if isinstance(it, types.FunctionType) and _ours(it) else None
        return Of(function.owner if hint is typing.Self else hint) if hint is not None else None


class _Body:
    """One function's body; those inside of it come after what stands around them."""

    def __init__(self, reader: Reader, module: str, owner: type | None) -> None:
        self._reader, self._module, self._owner = reader, module, owner
        self._later: list[Callable[[], None]] = []

    def function(self, node: ast.FunctionDef | ast.Lambda, names: Names, hints: dict[str, Any]) -> None:
        names = self._parameters(node, names, hints)
        if isinstance(node, ast.Lambda):
            self.value(node.body, names)
            return
        for statement in node.body:
            self.statement(statement, names)
        later, self._later = self._later, []
        for each in later:
            each()

    def _parameters(self, node: ast.FunctionDef | ast.Lambda, names: Names, hints: dict[str, Any]) -> Names:
        names, given = dict(names), node.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
        defaults = [*zip(reversed(every[: len(given.args)]), reversed(given.defaults), strict=False)]
        defaults += [(name, value) for name, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value]
        known = {argument.arg: self.value(value, names) for argument, value in defaults}
        for argument in every:
            hint = hints.get(argument.arg)
            names[argument.arg] = Of(hint) if hint is not None else known.get(argument.arg)
        if self._owner and every and every[0].arg == "self":
            names["self"] = Of(self._owner)
        return names

    def statement(self, node: ast.stmt, names: Names) -> None:
        """Bind what the statement binds, read what it reads."""
        if isinstance(node, ast.FunctionDef):
            names[node.name] = Here(node)
            hints = {each.arg: self._hint(each.annotation) for each in ast.walk(node.args) if isinstance(each, ast.arg)}
            self._later.append(lambda: self.function(node, names, {k: v for k, v in hints.items() if v is not None}))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            scope: dict[str, Any] = {}
            exec(compile(ast.Module([node], []), self._module, "exec"), scope)
            names |= {name: self._reader.thing(it) for name, it in scope.items() if name != "__builtins__"}
        elif isinstance(node, ast.Assign):
            value = self.value(node.value, names)
            for target in node.targets:
                self._bind(target, value, names)
        elif isinstance(node, ast.AnnAssign):
            value = self.value(node.value, names) if node.value else None
            hint = self._hint(node.annotation)
            self._bind(node.target, Of(hint) if hint is not None else value, names)
        elif isinstance(node, ast.For):
            self._bind(node.target, _element(self.value(node.iter, names)), names)
            for inner in (*node.body, *node.orelse):
                self.statement(inner, names)
        elif isinstance(node, ast.With):
            for item in node.items:
                value = self.value(item.context_expr, names)
                if item.optional_vars:
                    self._bind(item.optional_vars, value, names)
            for inner in node.body:
                self.statement(inner, names)
        else:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.stmt):
                    self.statement(child, names)
                elif isinstance(child, ast.ExceptHandler):
                    for inner in child.body:
                        self.statement(inner, names)
                elif isinstance(child, ast.expr):
                    self.value(child, names)

    def _hint(self, annotation: ast.expr | None) -> Any:
        if annotation is None:
            return None
        try:
            return eval(ast.unparse(annotation), dict(_namespace(self._module)))
        except NameError:
            return None

    def _bind(self, target: ast.expr, value: Value, names: Names) -> None:
        if isinstance(target, ast.Name):
            names[target.id] = _joined([value, names.get(target.id)])
        elif isinstance(target, ast.Tuple | ast.List):
            for position, each in enumerate(target.elts):
                self._bind(each, self._part(value, position, len(target.elts)), names)
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
            if self._owner:
                self._reader.keep(self._owner, target.attr, value)
        else:
            self.value(target, names)

    @staticmethod
    def _part(value: Value, position: int, count: int) -> Value:
        """What one of several names on the left gets."""
        found: list[Value] = []
        for kind in _kinds(value.kind) if isinstance(value, Of) else ():
            arguments = get_args(kind)
            fixed = get_origin(kind) is tuple and ... not in arguments and len(arguments) == count
            found.append(Of(arguments[position]) if fixed else _element(Of(kind)))
        return _joined(found)

    def value(self, node: ast.expr, names: Names) -> Value:
        """What an expression gives, as far as it can be told; everything in it is read."""
        reads = getattr(self, f"_{type(node).__name__.lower()}", None)
        if reads is not None:
            return reads(node, names)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child, names)
        return None

    def _name(self, node: ast.Name, names: Names) -> Value:
        if node.id in names:
            return names[node.id]
        known = _namespace(self._module)
        return self._reader.thing(known.get(node.id, getattr(__import__("builtins"), node.id, None)))

    def _attribute(self, node: ast.Attribute, names: Names) -> Value:
        return self._reader.attribute(self.value(node.value, names), node.attr)

    def _namedexpr(self, node: ast.NamedExpr, names: Names) -> Value:
        value = self.value(node.value, names)
        self._bind(node.target, value, names)
        return value

    def _ifexp(self, node: ast.IfExp, names: Names) -> Value:
        self.value(node.test, names)
        return _joined([self.value(node.body, names), self.value(node.orelse, names)])

    def _boolop(self, node: ast.BoolOp, names: Names) -> Value:
        return _joined([self.value(each, names) for each in node.values])

    def _binop(self, node: ast.BinOp, names: Names) -> Value:
        return _joined([self.value(node.left, names), self.value(node.right, names)])

    def _starred(self, node: ast.Starred, names: Names) -> Value:
        return _element(self.value(node.value, names))

    def _subscript(self, node: ast.Subscript, names: Names) -> Value:
        value = self.value(node.value, names)
        self.value(node.slice, names)
        if isinstance(node.slice, ast.Slice):
            return value
        mapped = self._mapped(value)
        return mapped[1] if mapped else _element(value)

    @staticmethod
    def _mapped(value: Value) -> tuple[Value, Value] | None:
        """Types of keys and values, where it is a mapping."""
        for kind in _kinds(value.kind) if isinstance(value, Of) else ():
            origin = get_origin(kind)
            if isinstance(origin, type) and hasattr(origin, "items") and len(get_args(kind)) == 2:
                key, held = get_args(kind)
                return Of(key), Of(held)
        return None

    def _tuple(self, node: ast.Tuple | ast.List | ast.Set, names: Names) -> Value:
        values = [self.value(each, names) for each in node.elts]
        if any(isinstance(each, ast.Starred) for each in node.elts) or not isinstance(node, ast.Tuple):
            return Of(list[_kind(_joined(values))])
        return Of(tuple[tuple(map(_kind, values))])

    _list = _set = _tuple

    def _listcomp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, names: Names) -> Value:
        return Of(list[_kind(self.value(node.elt, self._comprehended(node.generators, names)))])

    _setcomp = _generatorexp = _listcomp

    def _dictcomp(self, node: ast.DictComp, names: Names) -> Value:
        inner = self._comprehended(node.generators, names)
        return Of(dict[_kind(self.value(node.key, inner)), _kind(self.value(node.value, inner))])

    def _comprehended(self, generators: list[ast.comprehension], names: Names) -> Names:
        inner = dict(names)
        for each in generators:
            for bound in ast.walk(each.target):
                if isinstance(bound, ast.Name):
                    inner.pop(bound.id, None)
            self._bind(each.target, _element(self.value(each.iter, inner)), inner)
            for condition in each.ifs:
                self.value(condition, inner)
        return inner

    def _lambda(self, node: ast.Lambda, names: Names) -> Value:
        self.function(node, names, {})
        return None

    def _call(self, node: ast.Call, names: Names) -> Value:
        function = self.value(node.func, names)
        lambdas = [each for each in (*node.args, *(k.value for k in node.keywords)) if isinstance(each, ast.Lambda)]
        given = [self.value(each, names) for each in node.args if not isinstance(each, ast.Lambda)]
        for keyword in node.keywords:
            if keyword.value not in lambdas:
                self.value(keyword.value, names)
        first = given[0] if given else None
        for each in lambdas:
            # What sorted, max, map and the like hand to a lambda; other lambdas' parameters aren't known.
            hints = dict.fromkeys((one.arg for one in each.args.args), _kind(_element(first)))
            self.function(each, names, hints if isinstance(function, Is) and self._builtin(function) else {})
        if isinstance(function, Here):
            hint = self._hint(function.node.returns)
            return Of(hint) if hint is not None else None
        if isinstance(node.func, ast.Attribute) and (mapped := self._mapped(self.value(node.func.value, names))):
            return self._of_a_mapping(*mapped, node.func.attr)
        if isinstance(function, Is) and self._builtin(function):
            return self._of_a_builtin(function.it.__name__, given)
        return self._reader.called(function)

    @staticmethod
    def _builtin(function: Is) -> bool:
        return getattr(function.it, "__module__", "") == "builtins"

    @staticmethod
    def _of_a_mapping(key: Value, held: Value, method: str) -> Value:
        return {
            "items": Of(list[tuple[_kind(key), _kind(held)]]),
            "values": Of(list[_kind(held)]),
            "keys": Of(list[_kind(key)]),
            "get": held,
        }.get(method)

    @staticmethod
    def _of_a_builtin(name: str, given: list[Value]) -> Value:
        if not given:
            return None
        if name in _SAME:
            return Of(list[_kind(_element(given[0]))])
        if name in _ONE:
            return _element(given[0])
        if name == "enumerate":
            return Of(list[tuple[int, _kind(_element(given[0]))]])
        if name == "zip":
            return Of(list[tuple[tuple(_kind(_element(each)) for each in given)]])
        return given[0] if name == "dict" else None


def functions(module: str) -> Iterator[tuple[Any, type | None]]:
    """All functions of a module, those of its classes with their class."""
    for it in vars(importlib.import_module(module)).values():
        if getattr(it, "__module__", None) != module:
            continue
        if isinstance(it, types.FunctionType):
            yield it, None
        elif isinstance(it, type):
            for member in vars(it).values():
                yield (member.fget if isinstance(member, property) else member), it


def reads(*roots: tuple[Any, type | None]) -> set[Read]:
    """Every field that is read from these functions on; each comes with the class it is looked up on, or None."""
    reader = Reader()
    while reader.again():
        for function, owner in roots:
            reader.follow(function, owner)
    return reader.found


def holds(found: set[Read], model: type[BaseModel], field: str) -> bool:
    """Whether a field of a model is among the reads; what is read of a model that it is made from counts."""
    return any(name == field and issubclass(model, read) for read, name in found)
