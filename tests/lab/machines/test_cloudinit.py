from __future__ import annotations

import base64
import gzip

import pytest

from lab.machines.cloudinit import CloudConfigError, File, parse


def test_files_and_commands_are_read_in_order() -> None:
    config = parse(
        b"""#cloud-config
write_files:
- path: /etc/a
  permissions: '0755'
  content: |
    hello
- path: /etc/b
  encoding: b64
  content: %s
runcmd:
- systemctl enable --now etcd
- [sh, -c, "echo a b"]
"""
        % base64.b64encode(b"secret")
    )
    assert config.files == (
        File(path="/etc/a", content="hello\n", mode=0o755),
        File(path="/etc/b", content="secret"),
    )
    assert config.commands == ("systemctl enable --now etcd", ("sh", "-c", "echo a b"))


def test_gzipped_content_and_gzipped_user_data_are_read() -> None:
    inner = base64.b64encode(gzip.compress(b"zipped")).decode()
    document = f"#cloud-config\nwrite_files: [{{path: /etc/a, encoding: gz+b64, content: {inner}}}]\n"
    assert parse(gzip.compress(document.encode())).files[0].content == "zipped"


def test_a_machine_without_user_data_does_nothing() -> None:
    assert parse(b"").files == ()


def test_an_unquoted_octal_permission_means_the_same_as_a_quoted_one() -> None:
    assert parse(b"#cloud-config\nwrite_files: [{path: /a, permissions: 0600}]\n").files[0].mode == 0o600


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (b"Content-Type: multipart/mixed", "Content-Type"),
        (b"#cloud-config\nusers: [x]\n", "users"),
        (b"#cloud-config\nwrite_files: [{path: etc/a}]\n", r"write_files\[0\]"),
        (b"#cloud-config\nwrite_files: [{path: /a, encoding: rot13}]\n", "rot13"),
        (b"#cloud-config\nwrite_files: [{path: /a, contents: x}]\n", "contents"),
    ],
)
def test_what_the_lab_does_not_understand_is_refused_by_name(document: bytes, named: str) -> None:
    with pytest.raises(CloudConfigError, match=named):
        parse(document)


def test_every_error_is_named_at_once() -> None:
    with pytest.raises(CloudConfigError, match=r"users.*groups"):
        parse(b"#cloud-config\nusers: []\ngroups: []\n")


def test_a_script_as_a_whole_is_run_as_it_is() -> None:
    assert parse(b"#!/bin/bash\nset -e\n").script == "#!/bin/bash\nset -e\n"
    assert parse(b"#cloud-config\nruncmd: [a]\n").script is None
