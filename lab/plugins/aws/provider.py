"""The plugin's methods over the table: where a row's functions are called and their answers become outputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.plugins import diffing
from lab.plugins.aws.call import DEFAULT_TIMEOUT_S, Call, Clients, Clock, code_of, told
from lab.plugins.aws.table import TABLE
from lab.plugins.aws.young import YOUNG_S
from lab.plugins.errors import HalfMade, PluginError, TimedOut, UnknownType
from lab.plugins.host import Change, Difference, Failure, Props, Request
from lab.plugins.schema import Prop, ResourceType

# Settings that mean something here; the skip* ones, which the SDK sends, switch off look-ups that this plugin never
# makes. Credentials and endpoints are the environment's.
_CONFIG = {
    "region", "skipCredentialsValidation", "skipMetadataApiCheck", "skipRegionValidation", "version",
    "pluginDownloadURL",
}  # fmt: skip


class AwsPlugin:
    """`Plugin` for AWS."""

    version = "7.51.1+lab"

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._clients = Clients(None)

    @property
    def clients(self) -> Clients:
        """The boto3 clients of the configured account and region."""
        return self._clients

    def row(self, token: str) -> ResourceType[Call]:
        """The table's row of a type. Raises UnknownType, naming it."""
        if token not in TABLE:
            raise UnknownType(f"the lab's aws plugin doesn't know the type {token}")
        return TABLE[token]

    def check_config(self, config: Props) -> Sequence[Failure]:
        return [
            Failure(key, f"the lab's aws plugin doesn't know the provider setting '{key}'")
            for key in config
            if key not in _CONFIG and not key.startswith("__")
        ]

    def diff_config(self, old: Props, new: Props) -> Difference:
        # A resource belongs to one region: pulumi-aws replaces the provider, and with it what it made.
        keys = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k) and k != "version")
        return Difference([Change(k, "update", k == "region") for k in keys])

    def configure(self, config: Props) -> None:
        self._clients = Clients(config.get("region"))

    def check(self, request: Request) -> tuple[Props, Sequence[Failure]]:
        return diffing.check(self.row(request.type), request)

    def diff(self, request: Request) -> Difference:
        return diffing.diff(self.row(request.type), request)

    def create(self, request: Request) -> tuple[str, Props]:
        row = self.row(request.type)
        if request.preview:
            return "", diffing.preview_outputs(row, request)
        call = self._call(row, request, new=request.inputs)
        try:
            call.id = row.create(call)
            outputs = self._shown(call, request.inputs, row.props)
        except (ClientError, BotoCoreError, PluginError) as error:
            if not call.id:
                raise _as_plugin_error(error) from error
            live = self._outputs_or_none(call) or request.inputs
            raise HalfMade(str(_as_plugin_error(error)), call.id, live, request.inputs) from error
        return call.id, outputs

    def read(self, request: Request) -> tuple[str, Props, Props] | None:
        row = self.row(request.type)
        importing = not request.old_inputs and not request.old_outputs
        call = self._call(row, request, old=request.old_outputs)
        if importing:
            call.id, call.old = row.identify(request.id)
        outputs = self._outputs(call, request.old_inputs)
        if outputs is None:
            return None
        return call.id, outputs, _inputs_of(row, outputs, request.old_inputs, request.old_outputs, importing)

    def update(self, request: Request) -> Props:
        row = self.row(request.type)
        if request.preview:
            return diffing.preview_outputs(row, request)
        inputs = diffing.with_ignored(request.inputs, request.old_outputs, request.ignore)
        call = self._call(row, request, old=request.old_outputs, new=inputs)
        if row.update is None:
            raise PluginError("this type can't be updated, only replaced")
        try:
            row.update(call)
            outputs = self._shown(call, inputs, [name for name in row.props if call.changed(name)])
        except (ClientError, BotoCoreError, PluginError) as error:
            reason = str(_as_plugin_error(error))
            # Part of the update may have happened: record what is there now, so that the next diff starts from it.
            live = self._outputs_or_none(call)
            raise HalfMade(reason, request.id, live or request.old_outputs, request.old_inputs) from error
        return outputs

    def delete(self, request: Request) -> None:
        row = self.row(request.type)
        call = self._call(row, request, old=request.old_outputs)
        try:
            row.delete(call)
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and code_of(error) in row.gone:
                return
            raise _as_plugin_error(error) from error

    def cancel(self) -> None:
        self._clock.stop.set()

    def _call(
        self, row: ResourceType[Call], request: Request, *, new: Props | None = None, old: Props | None = None
    ) -> Call:
        return Call(
            clients=self._clients,
            row=row,
            name=request.name,
            id=request.id,
            new=new or {},
            old=old or {},
            old_inputs=request.old_inputs,
            timeout_s=request.timeout or DEFAULT_TIMEOUT_S,
            clock=self._clock,
        )

    def _shown(self, call: Call, inputs: Mapping[str, Any], changed: Collection[str]) -> Props:
        """The outputs once AWS shows what was done: the resource, with what was given of `changed`.

        What was made or changed a moment ago may not be shown yet, as new ids aren't known yet. A value that is never
        shown as it was given is taken as it is shown: the next diff will say so. Raises `TimedOut` for a resource that
        is never shown.
        """
        last: Props | None = None

        def shown() -> Props | None:
            nonlocal last
            last = self._outputs(call, inputs) or last
            if last is None or any(
                diffing.compare(call.row.props[name], name, last.get(name), inputs.get(name)) for name in changed
            ):
                return None
            return last

        try:
            return call.wait(f"{call.id} to be shown", shown, timeout_s=YOUNG_S)
        except TimedOut:
            if last is None:
                raise
            return last

    def _outputs(self, call: Call, inputs: Mapping[str, Any]) -> Props | None:
        """Everything known about a live resource: what AWS says, and what only the program can say."""
        try:
            found = call.row.read(call)
        except ClientError as error:
            if code_of(error) in call.row.gone:
                return None
            raise _as_plugin_error(error) from error
        except BotoCoreError as error:
            raise _as_plugin_error(error) from error
        if found is None:
            return None
        outputs: Props = {}
        for name, prop in call.row.props.items():
            if prop.unreadable and name not in found:
                known = inputs if name in inputs or not call.old else call.old
                found[name] = known.get(name, prop.default)
        outputs.update({k: v for k, v in found.items() if v is not None})
        return outputs

    def _outputs_or_none(self, call: Call) -> Props | None:
        try:
            return self._outputs(call, call.old)
        except PluginError:
            return None


