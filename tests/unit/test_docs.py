"""What the documents list is what the code has: keys, calls, verbs, stages, gates."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from components.cluster_objects import OPERATOR_RULES
from lab.shapes import ODDITIES
from lab.strictness import VARIABLES
from migration.rights.table import ALWAYS, CHANGES, PROVIDER_READS, READS, RESOURCES, actions
from migration.settings import ConfigurationError, load
from migration.settings.model import Configuration, Model
from migration.stages import STAGES, Stage
from migration.stages.moves import IllegalMove, Record, plan_move
from tests.samples import configuration, flat

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ADOPTING = (ROOT / "docs" / "adopting.md").read_text()
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()

# boto3's client, as this program's code calls it, to IAM's name of the service.
SERVICES = {
    "ec2": "ec2",
    "autoscaling": "autoscaling",
    "elbv2": "elasticloadbalancing",
    "route53": "route53",
    "route53resolver": "route53resolver",
    "logs": "logs",
    "ssm": "ssm",
    "cloudwatch": "cloudwatch",
    "iam": "iam",
    "sts": "sts",
}
# Calls that only a new member's machine makes, with its own role.
MACHINES_OWN = {"ec2:AttachVolume"}
NOT_CALLS = {"get_paginator", "exceptions", "get_waiter", "meta"}


def models(kind: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models inside a field's type, each with what its keys stand behind."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield "", kind
        return
    origin = getattr(kind, "__origin__", None)
    arguments = get_args(kind)
    if origin is dict:
        yield from ((f".<>{path}", model) for path, model in models(arguments[1]))
    elif origin is tuple:
        yield from ((f"[]{path}", model) for path, model in models(arguments[0]))
    else:
        for argument in arguments:
            yield from models(argument)


def every_model(model: type[Model]) -> Iterator[tuple[str, type[Model]]]:
    """A model and those inside of it, each with the path of its keys."""
    yield "", model
    for name, field in model.model_fields.items():
        for more, inner in models(field.annotation):
            if issubclass(inner, Model):
                yield from ((f"{field.alias or name}{more}.{path}", found) for path, found in every_model(inner))


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the configuration as a path, with its default (None where there is none)."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        yield path, field.default if isinstance(field.default, bool | int | str) and field.default != "" else None
        for more, inner in models(field.annotation):
            yield from keys(inner, f"{path}{more}.")


def written(path: str) -> str:
    """A path as people read it."""
    return path.replace("sides.<>", "sides.<name>").replace("zones.<>", "zones.<zone>")


PATHS = sorted({(written(path), default) for path, default in keys(Configuration)}, key=str)


def test_the_paths_reach_into_sides_lists_and_sections() -> None:
    found = {path for path, _ in PATHS}
    assert {"sides.<name>.loadBalancers.api.arn", "pools[].zones", "drain.emptyDir", "from", "stage"} <= found


@pytest.mark.parametrize(("path", "default"), PATHS, ids=[path for path, _ in PATHS])
def test_every_key_is_explained_with_its_default(path: str, default: Any) -> None:
    rows = [line for line in ADOPTING.splitlines() if line.startswith("|") and f"`{path}`" in line]
    assert rows, f"docs/adopting.md has no row for {path}"
    if default is not None:
        shown = default if isinstance(default, str) else json.dumps(default)
        assert any(f"`{shown}`" in row for row in rows), f"docs/adopting.md: {path} has the default {shown}"


def test_no_key_is_explained_that_is_gone() -> None:
    gone = {f"{written(path)}{key}" for path, model in every_model(Configuration) for key in model.dropped}
    assert {"workerRole", "pools[].market", "members[].volumeId"} <= gone
    assert [key for key in gone if f"`{key}`" in ADOPTING] == []


def camel(call: str) -> str:
    return (
        "".join(word.capitalize() for word in call.split("_"))
        .replace("ByVpc", "ByVPC")
        .replace("eVpcWith", "eVPCWith")
        .replace("eVpcFrom", "eVPCFrom")
    )


def calls() -> set[str]:
    """IAM actions of every boto3 call under migration/, paginated ones included."""
    clients = "|".join(SERVICES)
    found: set[str] = set()
    for file in (ROOT / "migration").rglob("*.py"):
        text = file.read_text()
        for client, call in re.findall(rf"\b({clients})\.([a-z][a-z0-9_]+)(?=[(,)])", text):
            if call not in NOT_CALLS and "_" in call:
                found.add(f"{SERVICES[client]}:{camel(call)}")
        pages = rf'_pages\(\s*\w+\.({clients}),\s*"([a-z0-9_]+)"'
        paginators = rf'({clients})\.get_paginator\(\s*"([a-z0-9_]+)"'
        for paged in (pages, paginators):
            found |= {f"{SERVICES[client]}:{camel(call)}" for client, call in re.findall(paged, text)}
    return found


def test_every_aws_call_of_the_product_is_a_right_of_the_table() -> None:
    found = calls()
    assert {"ec2:DescribeInstances", "ssm:SendCommand", "route53:ListHostedZonesByVPC"} <= found
    assert found - set(actions()) - ALWAYS - MACHINES_OWN == set()


def provider_calls() -> set[str]:
    """IAM actions of the lab's own stand-in of the provider: what these resources take at least."""
    found: set[str] = set()
    files = {
        "autoscaling": "autoscaling",
        "scaling": "autoscaling",
        "balancing": "elbv2",
        "targets": "elbv2",
        "listeners": "elbv2",
        "dns": "route53",
    }
    for file in (ROOT / "lab" / "plugins" / "aws").glob("*.py"):
        own = files.get(file.stem, "ec2")
        named = r'(?:client\("([a-z0-9]+)"\)|\b_?client\(call\)|\belb\(call\)|\bclient|\belb|\.ec2)'
        for client, call in re.findall(named + r"\.([a-z]+_[a-z0-9_]+)(?=[(,)])", file.read_text()):
            if call not in NOT_CALLS:
                found.add(f"{SERVICES[client or own]}:{camel(call)}")
    return found


