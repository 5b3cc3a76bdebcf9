"""Names: which side's balancers they lead to."""

from __future__ import annotations

import pulumi

from components.base import Component, Scope
from components.side_view import SideView
from migration.stages import Placement
from providers.operations import ApiTargets, DnsCut


class Names(Component):
    """The ingress names and the API's name as weighted records, moved by one change batch a stage."""

    def __init__(self, scope: Scope, old: SideView, new: SideView, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dns:Names", "names", scope, opts)
        c, stage = scope.settings.configuration, scope.settings.stage
        assert old.ingress and old.api and new.ingress and new.api
        # Once the old side is given up nothing shall name it any more: the names become simple again.
        wanted = "final" if stage.network is Placement.NEW else stage.traffic.value
        self.cut = DnsCut(
            "names",
            scope.operation(
                zoneId=c.traffic.zone_id,
                records=[record.model_dump() for record in c.traffic.records],
                wanted=wanted,
                newPercent=c.traffic.new_traffic_percent,
                ttl=c.traffic.ttl,
                oldName=old.name,
                newName=new.name,
                old={"ingress": old.ingress.dns_name, "api": old.api.dns_name},
                new={"ingress": new.ingress.dns_name, "api": new.api.dns_name},
            ),
            self.child(),
        )
        self.register_outputs({})


class ApiMembers(Component):
    """The old members, by address, as targets of the new side's API balancer until each is swapped."""

    def __init__(
        self, scope: Scope, target_group: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("dns:ApiMembers", "api-members", scope, opts)
        c = scope.settings.configuration
        self.targets = ApiTargets(
            "api-targets",
            scope.operation(
                targetGroup=target_group,
                port=c.api.port,
                members=[{"name": member.name, "address": member.address} for member in c.members],
            ),
            self.child(),
        )
        self.register_outputs({})
