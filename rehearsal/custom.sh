#!/bin/bash
# A new member's user data, as an operator of the lab's cluster of layout custom would write it: the old members' script,
# which finds the volume, the names and the ticket of this program's members (docs/control-plane.md, custom).
set -u
export MEMBER={{ member }} CLUSTER={{ cluster }} REGION={{ region }} TICKET={{ ticket_parameter }}
export CERTIFICATES={{ certificates }} API_NAMES={{ api_names }}
export API_PORT={{ api_port }} CLIENT_PORT={{ client_port }} PEER_PORT={{ peer_port }}
mkdir -p /srv/kube/tls /srv/etcd /opt/ops /etc/systemd/system

cat > /opt/ops/member.py <<'END'
import base64, datetime, ipaddress, json, os, ssl, subprocess, sys, time, urllib.request
import boto3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

TLS, DISK, DEVICE, ENV = "/srv/kube/tls", "/srv/etcd", "/dev/sdg", "/srv/kube/member.env"
DB, JOINED, PEERS = (f"{DISK}/{name}" for name in ("db", "membership", "peers"))
MEMBER, CLUSTER = os.environ["MEMBER"], os.environ["CLUSTER"]
API, CLIENT, PEER = (os.environ[f"{name}_PORT"] for name in ("API", "CLIENT", "PEER"))
IMDS = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
ssm, ec2 = (boto3.client(name, region_name=os.environ["REGION"]) for name in ("ssm", "ec2"))


def imds(path):
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    ask = urllib.request.Request(f"{IMDS}/latest/api/token", method="PUT", headers=headers)
    token = urllib.request.urlopen(ask, timeout=5).read().decode()
    ask = urllib.request.Request(f"{IMDS}/latest/meta-data/{path}", headers={"X-aws-ec2-metadata-token": token})
    return urllib.request.urlopen(ask, timeout=5).read().decode()


IP = imds("local-ipv4")
URL = f"https://{IP}:{PEER}"


def until(attempt):
    while not (found := attempt()):
        time.sleep(0.5)
    return found


def parameter(name):
    try:
        return ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        return None


def held(name):
    return parameter(f"{os.environ['CERTIFICATES'].removeprefix('ssm:')}/{name}")


def write(path, text, mode=0o600):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as out:
        out.write(text if isinstance(text, bytes) else text.encode())


def own_volume():
    tags = {"tag:migration:cluster": CLUSTER, "tag:migration:member": MEMBER}
    filters = [{"Name": key, "Values": [value]} for key, value in tags.items()]
    instance = imds("instance-id")

    def attached():
        found = ec2.describe_volumes(Filters=filters)["Volumes"]
        if len(found) != 1:
            return False
        places = found[0]["Attachments"]
        if not places:
            try:
                ec2.attach_volume(VolumeId=found[0]["VolumeId"], InstanceId=instance, Device=DEVICE)
            except Exception as error:
                print("attach:", error, flush=True)
            return False
        return places[0]["InstanceId"] == instance and places[0]["State"] == "attached"

    def mounted():
        # Only a blank one is formatted: 2 says that nothing was found.
        if subprocess.call(["blkid", "-p", DEVICE]) == 2:
            subprocess.call(["mkfs.ext4", "-q", DEVICE])
        return subprocess.call(["mount", DEVICE, DISK]) == 0

    if subprocess.call(["mountpoint", "-q", DISK]) != 0:
        until(attached)
        until(mounted)
    os.makedirs(DB, mode=0o700, exist_ok=True)


class Authority:
    def __init__(self, name):
        self.pem = held(f"{name}.crt").encode()
        self.certificate = x509.load_pem_x509_certificate(self.pem)
        self.signer = serialization.load_pem_private_key(held(f"{name}.key").encode(), None)

    def issue(self, cn, org=None, sans=(), server=False):
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, org)] if org else []
        uses = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = x509.CertificateBuilder(
            self.certificate.subject, x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, cn)]),
            key.public_key(), x509.random_serial_number(), now - datetime.timedelta(hours=1),
            now + datetime.timedelta(days=365),
        ).add_extension(x509.ExtendedKeyUsage(uses), False)
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName([san(one) for one in sans]), False)
        form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        pem = builder.sign(self.signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return pem, key.private_bytes(serialization.Encoding.PEM, *form)

    def pair(self, name, *about, **more):
        certificate, key = self.issue(*about, **more)
        write(f"{TLS}/{name}.crt", certificate, 0o644)
        write(f"{TLS}/{name}.key", key)


def san(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def kubeconfig(name, ca):
    certificate, key, root = (base64.b64encode(one).decode() for one in (*ca.issue(f"system:kube-{name}"), ca.pem))
    server = {"server": f"https://{IP}:{API}", "certificate-authority-data": root}
    user = {"client-certificate-data": certificate, "client-key-data": key}
    write(f"/srv/kube/{name}.conf", json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "own",
        "clusters": [{"name": "own", "cluster": server}], "users": [{"name": "own", "user": user}],
        "contexts": [{"name": "own", "context": {"cluster": "own", "user": "own"}}]}))