def test_what_the_provider_calls_is_a_right_of_the_table() -> None:
    found = provider_calls()
    assert {
        "ec2:ReplaceRouteTableAssociation",
        "iam:PutRolePolicy",
        "elasticloadbalancing:CreateListener",
        "autoscaling:CreateAutoScalingGroup",
        "route53:AssociateVPCWithHostedZone",
    } <= found
    reads = tuple(read.removesuffix("*") for read in PROVIDER_READS)
    assert {action for action in found if not action.startswith(reads)} - set(actions()) - ALWAYS == set()


def test_the_document_lists_the_rights_of_the_table_row_by_row() -> None:
    text = ADOPTING[ADOPTING.index("## 4. Rights in AWS") : ADOPTING.index("## 5. Rights in the cluster")]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    listed = {(cells[0].strip(), tuple(sorted(set(re.findall(r"`([a-z0-9]+:[A-Z]\w+)`", cells[1]))))) for cells in rows}
    table = {(row.title, tuple(sorted(set(row.actions)))) for row in (*READS, *CHANGES, *RESOURCES)}
    assert {row for row in listed if row[1]} == table


def test_the_operators_role_is_listed_as_it_is() -> None:
    rows = [line for line in ADOPTING.splitlines() if line.startswith(("| core", "| `"))]
    for rule in OPERATOR_RULES:
        plain: Any = rule  # the SDK types these as inputs, which may be outputs; here they are lists of words
        verbs = [f"`{verb}`" for verb in plain["verbs"]]
        for resource in plain["resources"]:
            listed = [row for row in rows if f"`{resource}`" in row and all(verb in row for verb in verbs)]
            assert listed, f"docs/adopting.md lacks {resource}: {', '.join(verbs)}"


