#!/usr/bin/env python3
"""Brings a control-plane member to life: volume, keys, certificates, join ticket, services; may run again any time.

Runs on the machine itself with the image's python3, boto3 and cryptography. Nothing but this service starts etcd,
and the API server starts only once this member has a vote (a learner refuses what an API server asks).
`member-boot renew`, by a timer, gives certificates a new year before they end.
"""

from __future__ import annotations

import base64
import hashlib
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
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

IDENTITY: dict[str, Any] = json.loads(
    pathlib.Path(os.environ.get("MEMBER_IDENTITY", "/etc/kubernetes/member.json")).read_text()
)
PORTS: dict[str, int] = IDENTITY["ports"]
# Everything below is as the identity says; what it leaves out is where kubeadm has it.
PATHS: dict[str, str] = IDENTITY.get("paths", {})
UNITS: dict[str, str] = IDENTITY.get("units", {})
HELD: dict[str, str] = IDENTITY.get("pki", {})
ENVIRONMENT = pathlib.Path(PATHS.get("environment", "/etc/kubernetes/member.env"))
ETC = pathlib.Path("/etc/kubernetes")
PKI = pathlib.Path(PATHS.get("pki", "/etc/kubernetes/pki"))
VOLUME = pathlib.Path(PATHS.get("mount", "/var/lib/etcd"))
DATA = pathlib.Path(PATHS.get("data", "/var/lib/etcd/data"))
JOINED = VOLUME / "membership"  # whose data is on the volume: an id of etcd's
PEERS = VOLUME / "peers"  # addresses of the members at the time it joined
DEVICE = PATHS.get("device", "/dev/xvdf")
MOVES = bool(IDENTITY.get("volume_moves"))  # the volume comes from the machine before, with a member's data
HOLDER = VOLUME / "holder"  # the machine that it was handed to last, and whose ticket was taken
MOVED = "migration:moved-volume"  # the tag of a volume that was handed on: to which machine
NEW_VOLUME = "migration:new-volume"  # the tag of a volume that was made for this member, and may be formatted
BLANK_BYTES = 1 << 20  # no file system, partition table or RAID begins further in
METADATA = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
SERVERS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
CLIENTS = ("controller-manager", "scheduler")
CLIENT = "apiserver-etcd-client"  # what etcd is asked with; renewed last
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


def unit(role: str) -> str:
    """What the systemd unit of a program is called here."""
    return UNITS.get(role, role)


def places(name: str) -> list[pathlib.Path]:
    """Where a file is read here, first the one that counts; none for what the user data brings itself."""
    if name in IDENTITY.get("files", {}):
        return [pathlib.Path(one) for one in IDENTITY["files"][name]]
    return [(ETC if name == "encryption.yaml" or name.endswith(".kubeconfig") else PKI) / name]


