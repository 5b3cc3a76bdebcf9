"""The CLI's commands as they are typed, and what is made of their failures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from migration.recover.pulumi import Program, Pulumi, project_folder, project_name, selected_stack
from migration.runtime.deadline import Permanent

# Says what it was asked, as JSON, with what came on its standard input.
ECHO = """#!/bin/sh
input=$(cat)
printf '%s\\n' "$*" >> asked
printf '%s' "$input" > input
{then}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def pulumi(folder: Path, then: str) -> Pulumi:
    path = folder / "bin" / "pulumi"
    path.write_text(ECHO.replace("{then}", then))
    path.chmod(0o755)
    return Pulumi(folder, "eu.stage-2")


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().splitlines()


END = " --non-interactive --color never"


def test_the_commands_are_of_the_stack_and_ask_nobody(folder: Path) -> None:
    engine = pulumi(folder, 'echo \'{"url": "file:///srv", "user": "u"}\'')
    assert engine.backend() == "file:///srv"
    engine.export()
    engine.adopt({"resources": []})
    assert json.loads((folder / "input").read_text()) == {"resources": []}
    engine.replace("{}")
    assert (folder / "input").read_text() == "{}"
    assert asked(folder) == [
        f"whoami --verbose --json{END}",
        f"stack export --stack eu.stage-2{END}",
        f"import --stack eu.stage-2 --yes --skip-preview --protect=false --generate-code=false --file /dev/stdin{END}",
        f"stack import --stack eu.stage-2{END}",
    ]


def test_the_selected_stack_is_asked_for(folder: Path) -> None:
    pulumi(folder, "echo stage-3")
    assert selected_stack(folder) == "stage-3"


def test_a_failure_is_told_in_the_engines_last_words(folder: Path) -> None:
    with pytest.raises(Permanent, match="pulumi stack export failed: the stack is currently locked by 1 lock"):
        pulumi(folder, "echo 'the stack is currently locked by 1 lock(s)' >&2; exit 255").export()


def test_an_answer_that_names_no_backend_is_refused(folder: Path) -> None:
    with pytest.raises(Permanent, match="doesn't say which backend"):
        pulumi(folder, "echo root").backend()


def test_no_pulumi_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder / "bin"))
    with pytest.raises(Permanent, match="pulumi isn't found on PATH"):
        Pulumi(folder, "s").export()


def test_the_project_is_this_folders_or_the_nearest_above(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    with pytest.raises(Permanent, match=r"no Pulumi.yaml in .* run this where you run pulumi up"):
        project_folder(inner)
    (tmp_path / "a" / "Pulumi.yaml").write_text("name: migration\nruntime: python\n")
    assert project_folder(inner) == tmp_path / "a"
    assert project_name(tmp_path / "a") == "migration"


@pytest.mark.parametrize("text", ["", "runtime: python", "name: [", "- name"])
def test_a_project_without_a_name_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "Pulumi.yaml").write_text(text)
    with pytest.raises(Permanent, match="has no name of a project"):
        project_name(tmp_path)


def test_the_program_is_run_for_all_to_see(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    engine = pulumi(folder, 'echo "of $WHOSE"; echo "    = 95 to import"')
    whats: tuple[Program, ...] = ("look", "import", "check")
    for what in whats:
        engine.run_program(what, {"WHOSE": "mine"})
    assert asked(folder) == [
        f"preview --stack eu.stage-2{END}",
        f"up --yes --skip-preview --stack eu.stage-2{END}",
        f"preview --diff --expect-no-changes --stack eu.stage-2{END}",
    ]
    assert capfd.readouterr().out.count("of mine\n    = 95 to import\n") == 3


@pytest.mark.parametrize("would", ["~ 1 to update", "+-2 to replace", "- 3 to delete"])
def test_a_preview_that_would_change_what_is_there_is_refused(folder: Path, would: str) -> None:
    engine = pulumi(folder, f'echo "Resources:"; echo "    {would}"; echo "    = 95 to import"')
    with pytest.raises(Permanent, match="something isn't as the program says, and would be changed"):
        engine.run_program("look", {})


def test_a_program_that_fails_says_what_is_so_then(folder: Path) -> None:
    engine = pulumi(folder, "echo why; exit 1")
    words: dict[Program, str] = {
        "look": "nothing was written",
        "import": "run this again",
        "check": "some of it isn't what the program says",
    }
    for what, said in words.items():
        with pytest.raises(Permanent, match=said):
            engine.run_program(what, {})
