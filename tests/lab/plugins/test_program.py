"""Everything the program declares, at every stage, is something the plugins know."""

from __future__ import annotations

import pytest

from lab.plugins.aws.provider import AwsPlugin
from lab.plugins.host import Request
from lab.plugins.kubernetes.provider import KubernetesPlugin
from migration.stages import STAGES
from tests.transitions.recorder import Declared, at, unknown_to_plugins

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


def declared(type_: str, **inputs: object) -> Declared:
    return Declared(
        type=type_,
        name="x",
        inputs=inputs,
        parent="",
        after=frozenset(),
        edges=(),
        aliases=(),
        retained=False,
        secret=frozenset(),
        secret_outputs=frozenset(),
    )


def test_what_the_plugins_do_not_know_is_said_where_it_is_declared() -> None:
    """Each test of a configuration asks this, so none is declared that the lab couldn't make."""
    assert unknown_to_plugins([declared("aws:lb/trustStore:TrustStore")]) == [
        "aws:lb/trustStore:TrustStore x: the lab's aws plugin doesn't know the type aws:lb/trustStore:TrustStore"
    ]
    [said] = unknown_to_plugins([declared("aws:ec2/eip:Eip", domain="vpc", publicIpv4Pool="p")])
    assert said == "aws:ec2/eip:Eip x: property 'publicIpv4Pool' is not one the lab's plugin supports"
