from __future__ import annotations

import pytest

from lab.machines.units import UnitError, command, duration, parse_environment, parse_unit

ETCD = """\
[Unit]
Description=etcd
After=network-online.target

[Service]
# identity
EnvironmentFile=/etc/kubernetes/member.env
EnvironmentFile=-/etc/kubernetes/extra.env
Environment=A=1 "B=two words"
ExecStart=/usr/local/bin/etcd \\
  --name=${MEMBER_NAME} \\
  --data-dir=/var/lib/etcd/data
Restart=always
RestartSec=2
TimeoutStopSec=1min 30s
"""


def test_a_service_is_read_with_continuations_and_environment() -> None:
    unit = parse_unit("etcd.service", ETCD)
    assert command(unit.start[0], {"MEMBER_NAME": "m"}) == [
        "/usr/local/bin/etcd",
        "--name=m",
        "--data-dir=/var/lib/etcd/data",
    ]
    assert unit.environment == {"A": "1", "B": "two words"}
    assert unit.environment_files == (("/etc/kubernetes/member.env", False), ("/etc/kubernetes/extra.env", True))
    assert (unit.restart_s, unit.stop_s) == (2, 90)


def test_an_unset_variable_is_empty_and_a_bare_one_is_split() -> None:
    assert command("kubelet $ARGS --x=${NONE}", {"ARGS": "--a=1  --b"}) == ["kubelet", "--a=1", "--b", "--x="]


@pytest.mark.parametrize(
    ("restart", "code", "back"),
    [
        ("no", 1, False),
        ("always", 0, True),
        ("on-failure", 0, False),
        ("on-failure", 2, True),
    ],
)
def test_a_service_comes_back_as_its_restart_setting_says(restart: str, code: int, back: bool) -> None:
    unit = parse_unit("x.service", f"[Service]\nExecStart=/bin/x\nRestart={restart}\n")
    assert unit.restarts(code) is back


def test_several_commands_are_for_oneshots_only() -> None:
    two = "[Service]\nExecStart=/bin/a\nExecStart=/bin/b\n"
    with pytest.raises(UnitError, match="one ExecStart"):
        parse_unit("x.service", two)
    assert len(parse_unit("x.service", two + "Type=oneshot\n").start) == 2


def test_an_empty_assignment_resets_what_was_there() -> None:
    assert parse_unit("x", "[Service]\nExecStart=/bin/a\nExecStart=\nExecStart=/bin/b\n").start == ("/bin/b",)


def test_an_environment_file_may_quote_and_comment() -> None:
    assert parse_environment("# c\nA=1\nB=\"x y\"\n; d\nC='z'\nD=a=b\n") == {"A": "1", "B": "x y", "C": "z", "D": "a=b"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("500ms", 0.5), ("1min 30s", 90), ("0", 0), ("infinity", 86400)]
)
def test_spans_are_systemds(text: str, seconds: float) -> None:
    assert duration(text) == seconds
