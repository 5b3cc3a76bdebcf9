"""Where the lab enforces policies, the legacy cluster's machines have what their boot takes, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.addresses import REGION, ZONES, LabAddresses
from lab.aws import hooks
from lab.aws.server import LabAws
from lab.aws.world import WORLD
from lab.layouts import LAYOUTS, MASTER
from lab.legacy import access, launching, network, plan
from lab.legacy.cloud import Cloud, specification
from lab.settings import LabSettings
from rehearsal.rights import as_operator


class Somewhere(LabAddresses):
    url = ""

    @property
    def aws_url(self) -> str:
        return self.url


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    WORLD.reset(LabSettings(iam="enforce"))
    server = LabAws().start()
    Somewhere.url = server.url
    yield Cloud(Somewhere())
    server.stop()


def test_a_member_reads_its_keys_and_attaches_its_volume(cloud: Cloud) -> None:
    made = network.build(cloud, "pet")
    rights = access.build(cloud, "pet", made, LAYOUTS["cloud-config"])
    tags = plan.tags("master-a.pet", "pet", **{MASTER: "1"})
    instance = cloud.ec2.run_instances(
        ImageId=launching.image(cloud, "pet-node"),
        InstanceType="m5.large",
        MinCount=1,
        MaxCount=1,
        SubnetId=made.private[ZONES[0]],
        SecurityGroupIds=[rights.control_plane],
        IamInstanceProfile={"Name": rights.control_plane_profile},
        TagSpecifications=specification("instance", tags),
    )["Instances"][0]["InstanceId"]
    launching.volume(cloud, "pet", "master-a", ZONES[0], {})
    own: Any = cloud.named("describe_volumes", "Volumes", "master-a.etcd.pet")
    others = cloud.ec2.create_volume(AvailabilityZone=ZONES[0], Size=1)
    for name in ("/pet/pki/ca.crt", "/pet/operator/etcd/client.key"):
        cloud.ssm.put_parameter(Name=name, Value="x", Type="SecureString")

    session: Any = boto3.Session(f"ASIA{instance[-16:].upper()}", "lab", "lab", region_name=REGION)
    once = Config(retries={"total_max_attempts": 1})
    ssm, ec2 = (session.client(s, endpoint_url=Somewhere.url, config=once) for s in ("ssm", "ec2"))
    assert ssm.get_parameter(Name="/pet/pki/ca.crt", WithDecryption=True)["Parameter"]["Value"] == "x"
    with pytest.raises(ClientError, match="AccessDeniedException"):
        ssm.get_parameter(Name="/pet/operator/etcd/client.key", WithDecryption=True)
    assert ec2.describe_volumes(VolumeIds=[own["VolumeId"]])["Volumes"]
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ec2.attach_volume(VolumeId=others["VolumeId"], InstanceId=instance, Device="/dev/xvdf")
    ec2.attach_volume(VolumeId=own["VolumeId"], InstanceId=instance, Device="/dev/xvdf")


def test_the_operator_sends_commands_to_workers_whose_role_lets_their_agent_register(cloud: Cloud) -> None:
    made = network.build(cloud, "pet")
    rights = access.build(cloud, "pet", made, LAYOUTS["cloud-config"])
    own = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab", "AWS_ENDPOINT_URL": Somewhere.url}
    told = as_operator(own, LabSettings(iam="enforce"))
    keys = (told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"], told["AWS_SESSION_TOKEN"])
    operator: Any = boto3.Session(*keys, region_name=REGION).client("ssm", endpoint_url=Somewhere.url)

    def launched(group: str, profile: str) -> str:
        return cloud.ec2.run_instances(
            ImageId=launching.image(cloud, "pet-node"),
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            SubnetId=made.private[ZONES[0]],
            SecurityGroupIds=[group],
            IamInstanceProfile={"Name": profile},
        )["Instances"][0]["InstanceId"]

    def sent(instance: str) -> str:
        return operator.send_command(
            InstanceIds=[instance], DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]}
        )["Command"]["Status"]

    worker = launched(rights.nodes, rights.nodes_profile)
    member = launched(rights.control_plane, rights.control_plane_profile)
    cloud.ec2.get_waiter("instance_running").wait(InstanceIds=[worker, member], WaiterConfig={"Delay": 1})
    assert sent(member) == "Pending"
    with pytest.raises(ClientError, match="InvalidInstanceId"):
        sent(worker)
    with hooks.without("agent_without_rights"):
        assert sent(worker) == "Pending"
    access.build(cloud, "pet", made, LAYOUTS["cloud-config"], agents=True)
    assert sent(worker) == "Pending"
