"""The layout kubeadm: by what it is known, and a new member's user data."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace
from typing import Any

import pytest
import yaml

from lab.legacy import userdata as lab
from lab.machines import cloudinit
from migration.layouts.contract import MAX_BYTES, NewMachine, Recognition
from migration.layouts.contradiction import contradictions
from migration.layouts.kubeadm import CONFIGURATION as BROUGHT
from migration.layouts.kubeadm import PROGRAMS, Kubeadm
from migration.layouts.registry import recognise
from migration.runtime.deadline import Permanent
from migration.settings.model import MemberFiles, Pki, Units
from tests.unit.layouts.clusters import cloud_config, encoded, evidence, files_of, group, other_files
from tests.unit.layouts.kubeadm_clusters import CALL, CONFIGURATION, NEW, cluster, init, kubelet, user_data

KUBEADM = Kubeadm()
ORDINARY = user_data(init(), cluster())
LAB = lab.kubeadm(cluster="pet", member="master-a", pod_cidr="100.64.0.0/16", api_name="api.pet.lab")
MANIFESTS = tuple(f"/etc/kubernetes/manifests/{name}.yaml" for name in ("etcd", "kube-apiserver"))
RUNNING = ("etcd --name=a", "kube-apiserver --x", "/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml", *MANIFESTS)
JOIN = {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "JoinConfiguration"}


def seen(text: str, running: tuple[str, ...] | None = RUNNING, **tags: str) -> Recognition:
    return KUBEADM.recognise(evidence(group("m", text, running, tags)))


def made(text: str, pki: Pki | None = None, **changes: Any) -> dict[str, str]:
    units = changes.pop("units", Units())
    machine = NewMachine(original=encoded(text), identity=replace(NEW, **changes), units=units, pki=pki or Pki())
    return files_of(KUBEADM.user_data(machine))


def documents(files: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in map(json.loads, files[BROUGHT].split("\n---\n"))}


# How it is known


def test_the_labs_cluster_is_known_and_nothing_is_against_it() -> None:
    known = recognise(evidence(group("m", LAB, RUNNING), group("w", lab.worker(labels={}))))
    assert (known.layout, known.members, known.against, known.keys) == (
        "kubeadm",
        ("m",),
        (),
        {},
    )
    assert known.because == (
        "m: user data has kubeadm's ClusterConfiguration and a machine's configuration, called by "
        "/usr/local/bin/kubeadm-boot; static pods etcd and kube-apiserver lie in /etc/kubernetes/manifests",
    )
    assert (known.client_port, known.peer_port) == (2379, 2380)
    assert (known.pod_cidr, known.service_cidr) == ("100.64.0.0/16", "172.20.0.0/16")


@pytest.mark.parametrize(
    "text",
    [
        ORDINARY,
        user_data(cluster()),
        user_data(init()),
        user_data({**JOIN, "controlPlane": {"localAPIEndpoint": {"bindPort": 6443}}}),
        # Somebody's own names, and folders.
        user_data(init(), cluster(), path="/opt/k/cluster.conf"),
        # Without a file: words of a call.
        user_data(runcmd=["kubeadm init --upload-certs --control-plane-endpoint=api.pet.lab"]),
        user_data(runcmd=["kubeadm join api.pet.lab:6443 --token x \\\n  --control-plane"]),
        # A script of any kind.
        f"#!/bin/sh\ncat > {CONFIGURATION} <<E\n{yaml.safe_dump(cluster())}E\n{CALL}\n",
    ],
)
def test_any_of_kubeadms_signs_tells_a_member(text: str) -> None:
    assert seen(text).members == ("m",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#!/bin/sh\necho kubelet\n",
        # Workers of the same cluster, with documents and without.
        user_data(runcmd=["kubeadm join api.pet.lab:6443 --token x"]),
        user_data({**JOIN, "nodeRegistration": {"name": "x"}}),
        user_data(kubelet(staticPodPath="/etc/kubernetes/manifests"), runcmd=["systemctl start kubelet"]),
        # Another tool's, with documents of the same kind.
        user_data({"apiVersion": "kops.k8s.io/v1alpha2", "kind": "ClusterConfiguration"}, path="/etc/k", runcmd=["x"]),
        user_data(runcmd=["k3s server --cluster-init"]),
        # It is only talked about.
        "#cloud-config\nruncmd: ['true']\n# kubeadm init --config x\n",
        cloud_config(other_files()),
    ],
)
def test_without_them_or_with_somebody_elses_it_is_none(text: str) -> None:
    assert seen(text, None).members == ()
    assert seen(text, ("etcd --name=a", "kube-apiserver", "/opt/etcd.yaml")).members == ()


def test_static_pods_that_run_tell_a_member_whose_user_data_does_not() -> None:
    known = seen("#cloud-config\nruncmd: [/opt/up]\n", RUNNING, **{"k8s.io/role/master": "1"})
    assert known.members == ("m",)
    assert known.because == (
        "m: static pods etcd and kube-apiserver lie in /etc/kubernetes/manifests; tag k8s.io/role/master",
    )
    assert "m: nothing in it calls kubeadm, so its image does" in known.against[0]
    assert seen("#cloud-config\nruncmd: [/opt/up]\n", RUNNING[:-1]).members == ()


def test_what_no_text_says_is_told() -> None:
    assert KUBEADM.recognise(evidence(group("m"))).unseen == ("m have no user data that is text",)
    assert "m: what runs there wasn't asked" in seen(ORDINARY, None).unseen
    told = seen(user_data(init()))
    assert any("a new member reads kubeadm-config from the cluster" in sentence for sentence in told.unseen)
    assert (told.client_port, told.pod_cidr) == (None, None)
    broken = user_data(init(), cluster()).replace("kind: ClusterConfiguration", "kind: [")
    assert any("isn't YAML that can be read" in sentence for sentence in seen(broken).unseen)
    filled = seen(user_data(init(), cluster(networking={"podSubnet": "${PODS}", "serviceSubnet": "172.20.0.0/16"})))
    assert any("has ${PODS}, which its own boot fills in" in sentence for sentence in filled.unseen)
    assert (filled.pod_cidr, filled.service_cidr) == (None, "172.20.0.0/16")


def local(**flags: str) -> dict[str, Any]:
    return {"local": {"extraArgs": [{"name": key.replace("_", "-"), "value": value} for key, value in flags.items()]}}


@pytest.mark.parametrize(
    ("text", "running", "sentence"),
    [
        (
            user_data(init(), cluster(etcd={"external": {"endpoints": ["https://e:2379"]}})),
            RUNNING,
            "its etcd is external, on machines of its own; that is the layout separate-etcd",
        ),
        (
            user_data(init(), cluster(controlPlaneEndpoint=None)),
            RUNNING,
            "its ClusterConfiguration has no controlPlaneEndpoint",
        ),
        (
            user_data(init(), cluster(controlPlaneEndpoint="10.1.2.3:6443")),
            RUNNING,
            "its controlPlaneEndpoint 10.1.2.3:6443 is an address, which stays behind in the old VPC",
        ),
        (
            user_data(init(), cluster(apiServer={"extraArgs": [{"name": "etcd-servers", "value": "https://e:1"}]})),
            RUNNING,
            "its API server asks etcd at https://e:1, and not at its own machine; leave etcd-servers out",
        ),
        (
            user_data(init(), cluster(etcd=local(wal_dir="/fast/wal"))),
            RUNNING,
            "its etcd's --wal-dir is /fast/wal, outside of its data directory /var/lib/etcd; keep both in one folder",
        ),
        (
            user_data(init(nodeRegistration={"taints": [{"key": "{{ taint }}"}]}), cluster()),
            RUNNING,
            "its nodeRegistration has {{ taint }}, which its own boot fills in and a new one doesn't know",
        ),
        (
            user_data(init(), cluster(), bootcmd=["kubeadm init phase certs all"]),
            RUNNING,
            "bootcmd calls kubeadm (kubeadm init phase certs all) at every boot; call it from runcmd",
        ),
        (f"#!/bin/sh\nset -e\n{CALL}\n", RUNNING, "it isn't a #cloud-config"),
        (
            user_data(init(), cluster(), runcmd=["/opt/up"]),
            RUNNING,
            "nothing in it calls kubeadm, so its image does, which would join beside the new boot",
        ),
        (
            user_data(init(), cluster(), write_files=[{"path": "/root/k", "content": "-----BEGIN PRIVATE KEY-----\n"}]),
            RUNNING,
            "/root/k holds a private key, which no user data may; let the machine fetch it",
        ),
        (ORDINARY, ("etcd --name=a", *MANIFESTS), "makes kube-apiserver a static pod, and none runs there"),
        (
            ORDINARY,
            ("etcd --name=a", "kube-apiserver", MANIFESTS[1]),
            "etcd runs there, and /etc/kubernetes/manifests/etcd.yaml doesn't lie there",
        ),
        (
            ORDINARY,
            (*RUNNING[:2], "kubelet --pod-manifest-path=/srv/pods", *MANIFESTS),
            "its kubelet is told --pod-manifest-path /srv/pods, and the user data's configuration says "
            "/etc/kubernetes/manifests; write staticPodPath: /srv/pods into a KubeletConfiguration",
        ),
    ],
)
def test_what_no_member_can_be_made_from_is_told_with_its_remedy(
    text: str, running: tuple[str, ...], sentence: str
) -> None:
    assert [one for one in seen(text, running).against if sentence in one], seen(text, running).against


def test_nothing_is_against_an_ordinary_one_however_its_flags_are_written() -> None:
    assert seen(ORDINARY).against == ()
    etcd = {"local": {"dataDir": "/srv/etcd", "extraArgs": {"wal-dir": "/srv/etcd/wal", "data-dir": "/srv/etcd"}}}
    assert seen(user_data(init(), cluster(etcd=etcd))).against == ()
    own = {"extraArgs": [{"name": "etcd-servers", "value": "https://127.0.0.1:2379"}]}
    assert seen(user_data(init(), cluster(apiServer=own))).against == ()


def test_its_folders_are_keys_of_the_configuration_and_are_held_against_it() -> None:
    text = user_data(
        init(),
        cluster(certificatesDir="/srv/pki", etcd={"local": {"dataDir": "/srv/etcd/db"}}),
        kubelet(staticPodPath="/srv/pods"),
    )
    known = seen(text, None)
    assert known.keys == {
        "units": {"staticPods": "/srv/pods"},
        "files": {
            "etcdCa": "/srv/pki/etcd/ca.crt",
            "etcdCertificate": "/srv/pki/apiserver-etcd-client.crt",
            "etcdKey": "/srv/pki/apiserver-etcd-client.key",
            "snapshots": "/srv/etcd/snapshots",
        },
    }
    units, files = Units.model_validate(known.keys["units"]), MemberFiles.model_validate(known.keys["files"])
    assert contradictions(evidence(group("m", text)), "kubeadm", units, files) == []
    told = contradictions(evidence(group("m", text)), "kubeadm", Units(), MemberFiles())
    assert any("controlPlane.files.etcdCa is '/etc/kubernetes/pki/etcd/ca.crt', the user data has" in t for t in told)
    with pytest.raises(Permanent, match=r"staticPods is '/etc/kubernetes/manifests', the kubelet reads '/srv/p"):
        made(text)


def test_members_with_different_folders_are_refused() -> None:
    other = user_data(init(), cluster(certificatesDir="/srv/pki"))
    known = KUBEADM.recognise(evidence(group("a", ORDINARY), group("b", ORDINARY), group("c", other)))
    assert [one for one in known.against if "otherwise" in one] == [
        "c has its folders otherwise than a: one set of names is used for all members; give them the same configuration"
    ]


# A new member's user data


def test_a_new_members_user_data_is_stable_and_can_be_made_from_its_own() -> None:
    for text in (ORDINARY, LAB):
        first = KUBEADM.user_data(NewMachine(original=encoded(text), identity=NEW))
        assert KUBEADM.user_data(NewMachine(original=first, identity=NEW)) == first
        # As this program's own side looks to discovery and to the gate.
        again = recognise(evidence(group("m", cloud_config_of(first), None)))
        assert (again.layout, again.against) == ("kubeadm", ())


def cloud_config_of(made: str) -> str:
    parsed = cloudinit.parse(base64.b64decode(made))
    return cloud_config({one.path: one.content for one in parsed.files}, runcmd=[list(c) for c in parsed.commands])


def test_what_calls_kubeadm_goes_and_all_else_stays() -> None:
    text = user_data(
        init(),
        cluster(),
        write_files=[
            {"path": "/etc/sysctl.d/k.conf", "content": "net.ipv4.ip_forward=1"},
            {"path": "/usr/local/bin/up", "content": f"#!/bin/sh\n{CALL}\n"},
            {"path": "/etc/systemd/system/up.service", "content": "[Service]\nExecStart=/usr/local/bin/up\n"},
            {"path": CONFIGURATION, "content": yaml.safe_dump_all([init(), cluster()])},
            {"path": "/etc/kubernetes/pki/ca.key", "content": "-----BEGIN PRIVATE KEY-----\n"},
        ],
        runcmd=["sysctl --system", ["systemctl", "enable", "--now", "up"], CALL],
        hostname="one",
    )
    machine = NewMachine(original=encoded(text), identity=NEW)
    parsed = cloudinit.parse(base64.b64decode(KUBEADM.user_data(machine)))
    assert [one.path for one in parsed.files] == [
        "/etc/sysctl.d/k.conf",
        "/etc/kubernetes/member.json",
        BROUGHT,
        f"{PROGRAMS}/member.py",
        f"{PROGRAMS}/kubeadm.py",
        "/etc/systemd/system/member-boot.service",
    ]
    assert parsed.commands == (
        "sysctl --system",
        ("systemctl", "daemon-reload"),
        ("systemctl", "enable", "--now", "member-boot"),
    )


def test_only_what_all_members_share_is_told_to_kubeadm() -> None:
    etcd = {"local": {"dataDir": "/var/lib/etcd", "serverCertSANs": ["@IP@", "etcd.pet"]}}
    etcd["local"]["extraArgs"] = [
        {"name": "initial-cluster", "value": "@INITIAL@"},
        {"name": "name", "value": "old"},
        {"name": "quota-backend-bytes", "value": "8589934592"},
        {"name": "listen-client-urls", "value": "https://@IP@:2379"},
    ]
    said = documents(
        made(
            user_data(
                init(
                    bootstrapTokens=[{"token": "abcdef.0123456789abcdef"}],
                    certificateKey="secret",
                    localAPIEndpoint={"advertiseAddress": "@IP@", "bindPort": 6443},
                    nodeRegistration={
                        "name": "@NODE@",
                        "criSocket": "unix:///run/c.sock",
                        "kubeletExtraArgs": [
                            {"name": "node-ip", "value": "@IP@"},
                            {"name": "v", "value": "2"},
                        ],
                    },
                ),
                cluster(etcd=etcd),
                kubelet(maxPods=50),
            )
        )
    )
    assert said["InitConfiguration"] == {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "nodeRegistration": {"criSocket": "unix:///run/c.sock", "kubeletExtraArgs": [{"name": "v", "value": "2"}]},
    }
    assert said["ClusterConfiguration"]["etcd"]["local"] == {
        "dataDir": "/var/lib/etcd",
        "serverCertSANs": ["etcd.pet"],
        "extraArgs": [{"name": "quota-backend-bytes", "value": "8589934592"}],
    }
    assert said["KubeletConfiguration"]["maxPods"] == 50


def test_a_configuration_that_is_not_whole_is_read_from_the_cluster_instead() -> None:
    assert set(documents(made(user_data(init())))) == {"InitConfiguration"}
    filled = user_data(init(), cluster(kubernetesVersion="{{ version }}"))
    assert set(documents(made(filled))) == {"InitConfiguration"}


def test_the_boot_is_told_who_it_is_and_where_things_lie() -> None:
    told = json.loads(made(LAB)["/etc/kubernetes/member.json"])
    assert told == {
        "cluster": "pet",
        "member": "master-a-main",
        "region": "eu-central-1",
        "ticket_parameter": "/pet/t",
        "ports": {"api": 6443, "clients": 2379, "peers": 2380},
        "volume_tags": {"migration:cluster": "pet", "migration:member": "master-a-main"},
        "api_names": ["api.pet.lab", "kubernetes"],
        "paths": {"data": "/var/lib/etcd"},
    }
    folders = user_data(init(), cluster(certificatesDir="/srv/pki"), kubelet(staticPodPath="/srv/pods"))
    at = Units.model_validate({"staticPods": "/srv/pods"})
    told = json.loads(made(folders, units=at)["/etc/kubernetes/member.json"])
    assert told["paths"] == {"data": "/var/lib/etcd", "pki": "/srv/pki", "manifests": "/srv/pods"}


def test_a_volume_that_moves_is_told_and_one_that_does_not_is_forgotten() -> None:
    moved = made(LAB, volume_moves=True)
    assert json.loads(moved["/etc/kubernetes/member.json"])["volume_moves"] is True
    again = KUBEADM.user_data(NewMachine(original=encoded(cloud_config(moved, runcmd=[])), identity=NEW))
    assert "volume_moves" not in json.loads(files_of(again)["/etc/kubernetes/member.json"])


@pytest.mark.parametrize(
    ("pki", "told"),
    [
        (Pki(), None),
        (Pki(prefix="/team/keys"), {"source": "ssm", "prefix": "/team/keys"}),
        (Pki(source="secrets-manager"), {"source": "secrets-manager", "prefix": "pet/pki"}),
        (Pki(source="s3", bucket="b"), {"source": "s3", "prefix": "pet/pki", "bucket": "b"}),
        (Pki(source="kubeadm"), {"source": "kubeadm", "prefix": "/pet/kubeadm"}),
        (Pki(source="image"), {"source": "image"}),
    ],
)
def test_where_the_keys_are_is_told_and_no_key_is(pki: Pki, told: dict[str, str] | None) -> None:
    files = made(LAB, pki)
    assert json.loads(files["/etc/kubernetes/member.json"]).get("pki") == told
    assert not any("PRIVATE KEY" in text for path, text in files.items() if not path.startswith(PROGRAMS))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"api_port": 8443},
            "migration:api.serverPort is 8443, kubeadm's configuration says 6443; correct migration:api.s",
        ),
        ({"client_port": 4001}, "migration:etcd.clientPort is 4001, kubeadm's configuration says 2379"),
        ({"peer_port": 7001}, "migration:etcd.peerPort is 7001, kubeadm's configuration says 2380"),
        ({"api_names": ("k.pet",)}, r"controlPlaneEndpoint is api.pet.lab, which isn't migration:api.name \(k.pet\)"),
        ({"units": Units(etcd="etcd-main")}, "units.etcd is 'etcd-main', kubeadm calls its static pod 'etcd'; remove"),
    ],
)
def test_what_the_configuration_says_otherwise_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Permanent, match=sentence):
        made(ORDINARY, **changes)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(Permanent) as refused:
        made(user_data(init(), cluster(controlPlaneEndpoint=None)), client_port=4001, api_port=8443)
    assert all(word in str(refused.value) for word in ("controlPlaneEndpoint", "clientPort", "api.serverPort"))


def test_etcds_own_ports_are_found() -> None:
    urls = {"listen_client_urls": "https://0.0.0.0:4001", "listen_peer_urls": "https://0.0.0.0:7001"}
    text = user_data(init(), cluster(etcd=local(**urls)))
    assert (seen(text).client_port, seen(text).peer_port) == (4001, 7001)
    assert made(text, client_port=4001, peer_port=7001)


def test_a_member_without_user_data_is_refused() -> None:
    with pytest.raises(Permanent, match="the launch template of master-a-main's original has no user data"):
        KUBEADM.user_data(NewMachine(original=None, identity=NEW))


def test_the_labs_leaves_room_for_an_operators_own_files_and_too_much_is_refused() -> None:
    names = ("api.pet.lab", *(f"name-{n}.pet.lab" for n in range(8)))
    big = replace(NEW, volume_moves=True, api_names=names)

    def size(text: str) -> int:
        machine = NewMachine(original=encoded(text), identity=big, pki=Pki(source="s3", bucket="keys-of-the-cluster"))
        return len(base64.b64decode(KUBEADM.user_data(machine)))

    # A page and a half of text that packs badly.
    assert size(LAB) < MAX_BYTES - 4000
    noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9000))
    with pytest.raises(Permanent, match=rf"would be \d+ bytes packed; EC2 takes {MAX_BYTES}"):
        size(user_data(init(), cluster(), runcmd=[f": {noise}", CALL]))
