"""What of the configuration must not change on the way, and what to do instead. Pure.

An edited range replaces the VPC, a pool that is dropped deletes its group undrained: Pulumi would do either without a
question. So the record keeps what was there when the stage that uses it began, and says which key was touched.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

from migration.runtime.deadline import Permanent
from migration.settings.model import Configuration
from migration.stages.table import Stage, stage


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """What was fixed when stage `stage` was begun: values by the key they have in the configuration."""

    stage: int
    values: Mapping[str, Any]


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
        found |= dict(map(_record, data["traffic"]["records"]))
        found |= {"traffic.zoneId": data["traffic"]["zoneId"], **_balancers(data)}
        found |= {f"etcd.{key}": data["etcd"][key] for key in ("clientPort", "peerPort")}
    if row.workers.on_new:
        found |= {f"pools[{one['name']}]": one for one in data["pools"]}
        found |= {
            f"sides.{name}.{key}": _told(data["sides"][name][key])
            for name in (c.from_, c.to)
            for key in ("pools", "members", "apiServers")
            if _told(data["sides"][name].get(key))
        }
    # Said only where it is another than earlier versions knew: their records have no such key.
    if row.control_plane.on_new and data["etcd"]["strategy"] != "learner":
        found["etcd.strategy"] = data["etcd"]["strategy"]
    if row.finished:
        # The migration is over: what the side launches may change, and pools come, go and get other names.
        found = {key: value for key, value in found.items() if not key.startswith(("pools[", "moreIngress["))}
        found = {key: value for key, value in found.items() if not key.endswith(".balancer")}
        found = {
            key: value
            for key, value in found.items()
            if not re.fullmatch(r"sides\..*\.(pools|members|apiServers)", key)
        }
    return Fixed(stage=row.number, values=found)


def _record(one: dict[str, Any]) -> tuple[str, Any]:
    """A name with its key; one of a further zone is told by that, too."""
    if one["zone"] is None:
        return f"traffic.records[{one['name']}]", {key: value for key, value in one.items() if key != "zone"}
    return f"traffic.records[{one['name']}@{one['zone']}]", one


def _balancers(data: Mapping[str, Any]) -> dict[str, Any]:
    """API and ingress; what their balancers are made of is only told apart, for a parameter of little room."""
    found: dict[str, Any] = {}
    for key in ("api", "ingress"):
        found[key] = {name: value for name, value in data[key].items() if name != "balancer"}
        if data[key]["balancer"] is not None:
            found[f"{key}.balancer"] = _digest(data[key]["balancer"])
    return found | {f"moreIngress[{one['name']}]": _digest(one) for one in data["moreIngress"]}


def _digest(value: Any) -> str:
    return f"sha256:{sha256(json.dumps(_said(value), sort_keys=True).encode()).hexdigest()[:16]}"


def _said(value: Any) -> Any:
    """What is said, without what isn't: an optional key that nobody uses is as if there were none."""
    if not isinstance(value, dict):
        return value
    said = {key: _said(item) for key, item in cast(dict[str, Any], value).items()}
    return {key: item for key, item in said.items() if item not in (None, {}, [])}


def _told(machines: Any) -> Any:
    """What a side's machines are made of, for a parameter of little room: user data is only told apart, never kept."""
    if not isinstance(machines, dict):
        return machines
    told = {key: _told(item) for key, item in cast(dict[str, Any], machines).items()}
    if isinstance(text := told.get("userData"), str):
        told["userData"] = f"sha256:{sha256(text.encode()).hexdigest()[:16]}"
    return _said(told)


def touched(before: Fixed, c: Configuration) -> list[str]:
    """Sentences about keys that are different now; empty where all is as it was."""
    old, now = before.values, fixed_at(c, stage(before.stage)).values
    found: list[str] = []
    for key in sorted(old.keys() | now.keys()):
        name = f"migration:{key}"
        if key not in now:
            found.append(f"{name} is gone: what it stands for carries pods, traffic or votes; put it back")
        elif key not in old:
            found.append(f"{name} is new: take it out until the migration is over")
        elif _said(old[key]) != _said(now[key]):
            # An earlier version's record hasn't the optional keys that came after it.
            found.append(f"{name} was {_shown(old[key])} and is {_shown(now[key])}: put it back")
    return found


def _shown(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 120 else f"{text[:117]}…"


def packed(fixed: Fixed) -> str:
    """As text that fits into an SSM parameter (4 KiB) for some hundred pools; the same values give the same text."""
    text = json.dumps({"stage": fixed.stage, "values": fixed.values}, sort_keys=True, separators=(",", ":"))
    return base64.b85encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def unpacked(text: str, where: str) -> Fixed:
    """The values; raises `Permanent` naming `where` they stand if the text is anything else."""
    try:
        value = json.loads(gzip.decompress(base64.b85decode(text)))
        return Fixed(stage=value["stage"], values=value["values"])
    except (ValueError, OSError, EOFError, KeyError, TypeError) as error:
        raise Permanent(
            f"the parameter {where} doesn't hold what this program wrote ({error!r}): look at it"
        ) from error
