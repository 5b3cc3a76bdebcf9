"""The rehearsal's operator: a role with the product's rights, where the lab enforces policies."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from lab.addresses import REGION
from lab.aws.identity import ROOT_KEY
from lab.aws.world import WORLD
from lab.settings import LabSettings
from rehearsal.rights import as_operator


def test_the_operator_has_the_documented_rights_and_no_others(aws: Any, refuses: Any) -> None:
    settings = LabSettings(iam="enforce")
    WORLD.settings = settings
    own = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab", "AWS_ENDPOINT_URL": aws.url}
    first, environment = as_operator(own, settings), as_operator(own, settings)
    assert first.keys() == environment.keys() == {*own, "AWS_SESSION_TOKEN"}
    session: Any = boto3.Session(
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
        environment["AWS_SESSION_TOKEN"],
        region_name=REGION,
    )
    clients = {name: session.client(name, endpoint_url=aws.url) for name in ("ec2", "ssm", "iam")}
    clients["ec2"].create_vpc(CidrBlock="127.30.0.0/16")
    clients["ssm"].put_parameter(Name="/pet/migration/record", Value="{}", Type="String")
    rule = "no_identity_based_policy"
    refuses("AccessDeniedException", rule, lambda: clients["ssm"].get_parameter(Name="/pet/pki/ca.key"))
    refuses("AccessDenied", rule, lambda: clients["iam"].create_role(RoleName="x", AssumeRolePolicyDocument="{}"))


@pytest.mark.parametrize("settings", [LabSettings(throttle=0.05), LabSettings(lag_s=2.0)])
def test_where_the_account_has_moods_the_operator_meets_them(aws: Any, settings: LabSettings) -> None:
    own = {"AWS_ACCESS_KEY_ID": ROOT_KEY, "AWS_SECRET_ACCESS_KEY": "lab", "AWS_ENDPOINT_URL": aws.url}
    assert as_operator(own, settings)["AWS_ACCESS_KEY_ID"] != ROOT_KEY


def test_nothing_changes_where_nothing_is_enforced() -> None:
    assert as_operator({"AWS_ACCESS_KEY_ID": "lab"}, LabSettings()) == {"AWS_ACCESS_KEY_ID": "lab"}
