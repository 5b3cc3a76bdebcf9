"""Bad input gets one message each, with key, value and remedy, all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from migration.settings import ConfigurationError, load
from tests.samples import configuration, flat, settings

Change = Callable[[dict[str, Any]], object]


def messages(change: Change, stack: str = "stage-3") -> str:
    values = configuration()
    change(values)
    with pytest.raises(ConfigurationError) as caught:
        load(flat(values), stack)
    return str(caught.value)


def test_the_sample_is_valid() -> None:
    assert settings(3).stage.name == "workers"


BREAKS: list[tuple[str, Change, str, str]] = [
    ("a missing key", lambda c: c.pop("podCidr"), "migration:podCidr", "is missing"),
    ("an unknown key", lambda c: c.update(podCIDR="x"), "migration:podCIDR", "is not a key"),
    ("an unknown nested key", lambda c: c["etcd"].update(port=1), "migration:etcd.port", "is not a key"),
    ("no such side", lambda c: c.update(to="mian"), "migration:to is 'mian'", "described under migration:sides"),
    ("one side twice", lambda c: c.update(to="legacy"), "migration:to", "name the side to move to"),
    ("not a CIDR", lambda c: c.update(podCidr="100.64.0.1/16"), "migration:podCidr", "host bits"),
    (
        "VPCs that overlap",
        lambda c: c["sides"]["main"].update(cidr="10.0.128.0/17"),
        "migration:sides.main.cidr is '10.0.128.0/17'",
        "overlaps migration:sides.legacy.cidr",
    ),
    ("pods in the new VPC", lambda c: c.update(podCidr="10.1.0.0/20"), "migration:podCidr", "overlaps"),
    ("services in the pods", lambda c: c.update(serviceCidr="100.64.8.0/24"), "migration:serviceCidr", "overlaps"),
    (
        "the new VPC in a connected network",
        lambda c: c["connectedNetworks"][0].update(cidr="10.1.2.0/24"),
        "migration:connectedNetworks[corp].cidr",
        "overlaps migration:sides.main.cidr",
    ),
    (
        "a zone without subnet",
        lambda c: c["sides"]["main"].update(zones=["eu-central-1a", "eu-central-1b"]),
        "migration:sides.main.zones",
        "has no subnet in eu-central-1c",
    ),
    (
        "a suffix that makes a name too long",
        lambda c: c["sides"]["main"].update(suffix="-the-new-side-of-the-cluster"),
        "migration:sides.main.suffix",
        "AWS takes 32",
    ),
    ("two sides of one suffix", lambda c: c["sides"]["main"].update(suffix=""), "suffix is ''", "names would collide"),
    ("an even number of members", lambda c: c["members"].pop(), "migration:members", "odd number"),
    ("more moved than there are", lambda c: c.update(controlPlaneMoved=4), "migration:controlPlaneMoved", "0 to 3"),
    (
        "retired and kept",
        lambda c: c["keep"].append({"type": "security-group", "id": "sg-nodes"}),
        "migration:retire is 'sg-nodes'",
        "leave it in one",
    ),
    ("stage beyond the last", lambda c: c.update(stage=9), "migration:stage is '9'", "from 0 to 8"),
    ("stage not a number", lambda c: c.update(stage="three"), "migration:stage is 'three'", "from 0 to 8"),
    ("key and name disagree", lambda c: c.update(stage=4), "migration:stage is 4", "'stage-3' says 3"),
]


@pytest.mark.parametrize(("change", "key", "remedy"), [b[1:] for b in BREAKS], ids=[b[0] for b in BREAKS])
def test_a_break_is_named_with_its_remedy(change: Change, key: str, remedy: str) -> None:
    lines = [line for line in messages(change).splitlines() if key in line]
    assert any(remedy in line for line in lines), messages(change)


def test_all_problems_come_at_once() -> None:
    def change(c: dict[str, Any]) -> None:
        c.update(podCidr="10.1.0.0/20", to="mian", extra="1")
        c["etcd"].pop("certificates")

    text = messages(change)
    assert "migration:extra" in text
    assert "migration:etcd.certificates" in text
    assert "no such side" in text
    assert "overlaps" in text


def test_rules_report_together_once_the_shape_is_right() -> None:
    def change(c: dict[str, Any]) -> None:
        c.update(podCidr="10.1.0.0/20")
        c["members"].pop()

    text = messages(change)
    assert "migration:podCidr" in text or "overlaps" in text
    assert "odd number" in text


def test_what_compares_keys_is_told_together_with_what_is_wrong_in_one() -> None:
    def change(c: dict[str, Any]) -> None:
        c["sides"]["main"].update(sufix="-x", cidr="10.0.128.0/17")  # unknown; two ranges that overlap
        c["api"].update(port=70000)  # no number of a port
        c["members"].append(dict(c["members"][0]))

    text = messages(change)
    assert "migration:sides.main.sufix" in text
    assert "migration:sides.main.cidr is '10.0.128.0/17': overlaps" in text
    assert "migration:api.port is 70000" in text
    assert "an odd number of members" in text


def test_a_side_may_be_called_what_its_kind_is_called() -> None:
    def change(c: dict[str, Any]) -> None:
        c["sides"]["managed"] = {**c["sides"].pop("main"), "sufix": "-x"}

    text = messages(change)
    assert "migration:sides.managed.sufix" in text
    assert "migration:to is 'main': no such side" in text


def test_a_rule_whose_key_is_itself_wrong_says_nothing() -> None:
    text = messages(lambda c: (c.update(podCidr="x"), c.update(serviceCidr="10.1.0.0/24")))
    assert text.startswith("1 problem(s)")
    assert "migration:podCidr" in text


def earlier(c: dict[str, Any]) -> None:
    """What stack files of earlier versions say besides."""
    c["workerRole"] = "nodes.pet"
    for zone in c["sides"]["legacy"]["zones"].values():
        zone["public"] = "subnet-1"
    for balancer in c["sides"]["legacy"]["loadBalancers"].values():
        balancer.update(port=443)
    for pool in c["pools"]:
        pool.update(launchTemplate="lt-1", instanceType="m5.large", market="on-demand")
    for member in c["members"]:
        member.update(launchTemplate="lt-2", volumeId="vol-1")


def test_a_stack_file_of_an_earlier_version_says_the_same_as_one_of_today() -> None:
    values = configuration()
    earlier(values)
    assert load(flat(values), "stage-3").configuration == settings(3).configuration


def test_beside_keys_that_are_gone_an_unknown_one_is_still_refused() -> None:
    def change(c: dict[str, Any]) -> None:
        earlier(c)
        c.update(workerrole="x")
        c["pools"][0].update(marketType="spot")
        c["members"][0].update(volumeID="vol-1")
        c["api"].update(launchTemplate="lt-1")  # gone from pools and members, never here

    text = messages(change)
    for key in ("workerrole", "pools[0].marketType", "members[0].volumeID", "api.launchTemplate"):
        assert any(f"migration:{key}" in line and "is not a key" in line for line in text.splitlines()), text
    assert text.startswith("4 problem(s)")


@pytest.mark.parametrize(
    ("stack", "key", "stage", "environment"),
    [
        ("stage-3", None, 3, "default"),
        ("staging.stage-1", None, 1, "staging"),
        ("production", "5", 5, "production"),
        ("stage-2", "2", 2, "default"),
    ],
)
def test_the_stage_comes_from_the_stacks_name_or_the_key(
    stack: str, key: str | None, stage: int, environment: str
) -> None:
    found = load(flat(configuration(**({"stage": key} if key else {}))), stack)
    assert (found.stage.number, found.environment) == (stage, environment)


def test_a_stack_without_any_stage_is_told_how_to_give_one() -> None:
    with pytest.raises(ConfigurationError, match="pulumi config set migration:stage 0"):
        load(flat(configuration()), "production")


def test_a_stack_named_for_no_stage_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is 'x': is not a stage"):
        load(flat(configuration()), "stage-x")


def test_the_next_command_is_the_one_people_type() -> None:
    assert "pulumi up -s staging.stage-{stage}" in load(flat(configuration()), "staging.stage-1").command
    assert "pulumi config set migration:stage {stage}" in load(flat(configuration(stage="1")), "production").command
