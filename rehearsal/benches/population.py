"""The floor's resources: as many as the program has, changed as often as it changed its own. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

KINDS = ("components", "operations", "resources")


@dataclass(frozen=True)
class Population:
    """A generation by name, by kind; another generation is an update."""

    kinds: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    @property
    def counted(self) -> dict[str, int]:
        """How many there are of each kind."""
        return {kind: len(self.kinds.get(kind, {})) for kind in KINDS}

    def after(self, changes: Mapping[str, Counter[str]], wanted: Mapping[str, int]) -> Population:
        """The next stage's: so many of each kind updated and deleted, and made until there are as many as `wanted`."""
        found: dict[str, dict[str, int]] = {}
        for kind in KINDS:
            own = dict(self.kinds.get(kind, {}))
            change, most = changes.get(kind, Counter[str]()), wanted.get(kind, 0)
            # What the state had that the log didn't show going is gone all the same.
            leaving = max(change["delete"], len(own) - most)
            number = max(map(_number, own), default=-1) + 1
            for name in sorted(own, key=_number)[:leaving]:
                del own[name]
            for name in sorted(own, key=_number)[: change["update"]]:
                own[name] += 1
            while len(own) < most:
                own[f"{kind}-{number}"] = 0
                number += 1
            found[kind] = own
        return Population(found)

    def told(self) -> str:
        """For the floor's program (`FLOOR`)."""
        return json.dumps(self.kinds)


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
