"""An API server in a process of its own, for the drain as a command: pods, budgets and owners that behave.

    python -m tests.unit.drain.server --pods 4000 [--nodes 200] [--port 0]

It prints its port. Old nodes carry `pool=old`, new ones `pool=new`. A pod that is evicted ends after `--ends` seconds
and another is ready after `--starts`; budgets are kept as the disruption controller keeps them. A pod has some 5 kB.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PAD = "x" * 250
Object = dict[str, Any]


def stamp(later: float = 0.0) -> str:
    """Now, or so many seconds later, as the API writes it."""
    return (datetime.now(UTC) + timedelta(seconds=later)).strftime("%Y-%m-%dT%H:%M:%SZ")


class State:
    """What there is, and who follows it."""

    def __init__(self, pods: int, nodes: int, starts: float, ends: float) -> None:
        self.starts, self.ends = starts, ends
        self.version = 1000
        self.objects: dict[str, dict[str, Object]] = {
            kind: {} for kind in ("pods", "nodes", "poddisruptionbudgets", "deployments", "replicasets", "leases")
        }
        self.apps: dict[str, dict[str, Object]] = {}
        """Pods by app and name."""
        self.followers: dict[str, set[asyncio.Queue[bytes]]] = {}
        self.said: dict[str, list[tuple[int, bytes]]] = {}
        """Every event, for watches that begin in the past."""
        self.calls: dict[str, int] = {}
        self.numbers = itertools.count()
        self.where = itertools.count()
        self.nodes = nodes
        for side in ("old", "new"):
            for n in range(nodes):
                self._node(f"{side}-{n}", side)
        apps = max(1, pods // 40)
        for n in range(apps):
            self._app(f"app-{n}", pods // apps + (n < pods % apps))

    def _node(self, name: str, side: str) -> None:
        self.put(
            "nodes",
            {
                "metadata": {"name": name, "uid": name, "labels": {"pool": side, "kind": "worker"}},
                "spec": {"providerID": f"kwok://{name}"},
                "status": {
                    "allocatable": {"cpu": "64", "memory": "256Gi", "pods": "250"},
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            },
        )

    def _app(self, name: str, replicas: int) -> None:
        meta = {"namespace": "apps", "name": name, "uid": f"d-{name}"}
        self.put("deployments", {"metadata": meta, "spec": {"replicas": replicas}, "status": {}})
        reference = {"kind": "Deployment", "name": name, "uid": f"d-{name}", "controller": True}
        self.put("replicasets", {"metadata": {**meta, "uid": f"rs-{name}", "ownerReferences": [reference]}})
        for _ in range(replicas):
            self.pod(name, f"old-{next(self.where) % self.nodes}", ready=True)
        budget = {
            "metadata": {"namespace": "apps", "name": name, "uid": f"b-{name}", "generation": 1},
            "spec": {"selector": {"matchLabels": {"app": name}}},
            "status": {"observedGeneration": 1, "expectedPods": replicas, "desiredHealthy": replicas * 9 // 10},
        }
        self.count(budget)

    def pod(self, app: str, node: str, *, ready: bool) -> Object:
        """A new pod of an app."""
        name = f"{app}-{next(self.numbers)}"
        container = {
            "name": "main",
            "image": PAD,
            "env": [{"name": f"E{n}", "value": PAD} for n in range(12)],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
            "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets", "readOnly": True}],
        }
        pod: Object = {
            "metadata": {
                "namespace": "apps",
                "name": name,
                "uid": f"u-{name}",
                "labels": {"app": app, "pod-template-hash": "abc"},
                "creationTimestamp": stamp(-self.starts if ready else 0.0),
                "annotations": {"note": PAD},
                "managedFields": [{"manager": "m", "fieldsV1": {f"f:{n}": {} for n in range(40)}}],
                "ownerReferences": [{"kind": "ReplicaSet", "name": app, "uid": f"rs-{app}", "controller": True}],
            },
            "spec": {
                "nodeName": node,
                "containers": [container],
                "volumes": [{"name": "token", "projected": {"sources": []}}],
                "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
                "terminationGracePeriodSeconds": 1,
            },
            "status": {},
        }
        self.state(pod, ready=ready)
        return pod

    def state(self, pod: Object, *, ready: bool) -> None:
        """A pod's status."""
        conditions = [
            {"type": kind, "status": "True" if ready else "False", "lastTransitionTime": stamp()}
            for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
        ]
        self.put("pods", {**pod, "status": {"phase": "Running", "conditions": conditions, "podIP": "10.0.0.1"}})

    def put(self, kind: str, item: Object, event: str = "MODIFIED") -> None:
        """Write an object and tell followers."""
        self.version += 1
        key = f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"
        item["metadata"]["resourceVersion"] = str(self.version)
        if kind == "pods":
            app = self.apps.setdefault(item["metadata"]["labels"]["app"], {})
            app[key] = item
            if event == "DELETED":
                del app[key]
        if event == "DELETED":
            self.objects[kind].pop(key, None)
        else:
            self.objects[kind][key] = item
        line = json.dumps({"type": event, "object": item}, separators=(",", ":")).encode() + b"\n"
        self.said.setdefault(kind, []).append((self.version, line))
        for queue in self.followers.get(kind, ()):
            queue.put_nowait(line)

    def count(self, budget: Object) -> None:
        """As the disruption controller does, which has seen every pod."""
        app = budget["spec"]["selector"]["matchLabels"]["app"]
        pods = list(self.apps[app].values())
        ending = {one["metadata"]["name"] for one in pods if "deletionTimestamp" in one["metadata"]}
        healthy = sum(
            one["metadata"]["name"] not in ending and one["status"]["conditions"][1]["status"] == "True" for one in pods
        )
        status = dict(budget["status"])
        names = {one["metadata"]["name"] for one in pods} - ending
        disrupted = {name: at for name, at in status.get("disruptedPods", {}).items() if name in names}
        status |= {
            "currentHealthy": healthy,
            "disruptionsAllowed": max(0, healthy - len(disrupted) - status["desiredHealthy"]),
            "disruptedPods": disrupted,
        }
        if status != budget["status"]:
            self.put("poddisruptionbudgets", {**budget, "metadata": dict(budget["metadata"]), "status": status})

    def recount(self, app: str) -> None:
        """The controller looks at an app's budget."""
        self.count(self.objects["poddisruptionbudgets"][f"apps/{app}"])

    def evict(self, key: str, uid: str) -> tuple[int, Object]:
        """What the eviction API does."""
        pod = self.objects["pods"].get(key)
        if pod is None:
            return 404, {"message": "not found"}
        if pod["metadata"]["uid"] != uid:
            return 409, {"message": "the UID in the precondition does not match"}
        app = pod["metadata"]["labels"]["app"]
        budget = self.objects["poddisruptionbudgets"][f"apps/{app}"]
        status = budget["status"]
        if status["disruptionsAllowed"] < 1:
            return 429, {"message": "budget", "details": {"causes": [{"reason": "DisruptionBudget"}]}}
        new = {**status, "disruptionsAllowed": status["disruptionsAllowed"] - 1}
        new["disruptedPods"] = {**status.get("disruptedPods", {}), pod["metadata"]["name"]: stamp()}
        self.put("poddisruptionbudgets", {**budget, "metadata": dict(budget["metadata"]), "status": new})
        told = {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": stamp()}}
        self.put("pods", told)
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, self.recount, app)
        new_pod = self.pod(app, f"new-{next(self.where) % self.nodes}", ready=False)
        loop.call_later(self.ends, self._end, told, app)
        loop.call_later(self.starts, self._ready, new_pod, app)
        return 201, {}

    def _end(self, pod: Object, app: str) -> None:
        self.put("pods", pod, "DELETED")
        self.recount(app)

    def _ready(self, pod: Object, app: str) -> None:
        self.state(pod, ready=True)
        self.recount(app)