def certificates():
    own = [IP, "127.0.0.1", "localhost"]
    ca, etcd, proxy = (Authority(name) for name in ("ca", "etcd-ca", "front-proxy-ca"))
    for name, authority in (("kube-ca", ca), ("etcd-ca", etcd), ("proxy-ca", proxy)):
        write(f"{TLS}/{name}.pem", authority.pem, 0o644)
    for name in ("sa.key", "sa.pub"):
        write(f"{TLS}/{name}", held(name))
    write("/srv/kube/encryption.yaml", held("encryption.yaml"))
    ca.pair("api", "kube-apiserver", sans=[*os.environ["API_NAMES"].split(","), *own], server=True)
    ca.pair("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
    proxy.pair("proxy-client", "front-proxy-client")
    etcd.pair("etcd-client", "kube-apiserver-etcd-client")
    etcd.pair("etcd", MEMBER, sans=own, server=True)
    for name in ("controller-manager", "scheduler"):
        kubeconfig(name, ca)


def ask(ip, path, body):
    trust = ssl.create_default_context(cafile=f"{TLS}/etcd-ca.pem")
    trust.load_cert_chain(f"{TLS}/etcd-client.crt", f"{TLS}/etcd-client.key")
    asked = urllib.request.Request(f"https://{ip}:{CLIENT}/v3/{path}", json.dumps(body).encode())
    return json.load(urllib.request.urlopen(asked, timeout=3, context=trust))


def heal():
    """A machine that was replaced has the data and another address: the others are told before etcd starts."""
    own = [{"Name": "tag:migration:cluster", "Values": [CLUSTER]},
           {"Name": "instance-state-name", "Values": ["running"]}]
    found = [one["PrivateIpAddress"] for some in ec2.describe_instances(Filters=own)["Reservations"]
             for one in some["Instances"]]
    # And those it joined, which may be old members without such a tag.
    found += json.load(open(PEERS)) if os.path.exists(PEERS) else []
    for other in dict.fromkeys(found):
        try:
            for one in ask(other, "cluster/member/list", {})["members"] if other != IP else ():
                if one.get("name") == MEMBER and one["peerURLs"] != [URL]:
                    ask(other, "cluster/member/update", {"ID": one["ID"], "peerURLs": [URL]})
        except (OSError, ValueError) as error:
            print(f"etcd at {other}: {error}", flush=True)


def ticket():
    return json.loads(parameter(os.environ["TICKET"]) or "{}")


def join():
    """etcd with exactly its ticket, or with the data of that very membership; data of another goes aside."""
    joined = open(JOINED).read() if os.path.exists(JOINED) else ""
    wanted = ticket().get("member_id")
    if joined and wanted and joined != wanted and os.path.exists(f"{DB}/member"):
        os.rename(DB, f"{DB}.{joined}")
        os.makedirs(DB, mode=0o700)
    told = f"ADDRESS={IP}\nNAME={MEMBER}\n"
    if not os.path.exists(f"{DB}/member"):
        found = until(ticket)
        write(JOINED, joined := found["member_id"])
        hosts = [one.partition("=https://")[2].rpartition(":")[0] for one in found["initial_cluster"].split(",")]
        write(PEERS, json.dumps(hosts))
        told += f"ETCD_INITIAL_CLUSTER={found['initial_cluster']}\nETCD_INITIAL_CLUSTER_STATE={found['state']}\n"
    write(ENV, told, 0o644)
    subprocess.check_call(["systemctl", "daemon-reload"])
    subprocess.check_call(["systemctl", "enable", "--now", "etcd-member"])
    return joined


def votes():
    try:
        status = ask(IP, "maintenance/status", {})
    except (OSError, ValueError):
        return False
    return not status.get("isLearner") and status.get("leader", "0") != "0"


if not os.path.exists(f"{TLS}/etcd-client.key"):
    certificates()
own_volume()
if os.path.exists(f"{DB}/member"):
    heal()
joined = join()
while not votes():
    if joined and ticket().get("member_id", joined) != joined:
        subprocess.check_call(["systemctl", "stop", "etcd-member"])
        joined = join()
    time.sleep(0.5)
END

cat > /etc/systemd/system/etcd-member.service <<'END'
[Service]
EnvironmentFile=/srv/kube/member.env
ExecStart=/usr/local/bin/etcd --name=${NAME} --data-dir=/srv/etcd/db --log-level=warn \
  --listen-client-urls=https://${ADDRESS}:{{ client_port }},https://127.0.0.1:{{ client_port }} \
  --advertise-client-urls=https://${ADDRESS}:{{ client_port }} \
  --listen-peer-urls=https://${ADDRESS}:{{ peer_port }} --initial-advertise-peer-urls=https://${ADDRESS}:{{ peer_port }} \
  --cert-file=/srv/kube/tls/etcd.crt --key-file=/srv/kube/tls/etcd.key \
  --trusted-ca-file=/srv/kube/tls/etcd-ca.pem --client-cert-auth \
  --peer-cert-file=/srv/kube/tls/etcd.crt --peer-key-file=/srv/kube/tls/etcd.key \
  --peer-trusted-ca-file=/srv/kube/tls/etcd-ca.pem --peer-client-cert-auth
Restart=always
RestartSec=2
END

cat > /etc/systemd/system/apiserver.service <<'END'
[Service]
EnvironmentFile=/srv/kube/member.env
ExecStart=/usr/local/bin/kube-apiserver --advertise-address=${ADDRESS} --secure-port={{ api_port }} \
  --etcd-servers=https://127.0.0.1:{{ client_port }} --etcd-cafile=/srv/kube/tls/etcd-ca.pem \
  --etcd-certfile=/srv/kube/tls/etcd-client.crt --etcd-keyfile=/srv/kube/tls/etcd-client.key \
  --client-ca-file=/srv/kube/tls/kube-ca.pem \
  --tls-cert-file=/srv/kube/tls/api.crt --tls-private-key-file=/srv/kube/tls/api.key \
  --kubelet-client-certificate=/srv/kube/tls/kubelet-client.crt \
  --kubelet-client-key=/srv/kube/tls/kubelet-client.key \
  --proxy-client-cert-file=/srv/kube/tls/proxy-client.crt --proxy-client-key-file=/srv/kube/tls/proxy-client.key \
  --requestheader-client-ca-file=/srv/kube/tls/proxy-ca.pem --requestheader-allowed-names=front-proxy-client \
  --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
  --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=/srv/kube/tls/sa.pub \
  --service-account-signing-key-file=/srv/kube/tls/sa.key --service-cluster-ip-range=172.20.0.0/16 \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
  --encryption-provider-config=/srv/kube/encryption.yaml --endpoint-reconciler-type=lease \
  --goaway-chance=0.001 --shutdown-delay-duration=3s --shutdown-watch-termination-grace-period=2s \
  --allow-privileged=true --profiling=false
Restart=always
RestartSec=2
TimeoutStopSec=30
END

cat > /etc/systemd/system/controllers.service <<'END'
[Service]
ExecStart=/usr/local/bin/kube-controller-manager --kubeconfig=/srv/kube/controller-manager.conf \
  --authentication-kubeconfig=/srv/kube/controller-manager.conf \
  --authorization-kubeconfig=/srv/kube/controller-manager.conf --client-ca-file=/srv/kube/tls/kube-ca.pem \
  --requestheader-client-ca-file=/srv/kube/tls/proxy-ca.pem --root-ca-file=/srv/kube/tls/kube-ca.pem \
  --service-account-private-key-file=/srv/kube/tls/sa.key --use-service-account-credentials=true \
  --allocate-node-cidrs=false --cluster-name={{ cluster }} --leader-elect=true \
  --node-monitor-grace-period=5m --kube-api-qps=200 --kube-api-burst=400 --profiling=false
Restart=always
RestartSec=2
END

cat > /etc/systemd/system/scheduler.service <<'END'
[Service]
ExecStart=/usr/local/bin/kube-scheduler --kubeconfig=/srv/kube/scheduler.conf \
  --authentication-kubeconfig=/srv/kube/scheduler.conf --authorization-kubeconfig=/srv/kube/scheduler.conf \
  --client-ca-file=/srv/kube/tls/kube-ca.pem --requestheader-client-ca-file=/srv/kube/tls/proxy-ca.pem \
  --leader-elect=true --kube-api-qps=200 --kube-api-burst=400 --profiling=false
Restart=always
RestartSec=2
END

python3 /opt/ops/member.py || exit 1
systemctl enable --now apiserver controllers scheduler
