"""The command line: sentences and exit statuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from migration import __main__ as cli
from migration.discover.write import write
from migration.stages.record import Who, begin
from migration.status import lines, observe

SIDES: dict[str, Any] = {"from_side": "legacy", "to_side": "main", "command": "pulumi up"}


@pytest.fixture
def stack(legacy: Any, tmp_path: Path) -> Path:
    path = tmp_path / "Pulumi.stage-0.yaml"
    write(path, "eu-central-1", legacy.discover())
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.main(arguments)
    said = capsys.readouterr()
    return status, said.out.strip(), said.err.strip()


def test_a_valid_file_is_said_to_be_so(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "check", str(stack))
    assert (status, out) == (0, f"{stack}: valid; stage 0 (baseline) of pet")


def test_every_problem_of_a_file_is_told_at_once(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = stack.read_text().replace("migration:cluster: pet", "migration:klaster: pet").replace("127.11.0.0/16", "x")
    stack.write_text(text)
    status, _, err = run(capsys, "check", str(stack))
    assert status == 2
    assert "migration:klaster" in err
    assert "migration:cluster" in err
    assert "migration:sides.main.cidr" in err


def test_a_file_that_is_not_there_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "check", "stacks/none.yaml")[::2] == (2, "check: there is no file stacks/none.yaml")


def test_the_record_is_shown_and_taken_over(legacy: Any, stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "/pet/migration/record"
    assert "no migration was begun" in run(capsys, "record", "--file", str(stack))[1]
    assert run(capsys, "record", "--take-over", "--file", str(stack))[0] == 2
    try:
        who = Who(owner="migration/other", stack="s-1", cluster_uid="uid", fresh=True, alive=lambda: None)
        begin(legacy.aws, "pet", 1, who=who, **SIDES)
        assert "driven by migration/other" in run(capsys, "record", "--file", str(stack))[1]
        run(capsys, "record", "--take-over", "--file", str(stack))
        shown = json.loads(run(capsys, "record", "--json", "--file", str(stack))[1])
        assert (shown["owner"], shown["stack"]) == ("migration/default", None)
        assert (shown["reached"], shown["tried"], shown["clusterUid"]) == (0, 1, "uid")
    finally:
        legacy.aws.ssm.delete_parameter(Name=name)


def test_several_stacks_must_be_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "STACKS", tmp_path)
    for name in ("Pulumi.one.yaml", "Pulumi.two.yaml"):
        (tmp_path / name).write_text("config: {}\n")
    status, _, err = run(capsys, "status")
    assert status == 2
    assert "Pulumi.one.yaml" in err
    assert "Pulumi.two.yaml" in err


def test_what_can_not_be_seen_is_said_and_the_rest_is_shown(legacy: Any, stack: Path) -> None:
    from migration.settings import load_file

    class Clients:
        aws = legacy.aws
        kubernetes = legacy.kubernetes

    clients: Any = Clients()
    stack.write_text(stack.read_text().replace("/pet/operator/etcd", "/none"))
    seen = observe(load_file(stack), clients)
    text = "\n".join(lines(seen))
    assert "no migration was begun" in text
    assert "members: can't be seen: migration:etcd.certificates is '/none'" in text
    assert "name api.pet.lab.internal: api-pet" in text
    assert "next: pulumi stack rename stage-0 && pulumi up -s stage-0" in text
