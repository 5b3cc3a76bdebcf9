"""What the proof may say of a roll of members, and what it may not."""

from __future__ import annotations

import pytest

from lab.machines import images
from rehearsal.living import MEMBERS_IMAGES, ROLLED
from rehearsal.meant import one_away

AWAY = f"etcd was down to 2 healthy voters at 2026-11-26T02:28:25.04Z ({ROLLED}); it had 3 at stage 0."
LONG = f"etcd's voter master-b-main was unhealthy for 11.5 s from 2026-11-26T02:29:11Z on ({ROLLED}) (limit 10 s)."


@pytest.mark.parametrize("reason", [AWAY, LONG])
def test_one_member_away_while_it_is_replaced_is_meant(reason: str) -> None:
    assert one_away(reason, 3, ROLLED)


@pytest.mark.parametrize(
    "reason",
    [
        AWAY.replace("down to 2", "down to 1"),
        AWAY.replace(ROLLED, "an image for a pool"),
        LONG.replace(ROLLED, "stage 7"),
        f"api_fresh from connected: 50 of 5268 requests failed ({ROLLED}: 50) between 1 and 2",
        f"No write was acknowledged for 6.4 s ({ROLLED})",
    ],
)
def test_anything_else_is_not(reason: str) -> None:
    assert not one_away(reason, 3, ROLLED)


@pytest.mark.parametrize(("layout", "unit"), [("kubeadm", "/usr/lib/systemd/system/kubelet.service")])
def test_members_whose_image_brings_their_programs_get_one_that_does(layout: str, unit: str) -> None:
    brought = images.find(f"pet-{MEMBERS_IMAGES[layout]}")
    assert unit in {file.path for file in brought.files}
