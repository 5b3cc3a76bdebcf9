"""As many components, dynamic resources and resources of a plugin as `FLOOR` says: a generation by name, by kind."""

from __future__ import annotations

import json
import os

import pulumi
from nothing import Nothing

wanted: dict[str, dict[str, int]] = json.loads(os.environ["FLOOR"])
top = pulumi.ComponentResource("floor:index:Top", "top")
inside = pulumi.ResourceOptions(parent=top)
for name in wanted["components"]:
    pulumi.ComponentResource("floor:index:Part", name, opts=inside)
for name, generation in wanted["operations"].items():
    Nothing(name, generation, inside)
for name, generation in wanted["resources"].items():
    pulumi.CustomResource("noop:index:Noop", name, {"generation": generation}, inside)
