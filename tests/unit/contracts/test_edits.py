"""What an edit of the configuration runs on a stack at stage 7: nothing for a manner, exactly its own otherwise."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from providers import operations
from tests.samples import configuration, settings
from tests.transitions.recorder import Declared, Key, declare


def sample(key: str) -> Any:
    """A part of the sample configuration; nothing where that keeps to the defaults."""
    return configuration().get(key, {})


def edited(edits: dict[str, Any]) -> dict[str, Any]:
    """The configuration's changed parts, by paths with dots, list positions as numbers."""
    changed: dict[str, Any] = {}
    for path, value in edits.items():
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        holder: Any = changed
        for step in steps:
            holder = holder[step] if isinstance(step, int) else holder.setdefault(step, sample(step))
        holder[last] = value
    return changed


@cache
def before() -> dict[Key, Declared]:
    return declare(settings(7))


def planned(changes: dict[str, Any]) -> set[str]:
    """Names of the operations that an `up` with these changes would run."""
    after = declare(settings(7, **changes))
    resources = {key: vars(operations).get(key[0]) for key in before()}
    assert after.keys() >= {key for key, resource in resources.items() if resource is not None}
    found: set[str] = set()
    for key, resource in resources.items():
        if resource is None:
            continue
        provider = resource.provider_class()
        # As the provider gives it back when it has run: the contract in plain data, complete.
        kept = provider.inputs_type.model_validate(before()[key].asked).model_dump(mode="json", by_alias=True)
        difference = provider.diff(key[1], {**before()[key].inputs, "inputs": kept}, after[key].inputs)
        assert difference.replaces == []
        if difference.changes:
            found.add(key[1])
    return found


def test_without_an_edit_nothing_runs() -> None:
    assert planned({}) == set()
    assert len([key for key in before() if key[0] in vars(operations)]) == 23


MANNERS: dict[str, dict[str, Any]] = {
    "limits": {
        "limits.gateSeconds": 200,
        "limits.swapSeconds": 60,
        "limits.joinSeconds": 60,
        "limits.certificateDays": 60,
        "limits.metricPeriodSeconds": 30,
        "limits.quietPeriods": 5,
    },
    "drain": {
        "drain.timeoutSeconds": 60,
        "drain.maxEvictionsPerSecond": 5,
        "drain.concurrency": 2,
        "drain.rescanSeconds": 10,
        "drain.stallSeconds": 60,
        "drain.emptyDir": True,
        "drain.barePods": True,
        "drain.unprotectedMaxUnavailable": "1",
        "drain.ingressSelector": {"app": "ingress"},
    },
    "reach": {
        "etcd.snapshots": "/elsewhere",
        "etcd.restoreDrill": "never",
        "etcd.tools": "/elsewhere",
        "etcd.certificates": "/elsewhere",
        "kubeconfig": "/elsewhere",
        "traffic.newTrafficPercent": 10,
    },
    "what no operation of this stage is given": {
        "podCidr": "100.80.0.0/16",
        "operatorNetworks": ["10.50.1.0/24"],
        "keep": [],
        "retire": [],
        "tags": {"Owner": "platform"},
        "retainPeering": True,
        "controlPlaneRole": "other",
    },
}


@pytest.mark.parametrize("edits", MANNERS.values(), ids=MANNERS)
def test_how_it_is_done_runs_nothing(edits: dict[str, Any]) -> None:
    assert planned(edited(edits)) == set()


SWAPS = {"swap-a", "swap-b", "swap-c"}
WANTED = [
    ("traffic.ttl", 10, {"names", "gate-before"}),
    ("traffic.records.0.ttl", 30, {"names"}),
    ("etcd.clientPort", 2390, {*SWAPS, "main-members-guard", "gate-before", "gate-after"}),
    ("etcd.peerPort", 2391, {*SWAPS, "gate-before"}),
    ("api.port", 7443, {"api-targets", *SWAPS, "gate-before"}),
    ("api.serverPort", 7443, {"api-targets", *SWAPS, "gate-before"}),
    ("controlPlaneMoved", 1, {"swap-b", "swap-c", "gate-after"}),
    ("members.0.address", "10.0.0.11", {"api-targets", "swap-a", "gate-before"}),
    (
        "members.0.group",
        "master-x.pet",
        {"api-targets", "main-members-guard", "swap-a", "gate-before", "gate-after"},
    ),
    ("ingress.namespace", "elsewhere", {"ingress-policy"}),
    ("ingress.externalTrafficPolicy", "Cluster", {"ingress-policy"}),
    ("traffic.acceptedFlows", {"api": {"active": 5, "why": "kubelets"}}, {"gate-before"}),
    (
        "pools.0.group",
        "nodes-x.pet",
        {
            "legacy-autoscaler",
            "main-workers-guard",
            "main-taint",
            "main-drain-ingress",
            "main-drain",
            "legacy-taint",
            "legacy-drain-ingress",
            "legacy-drain",
            "legacy-workers",
            "ingress-policy",
        },
    ),
]


@pytest.mark.parametrize(("path", "value", "names"), WANTED, ids=[path for path, _, _ in WANTED])
def test_what_is_wanted_runs_exactly_its_own(path: str, value: Any, names: set[str]) -> None:
    assert planned(edited({path: value})) == names
