"""Is a new member's API server fit to serve? Asked directly, before any client is sent to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from migration.clients.kubernetes import ApiFailure, Kubernetes
from migration.runtime.deadline import Permanent, Retryable

_TOKENS = "/api/v1/namespaces/kube-system/serviceaccounts/default/token"
_UNAUTHORIZED, _FORBIDDEN, _FAILURE = 401, 403, 500


def verify_api_server(cluster: Kubernetes, address: str, port: int, log: Callable[[str], None]) -> bool:
    """True once the server at `address` is ready, reads existing Secrets and takes tokens that others signed.

    `cluster` reaches the other API servers. Raises `Retryable` while the server isn't ready, `Permanent` when it
    holds other keys than the cluster's. What these credentials may not ask is left out, and said.
    """
    own = cluster.at(f"https://{address}:{port}")
    try:
        own.request("GET", "/readyz", accept="*/*", repeat=frozenset(), patience=0.0)
    except msgspec.DecodeError:
        pass  # the answer of a ready server is the word "ok", which isn't JSON
    except ApiFailure as failure:
        raise Retryable(f"the API server at {address} isn't ready ({failure.code})") from failure
    unasked = [what for what, ask in (("Secrets", _reads_secrets), ("tokens", _takes_tokens)) if not ask(cluster, own)]
    if unasked:
        log(f"{address} is ready; whether it reads {' and takes '.join(unasked)} may not be asked with this kubeconfig")
    else:
        log(f"{address} is ready, reads Secrets and takes the others' tokens")
    return True


def _reads_secrets(cluster: Kubernetes, own: Kubernetes) -> bool:
    """False if it may not be asked. The same Secrets are read from the others first: they may be broken anyway."""
    ask: dict[str, Any] = {"params": {"limit": 20}, "repeat": frozenset(), "patience": 0.0}
    try:
        cluster.request("GET", "/api/v1/secrets", params={"limit": 20})
        own.request("GET", "/api/v1/secrets", **ask)
    except ApiFailure as failure:
        if failure.code == _FORBIDDEN:
            return False
        if failure.code == _FAILURE:
            raise Permanent(
                f"the new API server can't read Secrets that the others read ({failure.message}): its encryption "
                f"configuration isn't theirs; correct it before it serves"
            ) from failure
        raise Retryable(str(failure)) from failure
    return True


def _takes_tokens(cluster: Kubernetes, own: Kubernetes) -> bool:
    """A service account's token, signed by another server, must be known to this one: one key pair, one issuer."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    try:
        token = cluster.request("POST", _TOKENS, body=body)["status"]["token"]
    except ApiFailure as failure:
        if failure.code in (_FORBIDDEN, 404):
            return False
        raise Retryable(str(failure)) from failure
    server = own.config.cluster.server
    try:
        own.at(server, token=token).request("GET", "/version", repeat=frozenset(), patience=0.0)
    except ApiFailure as failure:
        if failure.code == _UNAUTHORIZED:
            raise Permanent(
                f"{server} refuses a token that another API server signed: its service account keys or issuer aren't "
                f"the cluster's; correct them before it serves"
            ) from failure
        if failure.code != _FORBIDDEN:
            raise Retryable(str(failure)) from failure
    return True
