"""Files that user data writes, where it is a script."""

from __future__ import annotations

import pytest

from migration.layouts.scripts import files
from tests.unit.layouts.clusters import cloud_config

UNIT = "/etc/systemd/system/etcd-member.service"


def script(*lines: str) -> str:
    return "\n".join(["#!/bin/bash", "set -u", *lines, "systemctl daemon-reload"]) + "\n"


@pytest.mark.parametrize(
    "begin",
    [
        f"cat > {UNIT} <<'END'",
        f'cat <<"END" > {UNIT}',
        f"  cat >{UNIT} << 'END'",
        f"sudo tee {UNIT} > /dev/null <<'END'",
        f"tee -a {UNIT} <<'END'",
    ],
)
def test_a_here_document_is_a_file(begin: str) -> None:
    assert files(script(begin, "[Service]", "ExecStart=/bin/etcd --name=${NAME}", "END")) == {
        UNIT: "[Service]\nExecStart=/bin/etcd --name=${NAME}\n"
    }


def test_without_quotes_the_shells_own_backslashes_go() -> None:
    text = script(f"cat > {UNIT} <<END", "ExecStart=/bin/etcd --name=\\${NAME} \\", "  --debug", "END")
    assert files(text) == {UNIT: "ExecStart=/bin/etcd --name=${NAME} \\\n  --debug\n"}


def test_tabs_before_an_indented_one_go() -> None:
    assert files(script(f"cat > {UNIT} <<-'END'", "\t[Service]", "\tEND")) == {UNIT: "[Service]\n"}
    assert files(script(f"cat > {UNIT} <<'END'", "\tEND", "END")) == {UNIT: "\tEND\n"}


@pytest.mark.parametrize(
    "begin",
    [
        "base64 -d <<'END' | gunzip > /opt/x",
        "cat <<'END' | gunzip > /opt/x",
        "python3 - <<'END' > /opt/x",
        "cat > \"$FOLDER/x\" <<'END'",
    ],
)
def test_what_goes_through_a_program_or_somewhere_else_is_no_file_and_its_text_no_command(begin: str) -> None:
    assert files(script(begin, f"cat > {UNIT} <<'IN'", "x", "IN", "END")) == {}


def test_one_without_an_end_is_the_rest() -> None:
    assert files(f"#!/bin/sh\ncat > {UNIT} <<'END'\nx") == {UNIT: "x\n"}


def test_a_cloud_config_is_read_as_one_and_nothing_else_is_read() -> None:
    assert files(cloud_config({"/etc/x": "cat > /etc/y <<'END'\ny\nEND\n"})) == {
        "/etc/x": "cat > /etc/y <<'END'\ny\nEND\n"
    }
    assert files(f"cat > {UNIT} <<'END'\nx\nEND\n") == files("") == {}
