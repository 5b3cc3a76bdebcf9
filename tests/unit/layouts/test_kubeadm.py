"""The layout kubeadm: a first cut of its tests."""

from __future__ import annotations

import base64

import yaml

from lab.machines import cloudinit
from migration.layouts.contract import Evidence, GroupSeen, MemberIdentity, NewMachine
from migration.layouts.kubeadm import CONFIGURATION, Kubeadm

CLUSTER = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.34.1
controlPlaneEndpoint: api.pet.lab:6443
etcd: {local: {dataDir: /var/lib/etcd, extraArgs: [{name: initial-cluster, value: "@INITIAL@"}]}}
"""
USER_DATA = "#cloud-config\n" + yaml.safe_dump(
    {
        "write_files": [{"path": "/etc/kubernetes/kubeadm.yaml", "content": CLUSTER}],
        "runcmd": ["sysctl --system", "kubeadm init --config /etc/kubernetes/kubeadm.yaml"],
    }
)
NEW = MemberIdentity(
    cluster="pet", member="d", region="r", ticket_parameter="/t", api_port=6443, client_port=2379, peer_port=2380
)


def test_a_new_members_user_data_is_stable_and_can_be_made_from_its_own() -> None:
    first = Kubeadm().user_data(NewMachine(original=base64.b64encode(USER_DATA.encode()).decode(), identity=NEW))
    assert Kubeadm().user_data(NewMachine(original=first, identity=NEW)) == first
    parsed = cloudinit.parse(base64.b64decode(first))
    assert parsed.commands[0] == "sysctl --system"
    assert not any("kubeadm init" in str(one) for one in parsed.commands)
    assert "@INITIAL@" not in next(one.content for one in parsed.files if one.path == CONFIGURATION)


def test_it_is_known_by_kubeadms_documents_and_not_without_them() -> None:
    def members(text: str) -> tuple[str, ...]:
        return Kubeadm().recognise(Evidence(groups=(GroupSeen(name="g", tags={}, user_data=text),))).members

    assert members(USER_DATA) == ("g",)
    assert members("#cloud-config\nruncmd: [kubeadm join --token x api:6443]\n") == ()