def section(stage: Stage) -> str:
    """The runbook's part about one stage."""
    found = re.search(rf"^## Stage {stage.number}: {stage.name}\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert found, f"docs/runbook.md has no section '## Stage {stage.number}: {stage.name}'"
    return found[1]


@pytest.mark.parametrize("stage", STAGES, ids=[stage.name for stage in STAGES])
def test_the_runbook_has_every_stage_with_its_commands_gates_and_rollback(stage: Stage) -> None:
    text = section(stage)
    assert f"pulumi config set migration:stage {stage.number} && pulumi up" in text
    assert f"pulumi up -s stage-{stage.number}" in text
    for gate in (*stage.gates_before, *stage.gates_after):
        assert f"`{gate}`" in text
    for part in ("**Changes**", "**Look at**", "**If it stops**", "**Back**"):
        assert part in text


@pytest.mark.parametrize("document", DOCUMENTS, ids=[document.name for document in DOCUMENTS])
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", document.read_text()):
        leads_to = document.parent / target if target else document
        assert leads_to.exists(), target
        assert not anchor or anchor in anchors(leads_to), f"{target}#{anchor}"


def anchors(document: Path) -> set[str]:
    """Of its headings, as they are made where documents are shown: small, without punctuation, hyphens for spaces."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=[document.name for document in DOCUMENTS])
def test_every_make_target_a_document_names_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)`?", document.read_text())) & {"rehearse", "test"} <= targets
    for line in document.read_text().splitlines():
        for target in re.findall(r"`make ([a-z-]+)`", line):
            assert target in targets


def refusals() -> Iterator[str]:
    """What the README shows of bad input, said anew."""
    crowded, wrong, fine = configuration(), configuration(podCIDR="x"), configuration(stage=4)
    crowded["sides"]["main"].update(cidr="10.0.128.0/17", zones=["eu-central-1a", "eu-central-1b"])
    del wrong["etcd"]
    for values, stack in ((crowded, "stage-1"), (wrong, "stage-1"), (fine, "stage-3")):
        with pytest.raises(ConfigurationError) as refused:
            load(flat(values), stack)
        yield from (line.strip(" -") for line in str(refused.value).splitlines()[1:])
    record = Record(owner="migration/production", from_side="legacy", to_side="main", reached=3, tried=3)
    command = "pulumi config set migration:stage {stage} && pulumi up"
    for stack in ("production", "test"):
        with pytest.raises(IllegalMove) as illegal:
            plan_move(record, 6, owner=f"migration/{stack}", from_side="legacy", to_side="main", command=command)
        yield str(illegal.value).split("; or ")[0].split(". Use")[0]


def test_the_bad_input_that_the_readme_shows_is_refused_in_these_words() -> None:
    readme = (ROOT / "README.md").read_text()
    for refusal in refusals():
        assert refusal in readme


def test_the_policy_that_closes_the_ca_keys_names_every_one_that_a_boot_reads() -> None:
    boot = (ROOT / "migration" / "etcd" / "boot" / "member.py").read_text()
    read = set(re.findall(r'Authority\(ssm, "([a-z-]+)"\)', boot))
    assert {"ca", "etcd-ca"} <= read
    text = re.search(r"^```json\n(.*?)^```", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE | re.DOTALL)
    assert text
    keys, path = json.loads(text[1])["Statement"]
    assert keys["Effect"] == path["Effect"] == "Deny"
    assert set(keys["Resource"]) == {f"arn:aws:ssm:*:*:parameter/NAME/pki/{name}.key" for name in read}
    assert "ssm:GetParameter" in keys["Action"]
    assert (path["Action"], path["Resource"]) == ("ssm:GetParametersByPath", "*")


def test_no_document_names_a_place_on_somebodys_machine() -> None:
    for document in DOCUMENTS:
        assert not re.search(r"(?<![\w.~])/(?:work|root|home|tmp)/", document.read_text()), document


def test_the_labs_page_has_every_oddity_and_every_variable() -> None:
    text = (ROOT / "docs" / "lab.md").read_text()
    assert [name for name in (*ODDITIES, *VARIABLES) if f"`{name}" not in text] == []


def test_tests_named_by_the_page_of_accounts_exist() -> None:
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(test_\w+)`", (ROOT / "docs" / "accounts.md").read_text())
    assert len(named) >= 5
    assert [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text()] == []
