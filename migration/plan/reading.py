"""Clients that only read, answer soon or not at all, and list each kind of object once: a plan is of one moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import cached_property
from typing import Any, TypeVar

import boto3
import httpx2
import msgspec
from botocore.config import Config

from migration.clients import Clients
from migration.clients.aws import Aws
from migration.clients.documents import mapping
from migration.clients.kubernetes import Kind, Kubernetes, Unreachable
from migration.runtime.deadline import Permanent

T = TypeVar("T")

_READS = ("Describe", "Get", "List", "Simulate")
# A question in a POST's clothes, which every user may ask.
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
# Seconds. Whoever answers later isn't waited for.
_TIMEOUT = 4.0


class NotReading(Exception):
    """Something would have been written, or commanded: a plan doesn't."""


def _only_reads(model: Any, params: dict[str, Any], **_: object) -> None:
    # EC2's dry run asks for a right, and makes nothing.
    form = isinstance(params.get("body"), dict)  # JSON, elsewhere, is a text
    dry = form and str(mapping(params, "body").get("DryRun", "")).lower() == "true"
    if not model.name.startswith(_READS) and not dry:
        raise NotReading(f"a plan only reads, and {model.service_model.service_name}:{model.name} isn't reading")


class ReadingAws(Aws):
    """AWS, refusing every call that isn't a read."""

    def __init__(self, *, region: str) -> None:
        session = boto3.Session(region_name=region)
        session.events.register("before-call", _only_reads)
        super().__init__(region=region, session=session)
        quick = Config(
            retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=_TIMEOUT, read_timeout=_TIMEOUT
        )
        self._config = self._config.merge(quick)


class ReadingKubernetes(Kubernetes):
    """The cluster's API, refusing every call that isn't a read; whole lists are kept."""

    def __init__(self, *, kubeconfig: str | None, transport: httpx2.BaseTransport | None = None) -> None:
        super().__init__(kubeconfig=kubeconfig, transport=transport, patience=1.0, timeout=_TIMEOUT)
        self._lists: dict[object, Future[list[dict[str, Any]]]] = {}
        self._listing = threading.Lock()

    def request(self, method: str, path: str, **how: Any) -> Any:
        """One read. Raises `NotReading` for anything else, `Unreachable` also where there is no usable kubeconfig."""
        if method != "GET" and path != _REVIEWS:
            raise NotReading(f"a plan only reads, and {method} {path} isn't reading")
        try:
            _ = self.config
        except Permanent as reason:
            raise Unreachable(str(reason)) from reason
        return super().request(method, path, **how)

    def list(self, kind: Kind, namespace: str | None = None, **how: Any) -> list[dict[str, Any]]:
        """All objects, as whoever asked first saw them; a failure is kept, too."""
        key = (kind, namespace, *sorted(how.items()))
        with self._listing:
            known = self._lists.get(key)
            future = known or self._lists.setdefault(key, Future())
        if known is None:
            try:
                future.set_result(super().list(kind, namespace, **how))
            except BaseException as error:
                future.set_exception(error)
                raise
        return future.result()

    def pages(self, kind: Kind, item: type[T]) -> Iterator[tuple[list[T], str]]:
        """The same list as one page: others ask for it as well."""
        yield msgspec.convert(self.list(kind), list[item]), ""


class ReadingClients(Clients):
    """A plan's clients."""

    @cached_property
    def aws(self) -> Aws:
        """AWS, for reading."""
        return ReadingAws(region=self.region)

    @cached_property
    def kubernetes(self) -> Kubernetes:
        """The cluster's API, for reading."""
        return ReadingKubernetes(kubeconfig=self.kubeconfig)
