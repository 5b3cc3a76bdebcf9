"""The certificate with which the lab's stand-ins (kubelets, cloud controller, attacher) speak to the cluster.

Real kubelets get theirs by bootstrapping, one each. The stand-ins serve a whole side with one process, so they get one
certificate in `system:masters`, signed by the cluster's CA as the machines read it: from SSM.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import boto3
import yaml
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.machines.place import Place

USER = "lab:agents"
FOLDER = "agents"


class NoCluster(RuntimeError):
    """The cluster's CA isn't in SSM (yet)."""


@dataclass(frozen=True)
class Credentials:
    ca: Path
    certificate: Path
    key: Path

    def kubeconfig(self, server: str, path: Path) -> None:
        """Writes a kubeconfig (0600) with these files and one server."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority": str(self.ca)}}],
            "users": [
                {"name": "lab", "user": {"client-certificate": str(self.certificate), "client-key": str(self.key)}}
            ],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))


def obtain(place: Place) -> Credentials:
    """The stand-ins' credentials, made if they aren't there or another CA signed them. Raises NoCluster. Blocks."""
    folder = place.machines / FOLDER
    credentials = Credentials(folder / "ca.crt", folder / "client.crt", folder / "client.key")
    ca, key = _authority(place)
    if credentials.ca.exists() and credentials.ca.read_bytes() == ca and credentials.key.exists():
        return credentials
    folder.mkdir(parents=True, exist_ok=True)
    issuer_key = serialization.load_pem_private_key(key, None)
    certificate, client_key = _sign(x509.load_pem_x509_certificate(ca), issuer_key)  # type: ignore[arg-type]
    credentials.key.touch(mode=0o600)
    credentials.key.write_bytes(client_key)
    credentials.certificate.write_bytes(certificate)
    credentials.ca.write_bytes(ca)
    return credentials


def _authority(place: Place) -> tuple[bytes, bytes]:
    environment = place.addresses.aws_environment()
    ssm = boto3.client(
        "ssm",
        endpoint_url=place.addresses.aws_url,
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}),
    )
    names = [f"/{place.settings.cluster}/pki/{part}" for part in ("ca.crt", "ca.key")]
    answer = ssm.get_parameters(Names=names, WithDecryption=True)
    found = {parameter.get("Name", ""): parameter.get("Value", "").encode() for parameter in answer["Parameters"]}
    if len(found) < len(names):
        raise NoCluster(f"SSM has no {', '.join(sorted(set(names) - set(found)))}")
    return found[names[0]], found[names[1]]


def _sign(ca: x509.Certificate, key: CertificateIssuerPrivateKeyTypes) -> tuple[bytes, bytes]:
    own = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
                    x509.NameAttribute(NameOID.COMMON_NAME, USER),
                ]
            )
        )
        .issuer_name(ca.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
