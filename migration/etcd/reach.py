"""The one place that decides how etcd is reached: a further way is a `Transport` and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from migration.clients.etcd import Direct, Etcd, client_trust
from migration.contracts.members import OnMachine
from migration.etcd.over_ssm import OverSsm
from migration.runtime.deadline import Deadline, Retryable
from migration.settings.model import Access

if TYPE_CHECKING:
    from migration.clients.aws import Aws


def direct(aws: Aws, certificates: str, alive: Callable[[], None]) -> Callable[[Iterable[str]], Etcd]:
    """Makes clients of given endpoints, by the members' client ports, with the operator's certificate in SSM.

    The only way that takes changes and snapshots; `alive` is asked before each change. Raises `Permanent` where the
    certificate is missing.
    """
    trust = client_trust(aws.ssm, certificates)
    return lambda endpoints: Etcd(endpoints, Direct(trust), alive=alive)


def reach(
    aws: Aws,
    groups: Iterable[str],
    *,
    access: Access,
    client_port: int,
    certificates: str,
    on_machine: OnMachine,
    deadline: Deadline,
    alive: Callable[[], None],
) -> Etcd:
    """etcd for reading, on the running machines of the members' `groups`; to be closed by the caller (`with`).

    By the client port, or, where that isn't open to the operator (yet), on a member's own machine: the operator's
    networks are let in only while members are swapped (`etcd.access: direct`). Raises `Retryable` while no machine
    runs.
    """
    running = [one for one in aws.instances_of_groups(groups) if one.state == "running"]
    if not running:
        raise Retryable("no member's machine is running")
    endpoints = [f"https://{one.ip}:{client_port}" for one in running]
    if access.by_port:
        etcd = direct(aws, certificates, alive)(endpoints)
        try:
            etcd.members()
        except Retryable:
            etcd.close()
        else:
            return etcd
    machines = {one.ip: one.id for one in running}
    return Etcd(endpoints, OverSsm(aws, machines, deadline=deadline, alive=alive, files=on_machine))
