"""A member's boot script as it lies on a machine whose root is a folder."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from lab.machines.reroot import reroot

SCRIPT = Path(__file__).parents[3] / "migration" / "etcd" / "boot" / "member.py"


class Waits(Exception):
    """It waits, where a test needn't."""


def boot_script(root: Path, **facts: Any) -> Any:
    """The script as a module; `facts` are more of its member.json."""
    said = {"cluster": "pet", "member": "d", "region": "r", "ticket_parameter": "/pet/t", "api_names": []}
    said |= {"ports": {"api": 8443, "clients": 4001, "peers": 7001}, **facts}
    (root / "etc/kubernetes").mkdir(parents=True)
    (root / "var/lib/etcd/data").mkdir(parents=True)
    (root / "etc/kubernetes/member.json").write_text(json.dumps(said))
    module: Any = ModuleType("member")
    exec(compile(reroot(SCRIPT.read_text(), root), str(SCRIPT), "exec"), module.__dict__)
    return module
