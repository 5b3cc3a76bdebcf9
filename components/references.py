"""Rules elsewhere that name the old side, given their twins for the new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi

from components.base import Args, Component
from components.side_view import SideView
from migration.contracts.gates import peered_vpcs
from migration.contracts.references import Naming, ReferencesInputs
from providers.operations import References


@dataclass(frozen=True, kw_only=True)
class ReferencesElsewhereArgs(Args):
    """Both sides."""

    old: SideView
    new: SideView


class ReferencesElsewhere(Component):
    """One operation over the whole account: made where the new side has groups, taken back where it has none."""

    def __init__(self, name: str, args: ReferencesElsewhereArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("references:Elsewhere", name, args, opts)
        scope, old, new = args.scope, args.old, args.new
        settings, there = scope.settings, scope.settings.stage.shared.on_new
        known: pulumi.Output[Any] = pulumi.Output.all(old=_naming(old), new=_naming(new) if there else None)

        def inputs(seen: dict[str, Any]) -> ReferencesInputs:
            return ReferencesInputs(
                **scope.common(),
                wanted="answered" if there else "absent",
                old=Naming.model_validate(seen["old"]),
                new=None if seen["new"] is None else Naming.model_validate(seen["new"]),
                peered_vpcs=peered_vpcs(settings.configuration),
                sides=(old.name, new.name),
                returning=scope.returning,
            )

        References(name, known.apply(inputs), self.child())


def _naming(side: SideView) -> dict[str, Any]:
    groups = {"nodes": side.nodes_group, "control-plane": side.control_plane_group, "etcd": side.etcd_group}
    return {
        "vpc_id": side.vpc_id,
        "ranges": list(side.ranges.values()),
        "groups": {role: id_ for role, id_ in groups.items() if id_ is not None},
    }
