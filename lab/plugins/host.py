"""The gRPC side of a plugin: one servicer for both, in front of a `Plugin`."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from lab.kubernetes.access import ApiError
from lab.plugins.errors import HalfMade, PluginError
from lab.plugins.wire import from_struct, to_struct

Props = dict[str, Any]
THREADS = 16  # what the engine runs at once by default; fewer would queue long waits before quick calls
_LAST_CALLS_S = 30.0
_MESSAGE_LIMIT = 400 * 1024 * 1024  # the engine's own


@dataclass(frozen=True)
class Change:
    """One difference. `path` is a Pulumi property path; `kind` add, update or delete."""

    path: str
    kind: str = "update"
    replace: bool = False

    @property
    def top(self) -> str:
        """The top-level property the path starts with."""
        return self.path.split(".", 1)[0].split("[", 1)[0]


@dataclass(frozen=True)
class Difference:
    """What an update would change; empty means nothing."""

    changes: Sequence[Change] = ()
    delete_before_replace: bool = False


@dataclass(frozen=True)
class Failure:
    """An input that can't be right."""

    property: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call of the engine about one resource; which fields are filled depends on the call."""

    type: str
    name: str
    id: str = ""
    inputs: Props = field(default_factory=dict)
    old_inputs: Props = field(default_factory=dict)
    old_outputs: Props = field(default_factory=dict)
    ignore: Sequence[str] = ()
    preview: bool = False
    timeout: float = 0.0


class Plugin(Protocol):
    """What the host needs of a plugin. Every method may raise `PluginError`."""

    version: str

    def check_config(self, config: Props) -> Sequence[Failure]: ...
    def diff_config(self, old: Props, new: Props) -> Difference: ...
    def configure(self, config: Props) -> None: ...
    def check(self, request: Request) -> tuple[Props, Sequence[Failure]]: ...
    def diff(self, request: Request) -> Difference: ...
    def create(self, request: Request) -> tuple[str, Props]: ...
    def read(self, request: Request) -> tuple[str, Props, Props] | None: ...
    def update(self, request: Request) -> Props: ...
    def delete(self, request: Request) -> None: ...
    def cancel(self) -> None: ...


_KINDS = {
    ("add", False): provider_pb2.PropertyDiff.ADD,
    ("add", True): provider_pb2.PropertyDiff.ADD_REPLACE,
    ("delete", False): provider_pb2.PropertyDiff.DELETE,
    ("delete", True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    ("update", False): provider_pb2.PropertyDiff.UPDATE,
    ("update", True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


def diff_response(difference: Difference) -> provider_pb2.DiffResponse:
    """The engine's form of a difference."""
    changes = difference.changes
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if changes else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=list(dict.fromkeys(c.top for c in changes)),
        replaces=list(dict.fromkeys(c.top for c in changes if c.replace)),
        deleteBeforeReplace=difference.delete_before_replace,
        detailedDiff={c.path: provider_pb2.PropertyDiff(kind=_KINDS[c.kind, c.replace]) for c in changes},
        hasDetailedDiff=True,
    )


