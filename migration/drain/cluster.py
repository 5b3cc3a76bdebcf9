"""The cluster as a drain sees it: pods and budgets watched, owners, webhooks and volumes looked up."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from migration.clients.documents import mapping
from migration.clients.kubernetes import (
    API_SERVICES,
    BUDGETS,
    CLAIMS,
    DEPLOYMENTS,
    MUTATING_WEBHOOKS,
    PODS,
    REPLICA_SETS,
    SERVICES,
    STATEFUL_SETS,
    VALIDATING_WEBHOOKS,
    VOLUME_ATTACHMENTS,
    VOLUMES,
    Kind,
)
from migration.drain.evict import EvictionApi
from migration.drain.model import Budget, Owner, Pod, budget_from, budget_of, controller_from, owner_from, pod_of
from migration.drain.plan import View, admission_services
from migration.drain.store import Store, WatchApi, everything
from migration.drain.volumes import node_bound, volume_zones
from migration.drain.wire import BudgetWire, PodWire

REPLICATION_CONTROLLERS = Kind("api/v1", "replicationcontrollers")
JOBS = Kind("apis/batch/v1", "jobs")
# Seconds between two looks at workload controllers: their wanted replicas change rarely.
OWNERS_EVERY = 15.0
OWNERS_AT_MOST = 2.0
# Planning after each of hundreds of events a second would cost a core and win nothing.
TOGETHER = 0.1
MANY_WRITERS = frozenset({"ReadWriteMany", "ReadOnlyMany"})


class Api(WatchApi, EvictionApi, Protocol):
    """What a drain needs of the Kubernetes client."""

    def list(
        self, kind: Kind, namespace: str | None = None, *, metadata_only: bool = False
    ) -> list[dict[str, Any]]: ...
    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any]: ...
    def find(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None: ...
    def patch(self, kind: Kind, name: str, body: Mapping[str, Any], namespace: str | None = None) -> dict[str, Any]: ...


class Cluster:
    """Views of the cluster for one drain. `start` before the first view, `close` at the end."""

    def __init__(self, api: Api, nodes: frozenset[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.api = api
        self.nodes = nodes
        self._clock = clock
        self._changed = threading.Event()
        self._pods: Store[PodWire, Pod] = Store(api, PODS, PodWire, pod_of, self._changed)
        self._budgets: Store[BudgetWire, Budget] = Store(api, BUDGETS, BudgetWire, budget_of, self._changed)
        self._owners: dict[str, Owner] = {}
        self._owners_at = float("-inf")
        self._unknown: frozenset[str] = frozenset()
        self._largest: Counter[str] = Counter()
        self._single_writer: frozenset[str] = frozenset()
        self._zones: Mapping[str, frozenset[str]] = {}
        self._node_bound: Mapping[str, str] = {}
        self._admission: Sequence[tuple[str, Mapping[str, str]]] = ()

    def start(self) -> None:
        """Begin watching."""
        self._admission = self._backends()
        self._pods.start()
        self._budgets.start()

    def close(self) -> None:
        """Stop watching."""
        self._pods.close()
        self._budgets.close()

    def wait(self, seconds: float) -> None:
        """Return when something changed, or after `seconds`; changes of one moment are looked at together."""
        if self._changed.wait(seconds):
            time.sleep(TOGETHER)
        self._changed.clear()

    def view(self) -> View:
        """What the watches know."""
        return self._view(self._pods.items(), self._budgets.items())

    def exact(self) -> View:
        """What the API holds now, read past every cache: the only view that may say that nothing is left."""
        pods, _ = everything(self.api, PODS, PodWire, pod_of)
        budgets, _ = everything(self.api, BUDGETS, BudgetWire, budget_of)
        return self._view(list(pods.values()), list(budgets.values()))

    def budget(self, budget: Budget) -> Budget | None:
        """One budget as it is now."""
        item = self.api.find(BUDGETS, budget.name, budget.namespace)
        return None if item is None else budget_from(item)

    def volumes_held(self, staying: Sequence[Pod]) -> list[str]:
        """Volumes still attached to the nodes, other than those of `staying` pods: ``volume on node``."""
        attached = [
            (item["spec"]["nodeName"], str(mapping(item, "spec", "source").get("persistentVolumeName") or ""))
            for item in self.api.list(VOLUME_ATTACHMENTS)
            if item["spec"]["nodeName"] in self.nodes
        ]
        if not attached:
            return []
        wanted = {f"{pod.namespace}/{claim}" for pod in staying for claim in pod.claims}
        kept = {
            str(mapping(item, "spec").get("volumeName") or "")
            for item in self.api.list(CLAIMS)
            if f"{item['metadata']['namespace']}/{item['metadata']['name']}" in wanted
        }
        return sorted(f"{volume} on {node}" for node, volume in attached if volume not in kept)

    def _view(self, pods: list[Pod], budgets: list[Budget]) -> View:
        controllers = {p.controller.uid: p.controller for p in pods if p.controller is not None and not p.stays}
        self._look_up(frozenset(controllers))
        counts = Counter(p.controller.uid for p in pods if p.controller is not None and not p.finished)
        owners = dict(self._owners)
        for uid, controller in controllers.items():
            # A controller of a kind nobody here knows wants as many as it was ever seen to have.
            self._largest[uid] = max(self._largest[uid], counts[uid])
            if uid not in owners:
                namespace = next(p.namespace for p in pods if p.controller and p.controller.uid == uid)
                owners[uid] = Owner(
                    kind=controller.kind,
                    namespace=namespace,
                    name=controller.name,
                    uid=uid,
                    desired=self._largest[uid],
                )
            elif owners[uid].desired is None:
                owners[uid] = replace(owners[uid], desired=self._largest[uid])
        return View(
            nodes=self.nodes,
            pods=pods,
            budgets=budgets,
            owners=owners,
            admission=self._admission,
            single_writer=self._single_writer,
            zones=self._zones,
            node_bound=self._node_bound,
        )

    def _look_up(self, controllers: frozenset[str]) -> None:
        unknown = controllers - self._owners.keys() - self._unknown
        age = self._clock() - self._owners_at
        if age < (OWNERS_AT_MOST if unknown else OWNERS_EVERY):
            return
        self._owners_at = self._clock()
        owners: dict[str, Owner] = {}
        for kind, resource in (
            ("Deployment", DEPLOYMENTS),
            ("StatefulSet", STATEFUL_SETS),
            ("ReplicationController", REPLICATION_CONTROLLERS),
            ("Job", JOBS),
        ):
            for item in self.api.list(resource):
                owner = owner_from(kind, item)
                owners[owner.uid] = owner
        # Of ReplicaSets only the metadata: a cluster keeps ten old ones a Deployment, each with a whole template.
        for item in self.api.list(REPLICA_SETS, metadata_only=True):
            metadata = item["metadata"]
            above = controller_from(metadata)
            if above is not None and above.uid in owners:
                owners[metadata["uid"]] = owners[above.uid]
        self._owners = owners
        self._unknown = controllers - owners.keys()
        self._look_up_claims()

    def _look_up_claims(self) -> None:
        claims = {f"{c['metadata']['namespace']}/{c['metadata']['name']}": c for c in self.api.list(CLAIMS)}
        volumes = {volume["metadata"]["name"]: volume for volume in self.api.list(VOLUMES)} if claims else {}
        bound = {
            key: volume
            for key, claim in claims.items()
            if (volume := volumes.get(str(mapping(claim, "spec").get("volumeName") or "")))
        }
        self._single_writer = frozenset(
            key
            for key, claim in claims.items()
            if not MANY_WRITERS.intersection(mapping(claim, "spec").get("accessModes") or ())
        )
        self._zones = {key: frozenset(zones) for key, volume in bound.items() if (zones := volume_zones(volume))}
        self._node_bound = {key: volume["metadata"]["name"] for key, volume in bound.items() if node_bound(volume)}

    def _backends(self) -> list[tuple[str, Mapping[str, str]]]:
        webhooks = [*self.api.list(VALIDATING_WEBHOOKS), *self.api.list(MUTATING_WEBHOOKS)]
        found: list[tuple[str, Mapping[str, str]]] = []
        for namespace, name in sorted(admission_services(webhooks, self.api.list(API_SERVICES))):
            service = self.api.find(SERVICES, name, namespace)
            selector = mapping(service or {}, "spec", "selector")
            if selector:
                found.append((namespace, selector))
        return found
