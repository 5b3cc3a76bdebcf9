"""Thin clients of AWS, Kubernetes and etcd, made when first needed from one operation's connection."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migration.clients.aws import Aws
    from migration.clients.kubernetes import Kubernetes


class Clients:
    """The clients of one operation, `caller` by name. Nothing is imported or connected before it is used."""

    def __init__(self, *, region: str, kubeconfig: str | None, caller: str = "") -> None:
        self.region = region
        self.kubeconfig = kubeconfig
        self.caller = caller
        self.fence: Callable[[], None] = lambda: None
        """Asked before every request that changes something in AWS, retries too; raises to stop it."""

    @cached_property
    def aws(self) -> Aws:
        """AWS in the stack's region, with the environment's credentials and endpoint."""
        from migration.clients.aws import Aws

        # Looked up at each request: the lease that it asks is taken after the first clients are made.
        return Aws(region=self.region, fence=lambda: self.fence(), caller=self.caller)

    @cached_property
    def kubernetes(self) -> Kubernetes:
        """The cluster's API through the stack's kubeconfig (default: KUBECONFIG)."""
        from migration.clients.kubernetes import Kubernetes

        return Kubernetes(kubeconfig=self.kubeconfig)
