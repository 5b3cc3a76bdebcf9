"""The gate that tries the new VPC's ways out, on the lab's AWS with egress enforced: what is shut is refused by name.

A thread stands for the machines' agents. It takes each command as an agent would, and answers every connection that the
command is told to try as the lab's rules judge it from that machine: groups, ACLs, routes, NAT and endpoints.
"""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from lab.addresses import REGION
from lab.aws import egress
from lab.aws.snapshot import snapshot
from lab.aws.world import WORLD
from lab.network.parsing import parse
from lab.network.reachability import allowed
from lab.settings import LabSettings
from migration.clients.aws import Aws, Instance
from migration.contracts.gates import NewMachinesReach
from migration.gates import Live, look, reach
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable
from tests.lab.aws.test_egress import out


def everywhere(*ranges: str) -> list[dict[str, Any]]:
    """A permission of every protocol."""
    return [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": one} for one in ranges or ("0.0.0.0/0",)]}]


class NoObjects:
    """A cluster without a pod and without a node."""

    def list(self, kind: Any) -> list[dict[str, Any]]:
        return []


class Clients:
    kubernetes = NoObjects()

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
        self.aws = Aws(region=REGION, session=session)


def address(instance: str) -> str:
    found = WORLD.ec2.get_instance_by_id(instance)
    assert found is not None
    return str(found.private_ip)


def judged(ip: str, way: str, host: str, port: int) -> str | None:
    """Why this machine doesn't get there; None where it does."""
    if way == "NAME":
        return None
    if host[0].isdigit() and not host.endswith("amazonaws.com"):
        verdict = allowed(parse(snapshot(WORLD)), ip, host, port)
    else:
        verdict = egress.reaches(ip, host.partition(".")[0])
    return None if verdict.ok else verdict.reason


def attend(stop: threading.Event) -> None:
    while not stop.wait(0.05):
        # As the server's own threads do: a world that changes while it is read ends this one.
        with WORLD.lock:
            for instance, commands in list(WORLD.commands.items()):
                ip = address(instance)
                while commands:
                    command = commands.pop()
                    _, doors = json.loads(shlex.split(command["parameters"]["commands"][0])[-1])
                    said = {str(place): judged(ip, *door) for place, door in enumerate(doors)}
                    wrong = {place: why for place, why in said.items() if why is not None}
                    seen = WORLD.invocations[command["id"], instance]
                    seen["StandardOutputContent"] = json.dumps({"tried": len(doors), "wrong": wrong})
                    seen["Status"] = "Success"


@pytest.fixture
def agents() -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=attend, args=(stop,))
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def ask(aws: Any, old: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The gate, with one machine of each group; the new one's is in a security group of its own."""
    clients: Any = Clients(aws.url, monkeypatch)
    shut = aws.ec2.create_security_group(GroupName="new", Description="x", VpcId=old.vpc)["GroupId"]
    for group in (shut, old.group):
        aws.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=everywhere())
    machines = {
        "old": old.new_instance(),
        "members": old.new_instance(),
        "new": old.new_instance(SecurityGroupIds=[shut]),
    }
    for name, machine in machines.items():
        aws.ec2.create_tags(Resources=[machine], Tags=[{"Key": "group", "Value": name}])
    WORLD.settings = LabSettings(egress="enforce", refuse_after_s=0.1)
    inside = clients.aws.ec2.describe_instances(InstanceIds=[machines["new"]])["Reservations"][0]["Instances"][0]

    def running(groups: Any) -> Any:
        return [
            Instance(
                id=machines[one],
                ip=address(machines[one]),
                zone=inside["Placement"]["AvailabilityZone"],
                vpc=old.vpc,
                group=one,
                state="running",
            )
            for one in groups
        ]

    monkeypatch.setattr(clients.aws, "instances_of_groups", running)
    question = NewMachinesReach(
        by="ssm",
        zones=(inside["Placement"]["AvailabilityZone"],),
        new_groups=("new",),
        old_groups=("old",),
        member_groups=("members",),
        api="api.pet",
        names=(),
        reach=(),
        connected=(),
        resolver_rules=(),
    )
    live = Live("pet", Context(log=lambda _: None, deadline=Deadline(60), clients=clients))
    return lambda: look(question, live), shut, machines["new"]


@pytest.mark.usefixtures("agents")
def test_a_new_group_that_lets_no_https_out_is_refused_by_what_it_does_not_reach(aws: Any, old: Any, ask: Any) -> None:
    out(aws, old)
    gate, shut, machine = ask
    assert "ways were tried" in gate()
    everything = everywhere()
    # Its agent keeps a way of its own, an endpoint; everything else loses the one out of the VPC.
    aws.ec2.create_vpc_endpoint(
        VpcId=old.vpc,
        ServiceName=f"com.amazonaws.{REGION}.ssm",
        VpcEndpointType="Interface",
        SubnetIds=[old.subnets[0]],
        SecurityGroupIds=[old.group],
        PrivateDnsEnabled=True,
    )
    aws.ec2.revoke_security_group_egress(GroupId=shut, IpPermissions=everything)
    inside = everywhere("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12")
    aws.ec2.authorize_security_group_egress(GroupId=shut, IpPermissions=inside)
    with pytest.raises(
        Retryable, match=rf"{machine} .*doesn't reach AWS's API ec2\.{REGION}.*no egress rule of {shut}"
    ):
        gate()


def test_a_machine_whose_agent_has_no_way_is_named(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "ASKING_SECONDS", 3.0)
    gate, _, machine = ask
    with pytest.raises(Permanent, match=rf"Systems Manager doesn't reach {machine} .*InvalidInstanceId.*tryFrom"):
        gate()
