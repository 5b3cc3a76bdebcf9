"""Strings planted in every secret place stand in no state, diff, log or output of the real engine."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from lab.addresses import REGION
from lab.environment import REPOSITORY
from tests.lab.plugins.cluster import kubeconfig, pair, recorded, served
from tests.lab.plugins.driving import Engine, bare_engine, environment
from tests.lab.plugins.leaks import files, leaks
from tests.samples import configuration

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

# What the program declares of these, through its own parts; the old groups are in AWS, and nothing else is.
PROGRAM = """
import os

import pulumi
from pulumi.runtime import get_config_env
from pulumi.runtime.config import get_config_secret_keys_env

from components.base import Args, Scope
from components.cluster_objects import ClusterObjects
from components.launch_templates import copied_template
from migration.contracts.gates import EtcdPreflight, GateInputs
from migration.contracts.workers import GroupNoteInputs, GroupNoteResult
from migration.etcd.userdata import MemberIdentity, clone_user_data
from migration.settings import load
from migration.stages import stage
from providers.operations import Gate, GroupNote

if os.environ.get("UNMARKED"):
    pulumi.Output.secret = staticmethod(pulumi.Output.from_input)
    GroupNoteResult.secret = False

settings = load(get_config_env(), pulumi.get_stack(), get_config_secret_keys_env())
c = settings.configuration
scope = Scope(settings=settings)
ClusterObjects("cluster-objects", Args(scope=scope))
pool, member = c.pools[0], c.members[0]
note = GroupNote(
    "groups",
    GroupNoteInputs(**scope.common(), side="legacy", groups={"worker": pool.group, "member": member.group}),
).outcome
identity = MemberIdentity(cluster="pet", member="a-main", region=settings.region, ticket_parameter=os.environ["TICKET"],
    api_port=c.api.port, client_port=c.etcd.client_port, peer_port=c.etcd.peer_port)
cloned = note.apply(lambda seen: clone_user_data(seen.groups["member"].template.user_data.get_secret_value(), identity))
for key, user_data in (("worker", None), ("member", cloned)):
    copied_template(
        key,
        name=f"{key}-main",
        original=note.apply(lambda seen, key=key: seen.groups[key].template),
        security_groups=[],
        tags={},
        user_data=user_data,
        imdsv2=c.hardening.imdsv2,
        opts=pulumi.ResourceOptions(),
    )
pulumi.export("sizes", note.apply(lambda seen: seen.groups["worker"].size().model_dump()))
if os.environ.get("ASK_ETCD"):
    asked = (EtcdPreflight.of(settings, stage(7)),)
    Gate("gate", GateInputs(**scope.common(3), stage=7, position="before", questions=asked))
