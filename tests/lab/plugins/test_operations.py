"""Every type made, read back, imported, changed and deleted on the lab's AWS, by the plugin's own methods."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lab.plugins.errors import PluginError
from lab.plugins.host import Request
from tests.lab.plugins.driving import Driver, Made
from tests.lab.plugins.making import (
    ALLOW,
    ZONES,
    Ground,
    address,
    association,
    balancer,
    egress,
    endpoint,
    ground_of,
    ingress,
    internet,
    listener,
    nat,
    new_vpc,
    options,
    peering,
    policy,
    record,
    route,
    route_table,
    targets,
    template,
    visibility,
    volume,
    workers,
)


@pytest.fixture
def ground(driver: Driver) -> Ground:
    found = ground_of(driver)
    found.template = driver.create(
        "aws:ec2/launchTemplate:LaunchTemplate",
        "t",
        name="t",
        imageId="ami-12c6146b",
        instanceType="m5.large",
        vpcSecurityGroupIds=[found.group],
    ).id
    return found


Maker = Callable[[Ground], Made]
# maker, changes that are updates, import id where it isn't the id
CASES: list[tuple[Maker, dict[str, Any], Callable[[Made], str] | None]] = [
    (lambda g: g.vpc, {"enableDnsHostnames": True, "tags": {"Name": "new"}}, None),
    (lambda g: new_vpc(g.driver, "third", 50), {"tags": {}}, None),
    (peering, {"tags": {"a": "b"}}, None),
    (options, {"accepter": {"allowRemoteVpcDnsResolution": False}}, None),
    (route_table, {"tags": {"a": "b"}}, None),
    (route, {}, lambda m: f"{m.inputs['routeTableId']}_127.10.0.0/16"),
    (association, {}, lambda m: f"{m.inputs['subnetId']}/{m.inputs['routeTableId']}"),
    (endpoint, {"routeTableIds": []}, None),
    (internet, {"tags": {"a": "b"}}, None),
    (address, {"tags": {"a": "b"}}, None),
    (nat, {"tags": {"a": "b"}}, None),
    (ingress, {"toPort": 2381, "description": "more", "tags": {}}, None),
    (egress, {"tags": {"a": "b"}}, None),
    (template, {"userData": "Yg==", "metadataOptions": {"httpTokens": "optional"}}, None),
    (targets, {"deregistrationDelay": 20}, None),
    (balancer, {"enableCrossZoneLoadBalancing": False, "tags": {"a": "b"}}, None),
    (listener, {"port": 6444}, None),
    (workers, {"maxSize": 4, "suspendedProcesses": ["Launch"]}, None),
    (record, {"weightedRoutingPolicies": [{"weight": 100}], "ttl": 6}, None),
    (visibility, {}, None),
    (policy, {"policy": json.dumps({"Version": "2012-10-17", "Statement": [{**ALLOW, "Action": "*"}]})}, None),
    (volume, {"tags": {"a": "b"}}, None),
]


def ids(case: tuple[Maker, Any, Any]) -> str:
    return getattr(case[0], "__name__", "vpc").strip("<>")


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_what_is_made_reads_back_imports_changes_and_goes(
    ground: Ground, case: tuple[Maker, dict[str, Any], Callable[[Made], str] | None]
) -> None:
    maker, changes, import_id = case
    driver = ground.driver
    made = maker(ground)

    assert driver.diff(made).changes == [], "a second preview is clean"
    fresh = driver.refresh(made)
    assert fresh is not None
    assert (fresh.id, fresh.inputs, fresh.outputs) == (made.id, made.inputs, made.outputs), "a refresh is clean"

    imported = driver.import_(made, import_id(made) if import_id else None)
    imported.inputs = made.inputs
    left = {c.top for c in driver.diff(imported).changes}
    row = driver.plugin.row(made.type)
    assert left <= {n for n, p in row.props.items() if p.unreadable}, "an import finds what the program says"

    if changes:
        difference = driver.diff(made, **changes)
        assert {c.top for c in difference.changes} == set(changes)
        assert not any(c.replace for c in difference.changes)
        made = driver.update(made, **changes)
        assert driver.diff(made).changes == [], "after the update nothing is left to do"
        again = driver.refresh(made)
        assert again is not None
        assert again.outputs == made.outputs

    if made.type in {"aws:ec2/vpc:Vpc"} and made is not ground.vpc and made.name != "third":
        return
    if maker is CASES[0][0]:
        return  # other things stand on it
    driver.delete(made)
    if made.type not in KEPT_BY_AWS:
        assert driver.refresh(made) is None
    driver.delete(made)  # gone already is done


KEPT_BY_AWS = {
    "aws:ec2/peeringConnectionOptions:PeeringConnectionOptions",
}


def test_a_drift_is_seen_and_would_be_undone(ground: Ground) -> None:
    driver = ground.driver
    driver.client("ec2").create_tags(Resources=[ground.vpc.id], Tags=[{"Key": "Name", "Value": "by hand"}])
    drifted = driver.refresh(ground.vpc)
    assert drifted is not None
    assert drifted.inputs["tags"] == {"Name": "by hand"}
    assert [c.path for c in driver.diff(drifted, tags={"Name": "main"}).changes] == ["tags.Name"]


def test_sizes_somebody_else_owns_are_not_set_back_by_another_change(ground: Ground) -> None:
    driver, ignore = ground.driver, ("minSize", "maxSize", "desiredCapacity", "suspendedProcesses")
    made = workers(ground)
    scaling = driver.client("autoscaling")
    scaling.update_auto_scaling_group(AutoScalingGroupName="g", MinSize=2, MaxSize=5)
    scaling.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["Launch"])
    tags = [{"key": "Name", "value": "v", "propagateAtLaunch": True}]
    assert {c.top for c in driver.diff(made, ignore, tags=tags).changes} == {"tags"}
    updated = driver.update(made, ignore, tags=tags)
    assert (updated.outputs["minSize"], updated.outputs["maxSize"]) == (2, 5)
    assert updated.outputs["suspendedProcesses"] == ["AZRebalance", "Launch"]
    assert driver.diff(updated, ignore).changes == []


def test_a_group_is_emptied_before_it_is_deleted(ground: Ground) -> None:
    made = workers(ground)
    client = ground.driver.client("ec2")
    ground.driver.delete(made)
    states = {i["State"]["Name"] for r in client.describe_instances()["Reservations"] for i in r["Instances"]}
    assert states <= {"terminated", "shutting-down"}


def test_a_second_group_of_that_name_is_refused(ground: Ground) -> None:
    workers(ground)
    with pytest.raises(PluginError, match=r"AlreadyExists: .*'g' already exists; import it"):
        workers(ground)


def test_a_second_route_to_one_destination_is_refused(ground: Ground) -> None:
    made = route(ground)
    with pytest.raises(PluginError, match="RouteAlreadyExists"):
        ground.driver.create("aws:ec2/route:Route", "again", **made.inputs)


def test_aws_errors_carry_their_code(ground: Ground) -> None:
    with pytest.raises(PluginError, match=r"^InvalidVpcID.NotFound: "):
        ground.driver.create(
            "aws:ec2/subnet:Subnet", "s", vpcId="vpc-12345678", cidrBlock="127.30.0.0/24", availabilityZone=ZONES[0]
        )


def test_an_unknown_type_is_an_error_naming_it(driver: Driver) -> None:
    with pytest.raises(PluginError, match="doesn't know the type aws:ec2/instance:Instance"):
        driver.plugin.check(Request(type="aws:ec2/instance:Instance", name="x"))
