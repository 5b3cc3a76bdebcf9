"""Rules elsewhere that name the old side: found, decided about, answered, and taken back (moto's AWS)."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from migration.clients.aws import Aws
from migration.contracts.gates import ReferencesAccepted, ReferencesAnswered, SideRef
from migration.contracts.references import Naming, ReferencesInputs, ReferencesResult
from migration.operations import references
from migration.references.find import Elsewhere, answered
from migration.references.find import references as found_in
from migration.runtime.deadline import Permanent
from tests.samples import COMMON
from tests.unit.gates.test_network_aws import Sides
from tests.unit.gates.test_network_aws import sides as sides


@dataclass
class Account:
    """Both sides with their groups, and somebody's database that lets the old one in."""

    sides: Sides
    groups: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A rule may name a group of another VPC over a peering only.
        self.sides.peer(self.sides.new.vpc_id, self.sides.old.vpc_id)
        for side in (self.sides.old, self.sides.new):
            for role in ("nodes", "control-plane"):
                marks = {"migration:cluster": "pet", "migration:side": side.name, "migration:role": role}
                own = side is self.sides.new
                self.groups[f"{side.name}-{role}"] = self.group(
                    f"{side.name}-{role}", side.vpc_id, marks if own else {}
                )
        self.database = self.group("payments-db", self.sides.old.vpc_id, {"Owner": "payments"})

    @property
    def ec2(self) -> Any:
        return self.sides.ec2

    def group(self, name: str, vpc: str | None, tags: dict[str, str]) -> str:
        specified = [{"ResourceType": "security-group", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}]
        more = {"TagSpecifications": specified} if tags else {}
        return self.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc, **more)["GroupId"]

    def let_in(self, group: str, port: int, **peer: Any) -> None:
        permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **peer}
        self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])

    def peers(self, group: str) -> list[str]:
        rules = self.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        found = [one for one in rules["SecurityGroupRules"] if not one["IsEgress"]]
        return sorted(one.get("CidrIpv4") or one["ReferencedGroupInfo"]["GroupId"] for one in found)

    def naming(self, role: str) -> Naming:
        side = self.sides.old if role == "old" else self.sides.new
        ids = {name: self.groups[f"{side.name}-{name}"] for name in ("nodes", "control-plane")}
        return Naming(vpc_id=side.vpc_id or "", ranges=(side.cidr,), groups=ids)

    def run(self, wanted: Any = "answered", previous: ReferencesResult | None = None) -> ReferencesResult:
        inputs = ReferencesInputs(
            **COMMON,
            wanted=wanted,
            old=self.naming("old"),
            new=self.naming("new") if wanted == "answered" else None,
            sides=("legacy", "main"),
            returning=wanted == "absent",
        )
        return references.run(inputs, previous, self.sides.context)

    def ask(self, question: type[Any], **more: Any) -> str:
        ids = self.naming("old").groups
        values = {"old": self.sides.old, "new": self.sides.new, "groups": ids, "peered_vpcs": (), **more}
        return self.sides.ask(question(**values))


@pytest.fixture
def account(sides: Sides) -> Account:
    return Account(sides)


def test_a_database_that_names_the_old_side_is_refused_until_it_is_decided(account: Account) -> None:
    assert "none names side legacy" in account.ask(ReferencesAccepted, mode=None)
    account.let_in(account.database, 5432, IpRanges=[{"CidrIp": "10.10.0.0/20"}])
    account.let_in(account.database, 5433, UserIdGroupPairs=[{"GroupId": account.groups["legacy-nodes"]}])
    with pytest.raises(Permanent, match=r"payments-db \(sg-\w+, owner payments\) lets in 10\.10\.0\.0/20 on tcp 5432"):
        account.ask(ReferencesAccepted, mode=None)
    assert "2 rules and lists name side legacy" in account.ask(ReferencesAccepted, mode="list")


def test_the_clusters_own_balancers_let_clients_of_the_new_side_in_too(account: Account) -> None:
    """Names lead to both sides for a while: pods that have moved come to the old balancers as well."""
    web = account.group("alb.pet", account.sides.old.vpc_id, {"kubernetes.io/cluster/pet": "owned"})
    account.let_in(web, 80, IpRanges=[{"CidrIp": "10.10.0.0/16"}])
    account.run()
    assert account.peers(web) == ["10.10.0.0/16", "10.30.0.0/16"]


