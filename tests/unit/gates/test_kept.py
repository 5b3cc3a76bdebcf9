"""What stays in the old VPC at the end, and the file systems that pods use (moto's AWS)."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from migration.contracts.gates import FileSystemsReached, KeptUnused, Question
from migration.gates import Live, look
from migration.runtime.deadline import Permanent
from tests.unit.gates.test_network_aws import Sides
from tests.unit.gates.test_network_aws import sides as sides

ARN = "arn:aws:elasticloadbalancing:eu-central-1:1:loadbalancer/net/ingress-pet/1"


def asked(sides: Sides, **more: Any) -> KeptUnused:
    values: dict[str, Any] = {"made": False, "retain_peering": False, "flows": "refuse", "retired_balancers": (ARN,)}
    return KeptUnused(old=sides.old, new=sides.new, **{**values, **more})


def interface(sides: Sides, description: str, block: int = 0) -> str:
    subnet = sides.ec2.create_subnet(VpcId=sides.old.vpc_id, CidrBlock=f"10.10.{block}.0/24")["Subnet"]["SubnetId"]
    made = sides.ec2.create_network_interface(SubnetId=subnet, Description=description)["NetworkInterface"]
    return made["PrivateIpAddress"]


def test_where_nothing_is_kept_nothing_is_lost(sides: Sides) -> None:
    assert sides.ask(asked(sides)).startswith("no interface is kept in vpc-")
    # A balancer that goes takes its interfaces along.
    interface(sides, "ELB net/ingress-pet/1")
    assert sides.ask(asked(sides)).startswith("no interface is kept in vpc-")


def test_without_a_flow_log_nothing_is_known(sides: Sides) -> None:
    interface(sides, "RDSNetworkInterface")
    with pytest.raises(Permanent, match=r"1 interfaces are kept in vpc-\w+ \(RDSNetworkInterface.*no flow log"):
        sides.ask(asked(sides))
    assert "accepted" in sides.ask(asked(sides, flows="accept"))
    assert "the peering stays" in sides.ask(asked(sides, retain_peering=True))
    assert "nothing of others" in sides.ask(asked(sides, made=True))


@pytest.mark.parametrize(
    ("other", "action", "used"),
    [("10.30.3.7", "ACCEPT", True), ("10.30.3.7", "REJECT", False), ("10.50.0.7", "ACCEPT", False)],
)
@pytest.mark.parametrize("turned", [False, True])
def test_what_is_kept_and_used_is_named(sides: Sides, other: str, action: str, used: bool, turned: bool) -> None:
    address = interface(sides, "RDSNetworkInterface")
    logs = sides.context.clients.aws.logs
    logs.create_log_group(logGroupName="flows")
    logs.create_log_stream(logGroupName="flows", logStreamName="eni")
    sides.ec2.create_flow_logs(
        ResourceIds=[sides.old.vpc_id],
        ResourceType="VPC",
        TrafficType="ALL",
        LogGroupName="flows",
        DeliverLogsPermissionArn="arn:aws:iam::123456789012:role/flows",
    )
    source, target = (other, address) if turned else (address, other)
    line = f"2 123456789012 eni-1 {source} {target} 40000 5432 6 10 840 1 2 {action} OK"
    logs.put_log_events(
        logGroupName="flows",
        logStreamName="eni",
        logEvents=[{"timestamp": int(time.time() * 1000), "message": one} for one in (line, "2 1 eni-1 - - NODATA")],
    )
    if used:
        with pytest.raises(Permanent, match=rf"RDSNetworkInterface \({address}\) from {other}"):
            sides.ask(asked(sides))
    else:
        assert "none had a flow" in sides.ask(asked(sides))


def with_volumes(sides: Sides, *handles: str) -> Sides:
    volumes = [
        {"metadata": {"name": f"pv-{n}"}, "spec": {"csi": {"driver": "efs.csi.aws.com", "volumeHandle": handle}}}
        for n, handle in enumerate(handles)
    ]
    other = {"metadata": {"name": "ebs"}, "spec": {"csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "fs-0a1"}}}
    kubernetes = SimpleNamespace(list=lambda _: [*volumes, other])
    clients: Any = SimpleNamespace(aws=sides.context.clients.aws, kubernetes=kubernetes)
    return replace(sides, context=replace(sides.context, clients=clients))


def ask(sides: Sides, question: Question) -> str:
    return look(question, Live("pet", sides.context))


def test_a_file_system_in_the_old_vpc_is_refused_by_name(sides: Sides) -> None:
    question = FileSystemsReached(old=sides.old, efs="refuse")
    interface(sides, "EFS mount target for fs-0a1 (fsmt-0b2)")
    # Nobody's volume, or one that lives elsewhere, is no reason.
    assert "fs-0a1 is nobody's volume" in ask(with_volumes(sides, "fs-0ff"), question)
    mine = with_volumes(sides, "fs-0a1:/data", "fs-0ff")
    with pytest.raises(Permanent, match=r"fs-0a1 \(pv-0\), whose mount targets are in vpc-"):
        ask(mine, question)
    assert "1 file systems" in ask(mine, question.model_copy(update={"efs": "reachable"}))
