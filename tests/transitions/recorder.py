"""Runs the real program's components at a stage on recording mocks."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any

import pulumi
import yaml
from pulumi.runtime import mocks

from components.base import Scope
from components.migration import Migration, MigrationArgs
from migration.settings import Settings

# What a template of the old side holds: units with their flags, started by a boot script of its own.
OLD_CLOUD_CONFIG = "#cloud-config\n" + yaml.safe_dump(
    {
        "write_files": [
            {"path": f"/etc/systemd/system/{unit}.service", "content": f"[Service]\nExecStart=/usr/local/bin/{unit}\n"}
            for unit in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
        ],
        "runcmd": ["/usr/local/bin/theirs"],
    }
)
_TEMPLATE = {
    "imageId": "ami-1",
    "instanceType": "m5.large",
    "iamInstanceProfile": {"name": "nodes.pet"},
    "userData": base64.b64encode(OLD_CLOUD_CONFIG.encode()).decode(),
    "metadataOptions": {"httpTokens": "optional"},
}


@dataclass(frozen=True)
class Declared:
    """One resource as the program declared it: its inputs as the engine would get them."""

    type: str
    name: str
    inputs: dict[str, Any]


class _Recorder(pulumi.runtime.Mocks):
    def __init__(self) -> None:
        self.seen: list[Declared] = []

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        inputs = {key: value for key, value in args.inputs.items() if key not in ("__provider", "result")}
        self.seen.append(Declared(args.typ, args.name, inputs))
        outputs = {**args.inputs, "arn": f"arn:{args.name}", "dnsName": f"{args.name}.elb", "latestVersion": 1}
        if args.typ.endswith("GroupNote"):
            note = {"min": 1, "max": 3, "desired": 2, "template": _TEMPLATE, "tags": {"k8s.io/role/node": "1"}}
            outputs["result"] = {"groups": dict.fromkeys(args.inputs["groups"], note)}
        return f"id-{args.name}", outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program looks something up at preview: {args.token}")


def declare(settings: Settings) -> dict[tuple[str, str], Declared]:
    """Everything the program declares for `settings`, by type (its last part) and name. A fresh run each time."""
    recorder = _Recorder()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        mocks.set_mocks(recorder, project="migration", stack=settings.stack, preview=False)
        loop.run_until_complete(pulumi.runtime.stack.run_pulumi_func(lambda: _declare(settings)))
    finally:
        loop.close()
    found = {(item.type.rsplit(":", 1)[-1], item.name): item for item in recorder.seen}
    assert len(found) == len(recorder.seen), "two resources of one type and name"
    return found


def _declare(settings: Settings) -> None:
    Migration("migration", MigrationArgs(scope=Scope(settings=settings), owner="migration/test"))
