"""Machines of a settled side's members replaced, one at a time, by ones of their group's version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migration.clients.aws import Instance
from migration.clients.etcd import Etcd
from migration.contracts.members import MemberRollInputs, MemberRollResult, OnMachine
from migration.etcd.over_ssm import OverSsm
from migration.etcd.roll import MemberRoller
from migration.layouts.registry import layout_of
from migration.runtime.context import Context


@dataclass(frozen=True)
class _OnMachines:
    """etcd through Systems Manager: its port isn't open to operators once members are where they belong."""

    context: Context
    client_port: int
    files: OnMachine

    def etcd(self, machines: Sequence[Instance]) -> Etcd:
        endpoints = [f"https://{one.ip}:{self.client_port}" for one in machines]
        return Etcd(endpoints, self._transport(machines), alive=self.context.alive)

    def keep_snapshot(self, on: Instance, endpoint: str, path: str) -> str:
        return self._transport([on]).keep_snapshot(on.id, endpoint, path)

    def _transport(self, machines: Sequence[Instance]) -> OverSsm:
        known = {one.ip: one.id for one in machines}
        context = self.context
        return OverSsm(context.clients.aws, known, deadline=context.deadline, alive=context.alive, files=self.files)


def run(inputs: MemberRollInputs, previous: MemberRollResult | None, context: Context) -> MemberRollResult:
    """Roll, or only say what is due where this isn't the time."""
    began = context.deadline.clock()
    roller = roller_of(inputs, context)
    if not inputs.allowed:
        due = roller.due()
        for one in due:
            context.log(f"{one.name}'s machine is of another version than its group; not while a stage is under way")
        return MemberRollResult(left=tuple(one.name for one in due))
    rolled = roller.run()
    seconds = round(context.deadline.clock() - began, 1)
    return MemberRollResult(rolled=tuple(rolled), snapshot=roller.snapshot, seconds=seconds)


def roller_of(inputs: MemberRollInputs, context: Context) -> MemberRoller:
    """The roll of these inputs."""
    return MemberRoller(
        cluster=inputs.cluster,
        members=inputs.members,
        api_port=inputs.api_port,
        instances_group=inputs.instances_group,
        addresses_group=inputs.addresses_group,
        aws=context.clients.aws,
        kubernetes=context.clients.kubernetes,
        reach=_OnMachines(context, inputs.client_port, inputs.on_machine),
        commands=layout_of(inputs.services.layout).commands(inputs.services.units),
        snapshots=inputs.snapshots,
        deadline=context.deadline,
        log=context.log,
        alive=context.alive,
        servers=inputs.servers,
    )
