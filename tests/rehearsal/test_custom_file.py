"""The operator's own user data of the lab's layout custom: it makes what the old members' own script makes."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

from lab.layouts import LAYOUTS, Layout
from lab.legacy import userdata
from lab.settings import LabSettings
from migration.layouts import found, scripts
from migration.layouts.contract import MemberIdentity, NewMachine
from migration.layouts.custom import Custom
from migration.settings.model import Pki
from rehearsal.stack import TOLD, by_hand

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = REPOSITORY / TOLD["custom"][-1]
LAYOUT: Layout = LAYOUTS["custom"]
SETTINGS = LabSettings(layout="custom")
IDENTITY = MemberIdentity(
    cluster="pet",
    member="master-a-main",
    region="eu-central-1",
    ticket_parameter="/pet/t",
    api_port=LAYOUT.api_port,
    client_port=LAYOUT.etcd_client_port,
    peer_port=LAYOUT.etcd_peer_port,
    api_names=("api.pet", "kubernetes"),
)


def new_member() -> str:
    pki = Pki(prefix=by_hand(SETTINGS)["controlPlane.pki.prefix"])
    machine = NewMachine(original=None, identity=IDENTITY, pki=pki, template=FILE.read_text())
    return base64.b64decode(Custom().user_data(machine)).decode()


def old_member() -> str:
    return userdata.custom(cluster="pet", member="master-a", pod_cidr="100.64.0.0/16", api_names=["api.pet"])


def test_its_units_are_the_old_members_byte_for_byte_but_for_what_nobody_asks() -> None:
    old, new = (scripts.files(text) for text in (old_member(), new_member()))
    units = [path for path in old if path.endswith(".service")]
    assert len(units) == 4
    # No ranges are given to nodes, so nobody needs to know out of which.
    assert {path: new[path] for path in units} == {
        path: old[path].replace("--cluster-cidr=100.64.0.0/16 ", "") for path in units
    }


def test_discovery_would_call_everything_as_on_the_old_members() -> None:
    old, new = (found.read(text, scripts.files(text)) for text in (old_member(), new_member()))
    assert not new.missing
    assert new.keys() == old.keys()
    assert new.port("etcd", "listen-client-urls") == 12379
    assert new.port("etcd", "listen-peer-urls") == 12380
    assert new.port("kube-apiserver", "secure-port") == 8443


def test_shell_and_python_can_read_it() -> None:
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n"], input=new_member(), text=True, check=True)
    compile(scripts.files(new_member())["/opt/ops/member.py"], "member.py", "exec")
    assert "CERTIFICATES=ssm:/pet/tls " in new_member()


def test_only_a_layout_with_its_keys_elsewhere_needs_a_hand() -> None:
    kept = {"keptFlows": "accept", "tryFromMachines": "skip"}
    assert {name: by_hand(LabSettings(layout=name)) for name in LAYOUTS} == {
        "cloud-config": kept,
        "separate-etcd": kept,
        "kubeadm": kept,
        "custom": {**kept, "controlPlane.pki.prefix": "/pet/tls"},
    }


def test_connections_are_tried_from_machines_where_workers_have_an_agent() -> None:
    assert by_hand(LabSettings(shape="awkward"))["tryFromMachines"] == "ssm"
    assert by_hand(LabSettings())["tryFromMachines"] == "skip"
