"""Names that are alias records, at the apex of a public zone and in the private one, through every stage and back."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from migration.settings import load
from migration.stages import STAGES
from tests.samples import configuration, flat
from tests.transitions.recorder import Declared, Key, at, declare

APEX = {
    "name": "example.org",
    "serves": "ingress",
    "type": "alias",
    "evaluateTargetHealth": True,
    "value": "dualstack.ingress-pet.elb.example",
    "zone": "Z2",
}
API = {"name": "k8s.pet.example", "serves": "api", "type": "alias", "evaluateTargetHealth": True,
       "value": "api-pet.elb.example"}  # fmt: skip
OURS = ("legacy-Z2-example.org", "main-Z2-example.org", "legacy-k8s.pet.example", "main-k8s.pet.example")


def aliased() -> dict[str, Any]:
    """The sample with an alias at the apex of a public zone, and one to the API."""
    c = configuration()
    balancers = c["sides"]["legacy"]["loadBalancers"]
    balancers["ingress"]["zoneId"], balancers["api"]["zoneId"] = "ZELB", "ZELB"
    c["traffic"]["records"] += [dict(APEX), dict(API)]
    c["traffic"]["publicZones"] = ["Z2"]
    return c


@cache
def declared(stage: int, *, returning: bool = False) -> dict[Key, Declared]:
    return declare(load(flat(aliased()), f"stage-{stage}"), returning=returning)


@pytest.mark.parametrize(("stage", "old", "new"), [(2, 100, 0), (4, 50, 50), (5, 0, 100), (7, 0, 100)])
def test_while_pairs_stand_an_alias_is_two_weighted_ones(stage: int, old: int, new: int) -> None:
    for name in OURS:
        inputs = declared(stage)[("Record", name)].inputs
        side, _, rest = name.partition("-")
        assert (inputs["type"], inputs["setIdentifier"], inputs["allowOverwrite"]) == ("A", side, True)
        assert inputs["weightedRoutingPolicies"] == [{"weight": {"legacy": old, "main": new}[side]}]
        assert not {"ttl", "records"} & inputs.keys()
        role, zone = ("ingress", "Z2") if rest.startswith("Z2") else ("api", "Z1")
        assert inputs["zoneId"] == zone
        led = {"legacy": (f"{role}-pet.elb.example", "ZELB"), "main": (f"main-{role}.elb", f"zone-of-main-{role}")}
        # The API's new balancer is unwell for Route 53 while members are swapped, and is to be answered all the same.
        evaluated = role == "ingress"
        assert inputs["aliases"] == [{"name": led[side][0], "zoneId": led[side][1], "evaluateTargetHealth": evaluated}]
    assert (
        declared(stage)[("Record", "main-api.pet.example")].inputs
        == at(stage)[("Record", "main-api.pet.example")].inputs
    )


def test_each_zone_has_its_batch_with_the_zones_of_the_balancers_that_aliases_lead_to() -> None:
    for stage, form in ((1, "original"), (2, "pair"), (7, "pair"), (8, "final")):
        first, second = (declared(stage)[("DnsCut", name)].asked for name in ("names", "names-Z2"))
        assert (first["form"], second["form"], first["aliasTtl"]) == (form, form, 60)
        assert [one["name"] for one in second["records"]] == ["example.org"]
        assert first["old"]["zones"] == {"api": "ZELB", "ingress": "ZELB"}
        made = {"api": "zone-of-main-api", "ingress": "zone-of-main-ingress"}
        assert first["new"]["zones"] == (made if stage > 1 else {})
        assert "ttl" not in second["records"][0]


def test_every_stage_is_the_samples_and_the_aliases_records() -> None:
    for stage in range(len(STAGES)):
        more = declared(stage).keys() - at(stage).keys()
        records = {("Record", name) for name in OURS} if 2 <= stage <= 7 else set[Key]()
        assert more == records | ({("DnsCut", "names-Z2")} if stage else set()), stage
        assert at(stage).keys() <= declared(stage).keys()


@pytest.mark.parametrize("stage", [1, 2, 4])
def test_the_way_back_asks_for_the_same_and_looks_again(stage: int) -> None:
    back = declared(stage, returning=True)
    assert back[("DnsCut", "names-Z2")].asked == {
        **declared(stage)[("DnsCut", "names-Z2")].asked,
        "returning": True,
    }
    for name in OURS if stage > 1 else ():
        assert back[("Record", name)].inputs == declared(stage)[("Record", name)].inputs
        assert back[("Record", name)].retained


def test_gates_know_which_names_are_aliases_and_wait_for_their_answers() -> None:
    def asked(stage: int, check: str) -> dict[str, Any]:
        gates = [one.asked for (kind, _), one in declared(stage).items() if kind == "Gate"]
        return next(q for gate in gates for q in gate["questions"] if q["check"] == check)

    lowered = asked(2, "ttls-lowered")
    assert lowered["names"] == ["api.pet.example", "*.apps.pet.example"]
    assert lowered["aliases"] == {"Z1": ["k8s.pet.example"], "Z2": ["example.org"]}
    assert asked(0, "traffic-carried")["aliases"] == {"Z1": {"k8s.pet.example": True}, "Z2": {"example.org": True}}
    assert asked(5, "ingress-quiet")["ttl"] == 60
    assert [one["type"] for one in asked(4, "records-in-sync")["records"]] == ["CNAME", "CNAME", "alias", "alias"]
