"""Security groups that machines are in besides the cluster's own: the old side's, made anew with the same rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.base import Args, Component
from migration.settings.model import CopiedGroup, CopiedRule, ReferencedSide


@dataclass(frozen=True, kw_only=True)
class CopiedGroupsArgs(Args):
    """The side by name, its VPC, and its own groups, which rules may name."""

    side: str
    vpc_id: pulumi.Input[str]
    nodes: pulumi.Input[str]
    control_plane: pulumi.Input[str]


class CopiedGroups(Component):
    """A side's copies of the other security groups, by name in `groups`.

    A rule that names a group of the cluster's names this side's, and the old side's as well while the two are peered;
    one that names any other group does as long as they are.
    """

    def __init__(self, name: str, args: CopiedGroupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("copied_groups:Side", name, args, opts)
        c, self._side = args.scope.settings.configuration, args.side
        made = {
            one.name: aws.ec2.SecurityGroup(
                f"{args.side}-group-{one.name}",
                name=f"{c.cluster}-{one.name}{c.sides[args.side].suffix}",
                description=one.description or f"{one.name} of {c.cluster} in {args.side}",
                vpc_id=args.vpc_id,
                tags={**one.tags, **args.scope.marks(args.side, f"group-{one.name}")},
                opts=self.child(),
            )
            for one in c.security_groups
        }
        self.groups: Mapping[str, pulumi.Output[str]] = {one: group.id for one, group in made.items()}
        here = {"nodes": args.nodes, "controlPlane": args.control_plane, **self.groups}
        there = self._there()
        for one in c.security_groups:
            for rule in one.rules:
                for label, source in self._sources(rule, here, there):
                    self._rule(one, rule, label, source)

    def _there(self) -> Mapping[str, str] | None:
        """Ids of the old side's groups by name; None where there is no old side that has other ones, or no peering."""
        settings = self._scope.settings
        c, old = settings.configuration, settings.old
        if not isinstance(old, ReferencedSide) or self._side != c.to:
            return None
        if settings.stage.finished and not c.retain_peering:
            return None
        own = {"nodes": old.security_groups.nodes, "controlPlane": old.security_groups.control_plane}
        return {**own, **{one.name: one.id for one in c.security_groups}}

    def _sources(
        self, rule: CopiedRule, here: Mapping[str, pulumi.Input[str]], there: Mapping[str, str] | None
    ) -> Iterator[tuple[str, pulumi.Input[str] | None]]:
        """The groups that a rule names, each with what tells it in the rule's name."""
        if rule.group is None:
            yield (rule.cidr or rule.prefix_list or ""), None
        elif rule.group in here:
            yield rule.group, here[rule.group]
            if there is not None:
                yield f"{rule.group}-before", there[rule.group]
        elif there is not None:
            yield rule.group, rule.group

    def _rule(self, group: CopiedGroup, rule: CopiedRule, label: str, source: pulumi.Input[str] | None) -> None:
        ports = "all" if rule.from_port is None else f"{rule.from_port}-{rule.to_port}"
        protocol = "any" if rule.protocol == "-1" else rule.protocol
        name = f"{self._side}-group-{group.name}-{rule.direction}-{protocol}-{ports}-{label}"
        kind = aws.vpc.SecurityGroupIngressRule if rule.direction == "ingress" else aws.vpc.SecurityGroupEgressRule
        kind(
            name,
            security_group_id=self.groups[group.name],
            ip_protocol=rule.protocol,
            from_port=rule.from_port,
            to_port=rule.to_port,
            cidr_ipv4=rule.cidr,
            prefix_list_id=rule.prefix_list,
            referenced_security_group_id=source,
            description=rule.description,
            tags=self._scope.tags(self._side, f"group-{group.name}"),
            opts=self.child(),
        )
