"""What an account may have, as AWS answers it where nothing was asked for; and its default key of disks.

Sources: docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-limits.html and
…/application/load-balancer-limits.html; EC2 API reference, GetEbsDefaultKmsKeyId.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response
from moto.elbv2.responses import ELBV2Response

from lab.aws.hooks import define, instead

LIMITS = {
    "application-load-balancers": 50,
    "network-load-balancers": 50,
    "target-groups": 3000,
    "targets-per-application-load-balancer": 1000,
    "targets-per-network-load-balancer": 3000,
    "targets-per-availability-zone-per-network-load-balancer": 500,
    "listeners-per-application-load-balancer": 50,
    "listeners-per-network-load-balancer": 50,
    "rules-per-application-load-balancer": 100,
    "certificates-per-application-load-balancer": 25,
    "certificates-per-network-load-balancer": 25,
}


@instead(ELBV2Response, "describe_account_limits")
def account_limits(_original: Any, _response: ELBV2Response) -> ActionResult:
    """DescribeAccountLimits; moto's numbers are those of years ago."""
    return ActionResult({"Limits": [{"Name": name, "Max": str(most)} for name, most in LIMITS.items()]})


def _default_key(_response: EC2Response) -> ActionResult:
    return ActionResult({"KmsKeyId": "alias/aws/ebs"})


define(EC2Response, "get_ebs_default_kms_key_id", _default_key)
