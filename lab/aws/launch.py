"""What a launch template says reaches the instance, and addresses come from the subnet and rest when freed.

moto reads image, type, key, user data, groups and volumes from a launch template; the rest of what a machine is made
of is filled in here: instance profile, metadata options, market, network interface, volume tags.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from moto.ec2.models import EC2Backend
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance
from moto.ec2.models.subnets import Subnet
from moto.ec2.utils import convert_tag_spec, filter_iam_instance_profiles

from lab.addresses import alias
from lab.aws.hooks import Refused, active, inner_rule, instead, rule
from lab.aws.quotas import room_for_processors
from lab.aws.world import ADDRESS_REST_S, TERMINATED_VISIBLE_S, WORLD


@instead(EC2Backend, "run_instances")
def run_from_template(
    original: Any,
    backend: EC2Backend,
    image_id: str,
    count: int,
    user_data: Any,
    security_group_names: list[str],
    **kwargs: Any,
) -> Any:
    """RunInstances with everything its launch template says; explicit parameters win, as on AWS.

    Source: EC2 user guide, "Launch EC2 instances using a launch template".
    """
    data: dict[str, Any] = {}
    if kwargs.get("launch_template"):
        data = backend._get_template_from_args(kwargs["launch_template"]).data
    _interface_from(data, kwargs)
    _check_groups(backend, data, security_group_names, kwargs)
    profile = _profile_from(data, kwargs)
    if profile:
        # Asked for before anything is made: a launch with an unknown profile fails whole.
        filter_iam_instance_profiles(
            backend.account_id,
            backend.partition,
            profile.get("iam_instance_profile_arn"),
            profile.get("iam_instance_profile_name"),
        )
    if data.get("MetadataOptions") and not kwargs.get("metadata_options"):
        kwargs["metadata_options"] = data["MetadataOptions"]
    market = data.get("InstanceMarketOptions", {}).get("MarketType")
    if market and not kwargs.get("instance_market_options"):
        kwargs["instance_market_options"] = market
    if kwargs.get("instance_market_options") == "on-demand":
        kwargs["instance_market_options"] = None
    kind = str(kwargs.get("instance_type") or data.get("InstanceType") or "m1.small")
    room_for_processors(backend, kind, kwargs.get("instance_market_options"), count)
    volume_tags = convert_tag_spec(data.get("TagSpecifications", [])).get("volume", {})
    if volume_tags:
        tags = kwargs.setdefault("tags", {})
        tags["volume"] = {**volume_tags, **tags.get("volume", {})}

    reservation = original(backend, image_id, count, user_data, security_group_names, **kwargs)

    named = kwargs.get("iam_instance_profile_name") or kwargs.get("iam_instance_profile_arn")
    for instance in reservation.instances:
        if profile and not named:
            backend.associate_iam_instance_profile(instance.id, **profile)
        for spec_index, nic in instance.nics.items():
            if spec_index == 0 and not any(n.get("NetworkInterfaceId") for n in kwargs.get("nics") or []):
                nic.delete_on_termination = True
            # The address its API server or kubelet is known by in the cluster, where loopback is refused, is its
            # machine's as well (`alias`): whoever asks EC2 for all of a machine's addresses can tell whose it is.
            nic.private_ip_addresses.append({"Primary": False, "PrivateIpAddress": alias(nic.private_ip_address)})
    WORLD.bump()
    return reservation


inner_rule(
    "group_and_subnet_of_different_vpcs",
    "EC2 API reference, RunInstances and CreateNetworkInterface: security groups and subnet of one VPC",
)


def _check_groups(backend: EC2Backend, data: dict[str, Any], names: list[str], kwargs: dict[str, Any]) -> None:
    """Every group an instance would get, wherever it is named, against the subnet it would be in."""
    groups = [*(kwargs.get("security_group_ids") or data.get("SecurityGroupIds", []))]
    groups += list(names) or list(data.get("SecurityGroups", []))
    subnet_id = kwargs.get("subnet_id")
    refuse_foreign_groups(backend, subnet_id, groups)
    for nic in kwargs.get("nics") or []:
        refuse_foreign_groups(backend, nic.get("SubnetId") or subnet_id, nic.get("Groups") or [])


def refuse_foreign_groups(backend: EC2Backend, subnet_id: str | None, groups: list[str]) -> None:
    if subnet_id is None or not active("group_and_subnet_of_different_vpcs"):
        return
    subnet = backend.get_subnet(subnet_id)
    for named in groups:
        group = backend.get_security_group_by_name_or_id(named, subnet.vpc_id)
        if group is None:
            raise Refused("InvalidGroup.NotFound", f"The security group '{named}' does not exist")
        if group.vpc_id != subnet.vpc_id:
            raise Refused(
                "InvalidParameter",
                f"Security group {group.id} and subnet {subnet.id} belong to different networks.",
            )


def _profile_from(data: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, str]:
    """The profile to associate, as `associate_iam_instance_profile` names it; empty without one."""
    name, arn = kwargs.get("iam_instance_profile_name"), kwargs.get("iam_instance_profile_arn")
    if not name and not arn:
        name = data.get("IamInstanceProfile", {}).get("Name")
        arn = data.get("IamInstanceProfile", {}).get("Arn")
    if arn:
        return {"iam_instance_profile_arn": arn}
    return {"iam_instance_profile_name": name} if name else {}


def _interface_from(data: dict[str, Any], kwargs: dict[str, Any]) -> None:
    """A template's primary network interface: its groups, subnet and public address, where the call names none."""
    primary = next((n for n in data.get("NetworkInterfaces", []) if int(n.get("DeviceIndex", 0)) == 0), None)
    if primary is None or kwargs.get("nics"):
        return
    if primary.get("Groups") and not kwargs.get("security_group_ids"):
        kwargs["security_group_ids"] = list(primary["Groups"])
    if primary.get("SubnetId") and not kwargs.get("subnet_id"):
        kwargs["subnet_id"] = primary["SubnetId"]
    if primary.get("AssociatePublicIpAddress") is not None and kwargs.get("associate_public_ip") is None:
        kwargs["associate_public_ip"] = primary["AssociatePublicIpAddress"]


