"""Every right in AWS that a migration needs: docs/adopting.md lists it, policies and the gate are made of it.

A row is named as the document's row is. A test compares the two, and the calls of the code with both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True, kw_only=True)
class Row:
    """`title` is the first cell of its row in the document; `actions` are IAM's, `service:Action`."""

    title: str
    actions: tuple[str, ...]


def _rows(text: str) -> tuple[Row, ...]:
    """Titles at the margin, below each `service: Action Action`, which may go on deeper in the next line."""
    rows: list[Row] = []
    titles = re.split(r"^(?=\S)", dedent(text).strip("\n"), flags=re.MULTILINE)
    for part in (one for one in titles if one.strip()):
        title, _, rest = part.partition("\n")
        rows.append(Row(title=title, actions=tuple(_actions(rest.split()))))
    return tuple(rows)


def _actions(words: list[str]) -> Iterator[str]:
    service = ""
    for word in words:
        if word.endswith(":"):
            service = word
        else:
            yield service + word


READS: tuple[Row, ...] = _rows(
    """
    EC2
        ec2: DescribeVpcs DescribeSubnets DescribeRouteTables DescribeSecurityGroups
            DescribeSecurityGroupRules DescribeInstances DescribeInstanceTypes
            DescribeInstanceTypeOfferings DescribeCapacityReservations GetEbsDefaultKmsKeyId DescribeVolumes
            DescribeLaunchTemplates DescribeLaunchTemplateVersions DescribeNetworkInterfaces
            DescribeNatGateways DescribeAddresses DescribeVpcEndpoints DescribeInternetGateways
            DescribeVpcPeeringConnections DescribeManagedPrefixLists GetManagedPrefixListEntries
            DescribeFlowLogs DescribeNetworkAcls DescribeVpcAttribute DescribeDhcpOptions
    Auto Scaling
        autoscaling: DescribeAutoScalingGroups DescribeScalingActivities DescribeAccountLimits
            DescribeLifecycleHooks DescribePolicies DescribeScheduledActions
            DescribeNotificationConfigurations
    load balancing
        elasticloadbalancing: DescribeLoadBalancers DescribeListeners DescribeTargetGroups
            DescribeTargetGroupAttributes DescribeTargetHealth DescribeTags DescribeAccountLimits
            DescribeLoadBalancerAttributes DescribeListenerAttributes DescribeListenerCertificates
            DescribeRules
    Route 53
        route53: ListHostedZones ListHostedZonesByVPC ListResourceRecordSets GetHostedZone GetChange
        route53resolver: ListResolverRuleAssociations
    Systems Manager
        ssm: GetParameter GetParameters GetCommandInvocation
        kms: Decrypt
    Service Quotas, KMS
        servicequotas: GetServiceQuota GetAWSDefaultServiceQuota
        kms: DescribeKey ListGrants GetKeyPolicy
    CloudWatch
        cloudwatch: GetMetricStatistics ListMetrics
        logs: FilterLogEvents
    IAM, STS
        iam: GetRole GetRolePolicy GetInstanceProfile SimulatePrincipalPolicy
        sts: GetCallerIdentity
    """
)
"""What discovery, gates, `status`, `recover` and operations read."""

CHANGES: tuple[Row, ...] = _rows(
    """
    every
        ssm: PutParameter
    `recover`, after a crash
        ec2: DeleteLaunchTemplate
    2, 6, 7
        elasticloadbalancing: RegisterTargets DeregisterTargets ModifyTargetGroupAttributes
    2 and the way back, with `references: apply`
        ec2: AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress RevokeSecurityGroupIngress
            RevokeSecurityGroupEgress ModifyManagedPrefixList CreateTags
    2, 8
        route53: ChangeResourceRecordSets
    3, 6, 7
        autoscaling: CreateOrUpdateTags DeleteTags SuspendProcesses ResumeProcesses
            UpdateAutoScalingGroup SetInstanceProtection
    0
        ssm: SendCommand
    4
        ssm: SendCommand
    6, 7
        ssm: PutParameter DeleteParameter SendCommand
    members going back
        ec2: CreateVolume CreateTags DeleteTags CreateLaunchTemplateVersion DeleteLaunchTemplateVersions
        autoscaling: UpdateAutoScalingGroup
        iam: PassRole
    members moving with their volumes (`etcd.strategy: volume`)
        ec2: AttachVolume DetachVolume CreateTags DeleteTags
    after 8
        autoscaling: TerminateInstanceInAutoScalingGroup UpdateAutoScalingGroup SuspendProcesses
            ResumeProcesses CreateOrUpdateTags DeleteTags
        elasticloadbalancing: DeregisterTargets RegisterTargets
        ssm: SendCommand
    `handover --to terraform`
        ec2: DescribeVpcAttribute DescribeSecurityGroupRules DescribeInternetGateways DescribeAddresses
            DescribeNatGateways DescribeVpcEndpoints DescribeVpcPeeringConnections
            DescribeLaunchTemplates DescribeVolumes
        elasticloadbalancing: DescribeListeners DescribeTags DescribeLoadBalancerAttributes
            DescribeTargetGroupAttributes
        iam: GetRolePolicy
        route53: GetHostedZone ListResourceRecordSets
    8
        autoscaling: DeleteAutoScalingGroup
        ec2: DeleteLaunchTemplate RevokeSecurityGroupIngress RevokeSecurityGroupEgress
            DeleteSecurityGroup DeleteVolume DeleteSubnet DeleteRouteTable
        elasticloadbalancing: DeleteLoadBalancer DeleteTargetGroup
        iam: RemoveRoleFromInstanceProfile DeleteInstanceProfile
    """
)
"""What operations change, by stage."""

