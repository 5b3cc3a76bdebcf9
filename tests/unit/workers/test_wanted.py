"""What a side's machines are launched from: copied values, keys on top, and what is refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import SecretStr

from migration.contracts.launch import InstanceRequirements, IntegerRange
from migration.contracts.scaling import Distribution, Mixed, Override
from migration.contracts.workers import BlockDevice, Ebs, Group, InstanceProfile, MarketOptions, Template
from migration.runtime.deadline import Permanent
from migration.settings.model import ManagedSide, Pool, PoolKeys
from migration.workers.wanted import wanted_group, wanted_template

COPIED = Template(
    image_id="ami-1",
    instance_type="m5.large",
    key_name="ops",
    iam_instance_profile=InstanceProfile(name="nodes"),
    block_device_mappings=(
        BlockDevice(device_name="/dev/xvda", ebs=Ebs(volume_size=50, volume_type="gp3", iops=4000, throughput=250)),
    ),
    user_data=SecretStr("dGhlaXJz"),
    instance_market_options=MarketOptions(market_type="spot"),
)
GROUP = Group(group="a.pet", min=1, max=5, desired=3, template=COPIED, tags={"k8s": "1"})


def keys(**said: Any) -> PoolKeys:
    return PoolKeys.model_validate(said)


def side(**pools: Any) -> ManagedSide:
    value = {"kind": "managed", "cidr": "10.1.0.0/16", "suffix": "-main", "zones": ["z"], "pools": pools}
    return ManagedSide.model_validate(value)


def pool(name: str) -> Pool:
    return Pool(name=name, group=f"{name}.pet", zones=("z",))


def test_what_is_not_said_is_as_it_was_copied() -> None:
    assert wanted_template(COPIED, keys(), "here") == COPIED
    assert wanted_group({"a": GROUP}, pool("a"), side(), "main") == GROUP


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [
        ({"image": "ami-2"}, "image_id", "ami-2"),
        ({"instanceType": "m6i.large"}, "instance_type", "m6i.large"),
        ({"instanceTypes": ["m6i.large"]}, "instance_type", "m6i.large"),
        ({"keyName": "other"}, "key_name", "other"),
        ({"instanceProfile": "p"}, "iam_instance_profile", InstanceProfile(name="p")),
        ({"instanceProfile": "arn:aws:iam::1:p"}, "iam_instance_profile", InstanceProfile(arn="arn:aws:iam::1:p")),
        ({"market": "on-demand"}, "instance_market_options", None),
        ({"market": "spot"}, "instance_market_options", MarketOptions(market_type="spot")),
        ({"userData": "#!/bin/sh"}, "user_data", SecretStr(base64.b64encode(b"#!/bin/sh").decode())),
    ],
)
def test_a_key_changes_its_own_field_and_no_other(said: Any, field: str, value: Any) -> None:
    assert wanted_template(COPIED, keys(**said), "here") == COPIED.model_copy(update={field: value})


def test_a_disk_is_larger_by_its_key_and_another_is_added() -> None:
    said = keys(disks=[{"device": "/dev/xvda", "size": 80}, {"device": "/dev/xvdb", "size": 10, "type": "gp2"}])
    first, second = wanted_template(COPIED, said, "here").block_device_mappings
    assert first.ebs == Ebs(volume_size=80, volume_type="gp3", iops=4000, throughput=250)
    assert (second.device_name, second.ebs) == ("/dev/xvdb", Ebs(volume_size=10, volume_type="gp2"))


def test_another_volume_type_does_not_keep_what_only_the_copied_one_takes() -> None:
    [disk] = wanted_template(COPIED, keys(disks=[{"device": "/dev/xvda", "type": "gp2"}]), "here").block_device_mappings
    assert disk.ebs == Ebs(volume_size=50, volume_type="gp2")


def test_a_smaller_disk_is_refused_by_key_value_and_remedy() -> None:
    with pytest.raises(
        Permanent, match=r"here.disks\[/dev/xvda\].size is 20, and the copied disk has 50 GiB.*at least"
    ):
        wanted_template(COPIED, keys(disks=[{"device": "/dev/xvda", "size": 20}]), "here")


@pytest.mark.parametrize(
    ("said", "sizes"),
    [
        ({"desired": 7}, (1, 7, 7)),
        ({"max": 2}, (1, 2, 2)),
        ({"min": 4}, (4, 5, 4)),
        ({"max": 0}, (0, 0, 0)),
        ({"min": 2, "desired": 2, "max": 9}, (2, 9, 2)),
    ],
)
def test_a_size_that_is_said_goes_before_those_that_are_only_copied(said: Any, sizes: tuple[int, int, int]) -> None:
    found = wanted_group({"a": GROUP}, pool("a"), side(a=said), "main")
    assert (found.min, found.max, found.desired) == sizes


def test_an_added_pool_is_like_another_with_that_ones_keys_and_its_own_on_top() -> None:
    both = side(a={"image": "ami-a", "max": 9}, b={"like": "a", "instanceType": "c5.large"})
    found = wanted_group({"a": GROUP}, pool("b"), both, "main")
    assert (found.group, found.max, found.desired) == ("b.pet", 9, 3)
    assert (found.template.image_id, found.template.instance_type) == ("ami-a", "c5.large")
    assert found.template.user_data == COPIED.user_data


def test_what_was_copied_for_a_pool_goes_before_what_it_is_like() -> None:
    own = GROUP.model_copy(update={"group": "b.pet", "desired": 1})
    assert wanted_group({"a": GROUP, "b": own}, pool("b"), side(b={"like": "a"}), "main").desired == 1


def test_a_pool_of_image_and_type_alone_begins_empty() -> None:
    said = {"image": "ami-9", "instanceType": "m5.large"}
    found = wanted_group({}, pool("b"), side(b=said), "main")
    assert (found.min, found.max, found.desired) == (0, 1, 0)
    assert found.template == Template(image_id="ami-9", instance_type="m5.large")


@pytest.mark.parametrize("said", [{}, {"like": "a"}, {"image": "ami-9"}])
def test_a_pool_of_which_nothing_is_known_is_refused_with_what_to_set(said: Any) -> None:
    with pytest.raises(Permanent, match=r"nothing is known of pool b.*set migration:sides.main.pools.b.like"):
        wanted_group({}, pool("b"), side(b=said), "main")


def test_several_types_are_a_mixed_policy_on_the_market_that_was_copied() -> None:
    """AWS refuses a policy over a template that says its own market."""
    found = wanted_group({"a": GROUP}, pool("a"), side(a={"instanceTypes": ["m6i.large", "m6a.large"]}), "main")
    assert found.template.instance_market_options is None
    assert found.mixed == Mixed(
        overrides=(Override(instance_type="m6i.large"), Override(instance_type="m6a.large")),
        instances_distribution=Distribution(on_demand_base_capacity=0, on_demand_percentage_above_base_capacity=0),
    )


def test_a_type_or_a_market_that_is_said_stands_in_a_copied_policy() -> None:
    shares = Distribution(on_demand_base_capacity=2, spot_allocation_strategy="lowest-price")
    policy = Mixed(overrides=(Override(instance_type="m5.large"),), instances_distribution=shares)
    plain = COPIED.model_copy(update={"instance_market_options": None})
    group = GROUP.model_copy(update={"mixed": policy, "template": plain})
    one = wanted_group({"a": group}, pool("a"), side(a={"instanceType": "c5.large"}), "main")
    assert one.mixed == policy.model_copy(update={"overrides": (Override(instance_type="c5.large"),)})
    other = wanted_group({"a": group}, pool("a"), side(a={"market": "on-demand"}), "main").mixed
    assert other is not None and other.overrides == policy.overrides
    assert other.instances_distribution.on_demand_percentage_above_base_capacity == 100
    assert other.instances_distribution.spot_allocation_strategy == "lowest-price"
    assert wanted_group({"a": group}, pool("a"), side(), "main") == group


def test_a_type_takes_the_place_of_what_a_type_must_have() -> None:
    """A launch template has one or the other."""
    any_type = InstanceRequirements(vcpu_count=IntegerRange(min=2), memory_mib=IntegerRange(min=4096))
    copied = COPIED.model_copy(update={"instance_type": None, "instance_requirements": any_type})
    found = wanted_template(copied, keys(instanceType="m5.large"), "here")
    assert (found.instance_type, found.instance_requirements) == ("m5.large", None)
