"""The backplane: what AWS's data plane and hypervisors get from, and tell, their control plane. Not AWS's API."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import msgspec

from lab.aws.snapshot import snapshot
from lab.aws.volumes import finish_detaching
from lab.aws.world import World

MAX_WAIT_S = 20.0
HEALTH_STATES = ("initial", "healthy", "unhealthy", "draining", "unused")
COMMAND_STATES = ("InProgress", "Success", "Failed", "TimedOut", "Cancelled")


class Problem(Exception):
    """An answer that isn't 200: status line and a sentence."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class Backplane:
    """A WSGI application. Long polls wait on the world's condition, so they hold no lock while they wait."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            body = self._answer(environ)
            status = "200 OK"
        except Problem as problem:
            status, body = problem.status, json.dumps({"error": str(problem)}).encode()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            status, body = "400 Bad Request", json.dumps({"error": f"{type(error).__name__}: {error}"}).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def _answer(self, environ: dict[str, Any]) -> bytes:
        method = environ.get("REQUEST_METHOD", "GET")
        path = environ["PATH_INFO"].removeprefix("/_backplane")
        query = {k: v[0] for k, v in parse_qs(environ.get("QUERY_STRING", "")).items()}
        if method == "GET" and path == "/state":
            return self.state(int(query.get("after", -1)), float(query.get("wait", 0)), omit=query.get("omit"))
        if method == "GET" and path == "/calls":
            return self.calls()
        if method == "GET" and path == "/asked":
            return self.asked()
        if method == "GET" and path == "/commands":
            commands = self.commands(query["instance"], float(query.get("wait", 0)))
            return json.dumps(commands).encode()
        if method == "POST":
            length = int(environ.get("CONTENT_LENGTH") or 0)
            sent = json.loads(environ["wsgi.input"].read(length) or b"{}")
            if path == "/target-health":
                self.report_health(sent)
                return b"{}"
            if path == "/mounts":
                self.report_mounts(sent["instance"], sent["volumes"])
                return b"{}"
            if found := re.fullmatch(r"/commands/([^/]+)", path):
                self.report_command(found[1], sent)
                return b"{}"
            if found := re.fullmatch(r"/instances/([^/]+)/terminated-by-failure", path):
                self.fail_instance(found[1])
                return b"{}"
        raise Problem("404 Not Found", f"{method} {path}: no such endpoint")

    def state(self, after: int, wait: float, *, omit: str | None = None) -> bytes:
        """The snapshot as JSON: at once if newer than `after`, else when it changes or `wait` seconds have passed.

        `omit`: a key of instances that the caller doesn't want; user data is two fifths of a large lab's state.
        """
        with self.world.lock:
            self.world.changed.wait_for(lambda: self.world.revision > after, min(max(wait, 0.0), MAX_WAIT_S))
            cached = self.world.snapshot_cache
            if cached is None or cached[0] != self.world.revision:
                cached = self.world.snapshot_cache = (self.world.revision, snapshot(self.world), {})
            _, state, texts = cached
            if omit not in texts:
                texts[omit] = msgspec.json.encode(_without(state, omit))
            return texts[omit]

    def calls(self) -> bytes:
        """How many changing calls were accepted so far, by access key and action."""
        found: dict[str, dict[str, int]] = {}
        with self.world.lock:
            for (key, action), count in self.world.calls.items():
                found.setdefault(key, {})[action] = count
        return json.dumps(found).encode()

    def asked(self) -> bytes:
        """How many calls came so far, reading and refused ones too, by what the caller says it is and action."""
        found: dict[str, dict[str, int]] = {}
        with self.world.lock:
            for (app, action), count in self.world.asked.items():
                found.setdefault(app, {})[action] = count
        return json.dumps(found).encode()

    def report_health(self, reports: dict[str, dict[str, dict[str, Any]]]) -> None:
        """Replaces what is known of each target group named; of others it says nothing."""
        for of_group in reports.values():
            for key, report in of_group.items():
                if report.get("state") not in HEALTH_STATES:
                    raise Problem("400 Bad Request", f"{key}: state must be one of {', '.join(HEALTH_STATES)}")
        with self.world.lock:
            for arn, of_group in reports.items():
                group = self.world.elbv2.target_groups.get(arn)
                if group is not None:
                    # A late report on a target that was taken out must not greet it when it comes back.
                    self.world.health[arn] = {k: r for k, r in of_group.items() if k in group.targets}

    def commands(self, instance: str, wait: float) -> list[dict[str, Any]]:
        """Takes the instance's waiting commands; each is handed out once and is then in progress."""
        with self.world.lock:
            self.world.changed.wait_for(
                lambda: bool(self.world.commands.get(instance)), min(max(wait, 0.0), MAX_WAIT_S)
            )
            taken = self.world.commands.pop(instance, [])
            for command in taken:
                self.world.invocations[command["id"], instance].update(Status="InProgress", StatusDetails="InProgress")
            return taken

    def report_command(self, command_id: str, report: dict[str, Any]) -> None:
        """How a command went, from the instance's agent."""
        with self.world.lock:
            invocation = self.world.invocations.get((command_id, report.get("instance", "")))
            if invocation is None:
                raise Problem("404 Not Found", f"command {command_id} wasn't sent to {report.get('instance')}")
            if report.get("status") not in COMMAND_STATES:
                raise Problem("400 Bad Request", f"status must be one of {', '.join(COMMAND_STATES)}")
            invocation.update(
                Status=report["status"],
                StatusDetails=report["status"],
                ResponseCode=int(report.get("code", 0 if report["status"] == "Success" else 1)),
                StandardOutputContent=str(report.get("stdout", ""))[:24_000],
                StandardErrorContent=str(report.get("stderr", ""))[:8_000],
            )

    def report_mounts(self, instance: str, volumes: list[str]) -> None:
        """Which volumes this instance has mounted; those it has let go of, and was to, are detached now."""
        with self.world.lock:
            for volume, holder in list(self.world.mounted.items()):
                if holder == instance and volume not in volumes:
                    del self.world.mounted[volume]
                    finish_detaching(self.world.ec2, volume)
            self.world.mounted.update(dict.fromkeys(volumes, instance))
            self.world.bump()

    def fail_instance(self, instance_id: str) -> None:
        """The host died: the instance is terminated without anybody's call."""
        with self.world.lock:
            instance = self.world.ec2.get_instance_by_id(instance_id)
            if instance is None:
                raise Problem("404 Not Found", f"{instance_id}: no such instance")
            instance.terminate()
            self.world.elbv2.notify_terminate_instances([instance_id])
            self.world.bump()


def _without(state: dict[str, Any], omitted: str | None) -> dict[str, Any]:
    """A snapshot whose instances lack one key."""
    if omitted is None:
        return state
    instances = [{key: value for key, value in one.items() if key != omitted} for one in state["instances"]]
    return {**state, "instances": instances}
