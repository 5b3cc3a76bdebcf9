"""The lab's settings: names, and times that stand for AWS's longer ones. Read from `$LAB_DIR/lab.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from lab.addresses import lab_dir

FILE = "lab.json"


class SettingsError(ValueError):
    """`lab.json` can't be used; the message names file, key, value and what is expected."""


@dataclass(frozen=True, kw_only=True)
class LabSettings:
    """All times in seconds."""

    cluster: str = "pet"
    zone_name: str = "pet.lab.internal"
    api_name: str = "api.pet.lab.internal"
    ingress_name: str = "app.apps.pet.lab.internal"
    """A host under the ingress wildcard; what the operator's ingress endpoint and the probes ask for."""
    ingress_wildcard: str = "*.apps.pet.lab.internal"
    ingress_service: str = "ingress/ingress"
    record_ttl_s: int = 5
    """As the legacy tooling left it."""
    profile: str = "small"

    health_interval_s: float = 0.5
    healthy_threshold: int = 2
    unhealthy_threshold: int = 2
    health_timeout_s: float = 1.0
    deregistration_s: float = 2.0
    """Cap on a target group's deregistration delay (AWS: 300 by default)."""
    change_pending_s: float = 0.3
    """How long a Route 53 change stays PENDING."""
    instance_boot_s: float = 0.5
    node_join_s: float = 0.5
    pod_start_s: float = 0.5
    metric_period_s: float = 5.0
    """Stands for the 60 s of CloudWatch."""
    refuse_after_s: float = 1.0
    """A packet that AWS would drop: the connection is reset after this long (a lab can't keep from accepting it)."""
    connect_timeout_s: float = 3.0
    private_networks: tuple[str, ...] = (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
    )
    """What counts as private where AWS or the product asks for it: RFC 1918, 100.64.0.0/10 and, here, loopback."""

    @classmethod
    def load(cls, directory: Path | None = None) -> LabSettings:
        """The settings of the lab in `directory` (default `$LAB_DIR`); the defaults where the file is missing.

        Raises SettingsError for JSON that isn't an object, an unknown key, or a value of another type.
        """
        path = (directory or lab_dir()) / FILE
        try:
            raw = json.loads(path.read_text())
        except FileNotFoundError:
            return cls()
        except json.JSONDecodeError as error:
            raise SettingsError(f"{path}: not JSON ({error})") from error
        if not isinstance(raw, dict):
            raise SettingsError(f"{path}: must be a JSON object")
        return cls.parse(raw, str(path))

    @classmethod
    def parse(cls, raw: dict[str, Any], source: str = FILE) -> LabSettings:
        """As `load`, from an object; every error at once."""
        defaults = cls()
        known = {f.name for f in fields(cls)}
        errors: list[str] = []
        values: dict[str, Any] = {}
        for key, value in raw.items():
            if key not in known:
                errors.append(f"{key}: unknown; known are {', '.join(sorted(known))}")
                continue
            wanted = type(getattr(defaults, key))
            if wanted is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if wanted is tuple and isinstance(value, list):
                value = tuple(value)
            if type(value) is not wanted:
                errors.append(f"{key}={value!r}: must be {wanted.__name__}")
            elif isinstance(value, (int, float)) and value < 0:
                errors.append(f"{key}={value!r}: must not be negative")
            else:
                values[key] = value
        if errors:
            raise SettingsError(f"{source}: " + "; ".join(errors))
        return replace(defaults, **values)

    def save(self, directory: Path) -> None:
        """Writes `lab.json` into the lab's folder, whole (a reader never sees half a file)."""
        directory.mkdir(parents=True, exist_ok=True)
        temporary = directory / (FILE + ".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n")
        temporary.replace(directory / FILE)
