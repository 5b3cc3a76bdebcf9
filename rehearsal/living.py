"""Life after stage 8 on the lab: an image rolled out to a pool and to the members, a pool renamed, the proof running.

`python -m rehearsal living` goes forward from 0 to 8 on a fresh lab and then does this; `make again` does it after its
second migration (`live`). What the end must be is looked at in AWS and in the cluster, not in what the program says.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from lab.addresses import REGION
from migration.clients.aws import Aws
from migration.clients.kubernetes import NODES, Kubernetes
from migration.drain.model import TAINT
from migration.drain.nodes import AVOIDED, instance_of, ready
from migration.names import physical_name
from migration.stages import LAST
from migration.workers.roll import TAG, standing
from proof.config import write_atomically
from proof.model import EXIT_DOUBTED
from rehearsal.driver import Driver, RehearsalError, Say
from rehearsal.meant import one_away
from rehearsal.rows import commit_of
from rehearsal.run import Rehearsal
from rehearsal.watch import Watch
from rehearsal.world import Fact

FILE = "living.json"
IMAGE = "next-image"
MEMBERS_IMAGES = {"kubeadm": "kubeadm-1.34.99"}
"""By layout: the lab knows what an image brings by its name (`lab/machines/images.py`), and that one brings nothing."""
SETTLE_S = 60.0
ROLLED = "an image for the members"
"""The change in whose window one member at a time is away, and no more."""


class ChangeRow(Fact):
    """One change of the configuration and what became of it; times in seconds."""

    name: str
    settings: dict[str, str]
    seconds: float
    changes: dict[str, int]
    second_up_changes: int | None
    wrong: tuple[str, ...]


class LivingRow(Fact):
    """All of it. `ok`: nothing is among `reasons`; `meant` are sentences of the proof that must be so.

    A member whose machine is replaced is away meanwhile: the others vote, and no second one is away.
    """

    ok: bool
    commit: str
    reasons: tuple[str, ...]
    meant: tuple[str, ...] = ()
    seconds: float
    changes: tuple[ChangeRow, ...]


@dataclass(kw_only=True)
class Living:
    """The changes, on a driver whose stack is at `stage`, where `side` is what the cluster lives on."""

    driver: Driver
    watch: Watch
    stage: int
    side: str
    rows: list[ChangeRow] = field(default_factory=list[ChangeRow])

    def __post_init__(self) -> None:
        self.aws = Aws(region=REGION)
        self.kubernetes = Kubernetes(kubeconfig=str(self.driver.directory / "kubeconfig"))
        self.configuration = self.driver.configuration(self.stage)
        self.suffix = self.configuration["sides"][self.side]["suffix"]

    def go(self) -> None:
        """An image to a pool and to all members, then the pool under its name without a suffix. Raises as ups do."""
        cluster, layout = self.configuration["cluster"], self.driver.settings.layout
        image, members_image = new_image(cluster), new_image(cluster, MEMBERS_IMAGES.get(layout, IMAGE))
        pool = self._pool_with_nodes()
        group, plain = physical_name(pool["group"], "", self.suffix), pool["group"]
        members = [physical_name(one["group"], "", self.suffix) for one in self.configuration["members"]]
        where, before = f"migration:sides.{self.side}", self._sizes([group, *members])
        ids = self._members()
        self._change(
            "an image for a pool",
            {f"{where}.pools.{pool['name']}.image": image},
            lambda: self._launched_from([group], image, before),
        )
        self._change(
            ROLLED,
            {f"{where}.members.image": members_image},
            lambda: [*self._launched_from(members, members_image, before), *self._same_members(ids)],
        )
        # The old group of that name is deleted; its list has done its work.
        self._change("a pool without its suffix", {f"{where}.pools.{pool['name']}.group": plain}, lambda: self._renamed(
            group, plain, image, before[group]
        ), without=("migration:retire",))  # fmt: skip

    def _pool_with_nodes(self) -> dict[str, Any]:
        pools = self.configuration["pools"]
        groups = self.aws.groups([physical_name(pool["group"], "", self.suffix) for pool in pools])
        for pool in pools:
            group = groups.get(physical_name(pool["group"], "", self.suffix))
            if group is not None and group["DesiredCapacity"]:
                return pool
        raise RehearsalError("no pool has a node: nothing could be rolled, and the rehearsal would show nothing")

    def _change(
        self, name: str, settings: dict[str, str], check: Callable[[], list[str]], without: Sequence[str] = ()
    ) -> None:
        stack, engine, began = f"stage-{self.stage}", self.driver.engine, time.monotonic()
        self.driver.say(f"after stage {self.stage}: {name}")
        self.watch.mark(f"{name} begin")
        for key in without:
            engine.plain("config", "rm", key, "-s", stack)
        for key, value in settings.items():
            engine.plain("config", "set", "--path", key, value, "-s", stack)
        seen = engine.run("preview", stack, "--diff")
        self.driver.detail(f"preview: {seen.changed} changes, in {seen.log}")
        done = engine.run("up", stack)
        second = engine.run("up", stack)
        self.watch.mark(f"{name} end")
        wrong = self._settled(check)
        if second.changed:
            wrong.append(f"a second up changed {second.changed} resources")
        row = ChangeRow(
            name=name,
            settings=settings,
            seconds=round(time.monotonic() - began, 1),
            changes={kind: count for kind, count in done.changes.items() if count},
            second_up_changes=second.changed,
            wrong=tuple(wrong),
        )
        self.rows.append(row)
        self.driver.detail(f"{row.seconds:.0f} s, {row.changes}, second up {second.changed}; failed probes so far: "
                           f"{self.watch.failed()}")  # fmt: skip
        for sentence in wrong:
            self.driver.detail(f"wrong: {sentence}")
            self.driver.errors.append(f"{name}: {sentence}")

    def _settled(self, check: Callable[[], list[str]]) -> list[str]:
        """What is wrong once it had time to come to rest."""
        end = time.monotonic() + SETTLE_S
        while True:
            wrong = [*check(), *self._nodes()]
            if not wrong or time.monotonic() > end:
                return wrong
            time.sleep(2.0)

    def _sizes(self, names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
        return {
            name: (group["MinSize"], group["MaxSize"], group["DesiredCapacity"])
            for name, group in self.aws.groups(names).items()
        }

    def _launched_from(self, names: Sequence[str], image: str, before: dict[str, tuple[int, int, int]]) -> list[str]:
        wrong: list[str] = []
        groups = self.aws.groups(names)
        sizes = self._sizes(names)
        for name in names:
            if name not in groups:
                wrong.append(f"group {name} is gone")
                continue
            one = standing(self.aws, groups[name])
            images = {
                instance.get("ImageId")
                for page in self.aws.ec2.get_paginator("describe_instances").paginate(InstanceIds=list(one.machines))
                for reservation in page["Reservations"]
                for instance in reservation.get("Instances", [])
            } if one.machines else set[str]()  # fmt: skip
            if one.stale or images != {image}:
                wrong.append(f"{name}: {len(one.stale)} machines of another version, images {sorted(map(str, images))}")
            if len(one.machines) != one.desired or sizes[name] != before[name]:
                wrong.append(f"{name}: sizes {sizes[name]} with {len(one.machines)} machines, before {before[name]}")
            if any(tag["Key"] in (TAG, "migration:member-roll") for tag in groups[name].get("Tags", [])):
                wrong.append(f"{name} still has the note of a roll")
            if groups[name].get("SuspendedProcesses"):
                wrong.append(f"{name} has processes suspended: {groups[name]['SuspendedProcesses']}")
        return wrong

    def _renamed(self, old: str, new: str, image: str, size: tuple[int, int, int]) -> list[str]:
        wrong = [f"group {old} is still there"] if self.aws.groups([old]) else []
        return wrong + self._launched_from([new], image, {new: size})

    def _nodes(self) -> list[str]:
        """Every node is ready, of a machine that runs, and neither cordoned nor tainted by this program."""
        wrong: list[str] = []
        for node in self.kubernetes.list(NODES):
            name, spec = node["metadata"]["name"], node["spec"]
            ours = [taint for taint in spec.get("taints", []) if taint == AVOIDED or taint.get("key") == TAINT["key"]]
            if not ready(node):
                wrong.append(f"node {name} ({instance_of(node)}) isn't ready")
            elif spec.get("unschedulable") or ours:
                wrong.append(f"node {name} is cordoned or tainted: {ours}")
        return wrong

    def _members(self) -> dict[str, str]:
        """etcd's members by name, with their ids, by the proof's own certificate and eyes."""
        from migration.clients.etcd import Etcd
        from migration.etcd.over_ssm import OverSsm
        from migration.runtime.deadline import Deadline

        groups = [physical_name(one["group"], "", self.suffix) for one in self.configuration["members"]]
        machines = [one for one in self.aws.instances_of_groups(groups) if one.state == "running"]
        transport = OverSsm(self.aws, {one.ip: one.id for one in machines}, deadline=Deadline(60.0), alive=lambda: None)
        port = self.configuration.get("etcd", {}).get("clientPort", 2379)
        etcd = Etcd([f"https://{one.ip}:{port}" for one in machines], transport)
        return {member.name: member.id for member in Deadline(60.0).until(etcd.members, "etcd's members")}

    def _same_members(self, ids: dict[str, str]) -> list[str]:
        now = self._members()
        return [] if now == ids else [f"etcd's members are {now}, and were {ids}"]


def new_image(cluster: str, image: str = IMAGE) -> str:
    """Another image that machines can be launched from, registered with the lab's AWS once."""
    ec2: Any = boto3.client("ec2")
    name = f"{cluster}-{image}"
    found = ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [name]}])["Images"]
    if found:
        return found[0]["ImageId"]
    return ec2.register_image(Name=name, Architecture="x86_64", RootDeviceName="/dev/xvda", VirtualizationType="hvm")[
        "ImageId"
    ]


