"""Runs the real program's components at a stage on recording mocks."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import pulumi
import yaml
from pulumi.runtime import mocks, rpc

from components.base import Scope
from components.migration import Migration, MigrationArgs
from lab.legacy import userdata as legacy
from lab.plugins.aws.provider import AwsPlugin
from lab.plugins.errors import PluginError
from lab.plugins.host import Request
from lab.plugins.kubernetes.provider import KubernetesPlugin
from migration.contracts.packed import unpack
from migration.settings import Settings
from tests.samples import settings as sample

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
    "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": {"volumeSize": 50, "volumeType": "gp3"}}],
    "userData": base64.b64encode(OLD_CLOUD_CONFIG.encode()).decode(),
    "metadataOptions": {"httpTokens": "optional", "instanceMetadataTags": "enabled"},
}
# What an Auto Scaling group of the old side says besides.
GROUP: dict[str, Any] = {}

Key = tuple[str, str]
"""A resource by its type's last part and its name."""


# What makes things on the lab. `declare` asks them about all that it records.
PLUGINS: dict[str, AwsPlugin | KubernetesPlugin] = {"aws": AwsPlugin(), "kubernetes": KubernetesPlugin()}


@dataclass(frozen=True)
class Declared:
    """One resource as the program declared it: its inputs as the engine would get them, and what the engine is told.

    `after`: what it depends on by option or by value. `edges`: the same as often as the engine notes it: once, and once
    more for each property that it comes by. `aliases`: parents (URNs) it is known under besides its own.
    `secret`: inputs that are marked so; `secret_outputs`: what the engine is told to keep encrypted besides.
    """

    type: str
    name: str
    inputs: dict[str, Any]
    parent: str
    after: frozenset[Key]
    edges: tuple[Key, ...]
    aliases: tuple[str, ...]
    retained: bool
    secret: frozenset[str]
    secret_outputs: frozenset[str]

    @property
    def asked(self) -> dict[str, Any]:
        """What an operation is given."""
        return self.inputs["inputs"]


def _key(urn: str) -> Key:
    _, _, kinds, name = urn.split("::", 3)
    return kinds.rsplit(":", 1)[-1], name


def _template_of(group: str) -> dict[str, Any]:
    """A script rendered from a template where etcd is on machines of its own."""
    made = {
        "etcd-": lambda: legacy.etcd(
            cluster="pet", member=group[:6], initial_cluster=f"{group[:6]}=https://10.0.0.1:2380"
        ),
        "api-": lambda: legacy.master(
            cluster="pet", pod_cidr="100.64.0.0/16", api_names=["api.pet"], etcd_servers=["https://10.0.0.1:2379"]
        ),
    }
    text = next((make() for start, make in made.items() if group.startswith(start)), None)
    return _TEMPLATE if text is None else {**_TEMPLATE, "userData": base64.b64encode(text.encode()).decode()}


class _Answers(pulumi.runtime.Mocks):
    """Every resource is made at once, with ids that tell its name."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        zone = {"zoneId": f"zone-of-{args.name}"} if args.typ.endswith(":LoadBalancer") else {}
        outputs = {**args.inputs, **zone, "arn": f"arn:{args.name}", "dnsName": f"{args.name}.elb", "latestVersion": 1}
        if args.typ.endswith("GroupNote"):
            groups = unpack(_plain(args.inputs)["inputs"])["groups"]
            size = {"min": 1, "max": 3, "desired": 2}
            seen = {
                key: {
                    "group": group,
                    **size,
                    "template": _template_of(group),
                    "tags": {"k8s.io/role/node": "1"},
                    **GROUP,
                }
                for key, group in groups.items()
            }
            outputs["result"] = {"groups": seen}
        elif args.typ.endswith("StageRecord"):
            asked = unpack(_plain(args.inputs)["inputs"])
            sides = {"from": asked["from"], "to": asked["to"]}
            written = {"owner": asked["owner"], **sides, "reached": asked["stage"], "tried": asked["stage"]}
            outputs["result"] = {"record": written}
        elif args.typ.endswith(":Gate"):
            asked = unpack(_plain(args.inputs)["inputs"])
            outputs["result"] = {"stage": asked["stage"], "position": asked["position"], "results": []}
        return f"id-{args.name}", outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program looks something up at preview: {args.token}")


class _Monitor(mocks.MockMonitor):
    """Keeps what the mocks aren't told: dependencies, parents, aliases."""

    def __init__(self) -> None:
        super().__init__(_Answers())
        self.seen: list[Declared] = []

    def RegisterResource(self, request: Any) -> Any:
        answer = super().RegisterResource(request)
        if request.type != "pulumi:pulumi:Stack":
            given: dict[str, Any] = rpc.deserialize_properties(request.object)
            inputs = {key: _without_none(unpack(value)) for key, value in _plain(given).items()}
            declared = Declared(
                type=request.type,
                name=request.name,
                inputs={key: value for key, value in inputs.items() if key not in ("__provider", "result")},
                parent=request.parent,
                after=frozenset(map(_key, request.dependencies)),
                edges=tuple(
                    _key(urn)
                    for urns in (request.dependencies, *(one.urns for one in request.propertyDependencies.values()))
                    for urn in urns
                ),
                aliases=tuple("root" if one.spec.noParent else one.spec.parentUrn for one in request.aliases),
                retained=request.retainOnDelete,
                secret=frozenset(key for key, value in given.items() if rpc.is_rpc_secret(value)),
                secret_outputs=frozenset(request.additionalSecretOutputs),
            )
            self.seen.append(declared)
        return answer


