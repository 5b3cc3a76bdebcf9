"""What stage 8 deletes: nothing twice, nothing that is to be kept, nothing of the side that stays."""

from __future__ import annotations

from collections.abc import Iterator

from migration.names import balancer_name
from migration.settings.errors import Problem
from migration.settings.model import Configuration
from migration.settings.rules.common import new_groups, side_made_next, twice
from migration.stages.table import stage

ROLES = ("ingress", "api", "apimembers")


def _name(id_: str) -> str:
    """An object's name: ARNs of balancers and target groups end with it and an id."""
    return id_.split("/")[-2] if id_.startswith("arn:") and id_.count("/") > 1 else id_


def spares_what_stays(c: Configuration) -> Iterator[Problem]:
    """Every object stands in one list, once, and none has a name of the side that stays."""
    kept = {item.id for item in c.keep}
    for id_ in twice(item.id for item in c.retire):
        yield Problem("migration:retire", id_, "is listed twice; list it once")
    staying: set[str] = set()
    if side := side_made_next(c):
        staying = {*new_groups(c, side), *(balancer_name(c.cluster, role, side.suffix) for role in ROLES)}
    for item in c.retire:
        if item.id in kept:
            yield Problem("migration:retire", item.id, "also stands in migration:keep; leave it in one of the two")
        if _name(item.id) in staying:
            remedy = f"is {c.to}'s own; stage 8 would delete what the cluster runs on: take it out"
            if c.stage is not None and stage(c.stage).finished:
                remedy += " (the list has done its work: pulumi config rm migration:retire)"
            yield Problem("migration:retire", item.id, remedy)
