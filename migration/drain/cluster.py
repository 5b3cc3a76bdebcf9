"""The cluster as a drain sees it: pods and budgets watched, owners, webhooks and volumes looked up."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from migration.drain.index import Changes
from migration.drain.model import Budget, Controller, Owner, Pod, budget_of, controller_from, owner_from, pod_of
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
TOGETHER = 0.05
MANY_WRITERS = frozenset({"ReadWriteMany", "ReadOnlyMany"})


class Api(WatchApi, EvictionApi, Protocol):
    """What a drain needs of the Kubernetes client."""

    def list(
        self, kind: Kind, namespace: str | None = None, *, metadata_only: bool = False
    ) -> list[dict[str, Any]]: ...
    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any]: ...
    def find(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None: ...
    def patch(self, kind: Kind, name: str, body: Mapping[str, Any], namespace: str | None = None) -> dict[str, Any]: ...


@dataclass(frozen=True)
class _Place:
    """A controller, and where it is."""

    controller: Controller
    namespace: str


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
        self._strange: set[str] = set()
        self._new_pods: list[tuple[str, Pod | None]] = []
        self._new_budgets: list[tuple[str, Budget | None]] = []
        self._seen: View | None = None
        self._largest: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._known: dict[str, tuple[Controller, bool]] = {}
        self._controllers: dict[str, tuple[_Place, set[str]]] = {}
        self._told: View | None = None
        self._single_writer: frozenset[str] = frozenset()
        self._zones: Mapping[str, frozenset[str]] = {}
        self._node_bound: Mapping[str, str] = {}
        self._admission: Sequence[tuple[str, Mapping[str, str]]] = ()

    def start(self) -> None:
        """Begin watching."""
        self._admission = self._backends()
        self._seen = None
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

    def changes(self) -> Changes:
        """What the watches saw since this was asked before; at first everything. Owners are looked up now and then."""
        new = self._pods.changes()
        for uid, pod in new:
            self._count(uid, pod)
        # Kept until they are handed out: looking up owners may fail.
        self._new_pods += new
        self._new_budgets += self._budgets.changes()
        facts = self._facts()
        pods, self._new_pods = self._new_pods, []
        budgets, self._new_budgets = self._new_budgets, []
        if facts is self._told:
            return Changes(pods=pods, budgets=budgets)
        before, self._told = self._told, facts
        return Changes(pods=pods, budgets=budgets, facts=None if facts == before else facts)

    def exact(self) -> View:
        """What the API holds now, read past every cache: the only view that may say that nothing is left."""
        pods, _ = everything(self.api, PODS, PodWire, pod_of)
        budgets, _ = everything(self.api, BUDGETS, BudgetWire, budget_of)
        for uid in self._known.keys() - pods.keys():
            self._count(uid, None)
        for uid, pod in pods.items():
            self._count(uid, pod)
        return replace(self._facts(), pods=list(pods.values()), budgets=list(budgets.values()))

    def volumes_held(self, staying: Callable[[], Sequence[Pod]]) -> list[str]:
        """Volumes still attached to the nodes, other than those of `staying` pods: ``volume on node``.

        Who stays is asked only where something is attached.
        """
        attached = [
            (item["spec"]["nodeName"], str(mapping(item, "spec", "source").get("persistentVolumeName") or ""))
            for item in self.api.list(VOLUME_ATTACHMENTS)
            if item["spec"]["nodeName"] in self.nodes
        ]
        if not attached:
            return []
        wanted = {f"{pod.namespace}/{claim}" for pod in staying() for claim in pod.claims}
        kept = {
            str(mapping(item, "spec").get("volumeName") or "")
            for item in self.api.list(CLAIMS)
            if f"{item['metadata']['namespace']}/{item['metadata']['name']}" in wanted
        }
        return sorted(f"{volume} on {node}" for node, volume in attached if volume not in kept)

    def _count(self, uid: str, pod: Pod | None) -> None:
        """Keep how many pods each controller has; a DaemonSet's and the kubelet's aren't asked for."""
        before = self._known.pop(uid, None)
        if before is not None:
            controller, counted = before
            self._counts[controller.uid] -= counted
            self._controllers[controller.uid][1].discard(uid)
            if not self._controllers[controller.uid][1]:
                del self._controllers[controller.uid]
        if pod is None or pod.controller is None or pod.stays:
            return
        controller, counted = pod.controller, not pod.finished
        self._known[uid] = controller, counted
        if controller.uid not in self._controllers:
            self._controllers[controller.uid] = _Place(controller, pod.namespace), set()
            self._seen = None
            if controller.uid not in self._owners:
                self._strange.add(controller.uid)
        self._controllers[controller.uid][1].add(uid)
        self._counts[controller.uid] += counted
        if self._counts[controller.uid] > self._largest[controller.uid]:
            self._largest[controller.uid] = self._counts[controller.uid]
            self._seen = None

    def _facts(self) -> View:
        """All but pods and budgets. A controller of an unknown kind wants as many as it was ever seen to have."""
        self._look_up()
        if self._seen is not None:
            return self._seen
        owners = dict(self._owners)
        for uid, (place, _) in self._controllers.items():
            known = owners.get(uid)
            if known is None:
                owners[uid] = Owner(
                    kind=place.controller.kind,
                    namespace=place.namespace,
                    name=place.controller.name,
                    uid=uid,
                    desired=self._largest[uid],
                )
            elif known.desired is None:
                owners[uid] = replace(known, desired=self._largest[uid])
        self._seen = View(
            nodes=self.nodes,
            pods=(),
            budgets=(),
            owners=owners,
            admission=self._admission,
            single_writer=self._single_writer,
            zones=self._zones,
            node_bound=self._node_bound,
        )
        return self._seen

    def _look_up(self) -> None:
        """Ask for workload controllers again, sooner where pods have one that isn't known."""
        age = self._clock() - self._owners_at
        if age < (OWNERS_AT_MOST if self._strange else OWNERS_EVERY):
            return
        self._owners_at = self._clock()
        self._seen = None
        self._strange.clear()
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
