"""A kubeconfig as much as a client needs of it: server, trust, and who is asking."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.plugins.errors import PluginError


@dataclass(frozen=True)
class Access:
    """One cluster, as one user. `token` is None where a client certificate speaks."""

    server: str
    namespace: str
    tls: ssl.SSLContext
    token: str | None
    server_name: str | None


def text_of(given: str | None) -> str:
    """The kubeconfig given as contents or path, or by KUBECONFIG, or the usual file. Raises PluginError."""
    if given and "\n" in given:
        return given
    path = Path(given or os.environ.get("KUBECONFIG", "").split(":")[0] or "~/.kube/config").expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PluginError(f"kubeconfig {path}: {error.strerror}") from error


def parse(text: str) -> dict[str, Any]:
    """The document. Raises PluginError."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PluginError(f"the kubeconfig is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise PluginError("the kubeconfig is empty")
    return document


def _named(document: dict[str, Any], section: str, name: str, inner: str) -> dict[str, Any]:
    for entry in document.get(section) or []:
        if entry.get("name") == name:
            return entry.get(inner) or {}
    raise PluginError(f"the kubeconfig has no entry '{name}' under {section}")


def cluster_of(text: str, context: str | None = None) -> tuple[str, str]:
    """Name and server of the context's cluster: what the provider compares to tell clusters apart."""
    document = parse(text)
    chosen = _named(document, "contexts", context or document.get("current-context") or "", "context")
    return chosen["cluster"], _named(document, "clusters", chosen["cluster"], "cluster").get("server", "")


def access(text: str, *, context: str | None = None, cluster: str | None = None) -> Access:
    """The client's side of a kubeconfig's context. Raises PluginError for what isn't there or isn't supported."""
    document = parse(text)
    chosen = _named(document, "contexts", context or document.get("current-context") or "", "context")
    where = _named(document, "clusters", cluster or chosen["cluster"], "cluster")
    who = _named(document, "users", chosen["user"], "user")
    if unsupported := [k for k in ("exec", "auth-provider", "username") if k in who]:
        raise PluginError(
            f"the kubeconfig's user '{chosen['user']}' uses '{unsupported[0]}', which isn't supported here"
        )
    token = who.get("token")
    if not token and who.get("tokenFile"):
        token = Path(who["tokenFile"]).read_text(encoding="utf-8").strip()
    return Access(
        server=str(where["server"]).rstrip("/"),
        namespace=chosen.get("namespace") or "default",
        tls=_tls(where, who),
        token=token,
        server_name=where.get("tls-server-name"),
    )


def _tls(where: dict[str, Any], who: dict[str, Any]) -> ssl.SSLContext:
    authority = _bytes(where, "certificate-authority")
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if where.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = _bytes(who, "client-certificate"), _bytes(who, "client-key")
    if certificate and key:
        # OpenSSL loads a chain from files only; these live as long as this function.
        with tempfile.TemporaryDirectory() as folder:
            for name, content in (("crt", certificate), ("key", key)):
                path = Path(folder, name)
                path.touch(mode=0o600)
                path.write_bytes(content)
            context.load_cert_chain(Path(folder, "crt"), Path(folder, "key"))
    return context


def _bytes(entry: dict[str, Any], name: str) -> bytes | None:
    if entry.get(f"{name}-data"):
        return base64.b64decode(entry[f"{name}-data"])
    return Path(entry[name]).read_bytes() if entry.get(name) else None
