"""What a rehearsal tells the proof to ask: shape awkward's listeners, and of a plain cluster nothing new. Pure."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.addresses import LabAddresses
from lab.network.certificates import authority_path
from lab.settings import LabSettings
from proof.config import parse
from rehearsal.watch import Watch


def configured(tmp_path: Path, settings: LabSettings) -> dict[str, object]:
    return Watch(tmp_path, tmp_path / "out", LabAddresses(), settings).configuration()


def test_a_plain_cluster_is_asked_as_ever(tmp_path: Path) -> None:
    assert "listeners" not in configured(tmp_path, LabSettings())


def test_each_listener_of_shape_awkward_is_asked_and_the_proof_takes_it(tmp_path: Path) -> None:
    made = parse(configured(tmp_path, LabSettings(shape="awkward")), "proof.json")
    schemes = sorted(one.url.partition(":")[0] for one in made.listeners)
    assert schemes == ["dns", "http", "http", "http", "http", "http", "http", "https"]
    (secure,) = [one for one in made.listeners if one.ca]
    assert secure.ca == str(authority_path(tmp_path))


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_variation_is_asked_for_what_it_has(tmp_path: Path, seed: int) -> None:
    from lab.shapes import oddities

    found = parse(configured(tmp_path, LabSettings(shape="awkward", seed=seed)), "proof.json").listeners
    has = any(one.name.startswith("intranet-") for one in found)
    assert has is ("second_ingress" in oddities("awkward", seed))
