"""Each configured member is exactly one entry of etcd's list, or everything stops."""

from __future__ import annotations

import pytest

from migration.clients.aws import Instance
from migration.clients.etcd import Member
from migration.contracts.members import MemberPair, NewMember, OldMember
from migration.etcd.match import seats
from migration.runtime.deadline import Permanent


def pair(name: str, number: int) -> MemberPair:
    return MemberPair(
        old=OldMember(name=name, group=f"group-{name}", address=f"10.0.0.{number}"),
        new=NewMember(name=f"{name}-main", group=f"group-{name}-main"),
    )


PAIRS = [pair("a", 1), pair("b", 2), pair("c", 3)]


def entry(name: str, url: str, *, learner: bool = False) -> Member:
    return Member(id=f"id-{name or url}", name=name, peer_urls=(url,), client_urls=(), learner=learner)


def machine(group: str, ip: str, dns: str = "") -> Instance:
    return Instance(id=f"i-{ip}", ip=ip, zone="z", vpc="v", group=group, state="running", dns=dns)


A, B, C = (entry(name, f"https://10.0.0.{number}:2380") for number, name in enumerate("abc", 1))
NEW_A = entry("a-main", "https://10.1.0.1:2380")
NO_MACHINES: list[Instance] = []


def found(members: list[Member], machines: list[Instance] = NO_MACHINES) -> dict[str, tuple[str | None, str | None]]:
    return {
        seat.pair.old.name: (seat.old.id if seat.old else None, seat.new.id if seat.new else None)
        for seat in seats(PAIRS, members, machines)
    }


def test_members_are_known_by_their_address_whatever_they_are_called() -> None:
    other = entry("etcd-0", "https://10.0.0.1:2380/")
    assert found([other, B, C]) == {"a": ("id-etcd-0", None), "b": ("id-b", None), "c": ("id-c", None)}


def test_two_members_that_exchanged_their_names_are_known_by_address() -> None:
    b_here, a_there = entry("b", "https://10.0.0.1:2380"), entry("a", "https://10.0.0.2:2380")
    assert found([b_here, a_there, C])["a"] == ("id-b", None)


def test_a_private_dns_name_is_its_machines_address() -> None:
    named = entry("etcd-0", "https://ip-10-0-0-1.ec2.internal:2380")
    assert found([named, B, C], [machine("group-a", "10.0.0.1", "ip-10-0-0-1.ec2.internal")])["a"] == (
        "id-etcd-0",
        None,
    )


def test_a_machine_that_was_replaced_after_discovery_is_known_by_its_group() -> None:
    moved = entry("etcd-0", "https://10.0.0.77:2380")
    assert found([moved, B, C], [machine("group-a", "10.0.0.77")])["a"] == ("id-etcd-0", None)


def test_an_address_from_the_configuration_that_another_groups_machine_has_says_nothing() -> None:
    moved, b_main = entry("etcd-0", "https://10.0.0.77:2380"), entry("b-main", "https://10.0.0.1:2380")
    machines = [machine("group-a", "10.0.0.77"), machine("group-b-main", "10.0.0.1")]
    assert found([moved, b_main, C], machines) == {"a": (moved.id, None), "b": (None, b_main.id), "c": (C.id, None)}


def test_without_any_address_in_the_configuration_machines_say_where_members_are() -> None:
    pairs = [MemberPair(old=OldMember(name=one.old.name, group=one.old.group), new=one.new) for one in PAIRS]
    machines = [machine(f"group-{name}", f"10.0.0.{number}") for number, name in enumerate("abc", 1)]
    assert [one.old for one in seats(pairs, [A, B, C], machines)] == [A, B, C]
    with pytest.raises(Permanent, match="c at no machine of group-c"):
        seats(pairs, [A, B, entry("x", "https://10.0.0.3:2380")], machines[:2])


def test_a_name_is_the_last_hint() -> None:
    assert found([entry("a", "https://nowhere.invalid:2380"), B, C])["a"] == ("id-a", None)


def test_a_swapped_member_is_its_new_entry_and_an_interrupted_swap_has_both() -> None:
    assert found([NEW_A, B, C])["a"] == (None, "id-a-main")
    waiting = entry("", "https://10.1.0.1:2380", learner=True)
    assert found([A, B, C, waiting], [machine("group-a-main", "10.1.0.1")])["a"] == ("id-a", waiting.id)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([B, C, entry("x", "https://nowhere.invalid:2380")], r"^a can't be found in etcd's list"),
        ([B, C], r"^a can't be found in etcd's list"),
        ([], r"^a, b, c can't be found"),
        ([A, B, C, entry("x", "https://10.0.0.9:2380")], "voters that the configuration doesn't know: x at https://10"),
        ([A, entry("a2", "https://10.0.0.1:2380"), B, C], r"several members of etcd's list are at 10\.0\.0\.1"),
    ],
    ids=["unresolvable", "missing", "nothing at all", "a stranger", "one address twice"],
)
def test_anything_else_is_refused(members: list[Member], said: str) -> None:
    with pytest.raises(Permanent, match=said):
        found(members)


def test_a_refusal_has_both_lists_and_the_remedy() -> None:
    with pytest.raises(Permanent) as refused:
        found([B, C])
    assert "migration:members: a at 10.0.0.1; b at 10.0.0.2; c at 10.0.0.3" in str(refused.value)
    assert "etcd's list: b at https://10.0.0.2:2380; c at https://10.0.0.3:2380" in str(refused.value)
    assert "Correct name and address in migration:members" in str(refused.value)
