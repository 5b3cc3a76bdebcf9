"""A cluster with dots in its name, as kops has them: every name that becomes of it is one that AWS takes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from migration.names import fixed_parameter, record_parameter, ticket_parameter
from migration.settings import Settings
from tests.samples import configuration, settings
from tests.transitions.recorder import declare

CLUSTER = "pet.k8s.example.com"
# Sources: API references of CreateLaunchTemplate, CreateSecurityGroup, PutRolePolicy, CreateLoadBalancer,
# CreateTargetGroup, CreateAutoScalingGroup.
FORMS = {
    "LaunchTemplate": r"[a-zA-Z0-9().\-/_]{3,128}",
    "SecurityGroup": r"(?!sg-)[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}",
    "RolePolicy": r"[\w+=,.@-]{1,128}",
    "LoadBalancer": r"(?!internal-)[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?",
    "TargetGroup": r"[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?",
    "Group": r"[^:]{1,255}",
}
PARAMETER = r"(/[a-zA-Z0-9_.-]+){1,15}"


def dotted(stage: int) -> Settings:
    """Groups and names as kops calls them."""
    values: dict[str, Any] = configuration()
    for pool in values["pools"]:
        pool["group"] = f"{pool['name']}.{CLUSTER}"
    for member in values["members"]:
        member["group"] = f"master-{member['zone']}.masters.{CLUSTER}"
    return settings(stage, cluster=CLUSTER, pools=values["pools"], members=values["members"])


@pytest.mark.parametrize("stage", [3, 7])
def test_every_name_has_the_form_that_aws_takes(stage: int) -> None:
    checked: set[str] = set()
    for (kind, _), one in declare(dotted(stage)).items():
        if kind in FORMS:
            checked.add(kind)
            assert re.fullmatch(FORMS[kind], one.inputs["name"]), (kind, one.inputs["name"])
    assert checked == set(FORMS)


def test_groups_keep_the_dots_and_tags_the_whole_name() -> None:
    found = declare(dotted(3))
    group = found[("Group", "main-m5-a")]
    assert group.inputs["name"] == f"m5-a.{CLUSTER}-main"
    assert found[("LaunchTemplate", "main-m5-a")].inputs["name"] == f"m5-a.{CLUSTER}-main"
    tags = {one["key"]: one["value"] for one in group.inputs["tags"]}
    assert tags[f"kubernetes.io/cluster/{CLUSTER}"] == "owned" and tags["migration:cluster"] == CLUSTER


def test_records_and_tickets_stand_under_names_that_ssm_takes() -> None:
    for name in (record_parameter(CLUSTER), fixed_parameter(CLUSTER), ticket_parameter(CLUSTER, f"a.{CLUSTER}")):
        assert re.fullmatch(PARAMETER, name)
    policy = declare(dotted(2))[("RolePolicy", "main-member")].inputs["policy"]
    assert f":parameter/{CLUSTER}/members/*" in policy
