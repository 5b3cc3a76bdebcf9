"""What of the configuration must not change on the way, and what to do instead. Pure.

An edited range replaces the VPC, a pool that is dropped deletes its group undrained: Pulumi would do either without a
question. So the record keeps what was there when the stage that uses it began, and says which key was touched.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any, cast

from migration.runtime.deadline import Permanent
from migration.settings import Settings
from migration.settings.model import Configuration
from migration.stages.table import Stage

Fixed = Mapping[str, Any]
"""Values by the key they have in the configuration."""


def fixed_at(c: Configuration, row: Stage) -> Fixed:
    """What must stay as it is once stage `row` was begun: more with every concern that is on the new side."""
    data = c.model_dump(mode="json", by_alias=True)
    found: dict[str, Any] = {}
    if row.network.on_new:
        found |= {
            f"sides.{name}.{key}": value
            for name in (c.from_, c.to)
            for key, value in data["sides"][name].items()
            if key in ("vpcId", "cidr", "suffix", "subnetPrefix", "zones", "routeTables")
        }
        found |= {key: data[key] for key in ("podCidr", "serviceCidr")}
    if row.shared.on_new:
        found |= {f"members[{one['name']}]": one for one in data["members"]}
        found |= {f"traffic.records[{one['name']}]": one for one in data["traffic"]["records"]}
        found |= {"traffic.zoneId": data["traffic"]["zoneId"], "api": data["api"], "ingress": data["ingress"]}
        found |= {f"etcd.{key}": data["etcd"][key] for key in ("clientPort", "peerPort")}
    if row.workers.on_new:
        found |= {f"pools[{one['name']}]": one for one in data["pools"]}
    return found


def touched(before: Fixed, settings: Settings, row: Stage) -> list[str]:
    """Sentences about keys that were fixed at `row` and are different now; empty where all is as it was."""
    now = fixed_at(settings.configuration, row)
    found: list[str] = []
    for key in sorted(before.keys() | now.keys()):
        name = f"migration:{key}"
        if key not in now:
            found.append(f"{name} is gone; put it back: what it stands for carries pods, traffic or votes")
        elif key not in before:
            found.append(f"{name} is new; take it out until the migration is over, or go back before it was begun")
        elif before[key] != now[key]:
            found.append(f"{name} was {_shown(before[key])} and is {_shown(now[key])}; put it back")
    return found


def _shown(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 120 else f"{text[:117]}…"


def packed(fixed: Fixed) -> str:
    """As text that fits into an SSM parameter (4 KiB) for some hundred pools; the same values give the same text."""
    text = json.dumps(fixed, sort_keys=True, separators=(",", ":"))
    return base64.b85encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def unpacked(text: str, where: str) -> Fixed:
    """The values; raises `Permanent` naming `where` they stand if the text is anything else."""
    try:
        value: object = json.loads(gzip.decompress(base64.b85decode(text)))
    except (ValueError, OSError, EOFError) as error:
        raise Permanent(f"the parameter {where} doesn't hold what this program wrote ({error!r}): look at it") from error
    if not isinstance(value, dict):
        raise Permanent(f"the parameter {where} doesn't hold what this program wrote: look at it by hand")
    return cast(Fixed, value)
