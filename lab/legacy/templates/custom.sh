#!/bin/bash
# ops/control-plane/user-data.sh: the whole machine, in one script.
set -u
export MEMBER=@MEMBER@ CLUSTER=@CLUSTER@
mkdir -p /srv/kube/tls /opt/ops /etc/systemd/system

base64 -d <<'END' | gunzip > /opt/ops/machine.py
@LIBRARY@
END

cat > /opt/ops/prepare.py <<'END'
import os, sys
sys.path.insert(0, "/opt/ops")
from machine import Etcd, Machine, kubeconfig, until, write

TLS, DISK = "/srv/kube/tls", "/srv/etcd"
member, cluster = os.environ["MEMBER"], os.environ["CLUSTER"]
machine = Machine(cluster, f"/{cluster}/tls")
machine.mount_volume({"ops/etcd-disk": member, "KubernetesCluster": cluster}, "/dev/sdg", DISK)
os.makedirs(f"{DISK}/db", mode=0o700, exist_ok=True)
ca, etcd, proxy = (machine.authority(name) for name in ("ca", "etcd-ca", "front-proxy-ca"))
for name, authority in (("kube-ca", ca), ("etcd-ca", etcd), ("proxy-ca", proxy)):
    write(f"{TLS}/{name}.pem", authority.pem, 0o644)
for name in ("sa.key", "sa.pub"):
    write(f"{TLS}/{name}", machine.key(name))
write("/srv/kube/encryption.yaml", machine.key("encryption.yaml"))
names = ["@API_NAMES@", machine.ip, "127.0.0.1", "localhost"]
ca.pair(f"{TLS}/api", "kube-apiserver", server=True, client=False, sans=names)
ca.pair(f"{TLS}/kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
proxy.pair(f"{TLS}/proxy-client", "front-proxy-client")
etcd.pair(f"{TLS}/etcd-client", "kube-apiserver-etcd-client")
etcd.pair(f"{TLS}/etcd", member, sans=[machine.ip, "127.0.0.1", "localhost"], server=True)
for name in ("controller-manager", "scheduler"):
    kubeconfig(f"/srv/kube/{name}.conf", f"https://{machine.ip}:8443", ca, f"system:kube-{name}")
if os.path.exists(f"{DISK}/db/member"):
    client = Etcd(12379, f"{TLS}/etcd-ca.pem", f"{TLS}/etcd-client.crt", f"{TLS}/etcd-client.key")
    until(600, "known at this address", lambda: client.known_at(
        f"https://{machine.ip}:12380", member, machine.ip, machine.addresses("k8s.io/role/master")))
members = until(600, "the initial cluster", lambda: machine.parameter(f"/{cluster}/etcd/initial-cluster"))
write("/srv/kube/member.env", f"ADDRESS={machine.ip}\nNAME={member}\nETCD_INITIAL_CLUSTER={members}\n", 0o644)
END

cat > /etc/systemd/system/etcd-member.service <<'END'
[Service]
EnvironmentFile=/srv/kube/member.env
ExecStart=/usr/local/bin/etcd --name=${NAME} --data-dir=/srv/etcd/db --log-level=warn \
  --listen-client-urls=https://${ADDRESS}:12379,https://127.0.0.1:12379 \
  --advertise-client-urls=https://${ADDRESS}:12379 \
  --listen-peer-urls=https://${ADDRESS}:12380 --initial-advertise-peer-urls=https://${ADDRESS}:12380 \
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
ExecStart=/usr/local/bin/kube-apiserver --advertise-address=${ADDRESS} --secure-port=8443 \
  --etcd-servers=https://127.0.0.1:12379 --etcd-cafile=/srv/kube/tls/etcd-ca.pem \
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
  --allocate-node-cidrs=false --cluster-cidr=@POD_CIDR@ --cluster-name=@CLUSTER@ --leader-elect=true \
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

python3 /opt/ops/prepare.py || exit 1
systemctl daemon-reload
systemctl enable --now etcd-member
python3 - <<'END' || exit 1
import sys
sys.path.insert(0, "/opt/ops")
from machine import Etcd, until, variables
tls, own = "/srv/kube/tls", variables("/srv/kube/member.env")["ADDRESS"]
client = Etcd(12379, f"{tls}/etcd-ca.pem", f"{tls}/etcd-client.crt", f"{tls}/etcd-client.key")
until(600, "etcd healthy", lambda: client.healthy(own))
END
systemctl enable --now apiserver controllers scheduler
