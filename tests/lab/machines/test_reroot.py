from __future__ import annotations

from pathlib import Path

import pytest

from lab.machines.reroot import reroot, reroot_path, reroot_script, script_of

ROOT = Path("/lab/machines/i-1/root")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/etc/kubernetes/pki", "/lab/machines/i-1/root/etc/kubernetes/pki"),
        ("EnvironmentFile=-/etc/member.env", "EnvironmentFile=-/lab/machines/i-1/root/etc/member.env"),
        ("--data-dir=/var/lib/etcd/data \\", "--data-dir=/lab/machines/i-1/root/var/lib/etcd/data \\"),
        ('open("/run/x")', 'open("/lab/machines/i-1/root/run/x")'),
        ("cp /etc/a /etc/b", "cp /lab/machines/i-1/root/etc/a /lab/machines/i-1/root/etc/b"),
        ('Path("/etc")', 'Path("/lab/machines/i-1/root/etc")'),
        ("/usr/local/bin/pet-boot", "/lab/machines/i-1/root/usr/local/bin/pet-boot"),
    ],
)
def test_paths_the_machine_owns_move_under_its_root(text: str, expected: str) -> None:
    assert reroot(text, ROOT) == expected


@pytest.mark.parametrize(
    "text",
    [
        "/usr/bin/env",
        "/dev/xvdf",
        "https://host/etc/x",
        "/home/etc/x",
        "a/etc/b",
        "/etcetera",
        "/pet/pki/ca.crt",
        "/lab/machines/i-1/root/etc/a",
        "/variant",
        "/runtime",
        "/optional-x",
    ],
)
def test_other_paths_stay(text: str) -> None:
    assert reroot(text, ROOT) == text


def test_a_file_is_always_inside_the_root() -> None:
    assert reroot_path("/root/.profile", ROOT) == ROOT / "root/.profile"


@pytest.mark.parametrize(
    "shebang",
    [
        "#!/usr/bin/env python3",
        "#!/usr/bin/python3",
        "#!/usr/local/bin/python3.11",
        "#! /usr/bin/env python3",
    ],
)
def test_a_script_runs_with_the_python_that_has_boto3(shebang: str) -> None:
    assert reroot_script(f"{shebang}\nx = 1\n", ROOT, "/venv/python") == "#!/venv/python\nx = 1\n"


def test_a_shell_script_keeps_its_shell() -> None:
    assert reroot_script("#!/bin/sh\ncat /etc/x\n", ROOT, "/p") == f"#!/bin/sh\ncat {ROOT}/etc/x\n"


def test_commands_become_one_script_with_lists_quoted() -> None:
    assert script_of(["a && b", ("echo", "two words")]) == "#!/bin/sh\na && b\necho 'two words'\n"
