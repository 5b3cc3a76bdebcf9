"""A kubeconfig as much as the lab needs of it: a server, its authority, and a client certificate."""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class ApiError(Exception):
    """The API refused (`code` is its HTTP status), or there was no asking it (`code` 0)."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Access:
    """One cluster, as one user."""

    server: str
    tls: ssl.SSLContext


def read(path: Path) -> str:
    """The file's text. Raises ApiError."""
    try:
        return path.read_text()
    except OSError as error:
        raise ApiError(f"kubeconfig {path}: {error.strerror}") from error


def parse(text: str) -> dict[str, Any]:
    """The document. Raises ApiError."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ApiError(f"the kubeconfig is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ApiError("the kubeconfig is empty")
    return document


def _named(document: Mapping[str, Any], section: str, name: str, inner: str) -> dict[str, Any]:
    for entry in document.get(section) or []:
        if entry.get("name") == name:
            return entry.get(inner) or {}
    raise ApiError(f"the kubeconfig has no entry '{name}' under {section}")


def access(text: str, context: str | None = None) -> Access:
    """The client's side of a kubeconfig's context. Raises ApiError for what isn't there or isn't supported."""
    document = parse(text)
    chosen = _named(document, "contexts", context or document.get("current-context") or "", "context")
    where = _named(document, "clusters", chosen["cluster"], "cluster")
    who = _named(document, "users", chosen["user"], "user")
    if other := who.keys() - {"client-certificate", "client-key", "client-certificate-data", "client-key-data"}:
        raise ApiError(f"the kubeconfig's user '{chosen['user']}' uses '{min(other)}': the lab takes certificates only")
    authority = _pem(where, "certificate-authority")
    tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
    certificate, key = _pem(who, "client-certificate"), _pem(who, "client-key")
    if certificate and key:
        load_chain(tls, certificate, key)
    return Access(str(where["server"]).rstrip("/"), tls)


def _pem(entry: Mapping[str, Any], name: str) -> bytes:
    if f"{name}-data" in entry:
        return base64.b64decode(entry[f"{name}-data"])
    return Path(entry[name]).read_bytes() if name in entry else b""


def load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """`load_cert_chain` from memory: Python takes files only, so one lives for a moment, readable by us alone."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.rstrip() + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)


def ready(item: Mapping[str, Any]) -> bool:
    """Whether a node or pod says so in its conditions."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in item.get("status", {}).get("conditions") or ())
