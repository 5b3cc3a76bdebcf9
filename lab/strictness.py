"""How strict, slow and moody the lab's AWS is, as environment variables say it (`LAB_IAM`, `LAB_TIMING`, …). Pure.

Each comes before the same key of `lab.json`. What they mean is in `lab/settings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VARIABLES = {
    "LAB_IAM": "iam",
    "LAB_THROTTLE": "throttle",
    "LAB_LAG_S": "lag_s",
    "LAB_SEED": "seed",
    "LAB_EGRESS": "egress",
    "LAB_QUOTAS": "quotas",
    "LAB_TIMING": "timing",
}
"""Environment variable → key of `LabSettings`."""

QUOTAS = {
    "rules-per-group": 60,
    "groups-per-interface": 5,
    "groups": 2_500,
    "routes-per-table": 50,
    "tables-per-vpc": 200,
    "subnets-per-vpc": 200,
    "vpcs": 5,
    "ranges-per-vpc": 5,
    "peerings-per-vpc": 50,
    "internet-gateways": 5,
    "nat-gateways-per-zone": 5,
    "addresses": 5,
    "network-balancers": 50,
    "target-groups": 3_000,
    "targets-per-group": 1_000,
    "listeners-per-balancer": 50,
    "auto-scaling-groups": 500,
    "standard-processors": 1_152,
    "standard-spot-processors": 1_152,
}
"""AWS's defaults (general reference, Service endpoints and quotas).

But for processors: a new account has 5 of them, and one that runs a cluster has had them raised.
"""


def asked(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the environment names, still as text. `LAB_QUOTAS` is `rules-per-group=20,addresses=2`.

    Raises ValueError, naming the variable, for quotas of another form; the rest is the settings' to judge.
    """
    found: dict[str, Any] = {key: environ[name] for name, key in VARIABLES.items() if environ.get(name)}
    if "quotas" in found:
        found["quotas"] = _quotas(found["quotas"])
    return found


def _quotas(text: str) -> dict[str, int]:
    quotas: dict[str, int] = {}
    for part in text.split(","):
        name, equals, number = part.strip().partition("=")
        if not equals or not number.isdecimal():
            raise ValueError(f"LAB_QUOTAS={text!r}: must be NAME=NUMBER, several with commas")
        quotas[name] = int(number)
    return quotas
