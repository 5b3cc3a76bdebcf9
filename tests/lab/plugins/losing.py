"""What a refresh, and a state that is lost and built anew, leave of a stack: all of it, as it was."""

from __future__ import annotations

import json
from typing import Any

import boto3

from lab.addresses import REGION
from migration.names import record_parameter
from tests.lab.plugins.leaks import leaks
from tests.lab.plugins.whole import Whole

# The lab's plugin finds these by their subnet and gives what it imports an id of its own.
NAMELESS = "aws:ec2/routeTableAssociation:RouteTableAssociation"
# What the engine gives its own objects anew.
OWN = ("pulumi:pulumi:Stack", "pulumi:providers:")


def resources(stack: Whole) -> dict[str, dict[str, Any]]:
    deployment = json.loads(stack.run("stack", "export"))["deployment"]
    return {one["urn"]: one for one in deployment.get("resources", ())}


def ids(held: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Each resource's object; components have none."""
    return {urn: one.get("id", "") for urn, one in held.items() if not one["type"].startswith((*OWN, NAMELESS))}


def client(stack: Whole, service: str) -> Any:
    session: Any = boto3.Session(region_name=REGION)
    return session.client(service, endpoint_url=stack.url)


def record(stack: Whole) -> dict[str, Any]:
    return json.loads(client(stack, "ssm").get_parameter(Name=record_parameter("pet"))["Parameter"]["Value"])


def unchanged_by_refresh(stack: Whole) -> None:
    """What a refresh reads is what the state has, and an up has nothing to do after it."""
    before = resources(stack)
    stack.run("refresh", "--yes", "--skip-preview")
    after = resources(stack)
    assert ids(after) == ids(before)
    for urn, one in after.items():
        for part in ("inputs", "outputs"):
            assert one.get(part, {}).keys() == before[urn].get(part, {}).keys(), urn
    stack.run("preview", "--expect-no-changes")


def rebuilt(stack: Whole) -> None:
    """The state goes, and comes back by `recover`, which looks for itself whether an up had anything to do."""
    before, was = resources(stack), record(stack)
    stack.lose_state()
    refused = stack.run("up", "--yes", "--skip-preview", ok=False)
    assert "python -m migration recover --state-lost" in refused
    said = stack.recover("--state-lost")
    assert "nothing differs; next: pulumi up" in said
    after, now = resources(stack), record(stack)
    assert ids(after) == ids(before)
    assert {urn: one.get("parent") for urn, one in after.items()} == {
        urn: one.get("parent") for urn, one in before.items()
    }
    assert now["stack"].startswith("recovered-")
    assert {**now, "stack": was["stack"]} == was
    kept = {urn: json.dumps(one).encode() for urn, one in after.items()}
    assert leaks(kept, {"user data": "EnvironmentFile=/etc/kubernetes/kubelet.env"}) == []
