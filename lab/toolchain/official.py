"""Upstream's own binaries, for machines with internet (`OFFICIAL=1`): one table, every file checked.

A tool whose upstream publishes no checksums has no row here and is built from its Go module, where go.sum
checks it. Checksums come from the same release as the file: they guard against a broken or exchanged download,
as upstream's own instructions use them.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab.toolchain.cache import Cache, Log
from lab.toolchain.errors import MissingTool
from lab.toolchain.pins import BY_NAME, ETCD, KUBERNETES, PULUMI

TIMEOUT_S = 60
CHUNK = 1 << 20

Opener = Callable[[str], AbstractContextManager[IO[bytes]]]


@dataclass(frozen=True, kw_only=True)
class Official:
    """Where one file of a release is. `{arch}` is upstream's own word for the machine, from `arches`."""

    url: str
    checksums: str
    """A file of `<hex>  <name>` lines, or of one bare hex digest."""
    algorithm: str
    arches: dict[str, str]
    tools: dict[str, str]
    """Tool → its path in the archive; for a bare binary, the one tool → ""."""
    version: str


_GO_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
_PULUMI_RELEASE = f"https://github.com/pulumi/pulumi/releases/download/v{PULUMI}"
_ETCD_RELEASE = f"https://github.com/etcd-io/etcd/releases/download/v{ETCD}"


def _kubernetes(name: str) -> Official:
    url = f"https://dl.k8s.io/v{KUBERNETES}/bin/linux/{{arch}}/{name}"
    return Official(
        url=url,
        checksums=f"{url}.sha512",
        algorithm="sha512",
        arches=_GO_ARCHES,
        tools={name: ""},
        version=KUBERNETES,
    )


def _etcd(name: str) -> Official:
    return Official(
        url=f"{_ETCD_RELEASE}/etcd-v{ETCD}-linux-{{arch}}.tar.gz",
        checksums=f"{_ETCD_RELEASE}/SHA256SUMS",
        algorithm="sha256",
        arches=_GO_ARCHES,
        tools={name: f"etcd-v{ETCD}-linux-{{arch}}/{name}"},
        version=ETCD,
    )


RELEASES: tuple[Official, ...] = (
    Official(
        url=f"{_PULUMI_RELEASE}/pulumi-v{PULUMI}-linux-{{arch}}.tar.gz",
        checksums=f"{_PULUMI_RELEASE}/SHA512SUMS",
        algorithm="sha512",
        arches={"x86_64": "x64", "aarch64": "arm64"},
        tools={
            name: f"pulumi/{name}"
            for name in (
                "pulumi",
                "pulumi-language-python",
                "pulumi-language-python-exec",
                "pulumi-resource-pulumi-python",
            )
        },
        version=PULUMI,
    ),
    _etcd("etcd"),
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _kubernetes("kubeadm"),
    _kubernetes("kubectl"),
    # The same archive, unpacked for who asks for this one.
    _etcd("etcdutl"),
)


def _open(url: str) -> AbstractContextManager[IO[bytes]]:
    return urllib.request.urlopen(url, timeout=TIMEOUT_S)


def published_digest(text: str, file_name: str, algorithm: str) -> str | None:
    """The digest of a file in a checksum file (`<hex>  [*]<name>` lines, or one bare digest)."""
    length = hashlib.new(algorithm).digest_size * 2
    digest = rf"[0-9a-fA-F]{{{length}}}"
    bare = re.fullmatch(digest, text.strip())
    if bare:
        return text.strip().lower()
    for line in text.splitlines():
        found = re.fullmatch(rf"({digest})\s+\*?(?:\./)?(\S+)", line.strip())
        if found and found[2] == file_name:
            return found[1].lower()
    return None


def fetch(
    release: Official, cache: Cache, log: Log, *, opener: Opener = _open, machine: str | None = None
) -> dict[str, Path]:
    """Downloads one release, checks it, and puts its tools into the cache; returns tool → place.

    Raises MissingTool, with a sentence, if it can't be reached, has no published checksum, or doesn't match it:
    then nothing is put anywhere.
    """
    machine = machine or platform.machine()
    arch = release.arches.get(machine)
    build_instead = "unset OFFICIAL to build it from source instead"
    if arch is None:
        raise MissingTool(f"no official binaries of {', '.join(release.tools)} for {machine}: {build_instead}")
    url, checksums = release.url.format(arch=arch), release.checksums.format(arch=arch)
    file_name = url.rsplit("/", 1)[1]
    log(f"downloading {url}")
    with cache.scratch() as scratch:
        archive = scratch / "download"
        digest = hashlib.new(release.algorithm)
        try:
            with opener(checksums) as answer:
                expected = published_digest(answer.read().decode(), file_name, release.algorithm)
            with opener(url) as answer, archive.open("wb") as out:
                while chunk := answer.read(CHUNK):
                    digest.update(chunk)
                    out.write(chunk)
        except (urllib.error.URLError, OSError, UnicodeDecodeError) as error:
            raise MissingTool(f"{url} can't be downloaded ({error}): {build_instead}") from error
        if expected is None:
            raise MissingTool(f"{checksums} has no {release.algorithm} for {file_name}: {build_instead}")
        if digest.hexdigest() != expected:
            raise MissingTool(
                f"{url} doesn't match its published {release.algorithm} (expected {expected}, "
                f"got {digest.hexdigest()}): nothing was installed; try again, or {build_instead}"
            )
        unpacked = {
            name: _member(archive, path.format(arch=arch), scratch / name, url) if path else archive
            for name, path in release.tools.items()
        }
        return {
            name: cache.put(BY_NAME[name], path, way=f"official binary {file_name}") for name, path in unpacked.items()
        }


def _member(archive: Path, member: str, target: Path, url: str) -> Path:
    """One file out of an archive, by name: nothing else in it is ever written anywhere."""
    try:
        with tarfile.open(archive) as tar:
            content = tar.extractfile(member)
            if content is None:
                raise KeyError(member)
            with content, target.open("wb") as out:
                shutil.copyfileobj(content, out)
    except (KeyError, tarfile.TarError) as error:
        raise MissingTool(f"{url} holds no {member}: unset OFFICIAL to build it from source instead") from error
    return target


def wanted() -> bool:
    """Whether `OFFICIAL` asks for official binaries."""
    return os.environ.get("OFFICIAL", "").lower() in {"1", "yes", "true"}
