"""Functions (`Invoke`): data sources the program may ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.plugins.aws.call import Clients
from lab.plugins.errors import PluginError
from lab.plugins.host import Props


def _filters(args: Props) -> list[dict[str, Any]]:
    return [{"Name": f["name"], "Values": f["values"]} for f in args.get("filters") or []]


def _only(args: Props, *known: str) -> None:
    if strange := [k for k, v in args.items() if k not in known and v is not None]:
        raise PluginError(f"the lab's aws plugin doesn't support the argument '{strange[0]}' of this function")


def _availability_zones(clients: Clients, args: Props) -> Props:
    _only(args, "state", "filters", "allAvailabilityZones", "region", "excludeNames", "excludeZoneIds")
    ec2 = clients.get("ec2", args.get("region"))
    found = ec2.describe_availability_zones(
        AllAvailabilityZones=bool(args.get("allAvailabilityZones")), Filters=_filters(args)
    )["AvailabilityZones"]
    zones = sorted(
        (
            z
            for z in found
            if args.get("state") in (None, z["State"])
            and z["ZoneName"] not in (args.get("excludeNames") or ())
            and z.get("ZoneId") not in (args.get("excludeZoneIds") or ())
        ),
        key=lambda z: z["ZoneName"],
    )
    return {
        **args,
        "id": ec2.meta.region_name,
        "names": [z["ZoneName"] for z in zones],
        "zoneIds": [z["ZoneId"] for z in zones],
        "groupNames": sorted({z.get("GroupName") or ec2.meta.region_name for z in zones}),
        "region": ec2.meta.region_name,
    }


def _caller_identity(clients: Clients, args: Props) -> Props:
    _only(args)
    who = clients.get("sts").get_caller_identity()
    return {"id": who["Account"], "accountId": who["Account"], "arn": who["Arn"], "userId": who["UserId"]}


def _region(clients: Clients, args: Props) -> Props:
    _only(args, "region", "id", "name")
    region = args.get("region") or args.get("name") or clients.get("ec2").meta.region_name
    return {
        "id": region,
        "name": region,
        "region": region,
        "description": region,
        "endpoint": f"ec2.{region}.amazonaws.com",
    }


def _partition(clients: Clients, args: Props) -> Props:
    _only(args)
    return {"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}


FUNCTIONS: dict[str, Callable[[Clients, Props], Props]] = {
    "aws:index/getAvailabilityZones:getAvailabilityZones": _availability_zones,
    "aws:index/getCallerIdentity:getCallerIdentity": _caller_identity,
    "aws:index/getRegion:getRegion": _region,
    "aws:index/getPartition:getPartition": _partition,
}
