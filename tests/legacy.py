"""What discovery finds of the legacy cluster where the lab's AWS is served by a test, and no cluster runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.addresses import LabAddresses

SERVICE: dict[str, Any] = {
    "metadata": {"namespace": "ingress", "name": "ingress"},
    "spec": {
        "type": "NodePort",
        "externalTrafficPolicy": "Local",
        "selector": {"app": "ingress"},
        "ports": [{"port": 80, "nodePort": 30080}],
    },
}


@dataclass(frozen=True, kw_only=True)
class OnPort(LabAddresses):
    """A lab's addresses, but for the AWS that this process serves."""

    url: str

    @property
    def aws_url(self) -> str:
        return self.url
