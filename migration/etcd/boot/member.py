#!/usr/bin/env python3
"""Brings a control-plane member to life: volume, keys, certificates, join ticket, services; may run again any time.

Runs on the machine itself with the image's python3, boto3 and cryptography. Nothing but this service starts etcd,
and the API server starts only once this member has a vote (a learner refuses what an API server asks).
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import pathlib
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

IDENTITY: dict[str, Any] = json.loads(pathlib.Path("/etc/kubernetes/member.json").read_text())
PORTS: dict[str, int] = IDENTITY["ports"]
ETC = pathlib.Path("/etc/kubernetes")
PKI = ETC / "pki"
ETCD = pathlib.Path("/var/lib/etcd")
JOINED = ETCD / "membership"  # whose data lies beside it: an id of etcd's
DEVICE = "/dev/xvdf"
METADATA = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
SERVERS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
YEAR = timedelta(days=365)
T = TypeVar("T")


def log(text: str) -> None:
    print(f"member-boot: {text}", flush=True)


def wait_for(what: str, attempt: Callable[[], T | None], pause: float = 0.5) -> T:
    """Until `attempt` gives something; the service is restarted if it ends, so there is no deadline here."""
    told = False
    while True:
        try:
            found = attempt()
        except (BotoCoreError, ClientError, OSError) as error:
            log(f"{what}: {error}")
            found = None
        if found:
            return found
        if not told:
            log(f"waiting for {what}")
            told = True
        time.sleep(pause)


def metadata(path: str) -> str:
    """IMDSv2 only: a token first."""
    token = urllib.request.Request(
        f"{METADATA}/latest/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "300"}
    )
    with urllib.request.urlopen(token, timeout=5) as answer:
        headers = {"X-aws-ec2-metadata-token": answer.read().decode()}
    with urllib.request.urlopen(
        urllib.request.Request(f"{METADATA}/latest/meta-data/{path}", headers=headers), timeout=5
    ) as answer:
        return answer.read().decode()


def parameter(ssm: Any, name: str) -> str | None:
    try:
        return ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        return None


def put(path: pathlib.Path, content: str | bytes, mode: int = 0o600) -> None:
    """Whole or not at all, never readable by others for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as sink:
        sink.write(content if isinstance(content, bytes) else content.encode())
    fresh.replace(path)


def own_volume(ec2: Any, instance: str) -> None:
    """This member's own volume, found by tag, attached here, formatted if blank, mounted."""
    tags = [{"Name": f"tag:{key}", "Values": [value]} for key, value in IDENTITY["volume_tags"].items()]

    def attached() -> str | None:
        volumes = ec2.describe_volumes(Filters=tags)["Volumes"]
        if len(volumes) != 1:
            log(f"{len(volumes)} volumes carry {IDENTITY['volume_tags']}, one is wanted")
            return None
        where = [a["InstanceId"] for a in volumes[0]["Attachments"] if a["State"] != "detached"]
        if not where:
            ec2.attach_volume(VolumeId=volumes[0]["VolumeId"], InstanceId=instance, Device=DEVICE)
            return None
        return volumes[0]["VolumeId"] if where == [instance] and volumes[0]["State"] == "in-use" else None

    def mounted() -> bool:
        if subprocess.run(["mountpoint", "-q", str(ETCD)]).returncode == 0:
            return True
        if subprocess.run(["blkid", DEVICE], stdout=subprocess.DEVNULL).returncode != 0:
            subprocess.run(["mkfs.ext4", "-q", DEVICE], check=False)
        return subprocess.run(["mount", DEVICE, str(ETCD)]).returncode == 0

    wait_for("the volume", attached)
    ETCD.mkdir(parents=True, exist_ok=True)
    wait_for("the mount", mounted)
    (ETCD / "data").mkdir(mode=0o700, exist_ok=True)


