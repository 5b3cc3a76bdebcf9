"""Discovery of a control plane whose etcd is on machines of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from migration.discover.write import write
from migration.settings import load_file


def test_etcds_groups_are_members_and_each_has_the_api_machine_of_its_zone(sets: Any, tmp_path: Path) -> None:
    told: list[str] = []
    found = sets.discover(log=told.append, service_cidr="172.20.0.0/16")
    assert found["controlPlane"] == {"layout": "separate-etcd"}
    assert "control plane separate-etcd: etcd-a.pet's user data is a script that sets ETCD_NAME" in told
    assert [(one["name"], one["group"], one["zone"]) for one in found["members"]] == [
        (f"etcd-{zone}", f"etcd-{zone}.pet", f"eu-central-1{zone}") for zone in "abc"
    ]
    assert [one["apiServers"] for one in found["members"]] == [
        [{"name": f"master-{zone}", "group": f"master-{zone}.pet", "zone": f"eu-central-1{zone}"}] for zone in "abc"
    ]
    assert found["members"][0]["volumeTags"] == {
        "KubernetesCluster": "pet",
        "k8s.io/etcd/main": "{member}",
        "k8s.io/role/etcd": "1",
        "kubernetes.io/cluster/pet": "owned",
    }
    assert (found["controlPlaneRole"], found["etcdRole"]) == ("masters.pet", "etcd.pet")
    groups = found["sides"]["legacy"]["securityGroups"]
    assert len(set(groups.values())) == 3
    # What two of the programs are told stands in user data; the rest the images bring.
    assert (found["podCidr"], found["etcd"]["clientPort"], found["etcd"]["peerPort"]) == ("100.64.0.0/16", 2379, 2380)
    assert not any(one["group"].startswith(("etcd", "master")) for one in found["pools"])
    path = tmp_path / "Pulumi.stage-0.yaml"
    write(path, "eu-central-1", found)
    assert len(load_file(path).configuration.members[0].api_servers) == 1
