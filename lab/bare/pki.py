"""Keys and certificates of a bare cluster, as files: every connection is authenticated both ways, as in the lab."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.addresses import LOOPBACK
from lab.legacy import pki
from lab.legacy.pki import Authority

HERE = (LOOPBACK, "localhost")
CLUSTER = "bare"


@dataclass(frozen=True)
class Pki:
    """The files' folder. `write` makes all of them; keys are readable by their owner alone."""

    folder: Path

    def file(self, name: str) -> str:
        """The path of one, as a flag wants it."""
        return str(self.folder / name)

    def write(self) -> Authority:
        """Make every key anew; returns the cluster's authority, which signs clients."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ca, etcd = Authority.make(f"{CLUSTER}-ca"), Authority.make(f"{CLUSTER}-etcd-ca")
        self._put("ca.crt", ca.pem)
        self._put("etcd-ca.crt", etcd.pem)
        for name, accounts in pki.make(CLUSTER).items():
            if name.endswith(("/sa.key", "/sa.pub")):
                self._put(name.rpartition("/")[2], accounts)
        self._pair("apiserver", ca.issue("kube-apiserver", sans=(*HERE, "172.20.0.1", "kubernetes"), server=True))
        # etcd's own gateway is a client of its server, and each peer is both.
        self._pair("etcd", etcd.issue("etcd", sans=HERE, server=True, client=True))
        self._pair("apiserver-etcd-client", etcd.issue("apiserver-etcd-client"))
        return ca

    def _pair(self, name: str, made: tuple[str, str]) -> None:
        certificate, key = made
        self._put(f"{name}.crt", certificate)
        self._put(f"{name}.key", key)

    def _put(self, name: str, text: str) -> None:
        pki.put_secret(self.folder / name, text)
