"""What versions of etcd and Kubernetes may do in a swap: the table, mixtures, what can't be read, all told at once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from migration.etcd.versions import RULES, judge, parsed
from migration.runtime.deadline import Permanent


def refused(voters: Mapping[str, str], servers: Mapping[str, str] | None = None) -> str:
    with pytest.raises(Permanent) as refusal:
        judge(voters, servers)
    return str(refusal.value)


@pytest.mark.parametrize("one", ["3.5.30", "3.6.12", "3.6.16", "3.7.3"])
@pytest.mark.parametrize("server", ["v1.22.17", "v1.33.5-eks-1", "v1.34.1+k3s1"])
def test_good_ones_pass_beside_each_other(one: str, server: str) -> None:
    assert judge({"a": one, "b": one, "c": one}, {"a": server, "b": server}) == []


def test_voters_of_different_versions_are_refused_and_named() -> None:
    said = refused({"a": "3.6.16", "b": "3.6.16", "c": "3.6.12"})
    assert said == (
        "voters run different versions of etcd: a 3.6.16, b 3.6.16, c 3.6.12; end that upgrade first, so that all run "
        "the same"
    )


def test_voters_of_different_versions_are_only_warned_of_while_machines_are_replaced_by_others() -> None:
    assert judge({"a": "3.6.16", "b": "3.6.12"}, upgrading=True) == [
        "voters run different versions of etcd: a 3.6.16, b 3.6.12"
    ]


def test_api_servers_of_different_minor_versions_are_refused_and_of_patches_warned_of() -> None:
    etcd = {"a": "3.6.16"}
    assert refused(etcd, {"a": "v1.34.1", "b": "v1.33.9"}) == (
        "API servers run different minor versions of Kubernetes: a v1.34.1, b v1.33.9; end that upgrade first"
    )
    assert judge(etcd, {"a": "v1.34.1", "b": "v1.34.2"}) == [
        "API servers run different versions of Kubernetes: a v1.34.1, b v1.34.2"
    ]


def test_kubernetes_that_wants_a_newer_etcd_is_refused() -> None:
    said = refused({"a": "3.5.20"}, {"a": "v1.34.1"})
    assert said.startswith("Kubernetes v1.34.1 on etcd 3.5.20: Kubernetes 1.34 and newer want etcd 3.5.21 or newer")
    assert judge({"a": "3.5.21"}, {"a": "v1.34.1"}) == judge({"a": "3.5.21"})
    assert judge({"a": "3.5.20"}, {"a": "v1.33.1"}) == judge({"a": "3.5.20"}) != []


def test_kubernetes_without_the_eviction_that_moves_pods_is_refused() -> None:
    assert refused({"a": "3.6.16"}, {"a": "v1.21.14"}).startswith("Kubernetes v1.21.14 can't be migrated: older than")


@pytest.mark.parametrize("text", ["", "3.6", "master", "v3.x.1", "3.6.16.1", "²3.6.1"])
def test_what_is_no_version_is_refused_with_its_member(text: str) -> None:
    assert parsed(text) is None
    assert f"etcd of b says its version is {text!r}" in refused({"a": "3.6.16", "b": text})
    assert f"Kubernetes of b says its version is {text!r}" in refused({"a": "3.6.16"}, {"a": "v1.34.1", "b": text})


def test_a_major_version_that_nobody_knows_is_refused() -> None:
    assert refused({"a": "4.0.0"}) == "etcd 4.0.0 (a) is of a major version that this program knows nothing of"
    assert "Kubernetes v2.0.0 (a)" in refused({"a": "3.6.16"}, {"a": "v2.0.0"})


def test_everything_that_is_wrong_is_told_at_once() -> None:
    said = refused({"a": "3.4.30", "b": "3.6.5", "c": ""}, {"a": "v1.21.1", "b": "v1.20.1", "c": "?"})
    for part in (
        "etcd of c says its version is ''",
        "Kubernetes of c says its version is '?'",
        "voters run different versions of etcd: a 3.4.30, b 3.6.5, c ",
        "API servers run different minor versions",
        "etcd 3.4.30 isn't safe",
        "etcd 3.6.5 isn't safe",
        "Kubernetes v1.20.1 can't be migrated",
        "Kubernetes v1.21.1 can't be migrated",
    ):
        assert part in said


def test_every_rule_has_a_source_and_no_two_of_etcd_overlap() -> None:
    assert [rule for rule in RULES if not rule.source or rule.first > rule.last] == []
    etcd = [rule for rule in RULES if rule.program == "etcd"]
    assert [(a.last, b.first) for a, b in itertools.pairwise(etcd) if a.last >= b.first] == []
