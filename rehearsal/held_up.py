"""Why probes failed, where it was the lab: its network has no processors of its own, as AWS's has."""

from __future__ import annotations

import json
import urllib.request

from proof.model import Summary

SAID = 3


def held_up(network_url: str, summary: Summary) -> tuple[str, ...]:
    """A sentence with the last moments in which the lab's network came to nothing; none where no probe failed."""
    if not summary.failures:
        return ()
    try:
        with urllib.request.urlopen(f"{network_url}/stats", timeout=30) as answer:
            stalls: list[str] = json.load(answer)["stalls"]
    except (OSError, ValueError, KeyError) as error:
        return (f"Probes failed, and the lab's network doesn't say whether it was held up: {error}.",)
    if not stalls:
        # What failed has another cause.
        return ()
    last = "; ".join(stalls[-SAID:])
    return (
        f"Probes failed, and the lab's network itself was held up {len(stalls)} times: what failed in such a moment is "
        f"the lab's doing, not the migration's. The last: {last}. Repeat it on a machine with time to spare.",
    )
