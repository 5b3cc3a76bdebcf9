"""`python -m migration drain`, against an API server in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from migration.__main__ import main
from migration.clients.kubernetes import LEASES, Kubernetes
from migration.contracts.drained import DrainReport
from migration.contracts.plan import DrainPlan
from migration.drain import command
from migration.runtime.lease import NAME, NAMESPACE

ROOT = Path(__file__).resolve().parents[3]


class Server:
    """The server, and how it is reached."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.kubeconfig = str(kubeconfig(self.url, folder))

    def calls(self) -> dict[str, int]:
        """How often it was asked for what."""
        with urllib.request.urlopen(f"{self.url}/api/v1/calls") as answer:
            return json.load(answer)


def kubeconfig(url: str, folder: Path) -> Path:
    path = folder / "kubeconfig"
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    clusters, users = [{"name": "c", "cluster": {"server": url}}], [{"name": "u", "user": {}}]
    path.write_text(json.dumps({"clusters": clusters, "users": users, "contexts": [context], "current-context": "x"}))
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    arguments = [sys.executable, "-m", "tests.unit.drain.server", "--pods", "60", "--nodes", "4", "--starts", "0.2"]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Server(int(process.stdout.readline()), tmp_path)
        finally:
            process.terminate()


def drain(server: Server, *more: str, nodes: str = "pool=old") -> int:
    return main(["drain", "--nodes", nodes, "--kubeconfig", server.kubeconfig, *more])


def changing(calls: dict[str, int]) -> set[str]:
    return {call for call in calls if not call.startswith("GET ")}


def test_a_dry_run_only_reads_and_says_what_would_be_done(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert drain(server, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "pods: 60 pods to move off 4 nodes; 60 under 1 budget (apps/app-0 60)" in told
    assert "drain: at least" in told
    assert drain(server, "--dry-run", "--json") == 0
    plan = DrainPlan.model_validate_json(capsys.readouterr().out)
    assert (plan.nodes, plan.pods, plan.blocked) == (4, 60, ())
    assert changing(server.calls()) == set()


def test_a_drain_moves_every_pod_with_one_call_a_pod_and_says_so_in_one_document(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drain(server, "--json") == 0
    captured = capsys.readouterr()
    report = DrainReport.model_validate_json(captured.out)
    assert (report.outcome, report.nodes, report.pods, report.evictions) == ("done", 4, 60, 60)
    assert (report.blocked, report.server_errors, report.throttled429) == ((), 0, 0)
    assert report.bound_seconds >= report.streaming_bound_seconds > 0
    assert report.peak_memory_mb > 0
    assert "4 of 4 nodes cordoned and tainted" in captured.err
    calls = server.calls()
    assert calls["POST pods/eviction"] == 60 + report.rejected429
    assert calls["PATCH nodes"] == 4
    # Once for the room, once for the watch, once for the end: however many pods there are.
    assert calls["GET poddisruptionbudgets"] == 3
    assert drain(server) == 0
    assert server.calls()["POST pods/eviction"] == calls["POST pods/eviction"]
    assert drain(server, "--uncordon") == 0
    assert server.calls()["PATCH nodes"] == 8
    left = Kubernetes(kubeconfig=server.kubeconfig).request("GET", "/api/v1/nodes/old-0")
    assert left["spec"].get("taints") == []
    assert "unschedulable" not in left["spec"]
    assert left["metadata"]["annotations"] == {}


def test_blocked_pods_are_named_with_the_option_that_would_move_them(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    api = Kubernetes(kubeconfig=server.kubeconfig)
    bare: dict[str, Any] = {
        "metadata": {"namespace": "apps", "name": "bare", "uid": "bare", "labels": {"app": "bare"}},
        "spec": {"nodeName": "old-1", "containers": []},
        "status": {"phase": "Running", "conditions": []},
    }
    api.request("POST", "/api/v1/namespaces/apps/pods", body=bare)
    assert drain(server, "--json") == 1
    captured = capsys.readouterr()
    report = DrainReport.model_validate_json(captured.out)
    assert (report.outcome, report.evictions) == ("blocked", 60)
    assert [(one.pod, one.owner) for one in report.blocked] == [("apps/bare", "")]
    assert "give --bare-pods to end it" in report.blocked[0].reason
    assert "the nodes stay cordoned: run the same command again to go on, or with --uncordon" in captured.err


def test_bad_input_is_refused_in_one_sentence_and_nothing_is_changed(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for nodes, more, said in (
        ("pool=gone", (), "matches none of the cluster's 8 nodes"),
        ("pool", (), "is no label selector"),
        ("kind=worker", (), "leaves none that is ready"),
        ("pool=old", ("--max-evictions-per-second", "0"), "--max-evictions-per-second 0: "),
        ("pool=old", ("--unprotected-max-unavailable", "0"), "--unprotected-max-unavailable 0: "),
        ("pool=old", ("--timeout", "0"), "--timeout 0: give more than 0 seconds"),
    ):
        assert drain(server, *more, nodes=nodes) == 2
        told = capsys.readouterr().err
        assert said in told
        assert told.count("\n") == 1
    assert changing(server.calls()) == set()


def test_an_api_that_isnt_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = kubeconfig("http://127.0.0.1:9", tmp_path)
    assert main(["drain", "--nodes", "a=b", "--kubeconfig", str(path)]) == 2
    assert "the Kubernetes API at http://127.0.0.1:9 doesn't answer" in capsys.readouterr().err
    assert main(["drain", "--nodes", "a=b", "--kubeconfig", str(tmp_path / "none")]) == 2
    assert "can't be used" in capsys.readouterr().err


def test_two_dont_run_at_once(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "OTHERS", 0.5)
    lease = {
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 100, "renewTime": "now"},
    }
    Kubernetes(kubeconfig=server.kubeconfig).create(LEASES, lease)
    assert drain(server) == 2
    assert "waiting for somebody, which holds the lease kube-system/vpc-migration" in capsys.readouterr().err
    assert "PATCH nodes" not in server.calls()


def test_ctrl_c_leaves_the_nodes_cordoned_and_says_how_to_go_on(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(command, "drain", interrupted)
        assert drain(server, "--json") == 130
    captured = capsys.readouterr()
    assert DrainReport.model_validate_json(captured.out).outcome == "interrupted"
    assert "run the same command again to go on, or with --uncordon" in captured.err
    assert drain(server) == 0