def subject_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class Authority:
    """One of the cluster's CAs. Its key is read for this boot only and is never written to this machine."""

    def __init__(self, ssm: Any, name: str) -> None:
        prefix = f"/{IDENTITY['cluster']}/pki/{name}"
        self.pem = wait_for(f"{prefix}.crt", lambda: parameter(ssm, f"{prefix}.crt"))
        self._certificate = x509.load_pem_x509_certificate(self.pem.encode())
        key = wait_for(f"{prefix}.key", lambda: parameter(ssm, f"{prefix}.key"))
        loaded = serialization.load_pem_private_key(key.encode(), password=None)
        if not isinstance(loaded, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
            sys.exit(f"{prefix}.key is neither an EC nor an RSA key")
        self._key = loaded

    def certify(
        self, name: str, group: str | None = None, names: Iterable[str] = (), server: bool = False
    ) -> tuple[bytes, bytes]:
        """A fresh key and its certificate, both PEM. Every certificate is a client's; `server` adds the other use."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if group:
            subject.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if server else [])
        now = datetime.now(timezone.utc)  # noqa: UP017 - an image may bring Python 3.9
        builder = x509.CertificateBuilder(
            issuer_name=self._certificate.subject,
            subject_name=x509.Name(subject),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(minutes=10),
            not_valid_after=now + YEAR,
        ).add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        if names:
            wanted = [subject_name(item) for item in dict.fromkeys(names)]
            builder = builder.add_extension(x509.SubjectAlternativeName(wanted), critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        return (
            signed.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )


def make_pki(ssm: Any, address: str) -> None:
    """Keys are made here and stay here; what is there already is left alone, so a restart changes no certificate."""
    done = PKI / "complete"
    if done.exists():
        return
    cluster, etcd, proxy = Authority(ssm, "ca"), Authority(ssm, "etcd-ca"), Authority(ssm, "front-proxy-ca")
    # Kubernetes advertises no loopback address: a rehearsal on one machine writes it as 10.x.
    advertised = f"10.{address.split('.', 1)[1]}" if address.startswith("127.") else address
    own = [address, advertised, "127.0.0.1", "localhost"]
    issued = {
        "apiserver": cluster.certify("kube-apiserver", names=[*IDENTITY["api_names"], *own], server=True),
        "apiserver-kubelet-client": cluster.certify("kube-apiserver-kubelet-client", group="system:masters"),
        "front-proxy-client": proxy.certify("front-proxy-client"),
        "apiserver-etcd-client": etcd.certify("kube-apiserver-etcd-client"),
        # The JSON gateway uses the server's certificate as a client: hence both uses.
        "etcd/server": etcd.certify(IDENTITY["member"], names=own, server=True),
        "etcd/peer": etcd.certify(IDENTITY["member"], names=[address], server=True),
    }
    for name, (certificate, key) in issued.items():
        put(PKI / f"{name}.crt", certificate, 0o644)
        put(PKI / f"{name}.key", key)
    for name, authority in (("ca", cluster), ("etcd/ca", etcd), ("front-proxy-ca", proxy)):
        put(PKI / f"{name}.crt", authority.pem, 0o644)
    for target, source in ((PKI / "sa.key", "sa.key"), (PKI / "sa.pub", "sa.pub"),
                           (ETC / "encryption.yaml", "encryption.yaml")):  # fmt: skip
        name = f"/{IDENTITY['cluster']}/pki/{source}"
        put(target, wait_for(name, lambda name=name: parameter(ssm, name)))
    for name in ("controller-manager", "scheduler"):
        certificate, key = cluster.certify(f"system:kube-{name}")
        put(ETC / f"{name}.kubeconfig", kubeconfig(address, cluster.pem.encode(), certificate, key))
    put(done, "")


def kubeconfig(address: str, authority: bytes, certificate: bytes, key: bytes) -> str:
    """To this machine's own API server; JSON is YAML."""
    text = {name: base64.b64encode(value).decode() for name, value in
            (("ca", authority), ("certificate", certificate), ("key", key))}  # fmt: skip
    server = {"server": f"https://{address}:{PORTS['api']}", "certificate-authority-data": text["ca"]}
    user = {"client-certificate-data": text["certificate"], "client-key-data": text["key"]}
    return json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "own",
        "clusters": [{"name": "own", "cluster": server}],
        "users": [{"name": "own", "user": user}],
        "contexts": [{"name": "own", "context": {"cluster": "own", "user": "own"}}],
    })  # fmt: skip