def matching(selector: str, item: Object) -> bool:
    """Whether a selector of ``key=value`` pairs matches."""
    labels = item["metadata"].get("labels", {})
    return all(labels.get(key) == value for key, _, value in (one.partition("=") for one in selector.split(",")))


class Server:
    """HTTP for the state."""

    def __init__(self, state: State) -> None:
        self.state = state

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while line := await reader.readline():
                method, target, _ = line.decode().split()
                length = 0
                while (header := await reader.readline()) not in (b"\r\n", b""):
                    name, _, value = header.decode().partition(":")
                    length = int(value) if name.lower() == "content-length" else length
                body = json.loads(await reader.readexactly(length)) if length else {}
                url = urlsplit(target)
                query = {key: values[0] for key, values in parse_qs(url.query).items()}
                if query.get("watch"):
                    await self.watch(url.path.rsplit("/", 1)[-1], writer, query)
                    return
                code, answer = self.answer(method, unquote(url.path), query, body)
                content = json.dumps(answer, separators=(",", ":")).encode()
                writer.write(f"HTTP/1.1 {code} X\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def watch(self, kind: str, writer: asyncio.StreamWriter, query: dict[str, str]) -> None:
        """Events after a version, until the time is over."""
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        after, seconds = int(query["resourceVersion"]), float(query["timeoutSeconds"])
        for version, line in self.state.said.get(kind, ()):
            if version > after:
                queue.put_nowait(line)
        self.state.followers.setdefault(kind, set()).add(queue)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        try:
            async with asyncio.timeout(seconds):
                while True:
                    writer.write(await queue.get())
                    await writer.drain()
        except TimeoutError:
            pass
        finally:
            self.state.followers[kind].discard(queue)

    def answer(self, method: str, path: str, query: dict[str, str], body: Object) -> tuple[int, Object]:
        """One request."""
        parts = path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        kind, name, sub = [*parts, "", ""][:3]
        what = f"{method} {kind}{'/' + sub if sub else ''}"
        self.state.calls[what] = self.state.calls.get(what, 0) + 1
        if kind == "calls":
            return 200, self.state.calls
        known = self.state.objects.setdefault(kind, {})
        key = f"{namespace}/{name}"
        if sub == "eviction":
            return self.state.evict(key, body["deleteOptions"]["preconditions"]["uid"])
        if method == "GET" and not name:
            return self.list(known, query)
        if method == "POST":
            self.state.put(kind, body, "ADDED")
            return 201, body
        if method in ("GET", "DELETE") and key not in known:
            return 404, {"message": f"{kind} {key} not found"}
        if method == "PUT":
            self.state.put(kind, body)
        elif method == "PATCH":
            self.state.put(kind, merged(known[key], body))
        return 200, known[key]

    def list(self, known: dict[str, Object], query: dict[str, str]) -> tuple[int, Object]:
        """A page."""
        selector = query.get("labelSelector", "")
        if selector and "=" not in selector:
            return 400, {"message": f"unable to parse requirement: {selector}"}
        items = [one for one in known.values() if not selector or matching(selector, one)]
        begin, limit = int(query.get("continue", 0)), int(query.get("limit", 1_000_000))
        metadata = {"resourceVersion": str(self.state.version)}
        if begin + limit < len(items):
            metadata["continue"] = str(begin + limit)
        return 200, {"metadata": metadata, "items": items[begin : begin + limit]}


def merged(item: Object, patch: Object) -> Object:
    """A merge patch (RFC 7386)."""
    found = dict(item)
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key) or {}, value) if isinstance(value, dict) else value
    return found


async def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=4000)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--starts", type=float, default=1.0)
    parser.add_argument("--ends", type=float, default=0.5)
    args = parser.parse_args()
    state = State(args.pods, args.nodes, args.starts, args.ends)
    server = await asyncio.start_server(Server(state).serve, "127.0.0.1", args.port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