def test_what_is_wider_than_the_old_vpc_names_both(account: Account) -> None:
    account.let_in(account.database, 5432, IpRanges=[{"CidrIp": "10.0.0.0/8"}])
    assert "none names side legacy" in account.ask(ReferencesAccepted, mode=None)


def test_every_rule_that_names_the_old_side_gets_its_twin_once(account: Account) -> None:
    nodes, new_nodes = account.groups["legacy-nodes"], account.groups["main-nodes"]
    account.let_in(account.database, 5432, IpRanges=[{"CidrIp": "10.10.0.0/16"}])
    account.let_in(account.database, 5433, UserIdGroupPairs=[{"GroupId": nodes}])
    with pytest.raises(Permanent, match=r"lets in 10\.10\.0\.0/16 on tcp 5432, and not 10\.30\.0\.0/16"):
        account.ask(ReferencesAnswered, mode=None)
    first = account.run()
    assert len(first.changed) == 2
    assert account.peers(account.database) == sorted(["10.10.0.0/16", "10.30.0.0/16", nodes, new_nodes])
    again = account.run(previous=first)
    assert (again.changed, again.there) == ((), 2)
    assert account.ask(ReferencesAnswered, mode=None).startswith("2 rules and lists elsewhere")


def test_a_side_that_isnt_made_yet_has_no_twins_but_from_this_program(account: Account) -> None:
    account.let_in(account.database, 5433, UserIdGroupPairs=[{"GroupId": account.groups["legacy-nodes"]}])
    absent = SideRef(name="later", suffix="-later", cidr="10.31.0.0/16")
    assert "when side later is made" in account.ask(ReferencesAnswered, mode="apply", new=absent)
    with pytest.raises(Permanent, match="and not a group of side later"):
        account.ask(ReferencesAnswered, mode="list", new=absent)


def test_only_its_own_twins_are_taken_away_again(account: Account) -> None:
    account.let_in(account.database, 5432, IpRanges=[{"CidrIp": "10.10.0.0/16"}])
    account.let_in(account.database, 5433, IpRanges=[{"CidrIp": "10.10.0.0/16"}])
    # One of the twins is the owner's own.
    account.let_in(account.database, 5433, IpRanges=[{"CidrIp": "10.30.0.0/16"}])
    before = account.peers(account.database)
    first = account.run()
    assert len(first.changed) == 1
    gone = account.run("absent", first)
    assert len(gone.changed) == 1
    assert account.peers(account.database) == before
    assert account.run("absent", gone).changed == ()