def votes(address: str) -> bool:
    """Whether this member is started and no learner any more; asked of its own etcd."""
    trust = ssl.create_default_context(cafile=str(PKI / "etcd/ca.crt"))
    trust.load_cert_chain(str(PKI / "apiserver-etcd-client.crt"), str(PKI / "apiserver-etcd-client.key"))
    url = f"https://{address}:{PORTS['clients']}/v3/maintenance/status"
    ask = urllib.request.Request(url, data=b"{}", method="POST")
    try:
        with urllib.request.urlopen(ask, timeout=3, context=trust) as answer:
            status = json.load(answer)
    except (OSError, ValueError):
        return False
    return not status.get("isLearner", False) and status.get("leader", "0") != "0"


def ticket(ssm: Any) -> dict[str, str] | None:
    """The join ticket as it is now, or None."""
    text = parameter(ssm, IDENTITY["ticket_parameter"])
    return json.loads(text) if text else None


def set_aside(wanted: dict[str, str] | None) -> None:
    """A data directory of another membership stops etcd from joining; it is moved, never deleted.

    Which membership it is of stands beside it. Without that, or without a ticket that says, it is taken as ours.
    """
    member = (wanted or {}).get("member_id")
    if not member or not JOINED.exists() or not (ETCD / "data" / "member").exists():
        return
    joined = JOINED.read_text()
    if joined != member:
        log(f"the data of membership {joined} goes aside, this is {member}")
        (ETCD / "data").rename(ETCD / f"data.{joined}")
        (ETCD / "data").mkdir(mode=0o700)


def join(ssm: Any, address: str) -> str:
    """etcd with the ticket's cluster list; a member that was in before needs no ticket: its data knows.

    Returns the id of the membership that etcd was started for, empty if that isn't known.
    """
    settings = {
        "PRIVATE_IP": address,
        "MEMBER_NAME": IDENTITY["member"],
        "ETCD_INITIAL_CLUSTER": f"{IDENTITY['member']}=https://{address}:{PORTS['peers']}",
        "ETCD_INITIAL_CLUSTER_STATE": "existing",
        "API_ETCD_SERVERS": f"https://127.0.0.1:{PORTS['clients']}",
    }
    found = wait_for("the tickets", lambda: (ticket(ssm),))[0]
    set_aside(found)
    if not (ETCD / "data" / "member").exists():
        if found is None:
            found = wait_for(f"the join ticket {IDENTITY['ticket_parameter']}", lambda: ticket(ssm))
        settings["ETCD_INITIAL_CLUSTER"] = found["initial_cluster"]
        settings["ETCD_INITIAL_CLUSTER_STATE"] = found["state"]
        put(JOINED, found.get("member_id", ""))
    put(ETC / "member.env", "".join(f"{key}={value}\n" for key, value in settings.items()), 0o644)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "start", "etcd"], check=True)
    return JOINED.read_text() if JOINED.exists() else ""


def vote(ssm: Any, address: str) -> None:
    """Until this member votes. If it was taken out and added anew meanwhile, it begins again as the new one."""
    membership = join(ssm, address)
    while not votes(address):
        found = ticket(ssm) or {}
        if membership and found.get("member_id") and found["member_id"] != membership:
            subprocess.run(["systemctl", "stop", "etcd"], check=True)
            membership = join(ssm, address)
        time.sleep(0.5)


def main() -> None:
    address = wait_for("this machine's metadata", lambda: metadata("local-ipv4"))
    session: Any = boto3.Session(region_name=IDENTITY["region"])
    ssm = session.client("ssm")
    own_volume(session.client("ec2"), metadata("instance-id"))
    make_pki(ssm, address)
    vote(ssm, address)
    for name in SERVERS:
        subprocess.run(["systemctl", "start", name], check=True)
    log(f"{IDENTITY['member']} serves on {address}")


if __name__ == "__main__":
    sys.exit(main())
