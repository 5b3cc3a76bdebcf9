"""Puts the plugins where the engine looks without a warning.

A plugin found on PATH works too, but the engine then prints "using pulumi-resource-aws from $PATH" several times a run.
Its own folder, `$PULUMI_HOME/plugins/resource-<name>-v<version>/`, is searched without a word.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

BIN = Path(__file__).resolve().parent / "bin"
_PACKAGES = {"aws": "pulumi_aws", "kubernetes": "pulumi_kubernetes"}


def link(pulumi_home: Path) -> list[Path]:
    """Links both launchers into `pulumi_home` at the versions of the installed SDKs; returns the links.

    Idempotent. Raises `importlib.metadata.PackageNotFoundError` where an SDK isn't installed.
    """
    links: list[Path] = []
    for name, package in _PACKAGES.items():
        folder = pulumi_home / "plugins" / f"resource-{name}-v{metadata.version(package)}"
        folder.mkdir(parents=True, exist_ok=True)
        entry = folder / f"pulumi-resource-{name}"
        if not (entry.is_symlink() and entry.resolve() == BIN / entry.name):
            entry.unlink(missing_ok=True)
            entry.symlink_to(BIN / entry.name)
        links.append(entry)
    return links


if __name__ == "__main__":
    for made in link(Path(sys.argv[1])):
        print(made)
