"""Where a new member's machine gets the cluster's CAs and keys from: one interface, chosen by `controlPlane.pki`.

This program never reads a key: it only tells the machine where they are. The machine reads them with its instance role
(`migration/etcd/boot/member.py`), makes its own keys, and what it was given to sign with stays in its memory. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from migration.runtime.deadline import Permanent
from migration.settings.model import Pki, PkiSource

FILES = (
    *(f"{name}.{kind}" for name in ("ca", "etcd-ca", "front-proxy-ca") for kind in ("crt", "key")),
    *("sa.key", "sa.pub", "encryption.yaml"),
)
"""What a source holds, each under its own name behind the prefix."""


class Source(Protocol):
    """One place where the cluster's keys are kept."""

    def told(self, pki: Pki, cluster: str) -> dict[str, str]:
        """What the boot needs to find them, for the identity file; empty where that is what it takes for granted.

        Raises `Permanent` where this source can't be used by a boot.
        """
        ...

    def location(self, pki: Pki, cluster: str) -> str:
        """Where they are, in one word without a secret, for people and for the operator's own user data."""
        ...


@dataclass(frozen=True)
class _Named:
    """Parameters, secrets or objects under a prefix. `usual` is the prefix with ``{cluster}`` for its name."""

    source: PkiSource
    scheme: str
    usual: str

    def _prefix(self, pki: Pki, cluster: str) -> str:
        prefix = (pki.prefix or self.usual.format(cluster=cluster)).rstrip("/")
        # An object's key that begins with a slash is another object.
        return prefix.lstrip("/") if self.source == "s3" else prefix

    def told(self, pki: Pki, cluster: str) -> dict[str, str]:
        prefix = self._prefix(pki, cluster)
        if self.source == "ssm":
            return {"source": "ssm", "prefix": prefix} if prefix != f"/{cluster}/pki" else {}
        return {"source": self.source, "prefix": prefix, **({"bucket": pki.bucket} if pki.bucket else {})}

    def location(self, pki: Pki, cluster: str) -> str:
        bucket = f"{pki.bucket}/" if pki.bucket else ""
        return f"{self.scheme}{bucket}{self._prefix(pki, cluster)}"


class _Image:
    """Certificates that are there, or come, without this program: the boot waits for them and makes none."""

    def told(self, pki: Pki, cluster: str) -> dict[str, str]:
        return {"source": "image"}

    def location(self, pki: Pki, cluster: str) -> str:
        return "image"


class _Kubeadm:
    """kubeadm's upload (``kubeadm init phase upload-certs``), which its own join reads: no boot of this program does.

    What opens it is the joining machine's affair, too, and belongs to the layout kubeadm: `told_to_a_join`.
    """

    def told(self, pki: Pki, cluster: str) -> dict[str, str]:
        raise Permanent(
            "migration:controlPlane.pki.source is 'kubeadm', which only a join of kubeadm reads; "
            "use ssm, secrets-manager, s3 or image"
        )

    def location(self, pki: Pki, cluster: str) -> str:
        return "kube-system/kubeadm-certs"


SOURCES: Mapping[PkiSource, Source] = {
    "ssm": _Named("ssm", "ssm:", "/{cluster}/pki"),
    "secrets-manager": _Named("secrets-manager", "secretsmanager:", "{cluster}/pki"),
    "s3": _Named("s3", "s3://", "{cluster}/pki"),
    "kubeadm": _Kubeadm(),
    "image": _Image(),
}


def told_to_the_boot(pki: Pki, cluster: str) -> dict[str, str]:
    """`Source.told` of the source that is configured."""
    return SOURCES[pki.source].told(pki, cluster)


def told_to_a_join(pki: Pki, cluster: str) -> dict[str, str]:
    """As `told_to_the_boot`, for a boot that lets kubeadm join: its Secret can be read, too.

    `prefix` is then that of the parameters that hold certificate key, token and the CA's hash, which an operator puts
    there. With ``/aws/reference/secretsmanager/`` before it they are secrets of Secrets Manager:
    https://docs.aws.amazon.com/systems-manager/latest/userguide/integration-ps-secretsmanager.html
    """
    if pki.source != "kubeadm":
        return told_to_the_boot(pki, cluster)
    return {"source": "kubeadm", "prefix": (pki.prefix or f"/{cluster}/kubeadm").rstrip("/")}


def location(pki: Pki, cluster: str) -> str:
    """`Source.location` of the source that is configured."""
    return SOURCES[pki.source].location(pki, cluster)
