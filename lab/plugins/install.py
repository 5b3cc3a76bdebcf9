"""Puts the lab's plugins where the engine looks first when it may not take what lies on PATH. Stdlib only."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

BIN = Path(__file__).resolve().parent / "bin"


def link(pulumi_home: Path, venv: Path) -> list[Path]:
    """Links both launchers into `pulumi_home`, at the versions of the SDKs in `venv`; returns the links.

    Those are the versions that the program asks for, exactly. An SDK that isn't installed (yet) gets no link.
    """
    site = [str(path) for path in venv.glob("lib/python*/site-packages")]
    links: list[Path] = []
    for name in ("aws", "kubernetes"):
        for sdk in metadata.distributions(name=f"pulumi-{name}", path=site):
            folder = pulumi_home / "plugins" / f"resource-{name}-v{sdk.version}"
            folder.mkdir(parents=True, exist_ok=True)
            entry = folder / f"pulumi-resource-{name}"
            if entry.resolve() != BIN / entry.name:
                entry.unlink(missing_ok=True)
                entry.symlink_to(BIN / entry.name)
            links.append(entry)
    return links
