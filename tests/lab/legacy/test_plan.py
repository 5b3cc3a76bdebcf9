from __future__ import annotations

import base64

import pytest

from lab.legacy import userdata
from lab.legacy.plan import held, member, pools, subnets, tags
from lab.machines.cloudinit import MAX_BYTES, parse
from lab.machines.units import parse_unit
from lab.profiles import PROFILES, room


def test_the_small_profile_is_twelve_groups_of_one() -> None:
    small = pools("small")
    assert len({pool.name("pet") for pool in small}) == 12
    assert {pool.size for pool in small} == {1}
    assert {pool.zone for pool in small} == {"eu-central-1a", "eu-central-1b", "eu-central-1c"}


def test_the_large_profile_is_the_references_size() -> None:
    large = pools("large")
    assert len({pool.name("pet") for pool in large}) == 72
    assert sum(pool.size for pool in large) == 200 == PROFILES["large"].nodes


def test_nodes_hold_pods_as_their_processors_memory_and_kubelet_let_them() -> None:
    assert [room(type) for type in ("m5.large", "m5.xlarge", "t3.medium")] == [100, 110, 64]
    assert held("small") == 12 * 100
    assert held("large") == sum(pool.size * room(pool.type) for pool in pools("large")) > 20_000


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'huge'.*small, wide, large"):
        pools("huge")


def test_subnets_lie_in_the_vpc_apart_from_each_other() -> None:
    assert [(s.cidr, s.zone, s.public) for s in subnets("127.10.0.0/16", "pet")][:2] == [
        ("127.10.0.0/20", "eu-central-1a", False),
        ("127.10.240.0/24", "eu-central-1a", True),
    ]


def test_tags_say_whose_it_is_and_whether_it_was_made() -> None:
    assert tags("x", "pet", "shared", a="b") == {
        "Name": "x", "KubernetesCluster": "pet", "kubernetes.io/cluster/pet": "shared", "a": "b",
    }  # fmt: skip


def control_plane() -> str:
    return userdata.control_plane(
        cluster="pet", member=member("eu-central-1a"), pod_cidr="100.64.0.0/16",
        api_names=["api.pet.lab.internal"], volume_tags={"k8s.io/etcd/main": "master-a"},
    )  # fmt: skip


def test_a_members_user_data_is_under_ec2s_limit_and_the_same_every_time() -> None:
    text = control_plane()
    # The clone's own boot script and facts take the place of these; some room is left for them.
    assert len(text) < MAX_BYTES - 3000
    assert len(base64.b64encode(text.encode())) > 0
    assert text == control_plane()


def test_the_lab_understands_what_the_older_tooling_wrote() -> None:
    config = parse(control_plane().encode())
    files = {file.path: file for file in config.files}
    for unit in userdata.UNITS:
        parsed = parse_unit(unit, files[f"/etc/systemd/system/{unit}.service"].content)
        assert parsed.environment_files == (("/etc/kubernetes/member.env", False),)
        assert parsed.restart == "always"
    assert files[userdata.BOOT].mode == 0o755
    assert files[userdata.BOOT].content.startswith("#!/usr/bin/env python3\n")
    assert config.commands == (userdata.BOOT,)
    assert "@POD_CIDR@" not in "".join(file.content for file in config.files)


def test_no_key_or_certificate_is_in_user_data() -> None:
    contents = "".join(file.content for file in parse(control_plane().encode()).files)
    assert "BEGIN" not in contents


def test_a_workers_user_data_starts_a_kubelet_with_its_labels() -> None:
    config = parse(userdata.worker(labels={"a": "b", "c": "d"}).encode())
    assert config.files[0].content == "NODE_LABELS=a=b,c=d\nNODE_TAINTS=\n"
    assert config.commands[-1] == ("systemctl", "enable", "--now", "kubelet")
