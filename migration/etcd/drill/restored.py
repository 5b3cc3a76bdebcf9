"""A snapshot restored into a scratch folder and served there, by an etcd of its own that talks to nobody else."""

from __future__ import annotations

import contextlib
import functools
import random
import secrets
import socket
import ssl
import subprocess
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from migration.clients.etcd import Direct, Etcd
from migration.etcd.drill import tools
from migration.etcd.drill.scratch import data
from migration.etcd.drill.tools import Failed, Tools, end, environment, last_words, run
from migration.runtime.deadline import Deadline, Retryable

LOOPBACK = "127.0.0.1"
NAME = "restore-drill"
_STARTS = 3
"""Ports are free when they are looked for, and another process may be quicker."""
_TAKEN = "address already in use"
_PORTS = range(25_000, 30_000)
"""Linux gives ports from 32768 on to whoever dials (ip(7), ip_local_port_range)."""
# etcd's own limit is 2 GiB, beyond which a restored database would refuse its first write.
_LEAST_QUOTA = 8 * 1024**3


class Status(msgspec.Struct, rename="camel"):
    """What `etcdutl snapshot status` reads out of the file: its revision, and how many keys it holds."""

    revision: int
    total_key: int


def status_of(snapshot: Path, by: Tools, made: Path, deadline: Deadline, alive: Callable[[], None]) -> Status:
    """The file's own word, after its database was checked page by page. Raises `Failed`."""
    command = [str(by.etcdutl), "--write-out=json", "snapshot", "status", str(snapshot)]
    said = run(command, made / "status.log", deadline, alive)
    for line in reversed(said.splitlines()):
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(line, type=Status)
    raise Failed(f"`{tools.shown(command)}` says nothing that can be read")


@contextlib.contextmanager
def served(
    snapshot: Path, size: int, by: Tools, made: Path, deadline: Deadline, alive: Callable[[], None]
) -> Generator[tuple[Etcd, str], None, None]:
    """The restored database for the block: a client of it, and its endpoint.

    Other users of this machine reach loopback too, and the database is every Secret: it is served by mutual TLS, with
    one certificate that exists for as long. Raises `Failed` where it can't be restored, or doesn't start.
    """
    trust, tls = mutual_tls(made)
    peer = f"https://{LOOPBACK}:{free_port()}"
    # A token of its own: whatever it could ever reach, it is of no other cluster.
    same = [f"--name={NAME}", f"--data-dir={data(made)}", f"--initial-cluster={NAME}={peer}"]
    same += [f"--initial-advertise-peer-urls={peer}", f"--initial-cluster-token={NAME}-{secrets.token_hex(8)}"]
    run([str(by.etcdutl), "snapshot", "restore", str(snapshot), *same], made / "restore.log", deadline, alive)
    for left in reversed(range(_STARTS)):
        url = f"https://{LOOPBACK}:{free_port()}"
        flags = [*same, *tls, f"--listen-client-urls={url}", f"--advertise-client-urls={url}"]
        flags += [f"--listen-peer-urls={peer}", f"--quota-backend-bytes={max(_LEAST_QUOTA, 2 * size)}"]
        log = made / "etcd.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [str(by.etcd), *flags, "--log-level=warn"],
                env=environment(),
                cwd=made,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        try:
            with Etcd([url], Direct(trust), alive=alive) as etcd:
                try:
                    answers = functools.partial(_answers, etcd, process, log)
                    deadline.until_true(answers, "the restored etcd", alive=alive)
                except Failed:
                    if left and _TAKEN in log.read_text(errors="replace"):
                        peer = f"https://{LOOPBACK}:{free_port()}"
                        continue
                    raise
                yield etcd, url
                return
        finally:
            end(process)


def _answers(etcd: Etcd, process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise Failed(f"the restored etcd ended with status {process.returncode}: {last_words(log)}")
    if etcd.status(etcd.endpoints[0]).leader == "0":
        raise Retryable("it leads nothing yet")
    return True


def free_port() -> int:
    """A port of loopback that nobody listens at, below those that the kernel gives to whoever dials meanwhile."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind((LOOPBACK, port))
            return port
    raise Failed(f"every port of {LOOPBACK} from {_PORTS.start} to {_PORTS.stop - 1} is taken")


def mutual_tls(made: Path) -> tuple[ssl.SSLContext, list[str]]:
    """What a client of an etcd on loopback trusts and shows, and that etcd's flags; keys are made in a folder."""
    key, certificate = _certificate(made)
    trust = ssl.create_default_context(cafile=str(certificate))
    trust.load_cert_chain(str(certificate), str(key))
    flags = [f"--{who}{what}" for who in ("", "peer-") for what in (f"cert-file={certificate}", f"key-file={key}")]
    flags += [f"--{who}trusted-ca-file={certificate}" for who in ("", "peer-")]
    return trust, [*flags, "--client-cert-auth", "--peer-client-cert-auth"]


def _certificate(made: Path) -> tuple[Path, Path]:
    """Key and certificate of server and client alike, which is its own authority, for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))]), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    paths = made / "tls.key", made / "tls.crt"
    for path in paths:
        path.touch(mode=0o600)
    paths[0].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    paths[1].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return paths
