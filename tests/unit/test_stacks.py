"""The worked examples in `stacks/` are what the program takes, at the sizes they claim."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import product

import pytest

from migration.contracts.gates import member_groups, worker_groups
from migration.names import LIMITS, physical_name
from migration.settings import Settings, load_file
from migration.settings.model import ManagedSide, ReferencedSide
from tests.example_stacks import EXAMPLES, MARKETS, PRODUCTION, STACKS, STAGING, ZONES, Example, path, pool_name, text

both = pytest.mark.parametrize("example", EXAMPLES, ids=[example.environment for example in EXAMPLES])
RFC_1918 = [IPv4Network(cidr) for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]


def loaded(example: Example) -> Settings:
    return load_file(path(example))


@both
def test_an_example_is_valid_and_begins_at_the_baseline(example: Example) -> None:
    settings = loaded(example)
    assert settings.stage.number == 0
    assert settings.environment == example.environment
    assert settings.command == "pulumi config set migration:stage {stage} && pulumi up"
    assert settings.region == "eu-central-1"


@both
def test_an_example_is_what_its_generator_writes(example: Example) -> None:
    assert path(example).read_text() == text(example), "run: python -m tests.example_stacks"


def test_only_the_examples_are_kept_beside_the_labs_own_stacks() -> None:
    kept = {file.name for file in STACKS.glob("Pulumi.*.yaml") if not file.name.startswith("Pulumi.stage-")}
    assert {path(example).name for example in EXAMPLES} <= kept


@pytest.mark.parametrize(("example", "groups"), [(STAGING, 12), (PRODUCTION, 72)], ids=["staging", "production"])
def test_every_type_zone_and_market_is_one_group(example: Example, groups: int) -> None:
    pools = loaded(example).configuration.pools
    assert len(pools) == groups
    expected = [
        (pool_name(kind, zone, market), (zone,)) for kind, zone, market in product(example.types, ZONES, MARKETS)
    ]
    assert sorted((pool.name, pool.zones) for pool in pools) == sorted(expected)


@both
def test_names_and_ids_are_unique(example: Example) -> None:
    c = loaded(example).configuration
    everyone = [*c.pools, *c.members]
    for ids in (
        [one.name for one in everyone],
        [one.group for one in everyone],
        [member.address for member in c.members],
        [record.name for record in c.traffic.records],
        [item.id for item in (*c.retire, *c.keep)],
    ):
        assert len(set(ids)) == len(ids)


@both
def test_three_members_live_in_three_zones_of_the_old_vpc(example: Example) -> None:
    settings = loaded(example)
    members = settings.configuration.members
    assert [member.zone for member in members] == list(ZONES)
    assert all(IPv4Network(member.address).subnet_of(IPv4Network(settings.old.cidr)) for member in members)


@both
def test_both_sides_are_private_and_the_new_one_overlaps_nobody(example: Example) -> None:
    settings = loaded(example)
    assert isinstance(settings.old, ReferencedSide)
    assert isinstance(settings.new, ManagedSide)
    for side in (settings.old, settings.new):
        assert any(IPv4Network(side.cidr).subnet_of(space) for space in RFC_1918)
    connected = [IPv4Network(network.cidr) for network in settings.configuration.connected_networks]
    assert not any(IPv4Network(settings.new.cidr).overlaps(network) for network in connected)


def test_the_production_examples_old_vpc_collides_as_the_one_it_is_modelled_on() -> None:
    settings = loaded(PRODUCTION)
    old = IPv4Network(settings.old.cidr)
    colliding = [n.name for n in settings.configuration.connected_networks if IPv4Network(n.cidr).overlaps(old)]
    assert colliding == ["partner-pods"]


@both
def test_the_retire_list_holds_every_group_template_balancer_and_volume_of_the_old_side(example: Example) -> None:
    settings = loaded(example)
    c, old = settings.configuration, settings.old
    assert isinstance(old, ReferencedSide)
    retired = {(item.type, item.id) for item in c.retire}
    everyone = [*c.pools, *c.members]
    balancers = (old.load_balancers.api, old.load_balancers.ingress)
    assert retired == {
        *(("autoscaling-group", one.group) for one in everyone),
        *(("launch-template", example.id("lt", one.group)) for one in everyone),
        *(("volume", example.id("vol", f"etcd {member.name}")) for member in c.members),
        *(("load-balancer", balancer.arn) for balancer in balancers),
        *(("target-group", arn) for balancer in balancers for arn in balancer.target_groups),
        ("security-group", old.security_groups.nodes),
        ("security-group", old.security_groups.control_plane),
    }


@both
def test_a_record_leads_to_the_old_sides_balancer(example: Example) -> None:
    settings = loaded(example)
    assert isinstance(settings.old, ReferencedSide)
    balancers = {"api": settings.old.load_balancers.api, "ingress": settings.old.load_balancers.ingress}
    records = settings.configuration.traffic.records
    assert {record.serves for record in records} == {"api", "ingress"}
    assert all(record.value == balancers[record.serves].dns_name for record in records)
    assert settings.configuration.api.name in {record.name for record in records}


@both
def test_the_new_sides_groups_get_names_of_their_own_that_aws_takes(example: Example) -> None:
    settings = loaded(example)
    old, new = ([*worker_groups(settings, side), *member_groups(settings, side)] for side in ("legacy", "main"))
    assert len({*old, *new}) == 2 * len(old)
    assert all(len(name) <= LIMITS["launch-template"] for name in new)
    balancers = [physical_name(example.cluster, role, settings.new.suffix) for role in ("ingress", "apimembers")]
    assert all(len(name) <= LIMITS["load-balancer"] for name in balancers)
