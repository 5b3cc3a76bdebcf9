"""The adapters by name, and the questions that are asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from migration.layouts.cloud_config import CloudConfig
from migration.layouts.contract import Evidence, Layout, Recognition
from migration.layouts.custom import Custom
from migration.layouts.kubeadm import Kubeadm
from migration.layouts.separate_etcd import SeparateEtcd
from migration.runtime.deadline import Permanent
from migration.settings.model import LayoutName

LAYOUTS: Mapping[LayoutName, Layout] = {one.name: one for one in (CloudConfig(), SeparateEtcd(), Kubeadm(), Custom())}
"""In the order in which discovery asks. A further adapter is one more here."""

# Fits any cluster, so it is nobody's answer to which one this is: only an operator's.
ONLY_WHEN_SAID: frozenset[LayoutName] = frozenset({"custom"})


def layout_of(name: LayoutName) -> Layout:
    """The adapter of that name; raises `Permanent` where this version has none."""
    found = LAYOUTS.get(name)
    if found is None:
        raise Permanent(
            f"migration:controlPlane.layout is {name!r}, and this version has no adapter for it; there are "
            f"{', '.join(LAYOUTS)}: set one of them (docs/control-plane.md says what each needs)"
        )
    return found


def recognise(evidence: Evidence, said: LayoutName | None = None) -> Recognition:
    """The cluster's form, as `said` or as its adapter recognises it.

    Raises `Permanent` where none does, or several do, with what each saw.
    """
    if said is not None:
        seen = layout_of(said).recognise(evidence)
        if not seen.members:
            raise Permanent(
                f"no group of the cluster looks like a member of a control plane of layout {said}"
                f"{_unseen([seen])}; docs/control-plane.md says by what it is known"
            )
        return seen
    every = [one.recognise(evidence) for name, one in LAYOUTS.items() if name not in ONLY_WHEN_SAID]
    fitting = [one for one in every if one.members and not one.against] or [one for one in every if one.members]
    if len(fitting) > 1:
        ways = "; ".join(f"{one.layout}: {', '.join(one.because)}" for one in fitting)
        raise Permanent(f"the control plane looks like several layouts ({ways}); say which it is, with --layout")
    if not fitting:
        raise Permanent(
            f"no group of the cluster starts etcd and kube-apiserver in a way that an adapter knows "
            f"({', '.join(one.layout for one in every)}){_unseen(every)}: its control plane isn't one that this "
            f"program can clone; with user data of your own it can be moved: --layout custom (docs/control-plane.md)"
        )
    return fitting[0]


def _unseen(every: list[Recognition]) -> str:
    told = [sentence for one in every for sentence in one.unseen]
    return f" ({'; '.join(told)})" if told else ""


def template_text(path: str | None) -> str | None:
    """The text of `controlPlane.userDataFile`, from the project's folder; raises `Permanent` where it can't be read."""
    if path is None:
        return None
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Permanent(
            f"migration:controlPlane.userDataFile {path} can't be read: {error}; correct the path"
        ) from error
