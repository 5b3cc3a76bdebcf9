"""What the configuration says of the control plane's form, held against what the old members' user data shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migration.layouts.contract import Evidence
from migration.layouts.found import unit_names
from migration.layouts.registry import LAYOUTS, ONLY_WHEN_SAID, layout_of
from migration.settings.model import LayoutName, MemberFiles, Units

_KEY = "migration:controlPlane"


def contradictions(evidence: Evidence, layout: LayoutName, units: Units, files: MemberFiles) -> list[str]:
    """Sentences; none where the configuration and the user data agree.

    `evidence` is of the old members' groups alone. Raises `Permanent` where this version has no such adapter.
    """
    said = layout_of(layout).recognise(evidence)
    shown = [one.recognise(evidence) for name, one in LAYOUTS.items() if name not in ONLY_WHEN_SAID]
    others = [one for one in shown if one.members and one.layout != layout]
    every = {group.name for group in evidence.groups}
    told = list(said.against)
    # Fits anything, so nothing that is shown contradicts it; and what its members are, the configuration says.
    if layout not in ONLY_WHEN_SAID:
        missed = sorted(every - {*said.members, *said.servers})
        seen = "; ".join(f"{one.layout}: {', '.join(one.because)}" for one in others)
        silent = f" ({'; '.join(said.unseen)})" if said.unseen and not said.members else ""
        if missed and seen:
            told.append(
                f"{_KEY}.layout is {layout!r}, and the user data shows another form ({seen}); set it to "
                f"{others[0].layout}, or correct {', '.join(missed)}"
            )
        elif missed:
            told.append(
                f"{_KEY}.layout is {layout!r}, and nothing in the user data of {', '.join(missed)} shows it{silent}; "
                f"correct migration:members[].group or the layout, or use custom (docs/control-plane.md)"
            )
    # The old machines' programs are stopped by these names whatever the new ones are made from.
    for recognition in (said, *others):
        # Of user data of any kind only what it shows is known.
        known = recognition.layout not in ONLY_WHEN_SAID
        if recognition.members and recognition.named:
            usual = _unit_names(Units()) if known else {}
            told += _called_otherwise(recognition.keys, "units", _unit_names(units), usual)
            usual = _file_names(MemberFiles()) if known else {}
            told += _called_otherwise(recognition.keys, "files", _file_names(files), usual)
    return list(dict.fromkeys(told))


def _unit_names(units: Units) -> dict[str, str]:
    return {**unit_names(units), "staticPods": units.static_pods}


def _file_names(files: MemberFiles) -> dict[str, str]:
    return {
        "etcdCa": files.etcd_ca,
        "etcdCertificate": files.etcd_certificate,
        "etcdKey": files.etcd_key,
        "snapshots": files.snapshots,
    }


def _called_otherwise(
    keys: Mapping[str, Any], part: str, said: Mapping[str, str], usual: Mapping[str, str]
) -> list[str]:
    shown: dict[str, str] = {**usual, **keys.get(part, {})}
    return [
        f"{_KEY}.{part}.{key} is {said[key]!r}, the user data has {value!r}"
        for key, value in shown.items()
        if said[key] != value
    ]
