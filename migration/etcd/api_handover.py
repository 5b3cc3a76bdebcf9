"""The API's part of a swap: the new member's server takes over before the old one's stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migration import target_groups
from migration.clients.aws import Aws, Instance
from migration.clients.documents import listed
from migration.clients.kubernetes import ENDPOINT_SLICES, Kubernetes
from migration.contracts.members import OldMember
from migration.etcd import machine
from migration.etcd.api_server import verify_api_server
from migration.runtime.deadline import Deadline, Retryable


@dataclass(frozen=True, kw_only=True)
class ApiHandover:
    """From `old`, which is or was last at `old_address`, to the member called `new`.

    `new_group` is the target group, by address, of the new side's balancer, `old_groups` those, by instance, of the
    old side's. `stop_servers` is what stops its servers on its machine. Waits ask `alive` at each look.
    """

    old: OldMember
    old_address: str | None
    new: str
    port: int
    old_groups: list[str]
    new_group: str
    stop_servers: str
    aws: Aws
    kubernetes: Kubernetes
    deadline: Deadline
    log: Callable[[str], None]
    alive: Callable[[], None]

    def ready(self, address: str) -> bool:
        """Whether the API server at `address` is ready now; waits for nothing."""
        try:
            return verify_api_server(self.kubernetes, address, self.port, self.log)
        except Retryable:
            return False

    def serve(self, address: str, instance: str | None = None) -> None:
        """The new API server answers for the cluster's name; on the old side (`instance`) behind its balancer too."""
        what = f"{self.new}'s API server"
        self._until_true(lambda: verify_api_server(self.kubernetes, address, self.port, self.log), what)
        known = {target.id for target in self.aws.target_health(self.new_group) if target.state != "draining"}
        if address not in known:
            target_groups.register(self.aws, self.new_group, address, self.port)
            self.log(f"registered {address} with the API's balancer")
        self._until_true(lambda: target_groups.healthy(self.aws, self.new_group, address), what)
        if instance is None:
            return
        for group in self.old_groups:
            if instance not in {one.id for one in self.aws.target_health(group) if one.state != "draining"}:
                self.alive()
                self.aws.elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": instance}])
                self.log(f"registered {instance} with the old side's API balancer")
            self._until_true(lambda group=group: target_groups.healthy(self.aws, group, instance), what)

    def stop_old(self, old_machine: Instance | None, serving: Callable[[], int]) -> None:
        """Balancers first, then the server itself; in-cluster clients lose it from the `kubernetes` endpoints.

        `serving` is how many members' servers there are without it.
        """
        here = self.drain(old_machine)
        if old_machine is None:
            return
        machine.shell(self.aws, old_machine.id, self.stop_servers, self.deadline, self.alive)
        self.log(f"{self.old.name}'s API server stopped")
        self._until_true(
            lambda: self._endpoint_lost(here, serving()), f"the kubernetes endpoints to lose {', '.join(sorted(here))}"
        )

    def drain(self, old_machine: Instance | None) -> set[str]:
        """Out of all balancers, and no connection through them left; the addresses that it had there."""
        here = {*([self.old_address] if self.old_address else []), *([old_machine.ip] if old_machine else [])}
        targets = [(self.new_group, address) for address in sorted(here)]
        if old_machine is not None:
            targets += [(group, old_machine.id) for group in self.old_groups]
        # Out of all of them first: their deregistration delays, minutes each, pass side by side.
        leaving = [pair for pair in targets if target_groups.deregister(self.aws, *pair, self.alive)]
        for pair in leaving:
            target_groups.drained(self.aws, *pair, self.deadline)
        if leaving and old_machine is not None:
            self.log(f"{self.old.name} drained from the API's balancers")
        return here

    def _endpoint_lost(self, here: set[str], serving: int) -> bool:
        """Neither its address nor, where servers advertise other addresses than their machines', one too many."""
        slices = self.kubernetes.list(ENDPOINT_SLICES, "default", labels="kubernetes.io/service-name=kubernetes")
        addresses: set[str] = {
            address for item in slices for point in listed(item, "endpoints") for address in point["addresses"]
        }
        if not addresses:
            raise Retryable("the kubernetes Service has no endpoints at all, though other members' servers run")
        if addresses & here or len(addresses) > serving:
            raise Retryable(f"still there: {', '.join(sorted(addresses))}")
        return True

    def _until_true(self, condition: Callable[[], bool], what: str) -> None:
        self.deadline.until_true(condition, what, alive=self.alive)
