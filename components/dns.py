"""Names: which side's balancers they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import pulumi
import pulumi_aws as aws

from components.base import Args, Component
from components.side_view import BalancerView, SideView
from migration.contracts.members import api_members
from migration.contracts.traffic import ApiTargetsInputs, DnsCutInputs, SideBalancers
from migration.dns.wanted import weights_at
from migration.settings.model import DnsRecord
from migration.stages import Names as Form
from providers.operations import ApiTargets, DnsCut

FORMS: dict[Form, Literal["pair", "original", "final"]] = {
    Form.FOUND: "original",
    Form.PAIR: "pair",
    Form.FINAL: "final",
}


@dataclass(frozen=True, kw_only=True)
class NamesArgs(Args):
    """Both sides, with their balancers; the new one may have none."""

    old: SideView
    new: SideView


class Names(Component):
    """The ingress names and the API's name as weighted pairs of records, one a side.

    Making the pairs and dissolving them is one change batch each, so that no query ever finds nothing. Once they
    stand, their weights are records of this stack: a preview says ``weight: 100 => 50``.
    """

    def __init__(self, name: str, args: NamesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dns:Names", name, args, opts)
        c, stage = args.scope.settings.configuration, args.scope.settings.stage
        aliased = sorted({record.serves for record in c.traffic.records if record.is_alias})
        old, new = _balancers(args.old, aliased), _balancers(args.new, aliased)
        # However long the old answers live, they are waited out: that isn't a gate's time.
        alias_ttl = c.limits.alias_ttl_seconds
        longest = max((record.kept(alias_ttl) for record in c.traffic.records), default=0)
        common = args.scope.common(c.limits.gate_seconds + longest)
        weights = weights_at(stage, c.traffic.new_traffic_percent)
        form = FORMS[stage.names]
        cuts: list[pulumi.Resource] = []
        for position, (zone, records) in enumerate(args.scope.settings.zones.items()):
            # A batch is one zone's: what is in several moves in one of each.
            cut = DnsCut(
                name if position == 0 else f"{name}-{zone}",
                pulumi.Output.all(old=old, new=new).apply(
                    lambda both, zone=zone, records=records: DnsCutInputs(
                        **common,
                        form=form,
                        zone_id=zone,
                        records=records,
                        ttl=c.traffic.ttl,
                        new_weight=weights.new,
                        alias_ttl=alias_ttl,
                        old=both["old"],
                        new=both["new"],
                        returning=args.scope.returning,
                    )
                ),
                self.child(),
            )
            cuts.append(cut)
        self.last: list[pulumi.Resource] = cuts
        if form == "pair":
            # The new side's share grows before the old side's shrinks.
            self.last = self._weights(args.new, weights.new, cuts)
            self.last = self._weights(args.old, weights.old, self.last)

    def _weights(self, side: SideView, weight: int, after: list[pulumi.Resource]) -> list[pulumi.Resource]:
        traffic = self._scope.settings.configuration.traffic
        return [
            aws.route53.Record(
                f"{side.name}-{record.name}" if zone == traffic.zone_id else f"{side.name}-{zone}-{record.name}",
                zone_id=zone,
                name=record.name,
                **_leading(record, side.balancer(record.serves), traffic.ttl),
                set_identifier=side.name,
                weighted_routing_policies=[aws.route53.RecordWeightedRoutingPolicyArgs(weight=weight)],
                # The pair was made in one batch before; this takes it over as it is.
                allow_overwrite=True,
                # Dissolving the pair is one batch, too; the records only leave the stack.
                opts=self.child(after=after, retain_on_delete=True),
            )
            for zone, records in traffic.zones().items()
            for record in records
        ]


class _Leading(TypedDict, total=False):
    type: str
    ttl: int
    records: list[pulumi.Input[str]]
    aliases: list[aws.route53.RecordAliasArgs]


def _leading(record: DnsRecord, balancer: BalancerView, ttl: int) -> _Leading:
    """How a side's record leads to its balancer; `ttl` (seconds) is a CNAME's."""
    if not record.is_alias:
        return {"type": "CNAME", "ttl": ttl, "records": [balancer.dns_name]}
    assert balancer.zone_id is not None, "the configuration's rules ask for the zone of every balancer with an alias"
    target = aws.route53.RecordAliasArgs(
        name=balancer.dns_name, zone_id=balancer.zone_id, evaluate_target_health=record.evaluated_in_pair
    )
    return {"type": "A", "aliases": [target]}


def _balancers(side: SideView, aliased: Sequence[str]) -> pulumi.Output[SideBalancers]:
    """Their names, and the zones of those names for roles that aliases lead to."""
    if not side.has_balancers:
        return pulumi.Output.from_input(SideBalancers(side=side.name))
    names = pulumi.Output.all(**{role: side.balancer(role).dns_name for role in [*side.ingresses, "api"]})
    zones = pulumi.Output.all(**{role: side.balancer(role).zone_id for role in aliased})
    return pulumi.Output.all(names=names, zones=zones).apply(
        lambda known: SideBalancers.named(side.name, known["names"], known["zones"])
    )


@dataclass(frozen=True, kw_only=True)
class ApiMembersArgs(Args):
    """The target group (ARN) of the new side's API balancer."""

    target_group: pulumi.Input[str]


class ApiMembers(Component):
    """The old members, by address, as targets of the new side's API balancer until each is swapped."""

    def __init__(self, name: str, args: ApiMembersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dns:ApiMembers", name, args, opts)
        c, common = args.scope.settings.configuration, args.scope.common()
        self.targets = ApiTargets(
            "api-targets",
            pulumi.Output.from_input(args.target_group).apply(
                lambda group: ApiTargetsInputs(
                    **common,
                    target_group=group,
                    port=c.api.on_members,
                    members=api_members(args.scope.settings),
                )
            ),
            self.child(),
        )