def test_a_look_that_lags_behind_what_was_done_does_it_no_second_time(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EC2 may go on to answer as before a change for a while (EC2 API reference, Eventual consistency)."""
    account.let_in(account.database, 5432, IpRanges=[{"CidrIp": "10.10.0.0/16"}])
    before, look = account.peers(account.database), references.elsewhere
    seen = list[Elsewhere]()

    def lagging(aws: Aws) -> Elsewhere:
        """Each answer twice."""
        if seen:
            return seen.pop()
        seen.append(look(aws))
        return seen[0]

    monkeypatch.setattr(references, "elsewhere", lagging)
    first = account.run()
    assert (len(first.changed), first.there) == (1, 0)
    assert account.peers(account.database) == ["10.10.0.0/16", "10.30.0.0/16"]
    seen.clear()
    assert len(account.run("absent", first).changed) == 1
    assert account.peers(account.database) == before


def test_a_way_forward_looks_at_nothing(account: Account) -> None:
    inputs = ReferencesInputs(**COMMON, wanted="absent", old=account.naming("old"), new=None, sides=("legacy", "main"))
    nothing: Any = SimpleNamespace()
    assert references.run(inputs, None, nothing) == ReferencesResult(wanted="absent")


def prefix_list(account: Account, *cidrs: str) -> str:
    made = account.ec2.create_managed_prefix_list(
        PrefixListName="clusters",
        MaxEntries=5,
        AddressFamily="IPv4",
        Entries=[{"Cidr": cidr, "Description": "theirs"} for cidr in cidrs],
    )
    return made["PrefixList"]["PrefixListId"]


def entries(account: Account, id_: str) -> list[str]:
    return sorted(one["Cidr"] for one in account.ec2.get_managed_prefix_list_entries(PrefixListId=id_)["Entries"])


def test_a_prefix_list_gets_and_loses_its_entry(account: Account) -> None:
    id_ = prefix_list(account, "10.10.0.0/16", "10.99.0.0/16")
    first = account.run()
    assert entries(account, id_) == ["10.10.0.0/16", "10.30.0.0/16", "10.99.0.0/16"]
    assert account.run(previous=first).changed == ()
    account.run("absent", first)
    assert entries(account, id_) == ["10.10.0.0/16", "10.99.0.0/16"]


def test_another_accounts_prefix_list_is_its_owners(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix_list(account, "10.10.0.0/16")

    def theirs(_: Any) -> Elsewhere:
        seen = elsewhere(account.sides.context.clients.aws)
        return Elsewhere(
            groups=seen.groups, rules=seen.rules, lists=seen.lists, entries=seen.entries, account="999999999999"
        )

    elsewhere = references.elsewhere
    monkeypatch.setattr(references, "elsewhere", theirs)
    with pytest.raises(Permanent, match=r"owner account 123456789012\) has 10\.10\.0\.0/16, 10\.30\.0\.0/16 must be"):
        account.run()


RULE = {"GroupId": "sg-db", "SecurityGroupRuleId": "sgr-1", "IsEgress": False, "IpProtocol": "tcp", "FromPort": 5432}


def one_rule(vpc: str, *more: dict[str, Any]) -> Elsewhere:
    rule = {**RULE, "ToPort": 5432, "ReferencedGroupInfo": {"GroupId": "sg-nodes"}}
    groups = [{"GroupId": "sg-db", "GroupName": "db", "VpcId": vpc}]
    return Elsewhere(groups=groups, rules=[rule, *more], lists=(), entries={}, account="1")


OLD = Naming(vpc_id="vpc-old", ranges=("10.0.0.0/16",), groups={"nodes": "sg-nodes", "control-plane": "sg-cp"})
NEW = Naming(vpc_id="vpc-new", ranges=("10.1.0.0/16",), groups={"nodes": "sg-n", "control-plane": "sg-c"})


@pytest.mark.parametrize(("vpc", "twin"), [("vpc-old", "sg-n"), ("vpc-corp", "sg-n"), ("vpc-far", "10.1.0.0/16")])
def test_a_group_is_named_only_over_a_peering(vpc: str, twin: str) -> None:
    [one] = found_in(one_rule(vpc), "pet", OLD, NEW, peered=["vpc-corp"], cidr="10.1.0.0/16")
    assert str(one.twin) == twin


@pytest.mark.parametrize(
    ("rule", "enough"),
    [
        ({"IpProtocol": "-1", "CidrIpv4": "10.0.0.0/8"}, True),
        ({"IpProtocol": "tcp", "FromPort": 5000, "ToPort": 6000, "CidrIpv4": "10.1.0.0/16"}, True),
        ({"IpProtocol": "tcp", "FromPort": 5000, "ToPort": 5431, "CidrIpv4": "10.1.0.0/16"}, False),
        ({"IpProtocol": "udp", "FromPort": 5432, "ToPort": 5432, "CidrIpv4": "10.1.0.0/16"}, False),
        ({"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "CidrIpv4": "10.1.0.0/17"}, False),
        ({"IpProtocol": "-1", "CidrIpv4": "10.1.0.0/16", "IsEgress": True}, False),
        ({"IpProtocol": "-1", "CidrIpv4": "10.1.0.0/16", "GroupId": "sg-other"}, False),
    ],
)
def test_a_twin_is_whatever_lets_the_same_through(rule: dict[str, Any], enough: bool) -> None:
    seen = one_rule("vpc-far", {**RULE, "SecurityGroupRuleId": "sgr-2", "ToPort": 0, **rule})
    [one, *_] = found_in(seen, "pet", OLD, NEW, peered=(), cidr="10.1.0.0/16")
    assert answered(one, seen) is enough
