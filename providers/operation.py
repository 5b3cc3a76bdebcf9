"""The one adapter between Pulumi's dynamic providers and `migration.operations`.

An operation resource is declared from its first stage through the last, with the wanted state as an input;
going on and going back are updates. `delete` changes nothing: Pulumi calls it going back, going on, on replace
and on `destroy` alike, and can't tell which.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

# Inputs that say how to do the work and not what is wanted: a change of them is no reason to do it again.
_MANNER = frozenset({"__provider", "connection", "timeoutSeconds"})
_RESULT = "result"


def _integral(value: Any) -> Any:
    """Protobuf has one number type, a float; whole numbers become int again."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _integral(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_integral(item) for item in value]
    return value


def _inputs(props: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _integral(value) for key, value in props.items() if key not in ("__provider", _RESULT)}


def _engine_address() -> str | None:
    """The engine's address, which the dynamic provider's host is started with; None outside of a host."""
    return next((argument for argument in sys.argv[1:2] if ":" in argument), None)


def _always() -> None:
    """An operation without a lease may always go on."""


class OperationProvider(ResourceProvider):
    """Runs one operation of `migration.operations`, named by `operation`, under a lease where it is long."""

    operation: ClassVar[str]
    leased: ClassVar[bool] = False
    # A class importable by name is pickled by reference and holds nothing secret: keep states readable.
    serialize_as_secret_always = False

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Changed when any wanted input differs; operations are updated, never replaced."""
        olds, news = _inputs(_olds), _inputs(_news)
        return DiffResult(
            changes=any(olds.get(key) != news.get(key) for key in (olds.keys() | news.keys()) - _MANNER),
            replaces=[],
        )

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Run for the first time. The id is deterministic: an interrupted create is simply made again."""
        return CreateResult(id_=f"{self.operation}/{props['cluster']}", outs=self._run(props, None))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Run towards the new wanted state, with what the last run gave at hand."""
        return UpdateResult(outs=self._run(_news, _olds.get(_RESULT)))

    def _run(self, props: Mapping[str, Any], previous: Mapping[str, Any] | None) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        from migration.clients import Clients
        from migration.clients.kubernetes import ApiFailure
        from migration.runtime.context import Context
        from migration.runtime.deadline import Deadline, Permanent, Retryable
        from migration.runtime.lease import held

        inputs = _inputs(props)
        connection = inputs["connection"]
        clients = Clients(region=connection["region"], kubeconfig=connection.get("kubeconfig"))
        run = importlib.import_module(f"migration.operations.{self.operation}").run
        label = f"{self.operation} {inputs.get('label', '')}".strip()

        def log(message: str) -> None:
            print(f"{label}: {message}", flush=True)

        try:
            with ExitStack() as stack:
                alive: Callable[[], None] = _always
                if self.leased:
                    holder = f"{label} (process {os.getpid()})"
                    alive = stack.enter_context(
                        held(clients.kubernetes, holder=holder, engine=_engine_address(), log=log)
                    ).check
                deadline = Deadline(float(inputs["timeoutSeconds"]))
                context = Context(log=log, deadline=deadline, clients=clients, alive=alive)
                result = run(inputs, _integral(previous) if previous else None, context)
        except (Permanent, Retryable, ApiFailure, ClientError, BotoCoreError) as error:
            # One sentence for the operator, where a traceback would bury it.
            raise Exception(f"{label}: {error}") from None
        return {**inputs, _RESULT: result}


class OperationResource(Resource):
    """A resource whose `result` is what its operation returned last."""

    provider_class: ClassVar[type[OperationProvider]]
    result: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.provider_class(), name, {**inputs, _RESULT: None}, opts)
