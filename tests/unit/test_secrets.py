"""What is a secret stands in no message, no representation and no stack file in plain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from migration import __main__ as cli
from migration.clients.kubeconfig import KubeconfigError, read_kubeconfig
from migration.contracts.base import Connection
from migration.contracts.workers import GroupNoteResult, Template
from migration.settings import ConfigurationError, Settings, load, load_file
from tests.samples import configuration, flat

TOKEN = "canary-of-a-token"
KUBECONFIG = yaml.safe_dump(
    {
        "apiVersion": "v1",
        "current-context": "pet",
        "clusters": [{"name": "pet", "cluster": {"server": "https://api.pet.example:6443"}}],
        "users": [{"name": "pet", "user": {"token": TOKEN}}],
        "contexts": [{"name": "pet", "context": {"cluster": "pet", "user": "pet"}}],
    }
)
AS_JSON = '{"users": [{"name": "pet", "user": {"token": "canary-of-a-token"}}]}'
KEY = "migration:kubeconfig"
PLAIN = f"{KEY} is '[hidden]': is a kubeconfig in plain text"
REMEDY = f"pulumi config set --secret {KEY} < FILE"


def refused(text: str, *encrypted: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load({**flat(configuration()), KEY: text}, "stage-3", encrypted)
    return str(caught.value)


def in_file(folder: Path, kubeconfig: Any) -> Path:
    path = folder / "Pulumi.stage-3.yaml"
    values = {**configuration(), "kubeconfig": kubeconfig}
    config = {"aws:region": "eu-central-1", **{f"migration:{key}": value for key, value in values.items()}}
    path.write_text(yaml.safe_dump({"config": config}))
    return path


@pytest.mark.parametrize("text", [KUBECONFIG, AS_JSON], ids=["YAML", "JSON"])
def test_a_kubeconfig_in_plain_text_is_refused_with_the_remedy_and_without_its_text(text: str) -> None:
    said = refused(text)
    assert PLAIN in said
    assert REMEDY in said
    assert TOKEN not in said


@pytest.mark.parametrize("text", [KUBECONFIG, AS_JSON, "some/path"], ids=["YAML", "JSON", "a path"])
def test_an_encrypted_one_is_taken_as_it_is(text: str) -> None:
    settings: Settings = load({**flat(configuration()), KEY: text}, "stage-3", {KEY})
    assert settings.configuration.kubeconfig == text


@pytest.mark.parametrize("written", [KUBECONFIG, yaml.safe_load(KUBECONFIG)], ids=["as text", "as YAML"])
def test_in_a_file_it_is_refused_as_well(tmp_path: Path, written: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_file(in_file(tmp_path, written))
    assert PLAIN in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_the_command_line_names_kubeconfig_where_only_pulumi_can_decrypt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    file = str(in_file(tmp_path, {"secure": "v1:abc:def"}))
    assert cli.main(["check", file]) == 0
    for command in ("status", "plan", "record"):
        assert cli.main([command, "--file", file]) == 2
        said = capsys.readouterr().err.splitlines()
        assert said == [
            f"{command}: migration:kubeconfig is encrypted in the stack's file and only Pulumi can read it: set "
            f"KUBECONFIG to a kubeconfig of the same cluster for this command"
        ]


def test_another_key_that_is_encrypted_is_told_so(tmp_path: Path) -> None:
    file = in_file(tmp_path, "path")
    file.write_text(
        file.read_text().replace(
            "migration:controlPlaneRole: masters.pet", "migration:controlPlaneRole: {secure: 'v1:a:b'}"
        )
    )
    assert "secure" in file.read_text()
    with pytest.raises(ConfigurationError, match="controlPlaneRole is None: is encrypted, and no secret"):
        load_file(file)


def test_a_value_that_pulumi_keeps_encrypted_is_in_no_message() -> None:
    values = {**flat(configuration()), "migration:podCidr": TOKEN, "migration:etcd": "{" + TOKEN}
    with pytest.raises(ConfigurationError) as caught:
        load(values, "stage-3", {"migration:podCidr", "migration:etcd"})
    assert "migration:podCidr is '[hidden]'" in str(caught.value)
    assert "migration:etcd is '[hidden]': is not valid" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [f"users: [{TOKEN}\n", f"users: {TOKEN}\n", f'{{"users": [{{"name": 1, "user": {{"token": "{TOKEN}"}}}}]}}'],
    ids=["not YAML", "no kubeconfig", "a wrong type"],
)
def test_what_is_wrong_with_a_kubeconfigs_text_is_told_without_it(text: str) -> None:
    with pytest.raises(KubeconfigError) as caught:
        read_kubeconfig(text)
    assert "the kubeconfig given as text can't be used" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert caught.value.__suppress_context__


def test_user_data_and_kubeconfigs_are_in_no_representation() -> None:
    template = Template.model_validate({"imageId": "ami-1", "userData": TOKEN})
    assert TOKEN not in repr(template)
    assert template.model_dump(mode="json", by_alias=True)["userData"] == TOKEN, "the state needs it"
    assert TOKEN not in repr(Connection(region="eu-central-1", kubeconfig=TOKEN))


def test_a_state_that_can_not_be_read_is_told_without_its_values() -> None:
    with pytest.raises(ValidationError) as caught:
        GroupNoteResult.model_validate({"groups": {"a": {"template": {"imageId": "ami-1", "userData": [TOKEN]}}}})
    assert "userData" in str(caught.value)
    assert TOKEN not in str(caught.value)
