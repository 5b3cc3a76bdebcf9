"""The table against the SDK that the program is written with."""

from __future__ import annotations

import importlib
from typing import Any

import pulumi
import pytest
from pulumi import _types

from lab.plugins.aws.table import TABLE
from lab.plugins.schema import Kind, Prop


def sdk(token: str) -> tuple[type, type]:
    """The resource's class and its arguments' class."""
    _, path, name = token.split(":")
    package = importlib.import_module(f"pulumi_aws.{path.split('/')[0]}")
    # Where a nested block took the name `…Args`, the SDK calls the resource's own `…InitArgs`.
    return getattr(package, name), getattr(package, f"{name}InitArgs", None) or getattr(package, f"{name}Args")


TOKENS = sorted(TABLE)


@pytest.mark.parametrize("token", TOKENS)
def test_every_property_is_the_sdks(token: str) -> None:
    resource, arguments = sdk(token)
    known = set(_types.input_type_py_to_pulumi_names(arguments).values())
    assert set(TABLE[token].props) <= known
    outputs = set(_types.resource_py_to_pulumi_names(resource).values())
    assert set(TABLE[token].computed) <= outputs


@pytest.mark.parametrize("token", TOKENS)
def test_what_the_sdk_requires_the_table_requires(token: str) -> None:
    _, arguments = sdk(token)
    missing_from_us = []
    names = _types.input_type_py_to_pulumi_names(arguments)
    for python, annotation in arguments.__init__.__annotations__.items():
        if python in names and "Optional" not in str(annotation) and python != "return":
            prop = TABLE[token].props.get(names[python])
            if prop is None or not (prop.required or prop.default is not None):
                missing_from_us.append(names[python])
    assert not missing_from_us


@pytest.mark.parametrize("token", TOKENS)
def test_every_row_names_its_source_and_its_recomputed_outputs_exist(token: str) -> None:
    row = TABLE[token]
    assert row.token == token
    assert row.source.startswith("registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/")
    assert set(row.recomputed) <= {*row.computed, *row.props}
    for inputs in row.recomputed.values():
        assert set(inputs) <= set(row.props)
    assert row.update is not None or all(p.replace or p.unreadable for n, p in row.props.items()), (
        "a row without update says of every property that it replaces"
    )


def nested(prop: Prop, path: str) -> list[tuple[str, Prop]]:
    return [(f"{path}.{n}", p) for n, p in prop.fields.items()] + [
        found for n, p in prop.fields.items() for found in nested(p, f"{path}.{n}")
    ]


@pytest.mark.parametrize("token", TOKENS)
def test_blocks_have_fields_and_nothing_else_has(token: str) -> None:
    for name, top in TABLE[token].props.items():
        for path, prop in [(name, top), *nested(top, name)]:
            assert bool(prop.fields) == (prop.kind in (Kind.BLOCK, Kind.BLOCKS, Kind.LISTED)), path


def test_the_sdk_asks_for_no_later_version_than_the_plugin_says() -> None:
    from lab.plugins.aws.provider import AwsPlugin
    from lab.plugins.kubernetes.provider import KubernetesPlugin

    assert AwsPlugin.version.split("+")[0] == _version("pulumi_aws")
    assert KubernetesPlugin.version.split("+")[0] == _version("pulumi_kubernetes")


def _version(package: str) -> Any:
    assert pulumi.__name__
    return importlib.import_module("importlib.metadata").version(package)