def put(path: pathlib.Path, content: str | bytes, mode: int = 0o600) -> None:
    """Whole or not at all, never readable by others for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as sink:
        sink.write(content if isinstance(content, bytes) else content.encode())
    fresh.replace(path)


def blank() -> bool:
    """Whether DEVICE is there and nothing is on it: blkid finds nothing (2 says so, anything else is a failure or a
    find), and its first bytes are read and are zero."""
    probed = subprocess.run(["blkid", "-p", DEVICE], stdout=subprocess.DEVNULL).returncode
    zero = subprocess.run(["cmp", "--quiet", f"--bytes={BLANK_BYTES}", DEVICE, "/dev/zero"]).returncode
    log(f"{DEVICE}: blkid ended with {probed} (2: finds nothing), cmp with {zero} (0: begins with zeroes)")
    return probed == 2 and zero == 0


def own_volume(ec2: Any, instance: str) -> dict[str, Any]:
    """This member's own volume, found by tag, attached here, mounted; formatted only if it is new and blank. One that
    comes along never is."""
    tags = [{"Name": f"tag:{key}", "Values": [value]} for key, value in IDENTITY["volume_tags"].items()]

    def attached() -> dict[str, Any] | None:
        volumes = ec2.describe_volumes(Filters=tags)["Volumes"]
        if MOVES and not volumes:
            return None  # it is another machine's still, for days maybe
        if len(volumes) != 1:
            log(f"{len(volumes)} volumes carry {IDENTITY['volume_tags']}, one is wanted")
            return None
        where = [a["InstanceId"] for a in volumes[0]["Attachments"] if a["State"] != "detached"]
        if not where:
            ec2.attach_volume(VolumeId=volumes[0]["VolumeId"], InstanceId=instance, Device=DEVICE)
            return None
        return volumes[0] if where == [instance] and volumes[0]["State"] == "in-use" else None

    def mounted() -> bool:
        if subprocess.run(["mountpoint", "-q", str(VOLUME)]).returncode == 0:
            return True
        # One that moved along with its member is attached by the name that its last machine had for it.
        names = [DEVICE, *(a["Device"] for a in volume["Attachments"] if a["InstanceId"] == instance)]
        if any(subprocess.run(["mount", name, str(VOLUME)]).returncode == 0 for name in dict.fromkeys(names)):
            return True
        if not new:
            log(f"{DEVICE} can't be mounted, and its volume has no tag {NEW_VOLUME}=true: it isn't formatted")
        elif not blank():
            log(
                f"{DEVICE} can't be mounted and isn't blank: it isn't formatted; look what is on it (blkid -p, hexdump)"
            )
        else:
            log(f"{DEVICE} is new and blank: formatting it")
            subprocess.run(["mkfs.ext4", "-q", DEVICE], check=False)
            return subprocess.run(["mount", DEVICE, str(VOLUME)]).returncode == 0
        time.sleep(3)
        return False

    volume = wait_for("the volume", attached)
    new = not MOVES and {"Key": NEW_VOLUME, "Value": "true"} in volume.get("Tags", [])
    VOLUME.mkdir(parents=True, exist_ok=True)
    wait_for("the mount", mounted)
    if not MOVES:
        DATA.mkdir(mode=0o700, parents=True, exist_ok=True)
    return volume


def subject_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def held(ssm: Any, name: str) -> str:
    """A file of the cluster's PKI from where the identity says, by this machine's role; waited for."""
    source = HELD.get("source", "ssm")
    where = f"{HELD.get('prefix', '/' + IDENTITY['cluster'] + '/pki')}/{name}"

    def found() -> str | None:
        if source == "ssm":
            return parameter(ssm, where)
        session: Any = boto3.Session(region_name=IDENTITY["region"])
        client = session.client("s3" if source == "s3" else "secretsmanager")
        try:
            if source == "s3":
                return client.get_object(Bucket=HELD["bucket"], Key=where)["Body"].read().decode()
            return client.get_secret_value(SecretId=where)["SecretString"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in ("NoSuchKey", "ResourceNotFoundException"):
                raise
            return None

    return wait_for(f"{where} in {source}", found)


class Authority:
    """One of the cluster's CAs. Its key is read for this boot only and is never written to this machine."""

    def __init__(self, ssm: Any, name: str) -> None:
        self.pem = held(ssm, f"{name}.crt")
        self._certificate = x509.load_pem_x509_certificate(self.pem.encode())
        loaded = serialization.load_pem_private_key(held(ssm, f"{name}.key").encode(), password=None)
        if not isinstance(loaded, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
            sys.exit(f"{name}.key is neither an EC nor an RSA key")
        self._key = loaded

    def certify(
        self,
        name: str,
        group: str | None = None,
        names: Iterable[str] = (),
        server: bool = False,
        key: Any = None,
    ) -> tuple[bytes, bytes]:
        """A certificate and its key, a fresh one if none is given, both PEM. Every certificate is a client's; `server`
        adds the other use."""
        key = key or ec.generate_private_key(ec.SECP256R1())
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
            not_valid_after=min(now + YEAR, life(self._certificate)[1]),
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


def life(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    """Its first and last moment; an image's cryptography may be too old for those with a time zone."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    zone = timezone.utc  # noqa: UP017 - as above
    return certificate.not_valid_before.replace(tzinfo=zone), certificate.not_valid_after.replace(tzinfo=zone)


def old_key(path: pathlib.Path) -> Any:
    """The key that is there already, or None. A renewed certificate keeps it, so that whoever reads both at any
    moment reads a pair."""
    return serialization.load_pem_private_key(path.read_bytes(), password=None) if path.exists() else None


def make_pki(ssm: Any, address: str) -> None:
    """Keys are made here and stay here; what is there already is left alone, so a restart changes no certificate."""
    if HELD.get("source") == "image":
        for name in (CLIENT, "etcd/server", "apiserver"):
            path = places(f"{name}.crt")[0]
            wait_for(f"{path}, which the image brings", path.exists)
        return
    done = PKI / "complete"
    if not done.exists():
        issue(ssm, address)
        put(done, "")


def issue(ssm: Any, address: str, before_last: Callable[[], None] = lambda: None) -> None:
    """All certificates anew, with the keys that are there, and what comes from the cluster as it is."""
    cluster, etcd, proxy = Authority(ssm, "ca"), Authority(ssm, "etcd-ca"), Authority(ssm, "front-proxy-ca")
    own = [address, "127.0.0.1", "localhost"]
    member, api = IDENTITY["member"], [*IDENTITY["api_names"], *own]
    written = set[pathlib.Path]()

    def write(name: str, content: str | bytes, mode: int = 0o600) -> None:
        # One file may be read as two things (etcd's own certificate as its peers'): what comes first serves both.
        for path in places(name):
            if path not in written:
                put(path, content, mode)
                written.add(path)

    def pair(path: str, authority: Authority, name: str, **how: Any) -> None:
        file = places(f"{path}.key")[0]
        if file in written:
            return
        certificate, key = authority.certify(name, key=old_key(file), **how)
        write(f"{path}.key", key)
        write(f"{path}.crt", certificate, 0o644)

    pair("apiserver", cluster, "kube-apiserver", names=api, server=True)
    pair("apiserver-kubelet-client", cluster, "kube-apiserver-kubelet-client", group="system:masters")
    pair("front-proxy-client", proxy, "front-proxy-client")
    # The JSON gateway uses the server's certificate as a client: hence both uses.
    pair("etcd/server", etcd, member, names=own, server=True)
    pair("etcd/peer", etcd, member, names=[address], server=True)
    for name, authority in (("ca", cluster), ("etcd/ca", etcd), ("front-proxy-ca", proxy)):
        write(f"{name}.crt", authority.pem, 0o644)
    for name in ("sa.key", "sa.pub", "encryption.yaml"):
        if places(name):
            write(name, held(ssm, name))
    for name in CLIENTS:
        certificate, key = cluster.certify(f"system:kube-{name}")
        write(f"{name}.kubeconfig", kubeconfig(address, cluster.pem.encode(), certificate, key))
    before_last()
    # By its end a renewal tells whether all of this was done.
    pair(CLIENT, etcd, "kube-apiserver-etcd-client")


def due(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether less than a third of its life is left; up to a month later by the member's name, so that not all
    members of a cluster are renewed in one night."""
    begin, end = life(certificate)
    spread = hashlib.sha256(IDENTITY["member"].encode()).digest()[0] / 256
    return end - now < (end - begin) * (1 / 3 - spread / 12)


def renew(ssm: Any, address: str) -> None:
    """New certificates for the same keys, when it is time.

    etcd and the API server read theirs from disk anew (etcd at every handshake, for its peers and clients; the API
    server within a minute for serving, five for its clients), so neither is restarted. The controller manager and the
    scheduler don't: they are, one after the other; another member's takes over meanwhile.
    """
    if HELD.get("source") == "image":
        log("the image brings this member's certificates, and renews them")
        return
    if not (PKI / "complete").exists():
        log("this member has no certificates yet")
        return
    certificate = x509.load_pem_x509_certificate(places(f"{CLIENT}.crt")[0].read_bytes())
    if not due(certificate, datetime.now(timezone.utc)):  # noqa: UP017 - as above
        log(f"certificates are good until {life(certificate)[1]:%Y-%m-%d}")
        return

    def restart() -> None:
        for name in CLIENTS:
            subprocess.run(["systemctl", "try-restart", unit(f"kube-{name}")], check=True)
            time.sleep(30)

    issue(ssm, address, restart)
    log("certificates are renewed")


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


def ask_etcd(address: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """One call of etcd's JSON gateway; raises OSError or ValueError where it isn't answered."""
    trust = ssl.create_default_context(cafile=str(places("etcd/ca.crt")[0]))
    trust.load_cert_chain(str(places(f"{CLIENT}.crt")[0]), str(places(f"{CLIENT}.key")[0]))
    url = f"https://{address}:{PORTS['clients']}/v3/{path}"
    ask = urllib.request.Request(url, data=json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(ask, timeout=3, context=trust) as answer:
        return json.load(answer)


def votes(address: str) -> bool:
    """Whether this member is started and no learner any more; asked of its own etcd."""
    try:
        status = ask_etcd(address, "maintenance/status", {})
    except (OSError, ValueError):
        return False
    return not status.get("isLearner", False) and status.get("leader", "0") != "0"


def others(ec2: Any, address: str) -> list[str]:
    """Addresses where other members may be: this program's machines, and those that were there when this one joined."""
    mine = [{"Name": "tag:migration:cluster", "Values": [IDENTITY["cluster"]]},
            {"Name": "tag:migration:role", "Values": ["control-plane"]},
            {"Name": "instance-state-name", "Values": ["running"]}]  # fmt: skip
    found = [one.get("PrivateIpAddress") for reservation in ec2.describe_instances(Filters=mine)["Reservations"]
             for one in reservation["Instances"]]  # fmt: skip
    before: list[str] = json.loads(PEERS.read_text()) if PEERS.exists() else []
    return [one for one in dict.fromkeys([*found, *before]) if one and one != address]


def heal(ec2: Any, address: str) -> None:
    """A machine that was replaced has the data and another address: the others learn it before etcd starts.

    Only for a voter: etcd may forget that a member is a learner when it is updated (etcd issue 21694), and a swap adds
    a learner anew.
    """
    if not JOINED.exists() or not (DATA / "member").exists():
        return
    joined, url = JOINED.read_text(), f"https://{address}:{PORTS['peers']}"

    def known() -> bool:
        for other in others(ec2, address):
            try:
                members = ask_etcd(other, "cluster/member/list", {"linearizable": True})["members"]
                own = next((one for one in members if one["ID"] == joined), None)
                if own is None:
                    log(f"{joined} isn't in etcd's list: a swap adds this machine anew, or nobody does")
                elif own.get("peerURLs") != [url] and not own.get("isLearner"):
                    ask_etcd(other, "cluster/member/update", {"ID": joined, "peerURLs": [url]})
                    log(f"{joined} is at {url} now, not at {own.get('peerURLs')}")
                return True
            except (OSError, ValueError) as error:
                log(f"etcd at {other}: {error}")
        return False

    # Members that come up all at once can't answer each other, and needn't: their data knows their addresses.
    for _ in range(10):
        if known():
            return
        time.sleep(1)
    log("no other member says where this one should be: starting as the data says")


def ticket(ssm: Any) -> dict[str, str] | None:
    """The join ticket as it is now, or None."""
    text = parameter(ssm, IDENTITY["ticket_parameter"])
    return json.loads(text) if text else None


def take_over(ssm: Any, instance: str, volume: dict[str, Any]) -> None:
    """Data that came along is started here only by a ticket that names this machine, this volume and the member: then
    nobody else has it, and etcd's list says where this machine is. Once that is so, a restart or the machine that
    replaces this one needs no ticket."""
    tags = {one["Key"]: one["Value"] for one in volume.get("Tags", [])}
    if HOLDER.exists() and HOLDER.read_text() == tags.get(MOVED):
        return

    def meant() -> dict[str, str] | None:
        found = ticket(ssm) or {}
        if (found.get("instance"), found.get("volume")) != (instance, volume["VolumeId"]):
            return None
        if (DATA / "member").exists():
            return found
        log(f"{volume['VolumeId']} holds no data of etcd's in {DATA}: nothing is started")
        time.sleep(3)
        return None

    found = wait_for(f"a ticket for {instance} with {volume['VolumeId']}", meant)
    put(JOINED, found["member_id"])
    put(PEERS, peers(found))
    put(HOLDER, instance)


def peers(found: dict[str, str]) -> str:
    urls = [part.partition("=")[2] for part in found["initial_cluster"].split(",")]
    return json.dumps([urlsplit(url).hostname for url in urls])


def set_aside(wanted: dict[str, str] | None) -> None:
    """A data directory of another membership stops etcd from joining; it is moved, never deleted.

    Which membership it is of stands beside it. Without that, or without a ticket that says, it is taken as ours.
    """
    member = (wanted or {}).get("member_id")
    if not member or not JOINED.exists() or not (DATA / "member").exists():
        return
    joined = JOINED.read_text()
    if joined != member:
        log(f"the data of membership {joined} goes aside, this is {member}")
        # A volume that is mounted at the directory itself can't be moved: then what is in it is.
        moved = DATA / "member" if DATA == VOLUME else DATA
        moved.rename(moved.with_name(f"{moved.name}.{joined}"))
        DATA.mkdir(mode=0o700, exist_ok=True)


def start_unit(settings: dict[str, str]) -> None:
    """etcd as a unit of systemd, which reads these variables."""
    put(ENVIRONMENT, "".join(f"{key}={value}\n" for key, value in settings.items()), 0o644)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "start", unit("etcd")], check=True)


def stop_unit() -> None:
    subprocess.run(["systemctl", "stop", unit("etcd")], check=True)


def join(ssm: Any, address: str, start: Callable[[dict[str, str]], None] = start_unit) -> str:
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
    if not (DATA / "member").exists():
        if found is None:
            found = wait_for(f"the join ticket {IDENTITY['ticket_parameter']}", lambda: ticket(ssm))
        settings["ETCD_INITIAL_CLUSTER"] = found["initial_cluster"]
        settings["ETCD_INITIAL_CLUSTER_STATE"] = found["state"]
        put(JOINED, found.get("member_id", ""))
        put(PEERS, peers(found))
    settings.update({name: settings[meaning] for name, meaning in IDENTITY.get("variables", {}).items()})
    start(settings)
    return JOINED.read_text() if JOINED.exists() else ""


def vote(
    ssm: Any,
    address: str,
    start: Callable[[dict[str, str]], None] = start_unit,
    stop: Callable[[], None] = stop_unit,
) -> None:
    """Until this member votes. If it was taken out and added anew meanwhile, it begins again as the new one."""
    membership = join(ssm, address, start)
    while not votes(address):
        found = ticket(ssm) or {}
        if membership and found.get("member_id") and found["member_id"] != membership:
            stop()
            membership = join(ssm, address, start)
        time.sleep(0.5)


def main() -> None:
    address = wait_for("this machine's metadata", lambda: metadata("local-ipv4"))
    session: Any = boto3.Session(region_name=IDENTITY["region"])
    ssm, ec2 = session.client("ssm"), session.client("ec2")
    if sys.argv[1:] == ["renew"]:
        renew(ssm, address)
        return
    make_pki(ssm, address)
    instance = metadata("instance-id")
    volume = own_volume(ec2, instance)
    if MOVES:
        take_over(ssm, instance, volume)
    heal(ec2, address)
    vote(ssm, address)
    for name in SERVERS:
        subprocess.run(["systemctl", "start", unit(name)], check=True)
    log(f"{IDENTITY['member']} serves on {address}")


if __name__ == "__main__":
    sys.exit(main())
