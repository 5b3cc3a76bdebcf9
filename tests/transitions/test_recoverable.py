"""Whatever the program declares, `recover` knows what to do about it when its create was interrupted."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from migration.recover.decide import repeatable
from migration.recover.objects import KINDS, Group, Tagged
from migration.recover.places import imported, kind_of
from migration.recover.state import Operation, Resource
from migration.settings import load
from migration.stages import STAGES
from tests.samples import flat
from tests.transitions.recorder import Declared, declare
from tests.transitions.test_traffic import several

NUMBERS = [stage.number for stage in STAGES]
# AWS keeps nothing of these unique: only their tags tell them apart.
BY_TAGS = {
    "aws:ec2/vpc:Vpc",
    "aws:ec2/routeTable:RouteTable",
    "aws:ec2/internetGateway:InternetGateway",
    "aws:ec2/eip:Eip",
    "aws:ebs/volume:Volume",
}
UNTAGGED = {
    "aws:ec2/route:Route",
    "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "aws:route53/zoneAssociation:ZoneAssociation",
    "aws:route53/resolverRuleAssociation:ResolverRuleAssociation",
    "aws:autoscaling/policy:Policy",
    "aws:autoscaling/schedule:Schedule",
}


@cache
def declared(stage: int) -> list[Declared]:
    """With a way to the internet, what an old VPC may offer besides, and what balancers and groups may have."""
    c = several()
    c["pools"][0] |= {
        "scaling": [{"name": "cpu", "target": 60, "predefined": "ASGAverageCPUUtilization"}],
        "schedules": [{"name": "night", "recurrence": "0 20 * * *", "min": 1}],
    }
    c["sides"]["main"] |= {
        "nat": "per-zone",
        "endpoints": [{"service": "com.amazonaws.eu-central-1.ecr.api", "type": "Interface"}],
        "dhcpOptions": "dopt-1",
        "resolverRules": ["rslvr-rr-1"],
        "privateZones": ["Z2"],
        "rules": [{"group": "nodes", "direction": "egress", "prefixList": "pl-1"}],
    }
    found = declare(load(flat(c), f"stage-{stage}")).values()
    return [one for one in found if not one.type.startswith("migration:")]


def marks(one: Declared) -> tuple[tuple[str, str], ...]:
    inputs = KINDS[one.type].inputs.model_validate(one.inputs)
    return tuple(sorted(inputs.marks().items())) if isinstance(inputs, Tagged | Group) else ()


@pytest.mark.parametrize("stage", NUMBERS)
def test_an_interrupted_create_of_it_may_be_repeated_or_its_object_is_looked_for(stage: int) -> None:
    assert len(declared(stage)) > 4
    for one in declared(stage):
        resource = Resource(urn=f"urn:pulumi:s::p::{one.type}::{one.name}", type=one.type, inputs=one.inputs)
        if repeatable(Operation(resource=resource, type="creating")) is None:
            assert one.type in KINDS, one
            named = {key for key, _ in marks(one)}
            wanted = set() if one.type in UNTAGGED else {"migration:cluster", "migration:side", "migration:role"}
            assert wanted <= named, one


@pytest.mark.parametrize("stage", NUMBERS)
def test_its_object_is_looked_for_where_a_state_is_lost(stage: int) -> None:
    missing = {
        one.type
        for one in declared(stage)
        if imported(one.type) and one.type.startswith("aws:") and kind_of(one.type) is None
    }
    assert not missing


@pytest.mark.parametrize("stage", NUMBERS)
def test_what_only_its_tags_tell_has_tags_of_its_own(stage: int) -> None:
    seen = Counter((one.type, marks(one)) for one in declared(stage) if one.type in BY_TAGS)
    assert [key for key, times in seen.items() if times > 1] == []


def test_every_type_that_is_looked_for_is_one_that_the_program_makes() -> None:
    assert KINDS.keys() == KINDS.keys() & {one.type for stage in NUMBERS for one in declared(stage)}
