"""What a launch template says beyond image, disks and networks: parts that a copy takes over as they are.

Fields are called as the official provider calls its arguments; where that isn't AWS's name with its first letter lower,
the alias is AWS's.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from migration.contracts.base import Contract


class IntegerRange(Contract):
    """At least, at most."""

    min: int | None = None
    max: int | None = None


class NumberRange(Contract):
    """At least, at most."""

    min: float | None = None
    max: float | None = None


class InstanceRequirements(Contract):
    """Which instance types may be chosen (attribute-based selection); units as in AWS's names."""

    vcpu_count: Annotated[IntegerRange, Field(alias="vCpuCount")]
    memory_mib: Annotated[IntegerRange, Field(alias="memoryMiB")]
    cpu_manufacturers: tuple[str, ...] | None = None
    memory_gib_per_vcpu: Annotated[NumberRange | None, Field(alias="memoryGiBPerVCpu")] = None
    excluded_instance_types: tuple[str, ...] | None = None
    allowed_instance_types: tuple[str, ...] | None = None
    instance_generations: tuple[str, ...] | None = None
    spot_max_price_percentage_over_lowest_price: int | None = None
    max_spot_price_as_percentage_of_optimal_on_demand_price: int | None = None
    on_demand_max_price_percentage_over_lowest_price: int | None = None
    bare_metal: str | None = None
    burstable_performance: str | None = None
    require_hibernate_support: bool | None = None
    network_interface_count: IntegerRange | None = None
    local_storage: str | None = None
    local_storage_types: tuple[str, ...] | None = None
    total_local_storage_gb: Annotated[NumberRange | None, Field(alias="totalLocalStorageGB")] = None
    baseline_ebs_bandwidth_mbps: IntegerRange | None = None
    accelerator_types: tuple[str, ...] | None = None
    accelerator_count: IntegerRange | None = None
    accelerator_manufacturers: tuple[str, ...] | None = None
    accelerator_names: tuple[str, ...] | None = None
    accelerator_total_memory_mib: Annotated[IntegerRange | None, Field(alias="acceleratorTotalMemoryMiB")] = None
    network_bandwidth_gbps: NumberRange | None = None


def _moment(value: object) -> object:
    # botocore answers timestamps as datetimes.
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat()).replace("+00:00", "Z") if isoformat is not None else value


class SpotOptions(Contract):
    """How spot instances are asked for. Price in US dollars an hour, duration in minutes."""

    max_price: str | None = None
    spot_instance_type: str | None = None
    block_duration_minutes: int | None = None
    valid_until: Annotated[str | None, BeforeValidator(_moment)] = None
    instance_interruption_behavior: str | None = None


class Monitoring(Contract):
    """Detailed monitoring, a minute's metrics."""

    enabled: bool


class CreditSpecification(Contract):
    """Burstable types: ``standard`` or ``unlimited``."""

    cpu_credits: str


class CpuOptions(Contract):
    """Cores, threads and what else is chosen of the processor."""

    core_count: int | None = None
    threads_per_core: int | None = None
    amd_sev_snp: str | None = None
    nested_virtualization: str | None = None


class ReservationTarget(Contract):
    """One capacity reservation, or a group of them."""

    capacity_reservation_id: str | None = None
    capacity_reservation_resource_group_arn: str | None = None


class CapacityReservation(Contract):
    """Whether instances run in reserved capacity, and in which."""

    capacity_reservation_preference: str | None = None
    capacity_reservation_target: ReservationTarget | None = None


class Placement(Contract):
    """On which hardware instances are placed."""

    availability_zone: str | None = None
    affinity: str | None = None
    group_name: str | None = None
    group_id: str | None = None
    host_id: str | None = None
    host_resource_group_arn: str | None = None
    tenancy: str | None = None
    spread_domain: str | None = None
    partition_number: int | None = None


class Tag(Contract):
    """A tag."""

    key: str
    value: str


class TagSpecification(Contract):
    """Tags that objects of a type have from their launch on."""

    resource_type: str
    tags: tuple[Tag, ...] = ()


class License(Contract):
    """A licence configuration of License Manager."""

    license_configuration_arn: str


class Enabled(Contract):
    """A switch."""

    enabled: bool


class Hibernation(Contract):
    """Whether instances can hibernate."""

    configured: bool


class Maintenance(Contract):
    """Whether EC2 recovers an instance by itself."""

    auto_recovery: str


class PrivateDnsName(Contract):
    """What instances are called in their VPC: kubelets' names follow from it."""

    hostname_type: str | None = None
    enable_resource_name_dns_a_record: Annotated[bool | None, Field(alias="enableResourceNameDnsARecord")] = None
    enable_resource_name_dns_aaaa_record: Annotated[bool | None, Field(alias="enableResourceNameDnsAAAARecord")] = None


class NetworkPerformance(Contract):
    """Bandwidth shifted between network and disks."""

    bandwidth_weighting: str


class UdpSrd(Contract):
    """ENA Express for UDP."""

    ena_srd_udp_enabled: bool | None = None


class Srd(Contract):
    """ENA Express."""

    ena_srd_enabled: bool | None = None
    ena_srd_udp_specification: UdpSrd | None = None


class ConnectionTracking(Contract):
    """After how many idle seconds connections are forgotten."""

    tcp_established_timeout: int | None = None
    udp_timeout: int | None = None
    udp_stream_timeout: int | None = None


class NetworkInterface(Contract):
    """A network interface of a launch template, without what holds in one VPC only.

    That is subnet, security groups, addresses and prefixes.
    """

    associate_public_ip_address: bool | None = None
    delete_on_termination: bool | None = None
    description: str | None = None
    device_index: int | None = None
    interface_type: str | None = None
    network_card_index: int | None = None
    ipv4_address_count: Annotated[int | None, Field(alias="secondaryPrivateIpAddressCount")] = None
    ipv4_prefix_count: int | None = None
    ena_srd_specification: Srd | None = None
    connection_tracking_specification: ConnectionTracking | None = None
    ena_queue_count: int | None = None
