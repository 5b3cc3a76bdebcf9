"""Everything the program declares, at every stage, is something the plugins know."""

from __future__ import annotations

import pytest

from lab.plugins.aws.provider import AwsPlugin
from lab.plugins.host import Request
from lab.plugins.kubernetes.provider import KubernetesPlugin
from migration.stages import STAGES
from tests.transitions.recorder import at

PLUGINS = {"aws": AwsPlugin(), "kubernetes": KubernetesPlugin()}


@pytest.mark.parametrize("stage", [stage.number for stage in STAGES])
def test_no_type_and_no_property_is_unknown(stage: int) -> None:
    for declared in at(stage).values():
        plugin = PLUGINS.get(declared.type.partition(":")[0])
        if plugin is not None:
            _, failures = plugin.check(Request(type=declared.type, name=declared.name, inputs=declared.inputs))
            assert not failures, (declared.type, declared.name)
        elif declared.type == "pulumi:providers:kubernetes":
            assert not PLUGINS["kubernetes"].check_config(declared.inputs)
