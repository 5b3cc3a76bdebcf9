"""Interfaces that other services put into a VPC: shown as theirs, and nobody else's to change or delete.

The lab's builder stands for such a service by the tag `lab/requester` = amazon-rds, which nobody sees afterwards.
"""

from __future__ import annotations

from typing import Any

from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces

from lab.aws.hooks import Refused, instead, rule

GUIDE = "EC2 user guide, Requester-managed network interfaces: "
MARK = "lab/requester"


@instead(EC2Backend, "create_network_interface")
def by_a_service(original: Any, backend: EC2Backend, *args: Any, **kwargs: Any) -> NetworkInterface:
    # subnet, address, addresses, groups, description, tags: as moto's response gives them
    tags = kwargs.get("tags") or (args[5] if len(args) > 5 else None) or {}
    requester = tags.pop(MARK, None)
    made: NetworkInterface = original(backend, *args, **kwargs)
    if requester:
        made.requester_managed = True
        made.requester_id = requester
    return made


@instead(NetworkInterface, "get_filter_value")
def by_requester(original: Any, interface: NetworkInterface, filter_name: str, *args: Any) -> Any:
    """Filters `requester-id` and `requester-managed`, which moto lacks (API reference, DescribeNetworkInterfaces)."""
    if filter_name == "requester-id":
        return interface.requester_id
    if filter_name == "requester-managed":
        return str(interface.requester_managed).lower()
    return original(interface, filter_name, *args)


# At the API: what the service itself does with its interfaces goes another way.
@rule(ElasticNetworkInterfaces, "delete_network_interface", source=GUIDE + "you can't delete it while it is needed")
def interface_of_a_service(response: ElasticNetworkInterfaces, _arguments: dict[str, Any]) -> None:
    interface = _managed(response)
    if interface is not None:
        raise Refused("InvalidParameterValue", f"Network interface '{interface.id}' is currently in use.")


@rule(ElasticNetworkInterfaces, "modify_network_interface_attribute", source=GUIDE + "you can't modify it")
def interface_of_a_service_changed(response: ElasticNetworkInterfaces, _arguments: dict[str, Any]) -> None:
    if _managed(response) is not None:
        raise Refused("AuthFailure", "You do not have permission to access the specified resource.")


def _managed(response: ElasticNetworkInterfaces) -> NetworkInterface | None:
    found = response.ec2_backend.enis.get(response._get_param("NetworkInterfaceId"))
    return found if found is not None and found.requester_managed else None
