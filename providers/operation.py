"""The one adapter between Pulumi's dynamic providers and `migration.operations`.

An operation resource is declared from its first stage through the last, with the wanted state as an input;
going on and going back are updates. `delete` changes nothing: Pulumi calls it going back, going on, on replace
and on `destroy` alike, and can't tell which. But what an operation guards depends on nothing that is deleted before
it, so those that guard may refuse: then nothing behind them is deleted, whatever flags `destroy` was given.

What a preview shows: a resource has one key with words for people (`Inputs.say`), and its inputs under one key that
is a secret to the engine, packed (`migration.contracts.packed`) and hidden in its diffs. The engine prints every key
of a dynamic resource, changed or not, since Python's dynamic host answers a diff without details; a secret is one word
where it is new. So `--diff` of an operation reads ``nodes: … => …`` (docs/facts.md, Pulumi).
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult
from pulumi.output import Unknown
from pulumi.runtime import rpc
from pydantic import ValidationError

from migration.contracts.base import Inputs, Result
from migration.contracts.packed import pack, unpack
from migration.runtime.host import host

if TYPE_CHECKING:
    from migration.runtime.context import Context

_INPUTS, _RESULT = "inputs", "result"
# Where versions whose inputs stood side by side had the kubeconfig: outputs stay in states until the next run.
_ONCE_PLAIN = "connection"

I = TypeVar("I", bound=Inputs)  # noqa: E741 - inputs, beside R for the result
R = TypeVar("R", bound=Result)
T = TypeVar("T")


# Imported in a dynamic provider's host by the first call of its engine: from here on it ends with that engine.
_HOST = host()


class OperationProvider(ResourceProvider, Generic[I, R]):
    """Runs one operation of `migration.operations`, named by `operation`, under a lease where it is long."""

    operation: ClassVar[str]
    leased: ClassVar[bool] = False
    begins: ClassVar[bool] = False
    """The operation that writes which cluster all others are about, and so can't be held to it."""
    guards: ClassVar[bool] = False
    """The operation has a `release` that refuses the deletion of what stands behind it."""
    inputs_type: type[I]
    result_type: type[R]
    # A class importable by name is pickled by reference and holds nothing secret: keep states readable.
    serialize_as_secret_always = False

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Changed when the wanted part of the inputs differs; operations are updated, never replaced."""
        new = self._asked(_news)
        return DiffResult(changes=new is None or new.again or not self._asked_before(_olds, new), replaces=[])

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Run for the first time. The id is deterministic: an interrupted create is simply made again."""
        inputs = self.inputs_type.model_validate(unpack(props[_INPUTS]))
        given = unpack(props.get(_RESULT))
        # Where a lost state is built anew, what was done before is only told.
        outs = self._run(inputs, None) if given is None else self._told(inputs, self.result_type.model_validate(given))
        return CreateResult(id_=f"{self.operation}/{inputs.cluster}", outs=outs)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Run towards the new wanted state, with what the last run gave at hand."""
        try:
            before = unpack(_olds.get(_RESULT))
            previous = self.result_type.model_validate(before) if before else None
        except ValueError as error:
            wrong = _told_wrong(error)
            raise Exception(
                f"{self.operation}: what the last run left in the state can't be read by this version ({wrong}); "
                f"run the version that wrote it, or look at the stack's state"
            ) from None
        return UpdateResult(outs=self._run(self.inputs_type.model_validate(unpack(_news[_INPUTS])), previous))

    def _asked(self, props: Mapping[str, Any]) -> I | None:
        """The inputs in `props`; None while they aren't known."""
        inputs = props[_INPUTS]
        # The dynamic host reads the engine's fixed text for it as an object; what comes otherwise is the text.
        unknown = isinstance(inputs, Unknown) or inputs == rpc.UNKNOWN
        return None if unknown else self.inputs_type.model_validate(unpack(inputs))

    def _asked_before(self, olds: Mapping[str, Any], new: I) -> bool:
        """Whether what is wanted was wanted by the last run as well."""
        if _INPUTS in olds:
            try:
                old = self._asked(olds)
            except ValueError:
                # Another version's, which asked for something else: the operation looks again and says what is missing.
                return False
            return old is not None and old.wanted_part() == new.wanted_part()
        # Written by a version whose inputs stood side by side: those that are wanted, by the names they still have.
        wanted = new.model_dump(mode="json", by_alias=True, include=set(new.wanted_part()))
        return all(olds.get(key) == value for key, value in wanted.items())

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Nothing, or a refusal with the way there, where the operation guards something."""
        if not self.guards:
            return
        try:
            inputs = self.inputs_type.model_validate(unpack(_props[_INPUTS]))
        except (KeyError, ValueError):
            raise Exception(
                f"{self.operation}: the state was written by another version, so what this guards can't be seen; "
                f"run `pulumi up` at the stage that was reached, and then this again"
            ) from None
        self._perform(inputs, lambda module, context: module.release(inputs, context), release=True)

    def _run(self, inputs: I, previous: R | None) -> dict[str, Any]:
        def perform(module: Any, context: Context) -> R:
            return module.run(inputs, previous, context)

        return self._told(inputs, self._perform(inputs, perform))

    def _told(self, inputs: I, result: R) -> dict[str, Any]:
        return {
            inputs.shown: inputs.say(),
            _INPUTS: pack(_plain(inputs)),
            _RESULT: _kept(result),
        }

    def _perform(self, inputs: I, perform: Callable[[Any, Context], T], *, release: bool = False) -> T:
        """What the operation's module does, with clients, deadline and lease; a fault is one sentence.

        A release only looks: it takes no lease, and asks for the cluster itself where it looks at one.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        from migration.clients import Clients
        from migration.clients.kubernetes import ApiFailure
        from migration.runtime.context import Context
        from migration.runtime.deadline import Deadline, Permanent, Retryable, always
        from migration.runtime.lease import held
        from migration.runtime.waits import Waits
        from migration.stages.identity import verify_cluster

        connection = inputs.connection
        clients = Clients(region=connection.region, kubeconfig=connection.kubeconfig, caller=self.operation)
        module = importlib.import_module(f"migration.operations.{self.operation}")
        label = f"{self.operation} {inputs.label}".strip()

        def log(message: str) -> None:
            print(f"{label}: {message}", flush=True)

        def told() -> None:
            if waited := waits.say():
                log(waited)

        waits = Waits()
        try:
            with ExitStack() as stack:
                stack.callback(told)
                # Without lease and engine.
                alive: Callable[[], None] = always
                if _HOST is not None:
                    stack.enter_context(_HOST.working())
                    alive = _HOST.check
                if self.leased and not release:
                    holder = f"{label} (process {os.getpid()})"
                    engine = _HOST.engine if _HOST is not None else None
                    alive = stack.enter_context(held(clients.kubernetes, holder=holder, engine=engine, log=log)).check
                clients.fence = alive
                if not self.begins and not release:
                    verify_cluster(clients, inputs.cluster)
                deadline = Deadline(float(inputs.timeout_seconds), sleeper=waits.sleep)
                return perform(module, Context(log=log, deadline=deadline, clients=clients, alive=alive))
        except (Permanent, Retryable, ApiFailure, ClientError, BotoCoreError) as error:
            # One sentence for the operator, where a traceback would bury it.
            raise Exception(f"{label}: {error}") from None


