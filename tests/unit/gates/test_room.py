"""The gate of room: quotas, types, addresses, targets, reservations and keys, each with what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from migration.contracts.gates import MachinePlaced, PoolPlaced, RoomForBoth
from migration.gates import Live, look
from migration.gates.quotas import family_of
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent
from migration.stages import STAGES
from tests.samples import settings

ROLE = "arn:aws-cn:iam::1:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
KEY = "arn:aws-cn:kms:cn-north-1:1:key/k"
ZONES = ("za", "zb")


def denied(*_: Any, **__: Any) -> Any:
    raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Any")


def pages(key: str, answer: Callable[..., list[dict[str, Any]]]) -> Any:
    return SimpleNamespace(paginate=lambda **asked: [{key: answer(**asked)}])


@dataclass
class Account:
    """As much of `Aws` as is asked, with an answer for everything."""

    size: int = 4
    data: dict[str, Any] = field(default_factory=dict)
    group: dict[str, Any] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)
    types: dict[str, int] = field(default_factory=lambda: {"m5.large": 2, "g5.xlarge": 4})
    offered: set[tuple[str, str]] = field(default_factory=lambda: {("m5.large", zone) for zone in ZONES})
    running: list[dict[str, Any]] = field(default_factory=list)
    quota: float | None = 1000.0
    limits: dict[str, int] = field(default_factory=dict)
    default_key: str = "alias/aws/ebs"
    key: dict[str, Any] = field(default_factory=lambda: {"Arn": KEY, "KeyManager": "CUSTOMER", "KeyState": "Enabled"})
    policy: list[dict[str, Any]] = field(default_factory=list)
    grants: list[str] = field(default_factory=list)
    reserved: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    rules: list[dict[str, Any]] = field(default_factory=list)
    rules_added: dict[str, int] = field(default_factory=dict)
    groups_each: int = 1

    def groups(self, names: Any) -> dict[str, Any]:
        described = {
            "AutoScalingGroupName": "old",
            "MinSize": 0,
            "MaxSize": 10,
            "DesiredCapacity": self.size,
            "LaunchTemplate": {"LaunchTemplateId": "lt"},
            "ServiceLinkedRoleARN": ROLE,
            **self.group,
        }
        there = {"AutoScalingGroupName": "new", "Instances": [{"InstanceId": one} for one in self.new]}
        known = {
            "old": described,
            "master": {**described, "DesiredCapacity": 1},
            **({"new": there} if self.new else {}),
        }
        return {name: known[name] for name in names if name in known}

    @property
    def autoscaling(self) -> Any:
        return SimpleNamespace(
            describe_lifecycle_hooks=lambda **_: {"LifecycleHooks": []},
            describe_notification_configurations=lambda **_: {"NotificationConfigurations": []},
        )

    @property
    def ec2(self) -> Any:
        data = {"ImageId": "ami-1", "InstanceType": "m5.large", **self.data}
        offered = [{"InstanceType": kind, "Location": zone} for kind, zone in sorted(self.offered)]
        paged = {
            "describe_instance_type_offerings": pages("InstanceTypeOfferings", lambda **_: offered),
            "describe_instance_types": pages(
                "InstanceTypes",
                lambda InstanceTypes: [
                    {"InstanceType": kind, "VCpuInfo": {"DefaultVCpus": self.types[kind]}} for kind in InstanceTypes
                ],
            ),
            "describe_security_group_rules": pages("SecurityGroupRules", lambda **_: self.rules),
            "describe_instances": pages("Reservations", lambda **_: [{"Instances": self.running}]),
        }

        def paginator(call: str) -> Any:
            return SimpleNamespace(paginate=denied) if call in self.silent else paged[call]

        return SimpleNamespace(
            describe_launch_template_versions=lambda **_: {"LaunchTemplateVersions": [{"LaunchTemplateData": data}]},
            get_paginator=paginator,
            get_ebs_default_kms_key_id=lambda: {"KmsKeyId": self.default_key},
            describe_capacity_reservations=lambda CapacityReservationIds: {
                "CapacityReservations": [
                    {"CapacityReservationId": one, "AvailableInstanceCount": self.reserved[one]}
                    for one in CapacityReservationIds
                    if one in self.reserved
                ]
            },
        )

    @property
    def elbv2(self) -> Any:
        limits = [{"Name": name, "Max": str(most)} for name, most in self.limits.items()]
        return SimpleNamespace(describe_account_limits=lambda: {"Limits": limits})

    @property
    def quotas(self) -> Any:
        def asked(**_: Any) -> Any:
            return denied() if self.quota is None else {"Quota": {"Value": self.quota}}

        return SimpleNamespace(get_service_quota=denied, get_aws_default_service_quota=asked)

    @property
    def kms(self) -> Any:
        policy = json.dumps({"Statement": self.policy})
        grants = [{"GranteePrincipal": one} for one in self.grants]
        return SimpleNamespace(
            describe_key=denied if "describe_key" in self.silent else lambda KeyId: {"KeyMetadata": self.key},
            get_paginator=lambda _: pages("Grants", lambda KeyId: grants),
            get_key_policy=lambda **_: {"Policy": policy},
        )

    def ask(self, prefix: int = 20, **pool: Any) -> str:
        placed = PoolPlaced(old="old", new="new", zones=ZONES, **pool)
        member = MachinePlaced(old="master", new="new-master", zone="za")
        question = RoomForBoth(
            pools=(placed,),
            control_plane=(member,),
            subnet_prefix=prefix,
            rules_added=self.rules_added,
            groups_each=self.groups_each,
        )
        clients: Any = SimpleNamespace(aws=self)
        return look(question, Live("pet", Context(log=lambda _: None, deadline=Deadline(1), clients=clients)))

    def refusal(self, prefix: int = 20, **pool: Any) -> str:
        with pytest.raises(Permanent) as refused:
            self.ask(prefix, **pool)
        return str(refused.value)


def disk(**said: Any) -> dict[str, Any]:
    return {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, **said}}]}


def test_the_question_has_every_group_with_its_copy() -> None:
    question = RoomForBoth.of(settings(0), STAGES[0])
    sample = settings(0).configuration
    assert [one.old for one in question.pools] == [one.group for one in sample.pools]
    assert [one.new for one in question.pools] == [f"{one.group}-main" for one in sample.pools]
    assert [one.zone for one in question.control_plane] == [one.zone for one in sample.members]
    assert question.subnet_prefix == 20


def test_where_there_is_room_it_says_for_how_many() -> None:
    assert Account(data=disk()).ask() == "room for 5 more machines"


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("m5.large", "Standard"),
        ("im4gn.large", "Standard"),
        ("t3a.small", "Standard"),
        ("inf2.xlarge", "Inf"),
        ("trn1.2xlarge", "Trn"),
        ("g5.xlarge", "G and VT"),
        ("p4d.24xlarge", "P"),
        ("x2gd.large", "X"),
        ("u-6tb1.metal", "High Memory"),
        ("dl1.24xlarge", "DL"),
        ("hpc6a.48xlarge", "HPC"),
        ("f1.2xlarge", "F"),
    ],
)
def test_types_count_against_their_familys_quota(kind: str, family: str) -> None:
    assert family_of(kind) == family


def test_processors_that_are_in_use_and_those_that_come_must_fit_the_quota() -> None:
    running = [
        {"InstanceType": "m5.large"},
        {"InstanceType": "m5.large", "InstanceLifecycle": "spot"},
        {"InstanceType": "m5.large", "CpuOptions": {"CoreCount": 1, "ThreadsPerCore": 1}},
    ]
    # 2 + 1 run on demand, 5 machines of 2 come.
    assert "warning" not in Account(running=running, quota=13).ask()
    told = Account(running=running, quota=12).refusal()
    assert told == (
        "10 more on-demand Standard vCPUs are needed, and 3 of 12 are in use: raise the quota L-1216C47A of EC2"
    )
    # Four of the five on the spot market, where one of 2 runs.
    spot = {"InstanceMarketOptions": {"MarketType": "spot"}}
    assert (
        "10 more spot Standard vCPUs are needed, and 2 of 11" in Account(running=running, quota=11, data=spot).refusal()
    )


def test_what_runs_on_the_new_side_already_is_not_needed_again() -> None:
    assert Account(new=["i-1", "i-2", "i-3"]).ask() == "room for 2 more machines"
    assert Account(new=["i-1"] * 4, size=4, quota=2).ask() == "room for 1 more machines"


def test_a_mixed_groups_share_and_largest_type_count() -> None:
    policy = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateId": "lt"},
            "Overrides": [{"InstanceType": "m5.large"}, {"InstanceType": "m5.2xlarge"}],
        },
        "InstancesDistribution": {"OnDemandBaseCapacity": 1, "OnDemandPercentageAboveBaseCapacity": 0},
    }
    account = Account(group={"LaunchTemplate": None, "MixedInstancesPolicy": policy}, quota=9)
    account.types["m5.2xlarge"] = 8
    account.offered |= {("m5.2xlarge", "za")}
    told = account.refusal()
    # Of pool and member, which has the same policy here: one each on demand, three on the spot market.
    assert "16 more on-demand Standard" in told and "24 more spot Standard" in told
    account.quota = 100
    assert account.ask() == "room for 5 more machines; warning: old: zb has no m5.2xlarge"


def test_a_type_that_no_zone_of_its_has_is_refused() -> None:
    told = Account(offered={("m5.large", "za")}).refusal()
    assert told.startswith("old: zb has no m5.large; take the zone from the pool, or say another type")
    assert "za has no g5.xlarge" in Account().refusal(types=("g5.xlarge",))


def test_addresses_must_do_for_what_comes_and_are_warned_of_for_the_most() -> None:
    # 16 - 5 - 10 = 1 address; two of four machines and the member come to za.
    assert "3 machines come to za, and its new subnet has 1 addresses" in Account().refusal(prefix=28)
    assert "at their maxima groups want" in Account(group={"MaxSize": 100}).ask(prefix=27)


def test_targets_per_balancer_and_zone_are_limits() -> None:
    one, zone = "targets-per-network-load-balancer", "targets-per-availability-zone-per-network-load-balancer"
    assert "warning" not in Account(limits={one: 4, zone: 2}).ask()
    told = Account(limits={one: 3, zone: 1}).refusal()
    assert f"4 workers would be targets of the new ingress balancer, and the limit {one} is 3" in told
    assert f"2 workers would be targets of the new ingress balancer in za, and the limit {zone} is 1" in told


def test_rules_and_groups_must_fit_the_vpcs_quotas() -> None:
    ours = {"IsEgress": False, "Tags": [{"Key": "migration:cluster", "Value": "pet"}]}
    rules = [{"IsEgress": True}, {"IsEgress": False}, ours, ours]
    told = Account(rules=rules, rules_added={"sg-1": 2}, quota=2, groups_each=3).refusal()
    assert "2 rules come into security group sg-1, which has 1 of 2: raise the quota L-0EA8095F of VPC" in told
    assert "machines would be in 3 security groups, and the quota L-2AFB9258 of VPC is 2" in told
    assert Account(rules=rules, rules_added={"sg-1": 9}, quota=10).ask() == "room for 5 more machines"
    question = RoomForBoth.of(settings(0), STAGES[0])
    assert (question.rules_added, question.groups_each) == ({"sg-nodes": 3, "sg-masters": 5}, 1)


def test_a_reservation_that_is_full_is_refused() -> None:
    data = {"CapacityReservationSpecification": {"CapacityReservationTarget": {"CapacityReservationId": "cr-1"}}}
    assert "cr-1, which has 4 places" in Account(data=data, reserved={"cr-1": 4}).refusal()
    assert "cr-1, which has 0 places" in Account(data=data).refusal()
    assert Account(data=data, reserved={"cr-1": 5}).ask() == "room for 5 more machines"


def test_a_customers_key_must_let_in_the_groups_role_by_policy_or_grant() -> None:
    account = Account(data=disk(KmsKeyId=KEY))
    account.policy = [{"Effect": "Allow", "Principal": {"AWS": "arn:aws-cn:iam::1:root"}, "Action": "kms:*"}]
    told = account.refusal()
    assert f"neither policy nor grants of the key {KEY} of their disks let in {ROLE}" in told
    assert "aws kms create-grant" in told
    account.grants = [ROLE]
    assert account.ask() == "room for 5 more machines"
    account.grants = []
    account.policy = [{"Effect": "Allow", "Principal": {"AWS": [ROLE]}, "Action": ["kms:CreateGrant"]}]
    assert account.ask() == "room for 5 more machines"
    account.policy = [{"Effect": "Deny", "Principal": "*", "Action": "kms:*"}]
    assert "neither policy nor grants" in account.refusal()


def test_the_accounts_default_key_counts_where_a_disk_names_none() -> None:
    """Copies' disks are encrypted, also where the old ones aren't."""
    assert "neither policy" in Account(data=disk(), default_key=KEY).refusal()
    assert Account(default_key=KEY).ask() == "room for 5 more machines"
    off = {"Arn": KEY, "KeyManager": "CUSTOMER", "KeyState": "PendingDeletion"}
    assert "is PendingDeletion; enable it" in Account(data=disk(KmsKeyId=KEY), key=off).refusal()


def test_what_can_not_be_asked_is_warned_of_and_nothing_passes_for_it() -> None:
    account = Account(data=disk(KmsKeyId=KEY), quota=None, offered=set(), silent={"describe_key"})
    account.silent.add("describe_instance_type_offerings")
    told = account.ask()
    assert "warning: which types the zones have couldn't be asked (AccessDeniedException)" in told
    assert "the quota of on-demand Standard vCPUs couldn't be asked; 10 more are needed" in told
    assert f"whether Auto Scaling may use {KEY} couldn't be asked (AccessDeniedException)" in told


def test_a_group_that_is_gone_is_refused() -> None:
    question = RoomForBoth(pools=(PoolPlaced(old="gone", new="new", zones=ZONES),), control_plane=(), subnet_prefix=20)
    clients: Any = SimpleNamespace(aws=Account())
    with pytest.raises(Permanent, match="gone doesn't exist"):
        look(question, Live("pet", Context(log=lambda _: None, deadline=Deadline(1), clients=clients)))
