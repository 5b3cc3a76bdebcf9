"""Certificates of balancers' listeners: for each of ACM's the lab makes one, by an authority of its own.

The authority lies in the lab's folder, its key readable by its owner alone; what it issues is in memory only.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from lab.addresses import ACCOUNT_ID, REGION
from lab.kubernetes.access import load_chain
from lab.legacy.pki import Authority, authority, key_pem
from lab.network.state import BalancerListener, Certificate

FOLDER = "tls"
PROTOCOLS = {
    "HTTP1Only": ["http/1.1"],
    "HTTP2Only": ["h2"],
    "HTTP2Optional": ["http/1.1", "h2"],
    "HTTP2Preferred": ["h2", "http/1.1"],
}
"""By ALPN policy. https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-listeners.html"""


class NoCertificate(Exception):
    """A listener that speaks TLS has no certificate that the lab could stand for."""


def authority_path(lab_dir: Path) -> Path:
    """The authority's certificate: what a client of the lab's TLS listeners trusts."""
    return lab_dir / FOLDER / "ca.crt"


class Certificates:
    """TLS contexts of listeners. Made when first asked for, and kept while their names stay."""

    def __init__(self, lab_dir: Path) -> None:
        self._path = authority_path(lab_dir)
        self._authority: Authority | None = None
        self._services: ssl.SSLContext | None = None
        self._contexts: dict[tuple[tuple[Certificate, ...], tuple[str, ...]], ssl.SSLContext] = {}

    def of_services(self) -> ssl.SSLContext:
        """For AWS's APIs at their names."""
        if self._services is None:
            names = (f"*.{REGION}.amazonaws.com", f"api.ecr.{REGION}.amazonaws.com")
            registry = f"{ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com"
            self._services = self._made(Certificate("", (*names, registry)), ())
        return self._services

    def context(self, listener: BalancerListener) -> ssl.SSLContext:
        """The listener's context: the certificate that fits the name asked for, else the default one.

        Raises NoCertificate, OSError.
        """
        key = (listener.certificates, listener.alpn)
        known = self._contexts.get(key)
        if known is not None:
            return known
        every = [(one, self._made(one, listener.alpn)) for one in listener.certificates if one.names]
        if not every:
            raise NoCertificate(f"listener {listener.port} has no certificate with a name")
        default = every[0][1]

        def choose(sock: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            if name is not None:
                sock.context = next((context for one, context in every if fits(one, name)), default)

        default.sni_callback = choose
        self._contexts[key] = default
        return default

    def _made(self, certificate: Certificate, alpn: tuple[str, ...]) -> ssl.SSLContext:
        pem, key = self._own().issue(certificate.names[0], sans=certificate.names, server=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load_chain(context, pem.encode(), key.encode())
        if offered := [protocol for policy in alpn for protocol in PROTOCOLS.get(policy, [])]:
            context.set_alpn_protocols(offered)
        return context

    def _own(self) -> Authority:
        """The lab's authority, made where there is none. Its key is written first: without it there is no certificate
        to be trusted."""
        if self._authority is None:
            secret = self._path.with_suffix(".key")
            if not self._path.exists():
                made = Authority.make("lab balancers")
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                _write(secret, key_pem(made.key))
                _write(self._path, made.pem)
            self._authority = authority(self._path.read_text(), secret.read_text())
        return self._authority


def fits(certificate: Certificate, name: str) -> bool:
    """Whether a certificate is for a name; a wildcard stands for one label (RFC 6125)."""
    wanted = name.lower()
    return any(
        wanted == one.lower() or (one.startswith("*.") and wanted.partition(".")[2] == one[2:].lower())
        for one in certificate.names
    )


def _write(path: Path, text: str) -> None:
    """Whole or not at all, for its owner alone."""
    new = path.with_suffix(path.suffix + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as sink:
        sink.write(text)
    new.replace(path)