@instead(Instance, "terminate")
def remember_when_terminated(original: Any, instance: Instance) -> Any:
    """Notes the time, so that the backplane lists the instance for a while longer and then forgets it."""
    if instance.state == "terminated":
        return original(instance)
    WORLD.terminated[instance.id] = WORLD.clock()
    previous = original(instance)
    WORLD.bump()
    WORLD.after(TERMINATED_VISIBLE_S + 0.1, WORLD.bump)
    return previous


@instead(Subnet, "del_subnet_ip")
def addresses_rest(original: Any, subnet: Subnet, ip: str) -> None:
    """A freed address isn't given out again at once: moto would hand a dead machine's to its replacement."""
    if ip in subnet._subnet_ips:
        WORLD.after(ADDRESS_REST_S, lambda: original(subnet, ip))


@instead(EC2Backend, "create_network_interface")
def interface_address_from_subnet(
    original: Any,
    backend: EC2Backend,
    subnet: Any,
    private_ip_address: Any,
    private_ip_addresses: Any = None,
    group_ids: Any = None,
    *more: Any,
    **kwargs: Any,
) -> NetworkInterface:
    """An interface without a wanted address gets the subnet's next free one.

    moto's is a random one that may be taken; a NAT gateway's or endpoint's isn't even in the subnet.
    """
    if isinstance(subnet, str):
        subnet = backend.get_subnet(subnet)
    if subnet is not None:
        refuse_foreign_groups(backend, subnet.id, group_ids or [])
    inside = (
        isinstance(private_ip_address, str)
        and private_ip_address
        and subnet is not None
        and (ip_address(private_ip_address) in ip_network(subnet.cidr_block))
    )
    if not inside and not private_ip_addresses and subnet is not None:
        private_ip_address = subnet.get_available_subnet_ip(None)
    return original(backend, subnet, private_ip_address, private_ip_addresses, group_ids, *more, **kwargs)


@instead(EC2Backend, "delete_network_interface")
def deleted_interface_frees_its_addresses(original: Any, backend: EC2Backend, eni_id: str) -> None:
    """moto frees them only when an instance takes its interface along."""
    eni = backend.enis.get(eni_id)
    original(backend, eni_id)
    if eni is not None:
        for address in eni.private_ip_addresses:
            eni.subnet.del_subnet_ip(address["PrivateIpAddress"])


@rule(
    EC2Backend,
    "delete_network_interface",
    source="EC2 API reference, DeleteNetworkInterface: you must detach the network interface first",
)
def interface_in_use(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    eni = backend.enis.get(arguments["eni_id"])
    if eni is None:
        return
    balancers = {e.id for lb in WORLD.elbv2.load_balancers.values() for e in getattr(lb, "lab_interfaces", [])}
    attached = eni.instance is not None and eni.instance.state not in ("terminated",) and not _dying(eni)
    if attached or eni.id in balancers:
        raise Refused("InvalidParameterValue", f"Network interface '{eni.id}' is currently in use.")


def _dying(eni: NetworkInterface) -> bool:
    """Whether the interface's instance is just being terminated: then the deletion is the instance's own."""
    return eni.instance is not None and eni.instance.id in WORLD.terminated


@instead(EC2Backend, "modify_instance_security_groups")
def groups_of_the_interface_too(
    original: Any, backend: EC2Backend, instance_id: str, new_group_id_list: list[str]
) -> Instance:
    """ModifyInstanceAttribute replaces the groups of the primary interface; moto's interface keeps the old ones too."""
    instance = original(backend, instance_id, new_group_id_list)
    instance.nics[0]._group_set = list(instance.security_groups)
    return instance


@instead(EC2Backend, "modify_network_interface_attribute")
def groups_of_the_instance_too(
    original: Any, backend: EC2Backend, eni_id: str, group_ids: list[str], *args: Any, **kwargs: Any
) -> None:
    """The other way round: an instance has its primary interface's groups."""
    original(backend, eni_id, group_ids, *args, **kwargs)
    eni = backend.get_network_interface(eni_id)
    if group_ids and eni.instance is not None and eni.instance.nics.get(0) is eni:
        eni.instance.security_groups = list(eni._group_set)


@instead(TaggedEC2Resource, "get_tags")
def tags_by_resource(original: Any, resource: Any) -> list[dict[str, str]]:
    """The same answer without reading every tag of the account for every resource (250 instances: 1 s)."""
    if not resource.id or resource.id not in resource.ec2_backend.tags:
        return []
    return [
        {"resource_id": resource.id, "key": key, "value": value}
        for key, value in resource.ec2_backend.tags[resource.id].items()
    ]
