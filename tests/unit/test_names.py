"""Names that AWS takes, whatever the cluster is called."""

from __future__ import annotations

import re

import pytest

from migration.names import balancer_name

CLUSTERS = [
    "pet.example.com",
    "prod.k8s.eu.example-company.internal",
    "a_b",
    "internal-tools",
    "internal",
    "a" * 60,
    "-",
]


@pytest.mark.parametrize(
    ("cluster", "role", "suffix", "name"),
    [
        ("pet", "api", "-main", "pet-api-main"),
        ("atlas-staging", "apimembers", "-main", "atlas-staging-apimembers-main"),
        ("Pet-1", "ingress", "", "Pet-1-ingress"),
    ],
)
def test_a_name_that_aws_takes_is_what_it_always_was(cluster: str, role: str, suffix: str, name: str) -> None:
    assert balancer_name(cluster, role, suffix) == name


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("role", ["ingress", "api", "apimembers"])
def test_any_other_becomes_one_that_aws_takes(cluster: str, role: str) -> None:
    name = balancer_name(cluster, role, "-main")
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?", name)
    assert not name.startswith("internal-")
    assert len(name) <= 32
    assert name.endswith(f"-{role}-main")


def test_one_can_still_see_whose_it_is() -> None:
    assert balancer_name("pet.example.com", "api", "-main") == "pet-example-com-3c1ba7-api-main"
    assert balancer_name("pet.example.com", "apimembers", "-main") == "pet-examp-3c1ba7-apimembers-main"


def test_clusters_whose_names_differ_in_what_aws_does_not_take_get_different_ones() -> None:
    names = [balancer_name(cluster, "api", "") for cluster in ("a.b", "a-b", "a_b", "a..b")]
    assert names[1] == "a-b-api"
    assert len(set(names)) == 4


def test_a_suffix_that_leaves_no_room_is_not_cut_since_it_tells_the_sides_apart() -> None:
    assert len(balancer_name("pet", "apimembers", "-the-new-side-of-the-cluster")) > 32


def test_a_long_role_is_cut_and_still_tells_its_ports_apart() -> None:
    names = [balancer_name("awkward.k8s.lab.internal", f"intranet-interna-{port}", "-main") for port in (30053, 30081)]
    assert names == ["intranet-interna-300-7f1e73-main", "intranet-interna-300-8505f6-main"]