def _inputs_of(
    row: ResourceType[Call], outputs: Props, old_inputs: Props, old_outputs: Props, importing: bool
) -> Props:
    """The inputs that a program would have to give to describe what is there.

    After a refresh, those that were given, with what changed taken over, and whatever else drifted away from
    nothing or a default; on import, everything that isn't nothing or a default.
    """
    inputs: Props = {}
    for name, prop in row.props.items():
        value = outputs.get(name)
        given = name in old_inputs
        if importing:
            # What must be given is, however little it says: a group's least size may be 0.
            if value is not None and (prop.required or diffing.compare(prop.but(computed=False), name, value, None)):
                inputs[name] = value
        elif given and not diffing.compare(prop, name, value, old_inputs[name]):
            inputs[name] = old_inputs[name]
        elif value is not None and (given or _drifted(prop, name, value, old_outputs)):
            inputs[name] = value
    return inputs


def _drifted(prop: Prop, name: str, value: Any, recorded: Mapping[str, Any]) -> bool:
    return name in recorded and bool(diffing.compare(prop, name, value, recorded[name]))


def _as_plugin_error(error: Exception) -> Exception:
    if isinstance(error, ClientError):
        return PluginError(told(error))
    if isinstance(error, BotoCoreError):
        return PluginError(f"{type(error).__name__}: {error}")
    return error
