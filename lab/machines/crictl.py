"""`crictl` on a machine with static pods: `ps` and `stop`, as an operator uses them. Others say that they aren't known.

https://kubernetes.io/docs/tasks/debug/debug-cluster/crictl/
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from lab.machines.kubelet import StaticPods
from lab.machines.services import Service

_VALUED = {"-o": "output", "--output": "output", "--name": "name", "--timeout": "timeout", "-t": "timeout"}


async def call(arguments: Sequence[str], pods: StaticPods | None) -> tuple[int, str, str]:
    """Exit status, output and errors."""
    if pods is None:
        return 1, "", "crictl: no kubelet of this machine has static pods\n"
    words: list[str] = []
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        key, separator, value = word.partition("=")
        if key in _VALUED:
            options[_VALUED[key]] = value if separator else rest.pop(0) if rest else ""
        elif word.startswith("-"):
            options[word] = "true"
        else:
            words.append(word)
    verb, identifiers = (words[0] if words else ""), words[1:]
    if verb == "ps":
        return 0, _ps(pods, options), ""
    if verb == "stop":
        return await _stop(pods, identifiers)
    return 1, "", f"crictl {verb}: not known to the lab (ps and stop are)\n"


def identifier(service: Service) -> str:
    """A container's id: another one for every start, as with a runtime."""
    process = f"{service.identity.pid} {service.identity.started}" if service.identity else "none"
    return hashlib.sha256(f"{service.name} {process}".encode()).hexdigest()[:13]


def _ps(pods: StaticPods, options: dict[str, str]) -> str:
    every = "-a" in options or "--all" in options
    found: list[dict[str, object]] = []
    for pod in pods.pods.values():
        for name, service in pod.services.items():
            assert pod.static is not None
            container = name.removeprefix(f"pod-{pod.static.name}-")
            if (every or service.identity is not None) and re.search(options.get("name", ""), container):
                found.append(
                    {
                        "id": identifier(service),
                        "metadata": {"name": container, "attempt": service.restarts},
                        "state": "CONTAINER_RUNNING" if service.identity is not None else "CONTAINER_EXITED",
                        "labels": {
                            "io.kubernetes.container.name": container,
                            "io.kubernetes.pod.name": f"{pod.static.name}-{pods.where.node}",
                            "io.kubernetes.pod.namespace": pod.static.namespace,
                        },
                    }
                )
    if options.get("output") == "json":
        return json.dumps({"containers": found}) + "\n"
    if "-q" in options or "--quiet" in options:
        return "".join(f"{one['id']}\n" for one in found)
    rows = [("CONTAINER", "STATE", "NAME", "ATTEMPT")]
    for one in found:
        meta = one["metadata"]
        assert isinstance(meta, dict)
        state = str(one["state"]).removeprefix("CONTAINER_").capitalize()
        rows.append((str(one["id"]), state, meta["name"], str(meta["attempt"])))
    return "".join("  ".join(f"{cell:<24}" for cell in row).rstrip() + "\n" for row in rows)


async def _stop(pods: StaticPods, identifiers: Sequence[str]) -> tuple[int, str, str]:
    """Ends the containers; their kubelet starts them again."""
    known = {identifier(service): service for service in pods.services.values() if service.identity is not None}
    if not identifiers:
        return 1, "", "crictl stop: needs a container's id\n"
    unknown = [one for one in identifiers if one not in known]
    if unknown:
        return 1, "", f"crictl stop: {', '.join(unknown)}: no such container\n"
    for one in identifiers:
        await known[one].end()
    return 0, "".join(f"{one}\n" for one in identifiers), ""
