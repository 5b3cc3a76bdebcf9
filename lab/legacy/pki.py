"""The cluster's certificate authorities and keys, made once by the older tooling, and the operators' credentials."""

from __future__ import annotations

import base64
import datetime
import secrets
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

YEARS = 10


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            _builder(subject, subject, key, days=365 * YEARS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @property
    def pem(self) -> str:
        return certificate_pem(self.certificate)

    def issue(
        self,
        name: str,
        organization: str | None = None,
        sans: tuple[str, ...] = (),
        *,
        server: bool = False,
        client: bool | None = None,
    ) -> tuple[str, str]:
        """A certificate and its key, both PEM: for a client, a server with these DNS names and addresses, or both.

        `client` is the opposite of `server` where it isn't given.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] if server else []
        usages += [ExtendedKeyUsageOID.CLIENT_AUTH] if client or (client is None and not server) else []
        subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self.certificate.subject, key, days=365)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if sans:
            names = x509.SubjectAlternativeName([_general_name(san) for san in sans])
            builder = builder.add_extension(names, critical=False)
        return certificate_pem(builder.sign(self.key, hashes.SHA256())), key_pem(key)


def _general_name(san: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(san))
    except ValueError:
        return x509.DNSName(san)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def certificate_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def make(cluster: str, keys: str = "pki") -> dict[str, str]:
    """Everything secret of a new cluster, by SSM parameter name. `keys` is the path of what machines read."""
    ca, etcd, proxy = (Authority.make(f"{cluster}-{name}") for name in ("ca", "etcd-ca", "front-proxy-ca"))
    accounts = ec.generate_private_key(ec.SECP256R1())
    public = (
        accounts.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    operator, operator_key = etcd.issue(f"{cluster}-operator")
    return {
        f"/{cluster}/{keys}/ca.crt": ca.pem,
        f"/{cluster}/{keys}/ca.key": key_pem(ca.key),
        f"/{cluster}/{keys}/etcd-ca.crt": etcd.pem,
        f"/{cluster}/{keys}/etcd-ca.key": key_pem(etcd.key),
        f"/{cluster}/{keys}/front-proxy-ca.crt": proxy.pem,
        f"/{cluster}/{keys}/front-proxy-ca.key": key_pem(proxy.key),
        f"/{cluster}/{keys}/sa.key": key_pem(accounts),
        f"/{cluster}/{keys}/sa.pub": public,
        f"/{cluster}/{keys}/encryption.yaml": encryption(secrets.token_bytes(32)),
        f"/{cluster}/operator/etcd/ca.crt": etcd.pem,
        f"/{cluster}/operator/etcd/client.crt": operator,
        f"/{cluster}/operator/etcd/client.key": operator_key,
    }


def encryption(key: bytes) -> str:
    """Secrets are encrypted at rest: a member without this very key can't read them."""
    return yaml.safe_dump(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [
                {
                    "resources": ["secrets"],
                    "providers": [
                        {"secretbox": {"keys": [{"name": "key1", "secret": base64.b64encode(key).decode()}]}},
                        {"identity": {}},
                    ],
                }
            ],
        }
    )


def authority(certificate: str, key: str) -> Authority:
    """An authority read back from SSM."""
    loaded = serialization.load_pem_private_key(key.encode(), None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise TypeError("the CA's key isn't one this tooling made")
    return Authority(x509.load_pem_x509_certificate(certificate.encode()), loaded)


def put_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text(text)


def kubeconfig(
    cluster: str, server: str, ca: Authority, user: str | None = None, group: str | None = "system:masters"
) -> str:
    """A kubeconfig with a new client certificate: of an administrator, or of another `user` in another `group`."""
    user = user or f"{cluster}-admin"
    certificate, key = ca.issue(user, group)
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": cluster,
            "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": _b64(ca.pem)}}],
            "users": [
                {
                    "name": user,
                    "user": {"client-certificate-data": _b64(certificate), "client-key-data": _b64(key)},
                }
            ],
            "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        }
    )


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