def _plain(contract: Inputs | Result) -> dict[str, Any]:
    return contract.model_dump(mode="json", by_alias=True)


READABLE = 1000
"""Bytes of JSON of a result that people read in a state. A longer one names every group of the cluster."""


def _kept(result: Result) -> Any:
    """A result as the state has it: plain, so that people can read it there, unless it is a secret or too long."""
    plain = _plain(result)
    return pack(plain) if result.secret or len(json.dumps(plain)) > READABLE else plain


def _told_wrong(error: ValueError) -> str:
    """Where and why something can't be read, but no value: it may be somebody's user data."""
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())


class OperationResource(Resource, Generic[I, R]):
    """A resource whose `result` is what its operation returned last."""

    provider_class: ClassVar[type[OperationProvider[Any, Any]]]
    rebuilt: ClassVar[Callable[[Inputs], Result] | None] = None
    """Set while a lost state is built anew: says what an operation gave back, which then isn't run."""
    result: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, inputs: pulumi.Input[I], opts: pulumi.ResourceOptions | None = None) -> None:
        provider = self.provider_class()
        known: pulumi.Output[I] = pulumi.Output.from_input(inputs)
        # The engine marks these in a state as well where nothing changes, so what was plain there ends at the next up.
        secret = [_INPUTS, _ONCE_PLAIN, *([_RESULT] if provider.result_type.secret else [])]
        told = _rebuilding(known, secret=provider.result_type.secret)
        super().__init__(
            provider,
            name,
            {
                provider.inputs_type.shown: known.apply(lambda asked: asked.say()),
                _INPUTS: pulumi.Output.secret(known.apply(lambda asked: pack(_plain(asked)))),
                _RESULT: told,
            },
            pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(hide_diffs=[_INPUTS], additional_secret_outputs=secret)
            ),
        )
        # A preview never learns what a create would give; here it is known before.
        self._told = told

    @property
    def outcome(self) -> pulumi.Output[R]:
        """What the operation returned last, in plain, so that previews can say ``minSize: 2``.

        Where the result is a secret as a whole, whoever takes a `SecretText` out of it marks it a secret again.
        """
        known: type[R] = self.provider_class().result_type
        result = pulumi.Output.unsecret(self.told) if known.secret else self.told
        return result.apply(lambda kept: known.model_validate(unpack(kept)))

    @property
    def unnamed(self) -> pulumi.Output[R]:
        """The outcome, for those that name this operation in `depends_on`.

        The engine keeps, of each property, the resources that it was made from: of 72 copies with some fifteen
        properties each the note a thousand times.
        """
        known = self.outcome
        return pulumi.Output(set(), self._known(known), known.is_known(), known.is_secret())

    @staticmethod
    async def _known(outcome: pulumi.Output[R]) -> R:
        # Whether it is known says the output; what isn't stays what it is.
        return cast(R, await outcome.future(with_unknowns=True))

    @property
    def told(self) -> pulumi.Output[dict[str, Any]]:
        """The same as the state keeps it; nothing where the operation was left out of its first `up`."""
        return self.result if self._told is None else self._told


def _rebuilding(inputs: pulumi.Output[Any], *, secret: bool) -> pulumi.Output[dict[str, Any]] | None:
    """What an operation with these inputs gave back, while a lost state is built anew; else its run says."""
    rebuilt = OperationResource.rebuilt
    if rebuilt is None:
        return None
    told = inputs.apply(lambda asked: _kept(rebuilt(asked)))
    return pulumi.Output.secret(told) if secret else told
