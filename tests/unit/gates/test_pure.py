"""The rules behind the gates, on literals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from migration.clients.aws import Instance
from migration.clients.etcd import Member
from migration.contracts.gates import CheckResult, GateInputs, Question, RetiredAndKept, TtlsLowered, questions
from migration.etcd.match import Addresses
from migration.gates import CHECKS, Live, run
from migration.gates.cleanup import Old
from migration.gates.cluster import continuous, managers
from migration.gates.members import within
from migration.gates.quiet import newest, window
from migration.gates.quiet import within as within_time
from migration.gates.workloads import volume_zones
from migration.reachability import lacking, leads, peering_between, resolves_both_ways, routes, unreached, vpc_cidrs
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Refused, Retryable
from migration.stages import STAGES
from tests.samples import COMMON, settings


def test_every_gate_of_the_stage_table_exists_and_none_is_left_over() -> None:
    named = {gate for stage in STAGES for gate in (*stage.gates_before, *stage.gates_after)}
    assert named == set(CHECKS)


# Routes


def table(name: str, **destinations: str) -> dict[str, Any]:
    return {
        "RouteTableId": name,
        "Routes": [
            {"DestinationCidrBlock": cidr, "GatewayId" if target in ("local",) else "VpcPeeringConnectionId": target}
            for cidr, target in destinations.items()
        ],
    }


LOCAL = {"10.0.0.0/16": "local"}


def test_a_blackhole_is_no_route() -> None:
    dead = {"DestinationCidrBlock": "10.1.0.0/16", "VpcPeeringConnectionId": "pcx-1", "State": "blackhole"}
    assert routes([{"RouteTableId": "rtb", "Routes": [dead]}]) == {"rtb": {}}


def test_every_table_needs_the_route_and_through_the_peering() -> None:
    tables = routes(
        [table("a", **LOCAL, **{"10.1.0.0/16": "pcx-1"}), table("b", **LOCAL), table("c", **{"10.1.0.0/16": "pcx-2"})]
    )
    assert lacking(tables, "10.1.0.0/16", "pcx-1") == ["b", "c"]
    assert lacking(tables, "10.1.0.0/16") == ["b"]


def test_the_most_specific_route_wins_and_a_default_route_counts_for_nothing() -> None:
    one = {"10.0.0.0/8": "tgw-1", "10.1.0.0/16": "pcx-1", "0.0.0.0/0": "igw-1"}
    assert leads(one, "10.1.4.0/24") == "pcx-1"
    assert leads(one, "10.2.0.0/16") == "tgw-1"
    assert leads(one, "192.168.0.0/16") == "igw-1"
    assert lacking({"a": {"0.0.0.0/0": "nat-1"}}, "10.1.0.0/16") == ["a"]


def test_what_only_the_old_side_reaches_is_named() -> None:
    old = {"a": {"10.9.0.0/16": "tgw-1", "10.8.0.0/16": "pcx-1", "10.1.0.0/16": "pcx-new", "0.0.0.0/0": "igw-1"}}
    new = {"b": {"10.8.0.0/16": "pcx-2"}}
    assert unreached(old, new, ["10.0.0.0/16", "10.1.0.0/16"]) == ["10.9.0.0/16"]


def peering(code: str, **options: bool) -> dict[str, Any]:
    def end(vpc: str, key: str) -> dict[str, Any]:
        return {"VpcId": vpc, "PeeringOptions": {"AllowDnsResolutionFromRemoteVpc": options.get(key, False)}}

    return {"Status": {"Code": code}, "RequesterVpcInfo": end("new", "there"), "AccepterVpcInfo": end("old", "here")}


def test_only_an_active_peering_counts_and_dns_must_be_allowed_at_both_ends() -> None:
    assert peering_between([peering("pending-acceptance")], "old", "new") is None
    assert peering_between([peering("active")], "old", "new") is not None
    assert not resolves_both_ways(peering("active", here=True))
    assert resolves_both_ways(peering("active", here=True, there=True))


def test_secondary_ranges_count_unless_they_are_going() -> None:
    vpc = {
        "CidrBlock": "10.0.0.0/16",
        "CidrBlockAssociationSet": [
            {"CidrBlock": "10.0.0.0/16", "CidrBlockState": {"State": "associated"}},
            {"CidrBlock": "100.64.0.0/16", "CidrBlockState": {"State": "associated"}},
            {"CidrBlock": "100.65.0.0/16", "CidrBlockState": {"State": "disassociated"}},
        ],
    }
    assert vpc_cidrs(vpc) == ["10.0.0.0/16", "100.64.0.0/16"]


# Quiet


def test_quiet_is_the_longer_of_two_ttls_and_the_periods() -> None:
    assert window(ttl=5, period=60, periods=3) == 240
    assert window(ttl=300, period=60, periods=3) == 660
    assert window(ttl=5, period=5, periods=3) == 20


def test_only_data_of_the_stretch_count_and_the_newest_is_the_last_word() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    points = [{"Timestamp": now - timedelta(seconds=s), "Sum": value} for s, value in ((400, 9.0), (60, 2.0), (0, 5.0))]
    assert within_time(points, now - timedelta(seconds=240), now - timedelta(seconds=10)) == [points[1]]
    assert newest(points) == now
    assert newest([]) is None


# Names of the old VPC


def test_ids_and_addresses_of_the_old_vpc_are_found_and_nothing_else() -> None:
    old = Old(["vpc-1", "subnet-2"], ["10.10.0.0/16"])
    assert old.named_in("--aws-vpc-id=vpc-1") == ["vpc-1"]
    assert old.named_in('{"host": "10.10.3.4", "other": "10.11.3.4", "again": "10.10.3.4:53"}') == ["10.10.3.4"]
    assert old.named_in("version 10.10.3.4.5 and 999.10.3.4") == []


# Writers


def test_who_writes_again_is_told_from_who_wrote_once() -> None:
    service = {
        "metadata": {
            "managedFields": [
                {"manager": "argocd-controller", "fieldsV1": {"f:spec": {"f:externalTrafficPolicy": {}}}},
                {"manager": "kubectl-edit", "fieldsV1": {"f:spec": {"f:externalTrafficPolicy": {}}}},
                {"manager": "kube-controller-manager", "fieldsV1": {"f:status": {}}},
            ]
        }
    }
    owners = managers(service, "f:spec", "f:externalTrafficPolicy")
    assert owners == ["argocd-controller", "kubectl-edit"]
    assert continuous(owners) == ["argocd-controller"]


# Volumes and members


def test_a_volume_that_is_bound_to_a_zone_says_so() -> None:
    expression = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["eu-central-1b"]}
    terms = [{"matchExpressions": [expression, {"key": "other", "values": ["x"]}]}]
    volume = {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}}
    assert volume_zones(volume) == {"eu-central-1b"}
    assert volume_zones({"spec": {}}) == set()


def at(url: str) -> Member:
    return Member(id="1", name="a", peer_urls=(url,), client_urls=(), learner=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://10.1.0.4:2380",
        "https://10.1.0.4:2380/",
        "https://ip-10-1-0-4.ec2.internal:2380",
        "https://etcd-a.pet.internal:2380",
    ],
    ids=["address", "slash", "private DNS name", "name"],
)
def test_members_are_placed_by_their_peer_address(url: str) -> None:
    machine = Instance(
        id="i", ip="10.1.0.4", zone="a", vpc="v", group="g", state="running", dns="ip-10-1-0-4.ec2.internal"
    )
    names = {"etcd-a.pet.internal": frozenset({"10.1.0.4"})}
    addresses = Addresses([machine], lambda host: names.get(host, frozenset()))
    assert within([at(url)], "10.1.0.0/16", addresses) == [at(url)]
    assert within([at(url)], "10.2.0.0/16", addresses) == []


def test_a_member_whose_name_resolves_nowhere_is_on_no_side() -> None:
    with pytest.raises(Retryable, match=r"a at https://gone\.internal:2380 is can't be told: no name"):
        within([at("https://gone.internal:2380")], "10.1.0.0/16", Addresses([], lambda _: frozenset()))


# Running a gate


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


TTLS = TtlsLowered(zone_id="Z1", names=(), ttl=5)
GONE = RetiredAndKept(retire=(), keep=())


def gate(
    monkeypatch: pytest.MonkeyPatch, checks: dict[str, Any], *questions: Question
) -> tuple[tuple[CheckResult, ...], list[str]]:
    told: list[str] = []
    time = Time()
    nothing: Any = None
    deadline = Deadline(10, clock=lambda: time.now, sleeper=time.sleep)
    monkeypatch.setattr(run, "CHECKS", checks)
    return run.run_checks(questions, Live("pet", Context(told.append, deadline, nothing))), told


def test_a_check_is_tried_until_it_holds_and_its_reason_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([Retryable("not yet"), Retryable("not yet"), "fine"])
    asked: list[Any] = []

    def check(question: Any, _: Live) -> str:
        asked.append(question)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    results, told = gate(monkeypatch, {"ttls-lowered": check}, TTLS)
    assert results == (CheckResult(check="ttls-lowered", ok=True, detail="fine"),)
    assert told == ["ttls-lowered: waiting: not yet", "ttls-lowered: fine"]
    assert asked == [TTLS, TTLS, TTLS]


def refuse(reason: str) -> Any:
    def check(*_: Any) -> str:
        raise Permanent(reason)

    return check


def test_all_refusals_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def several(*_: Any) -> str:
        raise Refused(["no", "not at all"])

    with pytest.raises(Permanent) as caught:
        gate(monkeypatch, {"ttls-lowered": several, "retired": refuse("never")}, TTLS, GONE)
    told = ["3 reasons:", "  - ttls-lowered: no", "  - ttls-lowered: not at all", "  - retired: never"]
    assert str(caught.value).splitlines() == told
    with pytest.raises(Permanent, match=r"^retired: never$"):
        gate(monkeypatch, {"retired": refuse("never")}, GONE)


def test_a_check_that_does_not_exist_is_no_question() -> None:
    with pytest.raises(KeyError, match="three"):
        questions(settings(3), ("three",))
    with pytest.raises(ValidationError, match=r"Input tag 'three' .* does not match any of the expected tags"):
        GateInputs.model_validate(
            {**COMMON, "stage": 3, "position": "before", "questions": [{"check": "three", "zoneId": "Z1"}]}
        )