def _type_and_name(request: Any) -> tuple[str, str]:
    # Newer engines send both; a URN is urn:pulumi:stack::project::parent$type::name.
    if request.type and request.name:
        return request.type, request.name
    _, _, kind, name = request.urn.split("::", 3)
    return kind.rsplit("$", 1)[-1], name


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """`pulumirpc.ResourceProvider` for a `Plugin`. Methods that aren't here answer UNIMPLEMENTED, as gRPC does."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=self._plugin.version)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.GetSchemaResponse(schema="{}")

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _Sentence(context, "checking the provider's configuration"):
            failures = _failures(self._plugin.check_config(from_struct(request.news)))
            return provider_pb2.CheckResponse(inputs=to_struct(from_struct(request.news)), failures=failures)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _Sentence(context, "comparing the provider's configuration"):
            old = from_struct(request.old_inputs) or from_struct(request.olds)
            return diff_response(self._plugin.diff_config(old, from_struct(request.news)))

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _Sentence(context, "configuring the provider"):
            config = from_struct(request.args) if request.HasField("args") else {}
            for key, value in request.variables.items():
                config.setdefault(key.rsplit(":", 1)[-1], value)
            self._plugin.configure(config)
            return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind, name = _type_and_name(request)
        with _Sentence(context, f"{kind} '{name}': checking"):
            inputs, failures = self._plugin.check(
                Request(
                    type=kind,
                    name=name,
                    inputs=from_struct(request.news),
                    old_inputs=from_struct(request.olds),
                )
            )
            return provider_pb2.CheckResponse(inputs=to_struct(inputs), failures=_failures(failures))

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind, name = _type_and_name(request)
        with _Sentence(context, f"{kind} '{name}': comparing"):
            return diff_response(
                self._plugin.diff(
                    Request(
                        type=kind,
                        name=name,
                        id=request.id,
                        inputs=from_struct(request.news),
                        old_inputs=from_struct(request.old_inputs),
                        old_outputs=from_struct(request.olds),
                        ignore=tuple(request.ignoreChanges),
                    )
                )
            )

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind, name = _type_and_name(request)
        with _Sentence(context, f"{kind} '{name}': creating"):
            resource_id, outputs = self._plugin.create(
                Request(
                    type=kind,
                    name=name,
                    inputs=from_struct(request.properties),
                    preview=request.preview,
                    timeout=request.timeout,
                )
            )
            return provider_pb2.CreateResponse(id=resource_id, properties=to_struct(outputs))

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind, name = _type_and_name(request)
        with _Sentence(context, f"{kind} '{name}': reading"):
            found = self._plugin.read(
                Request(
                    type=kind,
                    name=name,
                    id=request.id,
                    old_inputs=from_struct(request.inputs),
                    old_outputs=from_struct(request.properties),
                    timeout=request.timeout,
                )
            )
            if found is None:  # an empty id is how the engine is told "gone"
                return provider_pb2.ReadResponse()
            resource_id, outputs, inputs = found
            return provider_pb2.ReadResponse(id=resource_id, properties=to_struct(outputs), inputs=to_struct(inputs))

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind, name = _type_and_name(request)
        with _Sentence(context, f"{kind} '{name}': updating"):
            outputs = self._plugin.update(
                Request(
                    type=kind,
                    name=name,
                    id=request.id,
                    inputs=from_struct(request.news),
                    old_inputs=from_struct(request.old_inputs),
                    old_outputs=from_struct(request.olds),
                    ignore=tuple(request.ignoreChanges),
                    preview=request.preview,
                    timeout=request.timeout,
                )
            )
            return provider_pb2.UpdateResponse(properties=to_struct(outputs))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind, name = _type_and_name(request)
        with _Sentence(context, f"{kind} '{name}': deleting"):
            self._plugin.delete(
                Request(
                    type=kind,
                    name=name,
                    id=request.id,
                    old_inputs=from_struct(request.old_inputs),
                    old_outputs=from_struct(request.properties),
                    timeout=request.timeout,
                )
            )
            return empty_pb2.Empty()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._plugin.cancel()
        return empty_pb2.Empty()


class _Sentence:
    """Turns what a handler raises into a gRPC status that reads as a sentence."""

    def __init__(self, context: grpc.ServicerContext, what: str) -> None:
        self._context = context
        self._what = what

    def __enter__(self) -> _Sentence:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or not isinstance(error, Exception):
            return
        if isinstance(error, HalfMade):
            self._abort_half_made(error)
        if isinstance(error, (PluginError, ApiError)):
            self._context.abort(grpc.StatusCode.UNKNOWN, f"{self._what}: {error}")
        logging.getLogger(__name__).error("%s", self._what, exc_info=error)
        self._context.abort(
            grpc.StatusCode.INTERNAL, f"{self._what}: the lab's plugin failed: {type(error).__name__}: {error}"
        )

    def _abort_half_made(self, error: HalfMade) -> NoReturn:
        reason = f"{self._what}: {error}"
        detail = any_pb2.Any()
        detail.Pack(
            provider_pb2.ErrorResourceInitFailed(
                id=error.resource_id,
                properties=to_struct(error.outputs),
                inputs=to_struct(error.inputs),
                reasons=[reason],
            )
        )
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason, details=[detail])
        self._context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        self._context.abort(grpc.StatusCode.UNKNOWN, reason)


def _failures(failures: Sequence[Failure]) -> list[Any]:
    return [provider_pb2.CheckFailure(property=f.property, reason=f.reason) for f in failures]


def start(plugin: Plugin) -> tuple[grpc.Server, int]:
    """Serves `plugin` on a free loopback port; returns the server and the port."""
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=THREADS),
        options=[("grpc.max_receive_message_length", _MESSAGE_LIMIT), ("grpc.so_reuseport", 0)],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(plugin), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main(plugin: Plugin) -> None:
    """Prints the port, as the engine expects of a plugin, and serves until the engine ends it or is gone itself."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    server, port = start(plugin)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    engine = os.getppid()
    with contextlib.suppress(KeyboardInterrupt):
        while os.getppid() == engine:
            time.sleep(1.0)
    # A killed engine leaves its plugins behind. What it asked for last is finished: half of it would be worse.
    server.stop(grace=_LAST_CALLS_S).wait()
    os._exit(0)