"""

UNITS = [
    {
        "path": f"/etc/systemd/system/{unit}.service",
        "content": "[Service]\nEnvironmentFile=/etc/kubernetes/member.env\n",
    }
    for unit in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
]


def part(pem: str) -> str:
    """Enough of a key to know it again: its second line, which no other key has."""
    return pem.splitlines()[2]


@pytest.fixture
def api() -> Iterator[str]:
    with served() as url:
        yield url


@dataclass
class Planted:
    """The secrets, by where they were put, and what went there whole."""

    kubeconfig: str
    secrets: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def planted(aws_url: str, api: str) -> Planted:
    login: Any = {"aws_access_key_id": "lab", "aws_secret_access_key": "lab", "endpoint_url": aws_url}
    clients: Any = (boto3.client(name, region_name=REGION, **login) for name in ("ec2", "autoscaling", "ssm"))
    ec2, autoscaling, ssm = clients
    worker = b"#cloud-config\nruncmd: [join --token canary-of-a-workers-join-token]\n"
    secret = {"path": "/etc/kubernetes/cloud.conf", "content": "password = canary-of-a-members-password\n"}
    member = gzip.compress(b"#cloud-config\n" + yaml.safe_dump({"write_files": [*UNITS, secret]}).encode())
    vpc = ec2.create_vpc(CidrBlock="127.30.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="127.30.0.0/24")["Subnet"]["SubnetId"]
    sample = configuration()
    for group, data, size in ((sample["pools"][0], worker, 0), (sample["members"][0], member, 1)):
        made = ec2.create_launch_template(
            LaunchTemplateName=group["group"],
            LaunchTemplateData={
                "ImageId": "ami-12c6146b",
                "InstanceType": "m5.large",
                "UserData": base64.b64encode(data).decode(),
            },
        )
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=group["group"],
            MinSize=size,
            MaxSize=7,
            DesiredCapacity=size,
            VPCZoneIdentifier=subnet,
            LaunchTemplate={"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"], "Version": "$Latest"},
        )
    (_, ca_key), (etcd_crt, etcd_key), (api_crt, api_key) = pair(), pair(), pair()
    prefix = sample["etcd"]["certificates"]
    values = {
        "/pet/pki/ca.key": ca_key,
        f"{prefix}/ca.crt": etcd_crt,
        f"{prefix}/client.crt": etcd_crt,
        f"{prefix}/client.key": etcd_key,
    }
    for name, value in values.items():
        ssm.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
    recorded(ssm)
    return Planted(
        kubeconfig(api, api_crt, api_key),
        {
            "a worker's user data": "canary-of-a-workers-join-token",
            "a member's user data": "canary-of-a-members-password",
            "the kubeconfig's token": "canary-of-the-kubeconfigs-token",
            "the kubeconfig's client key": part(api_key),
            "etcd's client key": part(etcd_key),
            "the CA's key": part(ca_key),
            "the passphrase": "canary-of-the-passphrase",
        },
    )


@dataclass
class Watched:
    """An engine, and everything it ever said or wrote."""

    engine: Engine
    places: dict[str, bytes] = field(default_factory=dict)

    def run(self, name: str, *arguments: str, ok: bool = True, stdin: str = "", **extra: str) -> str:
        said = self.engine.run(*arguments, ok=ok, stdin=stdin, **extra)
        self.places[name] = said.encode()
        return said

    def logged(self, name: str, *arguments: str, ok: bool = True, **extra: str) -> str:
        log = self.engine.folder / f"{name}.events"
        said = self.run(name, *arguments, "--event-log", str(log), ok=ok, **extra)
        assert log.stat().st_size > 1000, "the engine's events were logged"
        return said

    def everything(self) -> dict[str, bytes]:
        around = self.engine.folder.parent
        kept = {place: files(around / place, place) for place in ("state", "program")}
        return {**self.places, **kept["state"], **kept["program"]}


@pytest.fixture
def watched(tmp_path: Path, aws_url: str, planted: Planted) -> Watched:
    engine = bare_engine(
        tmp_path,
        {
            **environment(aws_url),
            "PULUMI_CONFIG_PASSPHRASE": planted.secrets["the passphrase"],
            "PULUMI_DEBUG_COMMANDS": "true",  # for --event-log
            "PYTHONPATH": str(REPOSITORY),
            "TICKET": "/pet/members/a-main",
        },
    )
    (engine.folder / "Pulumi.yaml").write_text("name: migration\nruntime: python\n")
    (engine.folder / "__main__.py").write_text(PROGRAM)
    values = {f"migration:{key}": value for key, value in configuration().items()}
    stack = engine.folder / "Pulumi.stage-3.yaml"
    stack.write_text(yaml.safe_dump({"config": {"aws:region": REGION, **values}}))
    made = Watched(engine)
    made.run("stack init", "stack", "init", "stage-3")
    made.run("config set", "config", "set", "--secret", "migration:kubeconfig", stdin=planted.kubeconfig)
    assert "secure: v1:" in stack.read_text()
    return made


def test_no_secret_stands_in_a_state_a_diff_a_log_or_an_output(watched: Watched, planted: Planted) -> None:
    watched.logged("first preview", "preview", "--diff")
    said = watched.logged("first up", "up", "--yes", "--skip-preview", "--diff")
    assert re.search(r"sizes\s*:\s*\{\s*desired:\s*0\s*min\s*:\s*0", said), "sizes stay readable"
    assert re.search(r"userData\s*: \[secret\]", said)
    assert "unchanged" in watched.logged("second preview", "preview", "--diff", "--expect-no-changes")
    changed = watched.logged("changed", "preview", "--diff", TICKET="/pet/members/another")
    assert re.search(r"~ userData\s*: \[secret\]", changed)
    assert re.search(r"image.?[iI]d|ami-12c6146b", watched.run("export", "stack", "export"))
    watched.run("as JSON", "preview", "--json", TICKET="/pet/members/another")
    refused = watched.logged("asking etcd", "up", "--yes", "--skip-preview", ok=False, ASK_ETCD="1")
    assert "etcd" in refused
    assert leaks(watched.everything(), planted.secrets) == []
    shown = {"shown": watched.engine.run("stack", "export", "--show-secrets").encode()}
    assert {found.partition(":")[0] for found in leaks(shown, planted.secrets)} == {
        "a worker's user data",
        "a member's user data",
        "the kubeconfig's token",
        "the kubeconfig's client key",
    }, "they were there to be found"


def test_a_mark_that_is_dropped_is_found_by_place(watched: Watched, planted: Planted) -> None:
    watched.logged("up", "up", "--yes", "--skip-preview", "--diff", UNMARKED="1")
    watched.run("export", "stack", "export")
    found = set(leaks(watched.everything(), planted.secrets))
    print("\n".join(sorted(found)))
    for secret in ("a worker's user data", "a member's user data"):
        assert {f"{secret}: {place}" for place in ("export", "program/up.events")} <= found
    assert "a worker's user data: up" in found, "base64 in a diff"
    # The engine hides what the configuration keeps encrypted from its own output, though not from states.
    assert {"the kubeconfig's token: export", "the kubeconfig's client key: export"} <= found
    assert not any(one.startswith(("etcd's client key", "the CA's key", "the passphrase")) for one in found)
