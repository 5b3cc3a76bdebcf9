"""Every layout as its builder leaves it in AWS; what its machines make of it is in test_machines.py."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.addresses import LOOPBACK, LabAddresses
from lab.layouts import BUILT, ETCD, LAYOUTS, MASTER
from lab.legacy import userdata
from lab.legacy.__main__ import build
from lab.legacy.cloud import Cloud
from lab.machines import images
from lab.machines.cloudinit import MAX_BYTES, parse
from lab.settings import LabSettings, SettingsError
from tests.lab.somewhere import lab_aws

OTHERS = [name for name in LAYOUTS if name != "cloud-config"]


@pytest.fixture
def lab() -> Iterator[LabAddresses]:
    with lab_aws() as addresses:
        yield addresses


class Built:
    def __init__(self, lab: LabAddresses, layout: str, folder: Path) -> None:
        self.settings = LabSettings(layout=layout)
        self.cloud = Cloud(lab)
        build(lab, self.settings, folder)

    def groups(self, role: str) -> dict[str, dict[str, Any]]:
        found = self.cloud.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
        return {
            group["AutoScalingGroupName"]: group for group in found if role in {tag["Key"] for tag in group["Tags"]}
        }

    def versions(self, name: str) -> list[dict[str, Any]]:
        answer = self.cloud.ec2.describe_launch_template_versions(LaunchTemplateName=name)
        return sorted(answer["LaunchTemplateVersions"], key=lambda version: version["VersionNumber"])

    def user_data(self, name: str) -> str:
        return base64.b64decode(self.versions(name)[-1]["LaunchTemplateData"]["UserData"]).decode()

    def image(self, name: str) -> str:
        image = self.versions(name)[-1]["LaunchTemplateData"]["ImageId"]
        return self.cloud.ec2.describe_images(ImageIds=[image])["Images"][0]["Name"]

    def members(self) -> dict[str, str]:
        value = self.cloud.ssm.get_parameter(Name="/pet/etcd/initial-cluster")["Parameter"]["Value"]
        return dict(pair.split("=", 1) for pair in value.split(","))

    def count(self) -> list[int]:
        ec2 = self.cloud.ec2
        templates = [t["LaunchTemplateName"] for t in ec2.describe_launch_templates()["LaunchTemplates"]]
        return [
            len(self.cloud.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]),
            len(ec2.describe_volumes()["Volumes"]),
            len(ec2.describe_images(Owners=["self"])["Images"]),
            sum(len(self.versions(name)) for name in templates),
        ]


@pytest.mark.lab
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_has_three_members_behind_the_api_and_building_again_adds_nothing(
    lab: LabAddresses, tmp_path: Path, layout: str
) -> None:
    built = Built(lab, layout, tmp_path)
    before, members = built.count(), built.members()
    masters = built.groups(MASTER)
    assert sorted(masters) == [f"master-{zone}.pet" for zone in "abc"]
    targets = {arn for group in masters.values() for arn in group["TargetGroupARNs"]}
    assert len(targets) == 1
    port = built.cloud.elbv2.describe_target_groups(TargetGroupArns=list(targets))["TargetGroups"][0]["Port"]
    assert port == LAYOUTS[layout].api_port
    assert len(members) == 3
    assert {url.rpartition(":")[2] for url in members.values()} == {str(LAYOUTS[layout].etcd_peer_port)}
    for name in masters:
        data = built.user_data(name)
        assert len(data) < MAX_BYTES and "PRIVATE KEY" not in data and "BEGIN CERT" not in data
        parse(data.encode())
    assert Built(lab, layout, tmp_path).count() == before
    assert built.members() == members


@pytest.mark.lab
def test_separate_etcd_has_groups_of_its_own_and_templates_with_named_values(lab: LabAddresses, tmp_path: Path) -> None:
    built = Built(lab, "separate-etcd", tmp_path)
    etcd = built.groups(ETCD)
    assert sorted(etcd) == [f"etcd-{zone}.pet" for zone in "abc"]
    assert not [group for group in etcd.values() if group["TargetGroupARNs"] or MASTER in str(group["Tags"])]
    assert built.image("etcd-a.pet") == "pet-etcd-3.6.16" and built.image("master-a.pet") == "pet-master-1.34.1"
    for name in ("pet-etcd-3.6.16", "pet-master-1.34.1"):
        assert images.find(name).files
    members = built.members()
    known = ",".join(f"{name}={url}" for name, url in sorted(members.items()))
    first, last = (
        base64.b64decode(version["LaunchTemplateData"]["UserData"]).decode() for version in built.versions("etcd-b.pet")
    )
    assert "\nETCD_INITIAL_CLUSTER=\n" in first and "\nETCD_INITIAL_CLUSTER_STATE=new\n" in first
    assert f"\nETCD_NAME=etcd-b\nETCD_INITIAL_CLUSTER={known}\nETCD_INITIAL_CLUSTER_STATE=existing\n" in last
    client = {name: url.replace(":2380", ":2379") for name, url in members.items()}
    own_first = ",".join(client[f"etcd-{zone}"] for zone in "bac")
    assert f"\nETCD_SERVERS={own_first}\n" in built.user_data("master-b.pet")
    rules = {
        group["GroupName"]: sorted(
            (rule["FromPort"], rule["ToPort"]) for rule in group["IpPermissions"] if "FromPort" in rule
        )
        for group in built.cloud.ec2.describe_security_groups()["SecurityGroups"]
    }
    assert rules["etcd.pet"] == [(2379, 2379), (2379, 2380)]
    assert (2379, 2380) not in rules["masters.pet"]


@pytest.mark.lab
def test_kubeadm_members_are_called_by_their_nodes_and_come_from_an_image_with_a_kubelet(
    lab: LabAddresses, tmp_path: Path
) -> None:
    built = Built(lab, "kubeadm", tmp_path)
    assert all(name.startswith("ip-127-") for name in built.members())
    image = images.find(built.image("master-c.pet"))
    assert "/usr/lib/systemd/system/kubelet.service" in {file.path for file in image.files}
    files = {file.path: file.content for file in parse(built.user_data("master-c.pet").encode()).files}
    configuration = files["/etc/kubernetes/kubeadm.yaml.in"]
    # The cluster keeps it without what only its first members need: their addresses end with them.
    kept = [line for line in configuration.splitlines() if "name: initial-cluster" not in line]
    assert "@INITIAL_CLUSTER@" in configuration and not any("INITIAL_CLUSTER" in line for line in kept)
    servers = [one["apiServer"] for one in yaml.safe_load_all(configuration) if one["kind"] == "ClusterConfiguration"]
    # Where the operator's kubeconfig leads: without it nobody reaches the API from here.
    assert LOOPBACK in servers[0]["certSANs"]


@pytest.mark.lab
def test_custom_has_other_ports_paths_and_parameters(lab: LabAddresses, tmp_path: Path) -> None:
    built = Built(lab, "custom", tmp_path)
    data = built.user_data("master-a.pet")
    assert data.startswith("#!/bin/bash\n") and "etcd-member.service" in data and "/srv/etcd" in data
    names = [p["Name"] for p in built.cloud.ssm.get_parameters_by_path(Path="/pet/tls", Recursive=True)["Parameters"]]
    assert "/pet/tls/ca.key" in names
    policy = built.cloud.iam.get_role_policy(RoleName="masters.pet", PolicyName="masters.pet")["PolicyDocument"]
    assert "parameter/pet/tls/*" in str(policy) and "/pki/*" not in str(policy)


def test_a_template_without_a_value_or_with_one_too_many_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"etcd\.sh"):
        userdata._rendered("etcd.sh", CLUSTER="x")
    with pytest.raises(ValueError, match="NOTHING"):
        userdata._rendered("master.sh", CLUSTER="", API_NAMES="", POD_CIDR="", ETCD_SERVERS="", NOTHING="")


def test_the_layout_is_asked_for_by_variable_or_file_and_another_is_an_error(tmp_path: Path) -> None:
    assert LabSettings.load(tmp_path, {}).layout == "cloud-config"
    (tmp_path / "lab.json").write_text('{"layout": "custom"}')
    assert LabSettings.load(tmp_path, {}).layout == "custom"
    assert LabSettings.load(tmp_path, {"LAB_LAYOUT": "kubeadm"}).control_plane.tools == ("kubeadm",)
    with pytest.raises(SettingsError, match=r"LAB_LAYOUT='kops': must be one of cloud-config, separate-etcd"):
        LabSettings.load(tmp_path, {"LAB_LAYOUT": "kops"})
    (tmp_path / "lab.json").write_text('{"layout": "kops"}')
    with pytest.raises(SettingsError, match=r"layout='kops'.*cloud-config"):
        LabSettings.load(tmp_path, {})


def test_a_cluster_that_is_there_keeps_its_layout(tmp_path: Path) -> None:
    LabSettings(layout="kubeadm").note_built(tmp_path)
    assert LabSettings.load(tmp_path, {}).layout == "kubeadm"
    assert LabSettings.load(tmp_path, {"LAB_LAYOUT": "kubeadm"}).layout == "kubeadm"
    with pytest.raises(SettingsError, match=r"'custom'.*layout kubeadm: take it down first"):
        LabSettings.load(tmp_path, {"LAB_LAYOUT": "custom"})
    (tmp_path / BUILT).write_text("")
    assert LabSettings.load(tmp_path, {"LAB_LAYOUT": "custom"}).layout == "custom"


def test_only_the_first_layouts_ports_are_forwarded_by_default() -> None:
    assert LAYOUTS["cloud-config"].forwarded_ports == (2379, 2380, 6443)
    assert LAYOUTS["custom"].forwarded_ports == (12379, 12380, 8443)
