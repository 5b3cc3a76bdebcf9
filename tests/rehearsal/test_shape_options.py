"""`make rehearse SHAPE=awkward SEED=7`: what is told to the lab, and to discovery."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.settings import LabSettings
from lab.shapes import ZONE
from rehearsal import __main__ as command
from rehearsal import stack
from rehearsal.stack import StackError, told_of_shape


def test_shape_and_seed_come_from_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHAPE", "awkward")
    monkeypatch.setenv("SEED", "7")
    options = command.parser().parse_args(["rehearse"])
    assert (options.shape, options.seed) == ("awkward", 7)


def zones(monkeypatch: pytest.MonkeyPatch, *found: dict[str, Any]) -> None:
    client = SimpleNamespace(list_hosted_zones_by_name=lambda **_: {"HostedZones": list(found)})
    monkeypatch.setattr(stack, "boto3", SimpleNamespace(client=lambda _: client))


def test_discovery_is_told_what_only_an_operator_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = LabSettings.model_validate({"shape": "awkward"})
    zones(
        monkeypatch,
        {"Id": "/hostedzone/ZPUBLIC", "Name": f"{ZONE}.", "Config": {"PrivateZone": False}},
        {"Id": "/hostedzone/ZPRIVATE", "Name": f"{ZONE}.", "Config": {"PrivateZone": True}},
    )
    assert told_of_shape(settings) == [
        "--ingress-balancer", "ingress-awkward-k8s-lab-internal", "--ingress-service", "ingress/ingress",
        "--zone", "ZPRIVATE",
    ]  # fmt: skip
    zones(monkeypatch)
    with pytest.raises(StackError, match="no private zone"):
        told_of_shape(settings)
    assert told_of_shape(LabSettings()) == []
