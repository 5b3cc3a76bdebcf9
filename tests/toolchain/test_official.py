"""Official binaries: nothing is installed that doesn't match its published checksum. No network: files play it."""

from __future__ import annotations

import hashlib
import io
import tarfile
import urllib.error
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import pytest

from lab.toolchain import official
from lab.toolchain.cache import Cache
from lab.toolchain.errors import MissingTool
from lab.toolchain.official import RELEASES, Official
from lab.toolchain.pins import BY_NAME

ETCD = next(release for release in RELEASES if "etcd" in release.tools)
PULUMI = next(release for release in RELEASES if "pulumi" in release.tools)
APISERVER = next(release for release in RELEASES if "kube-apiserver" in release.tools)


class Site:
    """A download site with these files."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def __call__(self, url: str) -> AbstractContextManager[IO[bytes]]:
        if url not in self.files:
            raise urllib.error.URLError("no route to host")
        return io.BytesIO(self.files[url])


def _archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _site(release: Official, content: bytes, arch: str, *, digest_of: bytes | None = None) -> Site:
    url = release.url.format(arch=arch)
    digest = hashlib.new(release.algorithm, content if digest_of is None else digest_of).hexdigest()
    line = f"{digest}  {url.rsplit('/', 1)[1]}\n"
    return Site({url: content, release.checksums.format(arch=arch): line.encode()})


def test_an_archives_tool_is_unpacked_after_its_checksum_was_right(tmp_path: Path) -> None:
    site = _site(ETCD, _archive({"etcd-v3.6.16-linux-amd64/etcd": b"binary", "../evil": b"x"}), "amd64")
    cache = Cache(tmp_path / "cache")
    paths = official.fetch(ETCD, cache, lambda _: None, opener=site, machine="x86_64")
    assert paths["etcd"].read_bytes() == b"binary"
    assert cache.find(BY_NAME["etcd"]) == paths["etcd"]
    assert cache.origin(BY_NAME["etcd"]) == "official binary etcd-v3.6.16-linux-amd64.tar.gz"
    assert not list(tmp_path.rglob("evil"))


def test_a_bare_binary_has_a_bare_digest(tmp_path: Path) -> None:
    url = "https://dl.k8s.io/v1.34.1/bin/linux/arm64/kube-apiserver"
    site = Site({url: b"binary", f"{url}.sha512": hashlib.sha512(b"binary").hexdigest().encode()})
    cache = Cache(tmp_path)
    paths = official.fetch(APISERVER, cache, lambda _: None, opener=site, machine="aarch64")
    assert paths == {"kube-apiserver": cache.find(BY_NAME["kube-apiserver"])}


def test_pulumis_archive_brings_its_own_language_host(tmp_path: Path) -> None:
    content = _archive({path: name.encode() for name, path in PULUMI.tools.items()})
    cache = Cache(tmp_path)
    official.fetch(PULUMI, cache, lambda _: None, opener=_site(PULUMI, content, "x64"), machine="x86_64")
    for name in PULUMI.tools:
        found = cache.find(BY_NAME[name])
        assert found is not None
        assert found.read_text() == name


def test_a_download_that_does_not_match_is_refused_and_nothing_is_installed(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    site = _site(ETCD, _archive({"etcd-v3.6.16-linux-amd64/etcd": b"evil"}), "amd64", digest_of=b"good")
    with pytest.raises(MissingTool, match=r"doesn't match its published sha256 .*nothing was installed"):
        official.fetch(ETCD, cache, lambda _: None, opener=site, machine="x86_64")
    assert list(cache.tools.iterdir()) == []


def test_a_file_without_a_published_checksum_is_refused(tmp_path: Path) -> None:
    site = _site(ETCD, b"x", "amd64")
    site.files[ETCD.checksums] = f"{'0' * 64}  another-file.tar.gz\n".encode()
    with pytest.raises(MissingTool, match="has no sha256 for etcd-v"):
        official.fetch(ETCD, Cache(tmp_path), lambda _: None, opener=site, machine="x86_64")


def test_an_archive_without_the_tool_is_refused(tmp_path: Path) -> None:
    site = _site(ETCD, _archive({"README": b""}), "amd64")
    with pytest.raises(MissingTool, match="holds no etcd-v"):
        official.fetch(ETCD, Cache(tmp_path), lambda _: None, opener=site, machine="x86_64")


def test_an_unreachable_site_is_a_sentence_that_names_the_other_way(tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match=r"can't be downloaded .*unset OFFICIAL to build"):
        official.fetch(ETCD, Cache(tmp_path), lambda _: None, opener=Site({}), machine="x86_64")


def test_a_machine_upstream_has_no_binaries_for_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match="no official binaries of etcd for riscv64"):
        official.fetch(ETCD, Cache(tmp_path), lambda _: None, opener=Site({}), machine="riscv64")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{'A' * 64}  a.tar.gz\n{'b' * 64}  b.tar.gz", "b" * 64),
        (f"{'b' * 64} *b.tar.gz", "b" * 64),
        (f"{'B' * 64}\n", "b" * 64),
        (f"{'b' * 64}  xb.tar.gz", None),
        (f"{'b' * 63}  b.tar.gz", None),
        ("<html>not found</html>", None),
        ("", None),
    ],
)
def test_a_published_digest_is_that_of_exactly_this_file(text: str, expected: str | None) -> None:
    assert official.published_digest(text, "b.tar.gz", "sha256") == expected


def test_every_row_names_a_tool_and_a_strong_digest() -> None:
    for release in RELEASES:
        assert release.algorithm in {"sha256", "sha512"}
        assert release.url.startswith("https://")
        assert set(release.arches) == {"x86_64", "aarch64"}
        for name in release.tools:
            assert release.version == BY_NAME[name].version
