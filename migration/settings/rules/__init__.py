"""Rules that compare several keys of the configuration: each yields the problems it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from migration.settings.errors import Problem
from migration.settings.model import Configuration
from migration.settings.rules import (
    balancers,
    control_plane,
    groups,
    living,
    machines,
    names,
    networks,
    retirement,
    service_balancers,
    sides,
    traffic,
    zones,
)

Rule = Callable[[Configuration], Iterator[Problem]]

_RULES: tuple[Rule, ...] = (
    sides.exist,
    sides.have_suffixes,
    sides.are_complete,
    sides.peering_can_stay,
    networks.are_disjoint,
    networks.are_told_apart,
    networks.operators_are_named,
    networks.etcd_can_be_changed,
    zones.are_covered,
    zones.are_named_once,
    machines.are_there,
    machines.enough_vote_meanwhile,
    machines.are_told_apart,
    machines.members_have_addresses,
    groups.are_told_apart,
    groups.say_whose_and_from_where,
    control_plane.has_its_keys,
    control_plane.pki_can_be_found,
    control_plane.sets_fit_the_layout,
    names.cluster_is_legal,
    names.fit,
    names.are_nobodys_yet,
    names.are_told_apart_in_the_state,
    names.tags_are_free,
    balancers.are_whole,
    balancers.have_forms_that_aws_takes,
    balancers.fit_the_service,
    balancers.are_told_apart,
    balancers.are_the_old_sides,
    traffic.leads_to_the_old_side,
    traffic.records_are_of_their_type,
    traffic.ports_fit,
    traffic.quiet_fits_its_gate,
    service_balancers.are_carried_whole,
    retirement.spares_what_stays,
    living.name_what_is_there,
    living.have_the_form_that_aws_takes,
    living.sizes_fit,
    living.groups_are_told_apart,
    living.retiring_leaves_a_pool,
)


def rules(region: str | None) -> tuple[Rule, ...]:
    """All rules; those about the region only where one is given."""
    return (*_RULES, partial(zones.are_of_the_region, region=region)) if region else _RULES


def problems(c: Configuration, region: str | None) -> list[Problem]:
    """Everything all rules find."""
    return [problem for rule in rules(region) for problem in rule(c)]
