"""`python -m lab env`: for a shell's eval, with nothing installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.environment import REPOSITORY, child_environment, exports, lab_environment, make_folders

BASE = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "MIGRATION_CACHE": "/nonexistent/cache"}


def _env(directory: Path, **more: str) -> dict[str, str]:
    return {**BASE, "LAB_DIR": str(directory), **more}


def test_it_needs_nothing_installed(tmp_path: Path) -> None:
    # -S: no site-packages, so that only the standard library can be imported.
    done = subprocess.run(
        [sys.executable, "-S", "-m", "lab", "env"], cwd=REPOSITORY, env=_env(tmp_path / "lab"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "export PULUMI_BACKEND_URL=" in done.stdout
    assert "run `make setup`" in done.stderr  # no tools in that cache
    assert (tmp_path / "lab" / "pulumi" / "state").is_dir()


@pytest.mark.parametrize("command", ["doctor", "down", "--help"])
def test_so_do_the_commands_for_a_machine_that_is_not_set_up(tmp_path: Path, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "lab", command], cwd=REPOSITORY, env=_env(tmp_path / "lab"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == (1 if command == "doctor" else 0), done.stdout


def test_the_doctor_says_of_a_missing_tool_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab", "doctor"], cwd=REPOSITORY, env=_env(tmp_path), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("MISSING") and " kwok " in line]
    assert len(lines) == 1
    assert "0.7.0 is neither on PATH nor in the cache: run `make setup`" in lines[0]


def test_a_shell_gets_exactly_the_variables_whatever_is_in_them(tmp_path: Path) -> None:
    directory = tmp_path / 'a lab\'s "folder" $HOME'
    environ = _env(directory)
    script = exports(environ) + "\nenv -0"
    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, check=True)
    seen = dict(line.split("=", 1) for line in done.stdout.decode().split("\0") if "=" in line)
    expected = lab_environment(environ)
    assert {name: seen[name] for name in expected} == expected
    assert seen["LAB_DIR"] == str(directory)


def test_twice_is_as_once(tmp_path: Path) -> None:
    once = {**_env(tmp_path), **lab_environment(_env(tmp_path))}
    assert lab_environment(once) == {name: once[name] for name in lab_environment(_env(tmp_path))}


def test_the_virtual_environment_comes_first(tmp_path: Path) -> None:
    parts = lab_environment(_env(tmp_path))["PATH"].split(":")
    assert parts[0] == str(REPOSITORY / ".venv" / "bin")
    assert parts[-2:] == ["/usr/bin", "/bin"]


def test_the_engine_looks_for_plugins_in_its_home_and_finds_the_own_ones_there(tmp_path: Path) -> None:
    environ = _env(tmp_path)
    make_folders(environ)
    variables = lab_environment(environ)
    assert variables["PULUMI_IGNORE_AMBIENT_PLUGINS"] == "true"
    plugins = Path(variables["PULUMI_HOME"]) / "plugins"
    assert {str(path.relative_to(plugins)): path.resolve() for path in plugins.glob("*/*")} == {
        f"resource-{name}-v{version}/pulumi-resource-{name}": REPOSITORY / "lab/plugins/bin" / f"pulumi-resource-{name}"
        for name, version in (("aws", "7.51.1"), ("kubernetes", "4.34.2"))
    }


def test_official_plugins_are_not_shadowed_by_the_own_ones(tmp_path: Path) -> None:
    make_folders(_env(tmp_path))
    own = lab_environment(_env(tmp_path))
    environ = _env(tmp_path, LAB_PLUGINS="official")
    make_folders(environ)
    official = lab_environment(environ)
    assert not (Path(official["PULUMI_HOME"]) / "plugins").exists()
    assert official["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "false"
    assert own["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"
    with pytest.raises(ValueError, match="LAB_PLUGINS='mine': must be own or official"):
        lab_environment(_env(tmp_path, LAB_PLUGINS="mine"))


def test_somebodys_own_aws_account_stays_out_of_the_lab(tmp_path: Path) -> None:
    environ = _env(tmp_path, AWS_PROFILE="production", AWS_SESSION_TOKEN="secret", AWS_ACCESS_KEY_ID="real")
    assert "unset AWS_PROFILE" in exports(environ)
    child = child_environment(environ)
    assert "AWS_PROFILE" not in child
    assert "AWS_SESSION_TOKEN" not in child
    assert child["AWS_ACCESS_KEY_ID"] == "lab"
    assert child["AWS_ENDPOINT_URL"] == "http://127.0.0.1:24001"
    assert child["AWS_CONFIG_FILE"] == os.devnull


def test_a_proxy_is_kept_away_from_loopback(tmp_path: Path) -> None:
    environ = _env(tmp_path, HTTPS_PROXY="http://proxy:3128", NO_PROXY="intranet")
    assert lab_environment(environ)["NO_PROXY"] == "intranet,127.0.0.1,localhost,127.0.0.0/8"
    assert "HTTPS_PROXY" not in child_environment(environ)
    assert "NO_PROXY" not in lab_environment(_env(tmp_path))


def test_a_second_lab_has_its_own_ports_and_state(tmp_path: Path) -> None:
    one, two = lab_environment(_env(tmp_path / "a")), lab_environment(_env(tmp_path / "b", LAB_INDEX="1"))
    for name in ("AWS_ENDPOINT_URL", "PULUMI_BACKEND_URL", "PULUMI_HOME", "KUBECONFIG"):
        assert one[name] != two[name]


def test_a_lab_that_cannot_be_is_a_sentence_on_stderr_and_nothing_for_eval(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab", "env"], cwd=REPOSITORY, env=_env(tmp_path, LAB_INDEX="12"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert "LAB_INDEX=12: must be 0 to 9" in done.stderr
    assert "Traceback" not in done.stderr
