"""The whole program on the real engine, over the lab's AWS in this process, with no machine and no cluster behind it.

What only machines and pods can answer is answered here: the operations that look at them say that all is done. All
others, and everything that the engine makes, are the program's own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.addresses import REGION
from lab.legacy.__main__ import build
from lab.legacy.cloud import Cloud
from lab.settings import LabSettings
from migration.clients.aws import Aws
from migration.discover.options import DiscoveryOptions
from migration.discover.run import discover
from migration.discover.write import write
from tests.lab.plugins.cluster import kubeconfig, pair
from tests.lab.plugins.driving import Engine, bare_engine, environment
from tests.legacy import SERVICE, OnPort

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ("Pulumi.yaml", "__main__.py", "components", "migration", "providers", ".venv")
TTL = 2

# Operations on machines and pods, each as `migration.recover.results` could have told it.
SAID = {
    "gate": "GateResult(stage=inputs.stage, position=inputs.position, results=())",
    "taint": "TaintResult(wanted=inputs.wanted, nodes=('n',), changed=1, missing=())",
    "drain": (
        "DrainResult(wanted=inputs.wanted, tier=inputs.tier, nodes=1, pods=1, evictions=1, restarts=0, rejected429=0,"
        " seconds=1.0, blocked=())"
    ),
    "ingress_policy": (
        "IngressPolicyResult(wanted=inputs.wanted, policy=inputs.policy, previous=inputs.recorded, steps=('s',))"
    ),
    "scale": "WorkerScaleResult(wanted=inputs.wanted, groups={}, ended=0)",
    "api_targets": "ApiTargetsResult(addresses=tuple(one.address for one in inputs.members))",
    "member_swap": "MemberSwapResult(state=inputs.wanted)",
    "retire": "RetirementResult(deleted=())",
}
CONTRACTS = ("gates", "members", "retirement", "traffic", "workers")
# Python imports it by itself where a program starts, also in the engine's host of dynamic providers.
SITE = """
import migration.operations
migration.operations.__path__.insert(0, {folder!r})
"""


class Services:
    """Answers what discovery asks of a cluster."""

    def list(self, kind: Any, namespace: str | None = None, **_: Any) -> list[dict[str, Any]]:
        return [SERVICE] if kind.plural == "services" else []


@dataclass
class Whole:
    """The program in a folder of its own, with one stack that is renamed from stage to stage."""

    engine: Engine
    url: str
    stage: int = 0

    @property
    def stack(self) -> str:
        return f"stage-{self.stage}"

    def run(self, *arguments: str, ok: bool = True) -> str:
        return self.engine.run(*arguments, "-s", self.stack, ok=ok)

    def up(self, stage: int) -> str:
        """Rename the stack to `stage` and bring it there."""
        if stage != self.stage:
            self.rename(stage)
        return self.run("up", "--yes", "--skip-preview")

    def rename(self, stage: int) -> None:
        """Only rename the stack."""
        self.engine.run("stack", "rename", f"stage-{stage}", "-s", self.stack)
        self.stage = stage

    def lose_state(self) -> None:
        """As a backend that is gone: an empty one in its place, with the same configuration."""
        file = self.engine.folder / "stacks" / f"Pulumi.{self.stack}.yaml"
        kept = file.read_text()
        shutil.rmtree(Path(self.engine.env["PULUMI_BACKEND_URL"].removeprefix("file://")) / ".pulumi")
        self.engine.run("stack", "init", self.stack)
        file.write_text(kept)

    def recover(self, *arguments: str, ok: bool = True) -> str:
        """`python -m migration recover`, as an operator types it."""
        done = subprocess.run(
            [sys.executable, "-m", "migration", "recover", "--stack", self.stack, *arguments],
            cwd=self.engine.folder,
            env=self.engine.env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = done.stdout + done.stderr
        assert (done.returncode == 0) is ok, said
        return said


def whole(
    folder: Path, aws_url: str, cluster_url: str, patch: pytest.MonkeyPatch, profile: str = LabSettings().profile
) -> Whole:
    """The legacy cluster as the lab builds it, discovered, and its stack before stage 0. `profile`: the lab's."""
    access, site = folder / "kubeconfig", folder / "site"
    access.write_text(kubeconfig(cluster_url, *pair()))
    operations = site / "said"
    operations.mkdir(parents=True)
    imports = "".join(f"from migration.contracts.{module} import *\n" for module in CONTRACTS)
    for name, result in SAID.items():
        (operations / f"{name}.py").write_text(
            f"{imports}def run(inputs, previous, context):\n    return {result}\n\n"
            "def release(inputs, context):\n    pass\n"
        )
    (site / "sitecustomize.py").write_text(SITE.format(folder=str(operations)))
    extra = {**environment(aws_url), "KUBECONFIG": str(access), "PYTHONPATH": f"{site}:{ROOT}"}
    engine = bare_engine(folder, extra)
    engine.limit = 400
    for part in PROGRAM:
        (engine.folder / part).symlink_to(ROOT / part)
    for key, value in environment(aws_url).items():
        patch.setenv(key, value)
    file = engine.folder / "stacks" / "Pulumi.stage-0.yaml"
    write(file, REGION, _found(aws_url, folder, LabSettings(profile=profile)))
    kept = file.read_text()
    engine.run("stack", "init", "stage-0")
    # The engine's own key beside what discovery wrote.
    assert kept.splitlines()[-1] in file.read_text()
    return Whole(engine, aws_url)


def _found(url: str, folder: Path, settings: LabSettings) -> dict[str, Any]:
    addresses = OnPort(url=url)
    cloud = Cloud(addresses)
    build(addresses, settings, folder / "legacy")
    aws = Aws(region=REGION)
    for name in ("master-a", "master-b", "master-c"):
        volume = cloud.named("describe_volumes", "Volumes", f"{name}.etcd.pet")
        machine = next(one.id for one in aws.instances_of_groups([f"{name}.pet"]))
        assert volume is not None
        cloud.ec2.attach_volume(VolumeId=volume["VolumeId"], InstanceId=machine, Device="/dev/xvdf")
    vpc = cloud.named("describe_vpcs", "Vpcs", "legacy.pet")
    assert vpc is not None
    clients: Any = SimpleNamespace(aws=aws, kubernetes=Services())
    options = DiscoveryOptions(
        cluster="pet",
        vpc=vpc["VpcId"],
        from_name="legacy",
        to_cidr=addresses.main_cidr,
        operator_networks=(addresses.corp_cidr,),
        ttl=TTL,
    )
    return discover(clients, options)
