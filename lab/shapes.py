"""The shapes that a lab's first cluster can have beside its layout: how its account is, with what a seed varies. Pure.

`LAB_SHAPE` and `LAB_SEED`, or `shape` and `seed` in `lab.json`. Shape `pet` is plain; `awkward` has what accounts have
that grew for years. Its oddities are built by `lab/legacy/awkward`, each by a function of its name.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

BUILT, BUILT_SEED = "shape", "shape-seed"
"""Files in the lab's folder: shape and seed of the cluster that is there."""
PET, AWKWARD = "pet", "awkward"
SHAPES = (PET, AWKWARD)

ZONE = "awkward.k8s.lab.internal"
NAMES = {
    PET: {},
    # As kops has it: the cluster's name is a domain.
    AWKWARD: {
        "cluster": ZONE,
        "zone_name": ZONE,
        "api_name": f"api.{ZONE}",
        "ingress_name": f"app.apps.{ZONE}",
        "ingress_wildcard": f"*.apps.{ZONE}",
    },
}
"""Names of a shape, by key of the settings."""

BACKBONE = "backbone"
"""The name of the transit gateway of another team."""

ODDITIES = (
    "secondary_range",
    "restricted_egress",
    "network_acls",
    "transit_gateway",
    "service_endpoints",
    "requester_interfaces",
    "database",
    "several_listeners",
    "second_ingress",
    "application_balancer",
    "service_balancer",
    "public_zone",
    "records_of_their_own",
    "member_names",
    "mixed_policies",
    "quiet_tags",
    "interface_form",
)
"""In the order in which they are built."""
KEPT = 0.7
"""The chance of an oddity in a variation."""


def named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with their shape's names where they have none of their own. Raises ValueError for another shape."""
    shape = values.get("shape", PET)
    if shape not in NAMES:
        raise ValueError(f"must be one of {', '.join(SHAPES)}")
    return {**NAMES[shape], **values}


ALWAYS = ("service_endpoints",)
"""In every variation: without these a machine reaches no AWS API where `egress` is enforced."""


def oddities(shape: str, seed: int) -> tuple[str, ...]:
    """What this cluster's account has. Seed 0 has everything, any other its own choice."""
    if shape != AWKWARD:
        return ()
    if seed == 0:
        return ODDITIES
    draw = random.Random(f"{shape} {seed}")
    return tuple(name for name in ODDITIES if draw.random() < KEPT or name in ALWAYS)


def draw_for(oddity: str, seed: int) -> random.Random:
    """The numbers by which one oddity varies: its own, whichever others there are."""
    return random.Random(f"{oddity} {seed}")
