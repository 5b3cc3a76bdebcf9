"""The lab's settings: names, and times that stand for AWS's longer ones. Read from `$LAB_DIR/lab.json`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, ValidationError

from lab.addresses import lab_dir

FILE = "lab.json"


class SettingsError(ValueError):
    """`lab.json` can't be used; the message names file, key, value and what is expected."""


class LabSettings(BaseModel):
    """All times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: str = "pet"
    zone_name: str = "pet.lab.internal"
    api_name: str = "api.pet.lab.internal"
    ingress_name: str = "app.apps.pet.lab.internal"
    """A host under the ingress wildcard; what the operator's ingress endpoint and the probes ask for."""
    ingress_wildcard: str = "*.apps.pet.lab.internal"
    ingress_service: str = "ingress/ingress"
    record_ttl_s: NonNegativeInt = 5
    """As the legacy tooling left it."""
    profile: str = "small"

    health_interval_s: NonNegativeFloat = 0.5
    healthy_threshold: NonNegativeInt = 2
    unhealthy_threshold: NonNegativeInt = 2
    health_timeout_s: NonNegativeFloat = 1.0
    deregistration_s: NonNegativeFloat = 2.0
    """Cap on a target group's deregistration delay (AWS: 300 by default)."""
    change_pending_s: NonNegativeFloat = 0.3
    """How long a Route 53 change stays PENDING."""
    instance_boot_s: NonNegativeFloat = 0.5
    node_join_s: NonNegativeFloat = 0.5
    pod_start_s: NonNegativeFloat = 0.5
    metric_period_s: NonNegativeFloat = 5.0
    """Stands for the 60 s of CloudWatch."""
    refuse_after_s: NonNegativeFloat = 1.0
    """A packet that AWS would drop: the connection is reset after this long (a lab can't keep from accepting it)."""
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

        Raises SettingsError for what isn't JSON, an unknown key, or a value that can't be: every error at once.
        """
        path = (directory or lab_dir()) / FILE
        try:
            return cls.model_validate_json(path.read_text())
        except FileNotFoundError:
            return cls()
        except ValidationError as error:
            found = [f"{'.'.join(map(str, e['loc'])) or 'file'}={e['input']!r}: {e['msg']}" for e in error.errors()]
            raise SettingsError(f"{path}: " + "; ".join(found)) from error