RESOURCES: tuple[Row, ...] = _rows(
    """
    VPC, subnets, tables, routes
        ec2: CreateVpc ModifyVpcAttribute DeleteVpc CreateSubnet ModifySubnetAttribute DeleteSubnet
            CreateRouteTable AssociateRouteTable ReplaceRouteTableAssociation
            DisassociateRouteTable DeleteRouteTable CreateRoute
            ReplaceRoute DeleteRoute
    peerings
        ec2: CreateVpcPeeringConnection AcceptVpcPeeringConnection ModifyVpcPeeringConnectionOptions
            DeleteVpcPeeringConnection
    endpoint, and with `nat: per-zone`
        ec2: CreateVpcEndpoint ModifyVpcEndpoint DeleteVpcEndpoints CreateInternetGateway
            AttachInternetGateway DetachInternetGateway DeleteInternetGateway AllocateAddress
            ReleaseAddress CreateNatGateway DeleteNatGateway
    security groups and rules
        ec2: CreateSecurityGroup DeleteSecurityGroup AuthorizeSecurityGroupIngress
            AuthorizeSecurityGroupEgress RevokeSecurityGroupIngress RevokeSecurityGroupEgress
            ModifySecurityGroupRules
    templates, groups, volumes
        ec2: CreateLaunchTemplate CreateLaunchTemplateVersion ModifyLaunchTemplate DeleteLaunchTemplate
            RunInstances CreateVolume ModifyVolume DeleteVolume
        autoscaling: CreateAutoScalingGroup UpdateAutoScalingGroup DeleteAutoScalingGroup
            PutLifecycleHook EnableMetricsCollection DisableMetricsCollection PutScalingPolicy DeletePolicy
            PutScheduledUpdateGroupAction DeleteScheduledAction
            AttachLoadBalancerTargetGroups DetachLoadBalancerTargetGroups
        iam: PassRole
    balancers
        elasticloadbalancing: CreateLoadBalancer ModifyLoadBalancerAttributes SetSubnets SetSecurityGroups
            DeleteLoadBalancer CreateTargetGroup ModifyTargetGroup ModifyTargetGroupAttributes
            DeleteTargetGroup CreateListener ModifyListener DeleteListener
            ModifyListenerAttributes AddListenerCertificates RemoveListenerCertificates CreateRule
            ModifyRule SetRulePriorities DeleteRule
    what the new VPC offers as the old one does
        ec2: AssociateDhcpOptions
        route53resolver: AssociateResolverRule DisassociateResolverRule
    the zone's association
        route53: AssociateVPCWithHostedZone DisassociateVPCFromHostedZone
    the names' weights
        route53: ChangeResourceRecordSets
    the members' inline policy
        iam: PutRolePolicy GetRolePolicy DeleteRolePolicy
    tags
        ec2: CreateTags DeleteTags
        elasticloadbalancing: AddTags RemoveTags
        autoscaling: CreateOrUpdateTags DeleteTags
    """
)
"""What Pulumi's AWS provider makes, changes and deletes."""

PROVIDER_READS = (
    "ec2:Describe*",
    "ec2:Get*",
    "autoscaling:Describe*",
    "elasticloadbalancing:Describe*",
    "route53:Get*",
    "route53:List*",
    "route53resolver:Get*",
    "route53resolver:List*",
    "iam:Get*",
    "iam:List*",
)
"""What the provider reads of its resources beside all that: another version of it reads other things."""

OPTIONAL = frozenset(
    {
        "iam:SimulatePrincipalPolicy",
        "servicequotas:GetServiceQuota",
        "servicequotas:GetAWSDefaultServiceQuota",
        "kms:DescribeKey",
        "kms:ListGrants",
        "kms:GetKeyPolicy",
    }
)
"""Without these a migration goes on and says what it couldn't ask."""

ALWAYS = frozenset({"sts:GetCallerIdentity"})
"""What AWS allows to everybody."""


def actions() -> tuple[str, ...]:
    """Every action that must be allowed by name, sorted, each once."""
    found = {action for row in (*READS, *CHANGES, *RESOURCES) for action in row.actions}
    return tuple(sorted(found - ALWAYS))
