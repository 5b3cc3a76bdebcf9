"""Components can send an operation only what its contract has, and a check is asked its own question."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import ValidationError

from migration.contracts.base import Inputs, Result
from migration.contracts.gates import QUESTIONS, SOMETIMES, questions
from migration.contracts.traffic import DnsCutInputs, SideBalancers
from migration.gates import CHECKS
from migration.stages import STAGES
from tests.samples import COMMON, configuration, settings
from tests.unit.contracts.shapes import every, models

ROOT = Path(__file__).resolve().parents[3]
BALANCERS: dict[str, Any] = {
    "old": SideBalancers(side="legacy", ingress="in-old.elb", api="api-old.elb"),
    "new": SideBalancers(side="main", ingress="in-new.elb", api="api-new.elb"),
}
CUT: dict[str, Any] = {**COMMON, **BALANCERS, "form": "pair", "zone_id": "Z1", "records": (), "ttl": 5, "new_weight": 0}


def test_what_a_contract_does_not_have_is_refused() -> None:
    assert DnsCutInputs(**CUT).ttl == 5
    with pytest.raises(ValidationError, match=r"nodePort\n  Extra inputs are not permitted"):
        DnsCutInputs(**{**CUT, "nodePort": 30080})
    with pytest.raises(ValidationError, match=r"newWeight\n  Field required"):
        DnsCutInputs(**{key: value for key, value in CUT.items() if key != "new_weight"})
    with pytest.raises(ValidationError, match="frozen"):
        DnsCutInputs(**CUT).ttl = 6  # pyright: ignore[reportAttributeAccessIssue] - what this shows


def contracts() -> list[type[Any]]:
    """Every contract with all models inside."""
    found: set[type[Any]] = set()
    todo: list[type[Any]] = [*every(Inputs), *every(Result)]
    while todo:
        model = todo.pop()
        if model not in found:
            found.add(model)
            todo += [inner for field in model.model_fields.values() for inner in models(field.annotation)]
    return sorted(found, key=lambda model: model.__name__)


MODELS = contracts()


@pytest.mark.parametrize("model", MODELS, ids=[model.__name__ for model in MODELS])
def test_every_model_of_a_contract_is_frozen_and_takes_nothing_else(model: type[Any]) -> None:
    assert model.model_config.get("frozen") is True
    assert model.model_config.get("extra") == "forbid"


SNIPPET = """
from components.base import Scope
from migration.contracts.traffic import ApiTargetsInputs
from migration.settings import Settings
from providers.operations import ApiTargets, Taint


def send(settings: Settings) -> None:
    common = Scope(settings=settings).common()
    fine = ApiTargetsInputs(**common, target_group="arn", port=6443, members=())
    ApiTargetsInputs(**common, target_group="arn", port=6443, members=(), node_port=30080)  # reportCallIssue
    ApiTargetsInputs(**common, target_group="arn", port=6443)  # reportCallIssue
    ApiTargetsInputs(**common, target_group="arn", port="6443", members=())  # reportArgumentType
    ApiTargets("fine", fine)
    Taint("another's", fine)  # reportArgumentType
    ApiTargets("a dict", {"target_group": "arn"})  # reportArgumentType
"""


def test_the_type_checker_refuses_what_a_contract_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(SNIPPET)
    where = {"venvPath": str(ROOT), "venv": ".venv", "extraPaths": [str(ROOT)], "include": ["snippet.py"]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({**where, "typeCheckingMode": "standard"}))
    done = subprocess.run(
        [ROOT / ".venv" / "bin" / "basedpyright", "--outputjson", "-p", tmp_path],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    found = [(one["range"]["start"]["line"], one["rule"]) for one in json.loads(done.stdout)["generalDiagnostics"]]
    lines = enumerate(SNIPPET.splitlines())
    assert found == [(number, line.partition("  # ")[2]) for number, line in lines if "  # " in line]
    assert len(found) == 5


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_takes_its_own_question(check: str) -> None:
    hints = get_type_hints(CHECKS[check], vars(__import__(CHECKS[check].__module__, fromlist=["x"])))
    assert hints.pop("return") is str
    assert hints.pop("live").__name__ == "Live"
    assert list(hints.values()) == [QUESTIONS[check]]


def test_the_stage_table_the_questions_and_the_checks_name_the_same_gates() -> None:
    named = {gate for stage in STAGES for gate in (*stage.gates_before, *stage.gates_after)}
    assert named == set(QUESTIONS) == set(CHECKS)
    for name, question in QUESTIONS.items():
        assert question.model_fields["check"].default == name


@pytest.mark.parametrize("stage", [row.number for row in STAGES])
def test_every_gates_questions_are_made_from_the_settings_alone(stage: int) -> None:
    made = settings(stage)
    for names in (made.stage.gates_before, made.stage.gates_after):
        # Volumes are asked about only where they move (or may have before), Services only where they are carried.
        sometimes = {one.model_fields["check"].default for one in SOMETIMES}
        assert [one.check for one in questions(made, names)] == [one for one in names if one not in sometimes]
    traffic = {**configuration()["traffic"], "loadBalancerServices": "carried"}
    moving = settings(stage, etcd={"certificates": "/pet/operator/etcd", "strategy": "volume"}, traffic=traffic)
    assert [one.check for one in questions(moving, moving.stage.gates_before)] == [*moving.stage.gates_before]


@pytest.mark.parametrize("check", QUESTIONS)
def test_a_question_stands_in_a_module_of_the_same_name_as_its_check(check: str) -> None:
    concern = CHECKS[check].__module__.removeprefix("migration.gates.")
    assert QUESTIONS[check].__module__ == f"migration.contracts.gates.{concern}"
