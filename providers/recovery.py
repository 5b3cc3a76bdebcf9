"""A lost state built anew by an `up` of the program itself: what exists is imported, and nothing is made or run.

The program knows every resource with its parent, its provider and its inputs; what it doesn't know is which objects
those are. So each registration is told the id of its object (`migration.recover.places`), and the engine imports it.
What differs from the program it would change, which a preview shows (`migration.recover.pulumi`). Operations are told
what they gave back (`migration.recover.results`).
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pulumi
from botocore.exceptions import BotoCoreError, ClientError
from pulumi.output import Unknown
from pulumi.runtime import rpc

from migration.recover.places import UNREADABLE, imported, locate
from migration.recover.results import Known
from migration.recover.state import Resource
from migration.runtime.deadline import Permanent
from providers.operation import OperationResource


@dataclass
class Recovery:
    """Import everything that `known` leads to. A preview names all that is found and all that isn't, and then fails."""

    known: Known
    amiss: int = 0

    def begin(self) -> None:
        """From now on nothing that is registered is made, and no operation runs."""
        OperationResource.rebuilt = self.known.result
        pulumi.runtime.register_resource_transform(self._found)
        atexit.register(self._end)

    def _end(self) -> None:
        # An error that is logged fails no preview, and one that is raised would be the only one that is named.
        if self.amiss:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)

    async def _found(self, args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
        if not args.custom or not imported(args.type_):
            return None
        preview = pulumi.runtime.is_dry_run()
        try:
            id = self._id(args)
        except (Permanent, ClientError, BotoCoreError) as error:
            if not preview:
                # The engine would make it.
                raise
            self.amiss += 1
            pulumi.log.error(str(error))
            return None
        if preview:
            pulumi.log.info(f"found {args.type_.rpartition(':')[2]} {args.name}: {id}")
        args.opts.import_ = id
        ignored = args.opts.ignore_changes or []
        args.opts.ignore_changes = [*ignored, *UNREADABLE.get(args.type_, {})]
        # What is read comes in plain, and an import forgets which inputs are secrets (`migration.recover.lost`).
        given = {
            key: cast("pulumi.Output[Any]", one) for key, one in args.props.items() if isinstance(one, pulumi.Output)
        }
        secret = [key for key, value in given.items() if await value.is_secret()]
        args.opts.additional_secret_outputs = [*(args.opts.additional_secret_outputs or []), *secret]
        return pulumi.ResourceTransformResult(props=args.props, opts=args.opts)

    def _id(self, args: pulumi.ResourceTransformArgs) -> str:
        inputs = _plain(args.props)
        resource = Resource(urn=f"urn:pulumi:s::p::{args.type_}::{args.name}", type=args.type_, inputs=inputs)
        if _any_unknown(inputs):
            raise Permanent(f"{resource} ({args.type_}) can't be looked for before what it belongs to is found")
        return locate(self.known.aws, resource)


def _plain(value: Any) -> Any:
    """`value` without the marks of secrets."""
    if rpc.is_rpc_secret(value):
        return _plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in cast(Mapping[str, Any], value).items()}
    return [_plain(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def _any_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_any_unknown(item) for item in cast(Mapping[str, Any], value).values())
    if isinstance(value, list):
        return any(_any_unknown(item) for item in cast("list[Any]", value))
    return isinstance(value, Unknown) or value == rpc.UNKNOWN
