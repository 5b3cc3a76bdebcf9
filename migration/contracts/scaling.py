"""What an Auto Scaling group says beyond sizes, launch template and places: parts that a copy takes over as they are.

Fields are called as the official provider calls its arguments; where that isn't AWS's name with its first letter lower,
the alias is AWS's. Times are seconds.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from migration.contracts.base import Contract
from migration.contracts.launch import InstanceRequirements


class Override(Contract):
    """One choice of a mixed instances policy: a type, or what a type must have."""

    instance_type: str | None = None
    instance_requirements: InstanceRequirements | None = None


class Distribution(Contract):
    """On which markets a mixed group buys; the price is in US dollars an hour."""

    on_demand_allocation_strategy: str | None = None
    on_demand_base_capacity: int | None = None
    on_demand_percentage_above_base_capacity: int | None = None
    spot_allocation_strategy: str | None = None
    spot_instance_pools: int | None = None
    spot_max_price: str | None = None


class Mixed(Contract):
    """A mixed instances policy, but for its launch template."""

    overrides: tuple[Override, ...] = ()
    instances_distribution: Distribution = Distribution()


class Reservations(Contract):
    """Capacity reservations, by id and by resource group."""

    capacity_reservation_ids: tuple[str, ...] | None = None
    capacity_reservation_resource_group_arns: tuple[str, ...] | None = None


class Reserved(Contract):
    """Whether machines run in reserved capacity, and in which."""

    capacity_reservation_preference: str | None = None
    capacity_reservation_target: Reservations | None = None


class MaintenancePolicy(Contract):
    """How many percent of a group must, and may, be healthy while machines are replaced."""

    min_healthy_percentage: int
    max_healthy_percentage: int


class ZoneDistribution(Contract):
    """What happens where a zone has no capacity."""

    capacity_distribution_strategy: str


class RetentionTriggers(Contract):
    """What keeps a machine that was to end."""

    terminate_hook_abandon: str


class LifecyclePolicy(Contract):
    """When machines that were to end are kept."""

    retention_triggers: RetentionTriggers


class EnabledMetric(Contract):
    """A metric that the group publishes. AWS knows one granularity, and the provider says it by itself."""

    metric: str
    granularity: str = "1Minute"


class LifecycleHook(Contract):
    """A hook: machines wait for somebody's word when they come, or before they go."""

    name: Annotated[str, Field(alias="lifecycleHookName")]
    lifecycle_transition: str
    default_result: str | None = None
    heartbeat_timeout: int | None = None
    notification_metadata: str | None = None
    notification_target_arn: Annotated[str | None, Field(alias="notificationTargetARN")] = None
    role_arn: Annotated[str | None, Field(alias="roleARN")] = None


class Attributes(Contract):
    """A group's own attributes. `suspended_processes`: those that weren't suspended by this program."""

    availability_zone_distribution: ZoneDistribution | None = None
    capacity_rebalance: bool | None = None
    capacity_reservation_specification: Reserved | None = None
    context: str | None = None
    default_cooldown: int | None = None
    default_instance_warmup: int | None = None
    desired_capacity_type: str | None = None
    enabled_metrics: tuple[EnabledMetric, ...] = ()
    health_check_grace_period: int | None = None
    health_check_type: str | None = None
    instance_lifecycle_policy: LifecyclePolicy | None = None
    instance_maintenance_policy: MaintenancePolicy | None = None
    max_instance_lifetime: int | None = None
    placement_group: str | None = None
    protect_from_scale_in: Annotated[bool | None, Field(alias="newInstancesProtectedFromScaleIn")] = None
    service_linked_role_arn: Annotated[str | None, Field(alias="serviceLinkedRoleARN")] = None
    suspended_processes: tuple[str, ...] = ()
    termination_policies: tuple[str, ...] = ()
