"""Services of type LoadBalancer: their balancers take old nodes only, or every node again, or are given up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from migration.clients.aws import Aws, described
from migration.clients.documents import Document, listed
from migration.clients.kubernetes import SERVICES, Conflict, NotFound
from migration.contracts.service_balancers import CarriedService, ServiceBalancersInputs, ServiceBalancersResult
from migration.drain.nodes import Change, change_nodes, nodes_of
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent, Retryable
from migration.services.targets import (
    FINALIZER,
    admitted,
    excluded,
    given_up,
    limited,
    node_ports,
    of_no_side,
    of_side,
    unlimited,
)
from migration.workers.fleet import joined

ServiceChange = Callable[[Document], dict[str, Any] | None]


def run(
    inputs: ServiceBalancersInputs, previous: ServiceBalancersResult | None, context: Context
) -> ServiceBalancersResult:
    """Change nodes and Services in the order in which nodes of two VPCs are never targets together; look until so.

    Raises `Permanent` for a Service that isn't there, and where instances have no Node.
    """
    if previous is None and inputs.idle:
        return ServiceBalancersResult(wanted=inputs.wanted)
    work = _Work(inputs, context)
    steps = {"apart": work.set_apart, "as-found": work.give_back, "given-up": work.give_up}
    steps[inputs.wanted]()
    return ServiceBalancersResult(wanted=inputs.wanted, changed=tuple(dict.fromkeys(work.changed)))


class _Work:
    def __init__(self, inputs: ServiceBalancersInputs, context: Context) -> None:
        self._inputs, self._context = inputs, context
        self.changed: list[str] = []

    def set_apart(self) -> None:
        """Old nodes are marked before Services ask for the mark, or their balancers would lose them."""
        inputs, side = self._inputs, self._inputs.side
        self._nodes(inputs.old_groups, lambda node: of_side(node, side), f"targets of {side}", every=True)
        self._services(lambda service: limited(service, side), f"takes nodes of {side} only")
        self._nodes(inputs.new_groups, excluded, "kept out of the balancers", every=inputs.complete)

    def give_back(self) -> None:
        """New nodes are kept out before Services take every node again: they are there until this `up` ends."""
        inputs = self._inputs
        self._nodes(inputs.new_groups, excluded, "kept out of the balancers")
        self._services(unlimited, "takes every node again")
        self._nodes(inputs.old_groups, of_no_side, "without a mark")

    def give_up(self) -> None:
        """The controller deletes its balancer when its Service is of another type; new nodes are admitted then."""
        inputs = self._inputs
        before = {str(one): self._ports(one) for one in inputs.services}
        self._services(given_up, "is a NodePort", gone=True)
        for one in inputs.services:
            now = self._ports(one)
            if now != before[str(one)]:
                raise Permanent(
                    f"Service {one} had node ports {before[str(one)]} and has {now}, to which the new side's balancer "
                    f"doesn't send: give it those back"
                )
        self._context.deadline.until_true(self._deleted, "the cloud controller to delete its balancers", pause=2.0)
        self._nodes(inputs.new_groups, admitted, "let in to balancers again")

    def _ports(self, one: CarriedService) -> list[int | None]:
        return node_ports(self._service(one, gone=True) or {})

    def _deleted(self) -> bool:
        there = _there(self._context.clients.aws, [one.balancer for one in self._inputs.services])
        left = [f"balancer {one.balancer} of {one}" for one in self._inputs.services if one.balancer in there]
        for one in self._inputs.services:
            service = self._service(one, gone=True)
            if service is not None and FINALIZER in listed(service, "metadata", "finalizers"):
                left.append(f"finalizer {FINALIZER} of Service {one}")
        if left:
            raise Retryable(
                f"{', '.join(left)} is still there: the cloud controller deletes it once the Service is a NodePort; "
                f"look at its log, and delete by hand what it can't"
            )
        return True

    def _service(self, one: CarriedService, *, gone: bool = False) -> dict[str, Any] | None:
        found = self._context.clients.kubernetes.find(SERVICES, one.service, one.namespace)
        if found is None and not gone:
            raise Permanent(
                f"there is no Service {one}; take its balancer out of migration:traffic.serviceBalancers and "
                f"migration:moreIngress, or make it again"
            )
        return found

    def _services(self, change: ServiceChange, what: str, *, gone: bool = False) -> None:
        for one in self._inputs.services:
            self._context.deadline.until_true(
                lambda one=one: self._change(one, change, what, gone), f"Service {one} to take a change", pause=0.5
            )

    def _change(self, one: CarriedService, change: ServiceChange, what: str, gone: bool) -> bool:
        service = self._service(one, gone=gone)
        patch = None if service is None else change(service)
        if service is None or patch is None:
            return True
        metadata = {**patch.get("metadata", {}), "resourceVersion": service["metadata"].get("resourceVersion")}
        self._context.alive()
        try:
            self._context.clients.kubernetes.patch(
                SERVICES, one.service, {**patch, "metadata": metadata}, one.namespace
            )
        except (Conflict, NotFound) as error:
            raise Retryable(str(error)) from error
        self.changed.append(f"Service {one} {what}")
        self._context.log(self.changed[-1])
        return False

    def _nodes(self, groups: Sequence[str], change: Change, what: str, *, every: bool = False) -> None:
        context = self._context

        def settle() -> bool:
            kubernetes = context.clients.kubernetes
            if every:
                nodes: Sequence[Document] = joined(context, groups, join_seconds=self._inputs.join_seconds).nodes
            else:
                # Groups may be gone, or not be there yet; their machines may still boot.
                nodes = nodes_of(kubernetes, [one.id for one in context.clients.aws.instances_of_groups(groups)])
            now = change_nodes(kubernetes, nodes, change, alive=context.alive, deadline=context.deadline)
            if now:
                self.changed.append(f"{now} nodes {what}")
                context.log(self.changed[-1])
            return not now

        context.deadline.until_true(settle, f"nodes to be {what}", pause=1.0)


def _there(aws: Aws, arns: Sequence[str]) -> set[str]:
    """Those of the balancers that exist."""
    pages = aws.elbv2.get_paginator("describe_load_balancers").paginate()
    every = {str(one["LoadBalancerArn"]) for page in pages for one in described(page["LoadBalancers"])}
    return every & set(arns)