def _without_none(value: Any) -> Any:
    """As the engine is told everything: what is None isn't there."""
    if isinstance(value, dict):
        known = cast(dict[str, Any], value)
        return {key: _without_none(item) for key, item in known.items() if item is not None}
    return [_without_none(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """`value` without the marks of secrets."""
    if rpc.is_rpc_secret(value):
        return _plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def declare(settings: Settings, *, returning: bool = False, unsettled: bool = False) -> dict[Key, Declared]:
    """Everything the program declares for `settings`, by type (its last part) and name. A fresh run each time.

    Whatever configuration a test thinks of: the lab's plugins must know each type and property of what comes of it.
    """
    monitor = _Monitor()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        mocks.set_mocks(monitor.mocks, project="migration", stack=settings.stack, preview=False, monitor=monitor)
        loop.run_until_complete(pulumi.runtime.stack.run_pulumi_func(lambda: _declare(settings, returning, unsettled)))
    finally:
        loop.close()
    found = {(item.type.rsplit(":", 1)[-1], item.name): item for item in monitor.seen}
    assert len(found) == len(monitor.seen), "two resources of one type and name"
    assert not (unknown := unknown_to_plugins(monitor.seen)), unknown
    assert not (twice := equal_rules(monitor.seen)), twice
    return found


_SAYING = ("description", "tags", "region")


def equal_rules(declared: list[Declared]) -> list[str]:
    """Rules of one security group that let the same through: AWS refuses the second (`InvalidPermission.Duplicate`)."""
    seen: dict[str, str] = {}
    found: list[str] = []
    for one in declared:
        if ":SecurityGroup" in one.type and one.type.endswith("Rule"):
            what = {key: value for key, value in one.inputs.items() if key not in _SAYING}
            first = seen.setdefault(f"{one.type} {sorted(what.items())}", one.name)
            if first != one.name:
                found.append(f"{one.name} is {first} once more: {what}")
    return found


def unknown_to_plugins(declared: list[Declared]) -> list[str]:
    """Types, properties and values that the lab's plugins don't take: such a program would fail on the lab."""
    found: list[str] = []
    for one in declared:
        plugin = PLUGINS.get(one.type.partition(":")[0])
        if plugin is None:
            continue
        try:
            _, failures = plugin.check(Request(type=one.type, name=one.name, inputs=one.inputs))
        except PluginError as error:
            found.append(f"{one.type} {one.name}: {error}")
        else:
            found += [f"{one.type} {one.name}: {failure.reason}" for failure in failures]
    return found


@cache
def at(stage: int, *, returning: bool = False) -> dict[Key, Declared]:
    """What the sample's program declares at `stage`: run once for all tests of a process, which only read it."""
    return declare(sample(stage), returning=returning)


async def _declare(settings: Settings, returning: bool, unsettled: bool) -> None:
    scope = Scope(settings=settings, returning=returning)
    Migration("migration", MigrationArgs(scope=scope, owner="migration/test", unsettled=unsettled))
    # All at once: the SDK waits for one of thousands at a time, and looks at all the others again after each.
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
