"""Etcd on machines of its own: groups, rules and rights of both kinds of machines, stage by stage."""

from __future__ import annotations

import base64
from functools import cache

from lab.machines import cloudinit
from tests.samples import sets, settings
from tests.transitions.recorder import Declared, Key, declare


@cache
def at(stage: int) -> dict[Key, Declared]:
    return declare(settings(stage, **sets()))


def brought(group: str) -> str:
    template = at(7)[("LaunchTemplate", group)].inputs
    files = cloudinit.parse(base64.b64decode(template["userData"])).files
    return next(one.content for one in files if one.path == "/usr/local/lib/member-boot/user-data")


def test_each_kind_of_machine_has_its_group_and_only_members_have_volumes() -> None:
    groups = {name for kind, name in at(7) if kind == "Group" and ("member" in name or "server" in name)}
    assert groups == {
        f"main-{kind}-{name}-{zone}" for kind, name in (("member", "etcd"), ("server", "api")) for zone in "abc"
    }
    volumes = {name: one.inputs["tags"] for (kind, name), one in at(7).items() if kind == "Volume"}
    assert set(volumes) == {f"main-member-etcd-{zone}" for zone in "abc"}
    assert volumes["main-member-etcd-a"]["k8s.io/etcd/main"] == "etcd-a-main"
    server = at(7)[("Group", "main-server-api-a")].inputs
    assert server["name"] == "api-a.pet-main"
    assert server["targetGroupArns"] == ["arn:main-apimembers"]
    assert at(7)[("Group", "main-member-etcd-a")].inputs["targetGroupArns"] == []


def test_only_values_of_user_data_change() -> None:
    assert "ETCD_NAME=etcd-a-main\n" in brought("main-member-etcd-a")
    assert "ETCD_INITIAL_CLUSTER_STATE=existing\n" in brought("main-member-etcd-a")
    assert "ETCD_SERVERS=@member-boot:etcd-servers@\n" in brought("main-server-api-a")
    assert "API_NAMES=api.pet\n" in brought("main-server-api-a")


def test_rules_across_name_etcds_own_group_of_the_old_side() -> None:
    rules = {name: one.inputs for (kind, name), one in at(2).items() if kind == "SecurityGroupIngressRule"}
    into = {name: one for name, one in rules.items() if one["securityGroupId"] == "sg-etcd"}
    assert set(into) == {f"legacy-etcd-from-main-control-plane-for-{purpose}" for purpose in ("clients", "peers")}
    peers = rules["main-etcd-from-legacy-etcd-for-peers"]
    assert (peers["referencedSecurityGroupId"], peers["fromPort"]) == ("sg-etcd", 2380)
    assert rules["main-etcd-from-legacy-control-plane-for-clients"]["referencedSecurityGroupId"] == "sg-masters"
    swap = {name: one.inputs for (kind, name), one in at(7).items() if kind == "SecurityGroupIngressRule"}
    assert swap["legacy-etcd-from-operator-10.50.0.0/16"]["securityGroupId"] == "sg-etcd"


def test_both_roles_may_read_tickets() -> None:
    roles = {one.inputs["role"] for (kind, _), one in at(2).items() if kind == "RolePolicy"}
    assert roles == {"masters.pet", "etcd.pet"}


def test_a_swap_takes_its_set_along_and_the_api_is_served_by_api_machines() -> None:
    asked = at(7)[("MemberSwap", "swap-etcd-a")].asked
    assert asked["servers"][0] == {
        "member": "etcd-a",
        "old": {"name": "api-a", "group": "api-a.pet"},
        "new": {"name": "api-a-main", "group": "api-a.pet-main"},
    }
    assert [one["member"] for one in asked["servers"]] == ["etcd-a", "etcd-b", "etcd-c"]
    assert asked["place"]["volumeTags"] == {"k8s.io/etcd/main": "{member}"}
    targets = at(2)[("ApiTargets", "api-targets")].asked["members"]
    assert [one["group"] for one in targets] == ["api-a.pet", "api-b.pet", "api-c.pet"]


def test_after_the_end_a_roll_knows_both_kinds() -> None:
    asked = at(8)[("MemberRoll", "main-member-roll")].asked
    assert [one["name"] for one in asked["members"]] == ["etcd-a-main", "etcd-b-main", "etcd-c-main"]
    assert [one["name"] for one in asked["servers"]] == ["api-a-main", "api-b-main", "api-c-main"]