@dataclass(kw_only=True)
class After(Rehearsal):
    """The whole migration, and then the life after it."""

    living: Living | None = None

    def meant(self, reason: str) -> bool:
        """Whether a sentence of the proof must be so: each member is away once while its machine is replaced."""
        return one_away(reason, len(self.living.configuration["members"]) if self.living else 0, ROLLED)

    def then(self, watch: Watch) -> None:
        """What may be changed of a cluster that has moved."""
        self.living = Living(driver=self, watch=watch, stage=LAST, side=self.road.new)
        self.living.go()


def run(say: Say) -> int:
    """The exit status: 0 only if all is ok, 3 if only this machine was too busy to tell."""
    from lab.environment import REPOSITORY

    after = After(last=LAST, title="after", whole=False, say=say)
    report = after.go()
    wrong = [reason for reason in report.reasons if not after.meant(reason)]
    row = LivingRow(
        ok=not wrong,
        commit=commit_of(REPOSITORY),
        reasons=tuple(wrong),
        meant=tuple(filter(after.meant, report.reasons)),
        seconds=round(time.monotonic() - after.began, 1),
        changes=tuple(after.living.rows) if after.living else (),
    )
    path = after.reports / FILE
    write(path, row)
    for reason in row.reasons:
        say(f"not ok: {reason}")
    status = 0 if row.ok else EXIT_DOUBTED if set(row.reasons) <= set(report.doubts) else 1
    told = {0: "ok", EXIT_DOUBTED: "NOT TO BE BELIEVED"}.get(status, "NOT OK")
    say(f"{told} after {row.seconds:.0f} s: {path}")
    return status


def write(path: Path, row: LivingRow) -> None:
    """The row as JSON, whole or not at all."""
    write_atomically(path, json.dumps(row.model_dump(mode="json"), indent=1) + "\n")
