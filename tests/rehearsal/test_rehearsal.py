"""One whole rehearsal with the real engine: what `make rehearse` does, and what must hold after it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.environment import REPOSITORY, child_environment
from proof.verdict import MAX_DOWN_S
from tests.lab.plugins.leaks import files, leaks

pytestmark = [pytest.mark.rehearsal, pytest.mark.timeout(2700)]


@pytest.fixture(scope="module")
def report(lab: Path) -> dict[str, Any]:
    """The report of one rehearsal, run exactly as a person runs it."""
    done = subprocess.run([sys.executable, "-m", "rehearsal", "rehearse"], cwd=REPOSITORY, check=False)
    report = json.loads((lab / "report" / "rehearsal.json").read_text())
    report["exit"] = done.returncode
    return report


def pulumi(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["pulumi", *arguments, "-s", "stage-8", "--non-interactive"],
        cwd=REPOSITORY,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_this_machine_had_the_time_to_tell(report: dict[str, Any]) -> None:
    assert report["doubts"] == []


def test_the_cluster_moves_and_nothing_is_lost(report: dict[str, Any]) -> None:
    assert report["reasons"] == []
    assert report["ok"] is True
    assert report["exit"] == 0


def test_every_stage_was_reached_with_its_gates(report: dict[str, Any]) -> None:
    assert [row["stage"] for row in report["stages"]] == list(range(9))
    for row in report["stages"][1:]:
        assert row["gates"], row
        assert all(gate["ok"] for gate in row["gates"]), row


def test_a_second_up_changes_nothing_at_any_stage(report: dict[str, Any]) -> None:
    assert [row["second_up_changes"] for row in report["stages"]] == [0] * 9


def test_everything_due_was_sent_and_answered(report: dict[str, Any]) -> None:
    for part in ("probes", "idle"):
        for kind, numbers in report[part].items():
            assert numbers["due"] > 0, (part, kind)
            assert (numbers["sent"], numbers["failed"]) == (numbers["due"], 0), (part, kind, numbers)


def test_all_members_are_new_and_no_voter_was_missing(report: dict[str, Any]) -> None:
    assert report["etcd"]["min_healthy_voters"] == 3
    # A machine of two cores may leave a voter's first answer waiting; how long at most is the verdict's to say.
    assert [one for one in report["etcd"]["down"] if not one["ended"] or one["seconds"] > MAX_DOWN_S] == []
    assert len(report["etcd"]["members_after"]) == 3
    assert not set(report["etcd"]["members_after"]) & set(report["etcd"]["members_before"])


def test_the_drain_moved_pods_by_eviction(report: dict[str, Any]) -> None:
    assert report["drain"]["nodes"] == 12
    assert report["drain"]["evictions"] > 200
    assert report["budgets"]["watched"] > 15


def test_every_owner_has_the_pods_it_had(report: dict[str, Any]) -> None:
    assert report["owners"]["watched"] > 20
    assert report["owners"]["ready_after"] >= report["owners"]["ready_before"] >= 240
    assert report["owners"]["short"] == 0


def test_after_it_nothing_wants_to_change_also_after_a_refresh(report: dict[str, Any]) -> None:
    for refresh in (False, True):
        if refresh:
            refreshed = pulumi("refresh", "--yes", "--skip-preview")
            assert refreshed.returncode == 0, refreshed.stdout + refreshed.stderr
        seen = pulumi("preview", "--expect-no-changes", "--diff")
        assert seen.returncode == 0, seen.stdout + seen.stderr


def test_the_side_that_the_cluster_lives_on_can_not_be_destroyed(report: dict[str, Any]) -> None:
    seen = pulumi("destroy", "--yes")
    said = seen.stdout + seen.stderr
    assert seen.returncode != 0, said
    assert "nothing was deleted: cluster pet has 15 instances on side main" in said
    after = pulumi("preview", "--expect-no-changes", "--diff")
    assert after.returncode == 0, after.stdout + after.stderr


def secrets(lab: Path) -> dict[str, str]:
    """A line of every key that the lab's machines and its operator have, and of workers' user data."""
    found = {str(path.relative_to(lab)): path.read_text() for path in lab.rglob("*.key")}
    user = yaml.safe_load((lab / "kubeconfig").read_text())["users"][0]["user"]
    found["kubeconfig"] = base64.b64decode(user["client-key-data"]).decode()
    keys = {name: text.splitlines()[2] for name, text in found.items() if "PRIVATE KEY" in text}
    return {**keys, "workers' user data": "EnvironmentFile=/etc/kubernetes/kubelet.env"}


def test_no_secret_stands_in_the_report_or_in_what_pulumi_keeps(report: dict[str, Any], lab: Path) -> None:
    planted = secrets(lab)
    assert {"kubeconfig", "workers' user data"} < set(planted)
    places = {**files(lab / "report", "report"), **files(lab / "pulumi" / "state", "state")}
    assert any(place.startswith("report/previews/") for place in places)
    assert any(place.startswith("state/") for place in places)
    assert leaks(places, planted) == []


def test_bad_input_is_one_message_before_anything_registers(report: dict[str, Any]) -> None:
    try:
        assert pulumi("config", "set", "migration:stage", "9").returncode == 0
        seen = pulumi("preview")
    finally:
        pulumi("config", "rm", "migration:stage")
    said = seen.stdout + seen.stderr
    assert seen.returncode != 0
    assert "migration:stage is '9': is not a stage; give a whole number from 0 to 8" in said
    assert "Traceback" not in said
