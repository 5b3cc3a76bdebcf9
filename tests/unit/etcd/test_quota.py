"""How near a database is to its quota: read from samples, or refused."""

from __future__ import annotations

import pytest

from migration.etcd.quota import IN_USE, QUOTA, SIZE, Database, Unreadable, advice, parsed, told

GOOD = {QUOTA: "2.147483648e+09", SIZE: "1.073741824e+09", IN_USE: "5.36870912e+08"}


def lines(**changed: str | None) -> list[str]:
    by_name = {"quota": QUOTA, "size": SIZE, "in_use": IN_USE}
    said = {**GOOD, **{by_name[key]: value for key, value in changed.items()}}
    return [f"# TYPE {QUOTA} gauge", *(f"{name} {value}" for name, value in said.items() if value is not None)]


def test_samples_are_bytes_and_a_share() -> None:
    found = parsed(lines())
    assert found == Database(quota=2 * 1024**3, size=1024**3, in_use=512 * 1024**2)
    assert (found.percent, told(found)) == (50, "1024 MiB (512 MiB in use), 50 % of its quota of 2048 MiB")


def test_a_sample_with_labels_or_another_name_that_begins_so_is_told_apart() -> None:
    assert parsed([*lines(size=None), f'{SIZE}{{server="a"}} 42']).size == 42
    with pytest.raises(Unreadable, match=f"has no {SIZE}$"):
        parsed([*lines(size=None), f"{SIZE}_old 42", f"x{SIZE} 42"])


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "much"])
def test_what_is_no_number_of_bytes_is_not_small(value: str) -> None:
    with pytest.raises(Unreadable, match=r"is '.*', which is no number of bytes"):
        parsed(lines(size=value))


@pytest.mark.parametrize(("missing", "name"), [("quota", QUOTA), ("size", SIZE), ("in_use", IN_USE)])
def test_a_missing_sample_is_named(missing: str, name: str) -> None:
    with pytest.raises(Unreadable, match=f"^has no {name}$"):
        parsed(lines(**{missing: None}))


def test_nothing_at_all_and_an_empty_database_are_unreadable() -> None:
    with pytest.raises(Unreadable, match=f"has no {QUOTA}, {SIZE}, {IN_USE}"):
        parsed([])
    with pytest.raises(Unreadable, match="is 0, which no running member's is"):
        parsed(lines(size="0"))


def test_without_a_quota_there_is_no_share() -> None:
    found = parsed(lines(quota="0"))
    assert (found.percent, told(found)) == (0, "1024 MiB (512 MiB in use), no quota")


def test_defragmenting_is_advised_where_it_gives_something_back() -> None:
    mostly_free = Database(quota=100, size=100, in_use=40)
    assert advice(mostly_free, "https://m").startswith("defragment, member after member and the leader last: etcdctl")
    assert advice(Database(quota=100, size=100, in_use=90), "https://m").startswith("most of it is in use: find what")
