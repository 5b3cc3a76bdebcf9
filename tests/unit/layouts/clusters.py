"""Control planes as people have them: the same one under today's names, and under others throughout."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import yaml

from lab.machines import cloudinit
from migration.layouts.contract import Evidence, GroupSeen, MemberIdentity

IDENTITY = MemberIdentity(
    cluster="pet",
    member="master-a-main",
    region="eu-central-1",
    ticket_parameter="/pet/t",
    api_port=6443,
    client_port=2379,
    peer_port=2380,
)
# Units of a cluster that calls nothing as this program does. Its API's certificate is etcd's for nobody.
OTHER_ETCD = """[Unit]
Description=etcd, a member

[Service]
Environment=ETCD_SNAPSHOT_COUNT=10000 "ETCD_LOG_LEVEL=warn"
EnvironmentFile=/run/etcd/joining.env
ExecStart=/opt/bin/etcd --name ${NODE_NAME} \\
  --data-dir=/srv/etcd/db \\
  --initial-advertise-peer-urls=https://${NODE_IP}:7001 \\
  --advertise-client-urls=https://${NODE_IP}:4001 \\
  --listen-peer-urls=https://${NODE_IP}:7001 \\
  --listen-client-urls=https://${NODE_IP}:4001,https://127.0.0.1:4001 \\
  --cert-file=/etc/pki/etcd/member.pem --key-file=/etc/pki/etcd/member-key.pem \\
  --peer-cert-file=/etc/pki/etcd/member.pem --peer-key-file=/etc/pki/etcd/member-key.pem \\
  --trusted-ca-file=/etc/pki/etcd/ca.pem --peer-trusted-ca-file=/etc/pki/etcd/ca.pem
"""
OTHER_API = """[Service]
EnvironmentFile=/run/etcd/joining.env
ExecStart=/opt/bin/kube-apiserver --secure-port=8443 --advertise-address=${NODE_IP} --etcd-servers=${ETCD_SERVERS} \\
  --etcd-cafile=/etc/pki/etcd/ca.pem --etcd-certfile=/etc/pki/k8s/etcd.pem --etcd-keyfile=/etc/pki/k8s/etcd-key.pem \\
  --client-ca-file=/etc/pki/k8s/ca.pem --tls-cert-file=/etc/pki/k8s/api.pem \\
  --tls-private-key-file=/etc/pki/k8s/api-key.pem \\
  --service-account-key-file=/etc/pki/k8s/sa-key.pem --service-account-signing-key-file=/etc/pki/k8s/sa-key.pem \\
  --encryption-provider-config=/etc/pki/k8s/at-rest.yaml
"""
OTHER_MANAGER = """[Service]
ExecStart=/opt/bin/kube-controller-manager --kubeconfig=/etc/pki/k8s/manager.conf --root-ca-file=/etc/pki/k8s/ca.pem \\
  --service-account-private-key-file=/etc/pki/k8s/sa-key.pem
"""
OTHER_SCHEDULER = """[Service]
ExecStart=/opt/bin/kube-scheduler --kubeconfig=/etc/pki/k8s/scheduler.conf
"""
UNITS = "/etc/systemd/system"
FACTS = "/etc/pet/facts.json"


def other_files() -> dict[str, str]:
    return {
        f"{UNITS}/etcd-member.service": OTHER_ETCD,
        f"{UNITS}/apiserver.service": OTHER_API,
        f"{UNITS}/controllers.service": OTHER_MANAGER,
        f"{UNITS}/scheduler.service": OTHER_SCHEDULER,
        FACTS: '{"api_names": ["api.pet"], "team": "platform"}',
        "/usr/local/bin/bring-up": "#!/bin/sh\n",
    }


def cloud_config(files: dict[str, str], **more: Any) -> str:
    """Plain user data that writes `files` and starts one of them."""
    document = {
        "write_files": [{"path": path, "content": text} for path, text in files.items()],
        "runcmd": ["/usr/local/bin/bring-up"],
        **more,
    }
    return "#cloud-config\n" + yaml.safe_dump(document, sort_keys=False)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def plain(user_data: str) -> str:
    raw = base64.b64decode(user_data)
    return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()


def files_of(user_data: str) -> dict[str, str]:
    """What base64 user data writes, read by somebody else's reader."""
    return {file.path: file.content for file in cloudinit.parse(base64.b64decode(user_data)).files}


def group(
    name: str, user_data: str = "", running: tuple[str, ...] | None = None, tags: dict[str, str] | None = None
) -> GroupSeen:
    return GroupSeen(name=name, tags=tags or {}, user_data=user_data, running=running)


def evidence(*groups: GroupSeen) -> Evidence:
    return Evidence(groups=groups)
