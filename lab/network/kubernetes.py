"""The cluster's own part of the network: follows its API, keeps NodePorts, pods and the way of webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.kubernetes.follow import METADATA_ONLY, Api, Mirror, Name
from lab.network.cluster import Cluster, Pod, read_node, read_pod, read_service, read_slice
from lab.network.connect import ConnectProxy
from lab.network.fabric import Fabric
from lab.network.kubelets import Kubelets
from lab.network.listeners import Datagrams, Listeners
from lab.network.nodeports import NodePorts
from lab.network.pods import Pods
from lab.network.state import State
from lab.network.ways import Ways

_GATHER_S = 0.01


class KubernetesNetwork:
    def __init__(
        self,
        fabric: Fabric,
        listeners: Listeners,
        datagrams: Datagrams,
        lab_dir: Path,
        side: Callable[[str], str],
        drop_after_s: float,
        ways: Ways,
    ) -> None:
        self.cluster = Cluster()
        self._leaving: set[str] = set()
        self.pods = Pods(self._leaving.__contains__)
        fabric.carriers.append(self.pods)
        self._api = Api(lab_dir / "kubeconfig")
        self._nodeports = NodePorts(self.cluster, fabric, listeners, datagrams, self.pods, side)
        self._connect = ConnectProxy(
            self.cluster, self._api, fabric, listeners, self.pods, lab_dir / "run", drop_after_s, ways
        )
        self._kubelets = Kubelets(self.cluster, fabric, listeners, self.pods)
        self._due: asyncio.TimerHandle | None = None
        cluster, api = self.cluster, self._api
        self.mirrors: list[Mirror[Any]] = [
            Mirror(api, "/api/v1/nodes", read_node, cluster.nodes, self._changed),
            Mirror(api, "/api/v1/services", read_service, cluster.services, self._changed),
            Mirror(api, "/apis/discovery.k8s.io/v1/endpointslices", read_slice, cluster.slices, self._changed),
            Mirror(api, "/api/v1/pods", read_pod, cluster.pods, self._pod_changed, METADATA_ONLY),
        ]

    async def run(self) -> None:
        """Follows the API until cancelled; waits for it to exist."""
        await asyncio.gather(*(mirror.run() for mirror in self.mirrors))

    def apply(self, state: State) -> None:
        self._nodeports.sync()
        self._kubelets.sync()
        self._connect.sync(state)

    async def close(self) -> None:
        if self._due is not None:
            self._due.cancel()
        self._connect.close()
        self.pods.abort_where(lambda hops: True)
        await self._api.close()

    def _changed(self, name: Name, before: object, after: object) -> None:
        # A drain changes many endpoints at once: gathered for a moment, sooner than kube-proxy (1 s) all the same.
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_GATHER_S, self._sync)

    def _sync(self) -> None:
        self._due = None
        self._nodeports.sync()
        self._kubelets.sync()

    def _pod_changed(self, name: Name, before: Pod | None, after: Pod | None) -> None:
        if before is not None and (after is None or after.uid != before.uid):
            self._leaving.discard(before.uid)
            self.cluster.forget_pod(before.uid)
            self.pods.gone(before.uid)
        if after is not None and after.terminating:
            self._leaving.add(after.uid)
