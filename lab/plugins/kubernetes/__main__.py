"""`python -m lab.plugins.kubernetes`: what the launcher runs."""

from __future__ import annotations

from lab.plugins.host import main
from lab.plugins.kubernetes.provider import KubernetesPlugin

main(KubernetesPlugin())
