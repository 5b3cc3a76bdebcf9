"""The one reading of a kubeconfig, for the program and for the proof; lightkube knows certificates, tokens, plugins."""

from __future__ import annotations

import base64
import ssl
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlparse

import msgspec
import yaml
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from migration.settings.secret import is_inline


class KubeconfigError(Exception):
    """The kubeconfig can't be used; the message says which one and why."""


def read_kubeconfig(kubeconfig: str | None) -> SingleConfig:
    """The current context of `kubeconfig`, a path or the YAML itself. Raises `KubeconfigError`.

    None means in-cluster, then KUBECONFIG, then ~/.kube/config.
    """
    try:
        if kubeconfig is None:
            config = KubeConfig.from_env()
        elif is_inline(kubeconfig):
            # lightkube says "a dict" and not of what.
            config = KubeConfig.from_dict(yaml.safe_load(kubeconfig))  # pyright: ignore[reportUnknownMemberType]
        else:
            config = KubeConfig.from_file(Path(kubeconfig))
        single = config.get()
    except (ConfigError, KeyError, TypeError, OSError, ValueError, yaml.YAMLError, msgspec.ValidationError) as error:
        if kubeconfig is not None and is_inline(kubeconfig):
            # Neither the text nor what a parser quotes of it, nor a chain that holds it: it may be the token.
            raise KubeconfigError(f"the kubeconfig given as text can't be used ({_why(error)})") from None
        shown = "from the environment" if kubeconfig is None else repr(kubeconfig)
        raise KubeconfigError(f"the kubeconfig {shown} can't be used ({_why(error)})") from error
    assert single is not None  # only with a default, which isn't given, is there no context
    return single


def _why(error: Exception) -> str:
    """The reason, without the lines around it that YAML's parser shows."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        return f"{error.problem or 'not YAML'}{f', line {mark.line + 1}' if mark else ''}"
    return str(error)


def is_loopback(server: str) -> bool:
    """Whether a server's URL names this machine."""
    host = urlparse(server).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def authority_of(config: SingleConfig) -> str | None:
    """PEM of the cluster's certificate authority; None where none is named. Raises OSError, ValueError."""
    cluster = config.cluster
    if cluster.certificate_auth:
        return Path(config.abs_file(cluster.certificate_auth)).read_text()
    if cluster.certificate_auth_data:
        return base64.b64decode(cluster.certificate_auth_data).decode()
    return None


def server_trust(config: SingleConfig) -> ssl.SSLContext:
    """A TLS context that trusts the cluster's certificate authority and shows no client certificate. Raises OSError."""
    cluster = config.cluster
    if cluster.certificate_auth:
        return ssl.create_default_context(cafile=str(config.abs_file(cluster.certificate_auth)))
    if cluster.certificate_auth_data:
        return ssl.create_default_context(cadata=base64.b64decode(cluster.certificate_auth_data).decode())
    return ssl.create_default_context()


def client_identity(config: SingleConfig) -> ssl.SSLContext | None:
    """As `server_trust`, showing the user's client certificate; None for a user without one. Raises OSError."""
    user = config.user
    if user is None or not (user.client_cert or user.client_cert_data):
        return None
    return client_adapter.verify_cluster(config.cluster, user, config.abs_file)
