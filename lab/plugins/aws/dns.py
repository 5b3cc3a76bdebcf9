"""Route 53: records, and private zones' VPCs.

Source: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/route53_record and route53_zone_association.
A record's zone and name replace; its type and set identifier change in one batch that deletes and creates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.vpc import DOCS
from lab.plugins.errors import PluginError
from lab.plugins.schema import ResourceType, flag, listed, number, text, texts


def _client(call: Call) -> Any:
    return call.client("route53")


def _wait_in_sync(call: Call, change: str) -> None:
    call.wait(
        f"DNS change {change} in sync",
        lambda: _client(call).get_change(Id=change)["ChangeInfo"]["Status"] == "INSYNC",
    )


def _zone(values: Mapping[str, Any]) -> str:
    return str(values["zoneId"]).rpartition("/")[2]


# --- Record


def _full_name(call: Call, values: Mapping[str, Any]) -> str:
    zone = _client(call).get_hosted_zone(Id=_zone(values))["HostedZone"]["Name"].rstrip(".").lower()
    name = str(values["name"]).rstrip(".").lower()
    return name if name == zone or name.endswith(f".{zone}") else (f"{name}.{zone}" if name else zone)


def _record(call: Call, values: Mapping[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {"Name": _full_name(call, values), "Type": values["type"]}
    if values.get("setIdentifier"):
        record["SetIdentifier"] = values["setIdentifier"]
    if values.get("weightedRoutingPolicies"):
        record["Weight"] = int(values["weightedRoutingPolicies"][0]["weight"])
    if values.get("aliases"):
        [alias] = values["aliases"]
        record["AliasTarget"] = {
            "HostedZoneId": alias["zoneId"],
            "DNSName": alias["name"],
            "EvaluateTargetHealth": bool(alias["evaluateTargetHealth"]),
        }
        return record
    record["TTL"] = int(values["ttl"])
    record["ResourceRecords"] = [{"Value": v} for v in sorted(values["records"])]
    return record


def _change(call: Call, *changes: tuple[str, dict[str, Any]]) -> None:
    batch = {"Comment": "Managed by Pulumi", "Changes": [{"Action": a, "ResourceRecordSet": r} for a, r in changes]}
    zone = _zone(call.new or call.old)
    info = _client(call).change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)["ChangeInfo"]
    _wait_in_sync(call, info["Id"])


def _record_id(values: Mapping[str, Any]) -> str:
    parts = (_zone(values), values["name"], values["type"], values.get("setIdentifier"))
    return "_".join(str(p) for p in parts if p)


def _create_record(call: Call) -> str:
    # CREATE refuses a record that somebody else keeps; `allowOverwrite` takes it over.
    _change(call, ("UPSERT" if call.new.get("allowOverwrite") else "CREATE", _record(call, call.new)))
    return call.made(_record_id(call.new))


def _find_record(call: Call, values: Mapping[str, Any]) -> dict[str, Any] | None:
    name, kind, identifier = _full_name(call, values), values["type"], values.get("setIdentifier") or None
    found = _client(call).list_resource_record_sets(
        HostedZoneId=_zone(values), StartRecordName=name, StartRecordType=kind, MaxItems="100"
    )["ResourceRecordSets"]
    for record in found:
        same = record["Name"].rstrip(".").replace("\\052", "*").lower() == name and record["Type"] == kind
        if same and (record.get("SetIdentifier") or None) == identifier:
            return record
    return None


def _read_record(call: Call) -> dict[str, Any] | None:
    known = call.new or call.old_inputs or call.old
    record = _find_record(call, known)
    if record is None:
        return None
    return {
        "zoneId": known["zoneId"],
        "name": known["name"],
        "type": record["Type"],
        "setIdentifier": record.get("SetIdentifier"),
        "ttl": record.get("TTL"),
        "records": sorted(r["Value"] for r in record.get("ResourceRecords", [])) or None,
        "aliases": _aliases(record.get("AliasTarget")),
        "weightedRoutingPolicies": [{"weight": record["Weight"]}] if record.get("Weight") is not None else None,
        "fqdn": _full_name(call, known),
    }


def _aliases(target: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
    """An alias's target as the provider keeps it: its name in lower case, without the final dot."""
    if not target:
        return None
    name = str(target["DNSName"]).lower().rstrip(".")
    return [
        {
            "name": name,
            "zoneId": target["HostedZoneId"],
            "evaluateTargetHealth": bool(target["EvaluateTargetHealth"]),
        }
    ]


def _update_record(call: Call) -> None:
    if call.changed("type", "setIdentifier"):
        _change(call, ("DELETE", _record(call, call.old)), ("CREATE", _record(call, call.new)))
    else:
        _change(call, ("UPSERT", _record(call, call.new)))


def _delete_record(call: Call) -> None:
    live = _find_record(call, call.old)
    if live is not None:
        _change(call, ("DELETE", live))


def _identify_record(given: str) -> tuple[str, dict[str, Any]]:
    zone, _, rest = given.partition("_")
    kinds = ("A", "AAAA", "CNAME", "TXT", "NS", "SRV", "MX", "PTR", "CAA")
    for kind in kinds:
        name, found, identifier = rest.rpartition(f"_{kind}_")
        if found:
            return given, {"zoneId": zone, "name": name, "type": kind, "setIdentifier": identifier}
        if rest.endswith(f"_{kind}"):
            return given, {"zoneId": zone, "name": rest[: -len(kind) - 1], "type": kind}
    raise PluginError(f"a record is imported as <zone>_<name>_<type>[_<set identifier>]; '{given}' isn't that")


def _suitable_record(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    if values.get("weightedRoutingPolicies") and not values.get("setIdentifier"):
        return [("setIdentifier", "a weighted record needs a setIdentifier")]
    if bool(values.get("aliases")) == bool(values.get("records")):
        return [("records", "one of `alias,records` must be specified")]
    if values.get("records") and values.get("ttl") is None:
        return [("ttl", "all of `records,ttl` must be specified")]
    if values.get("aliases") and values.get("ttl") is not None:
        return [("ttl", "conflicts with alias")]
    return []


# --- Zone association


def _create_association(call: Call) -> str:
    info = _client(call).associate_vpc_with_hosted_zone(
        HostedZoneId=_zone(call.new), VPC={"VPCId": call.new["vpcId"], "VPCRegion": call.region}
    )["ChangeInfo"]
    call.made(f"{_zone(call.new)}:{call.new['vpcId']}")
    _wait_in_sync(call, info["Id"])
    return call.id


def _read_association(call: Call) -> dict[str, Any] | None:
    known = call.new or call.old_inputs or call.old
    vpcs = _client(call).get_hosted_zone(Id=_zone(known)).get("VPCs", [])
    if known["vpcId"] not in {vpc["VPCId"] for vpc in vpcs}:
        return None
    return {"zoneId": known["zoneId"], "vpcId": known["vpcId"]}


def _delete_association(call: Call) -> None:
    if _read_association(call) is None:
        return
    info = _client(call).disassociate_vpc_from_hosted_zone(
        HostedZoneId=_zone(call.old), VPC={"VPCId": call.old["vpcId"], "VPCRegion": call.region}
    )["ChangeInfo"]
    _wait_in_sync(call, info["Id"])


def _identify_association(given: str) -> tuple[str, dict[str, Any]]:
    zone, _, vpc = given.partition(":")
    if not vpc:
        raise PluginError(f"a zone association is imported as <zone>:<vpc>; '{given}' isn't that")
    return given, {"zoneId": zone, "vpcId": vpc}


ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:route53/record:Record",
        source=DOCS + "route53_record",
        props={
            "zoneId": text(required=True, replace=True),
            "name": text(required=True, replace=True),
            "type": text(required=True),
            "ttl": number(),
            "records": texts(),
            "aliases": listed(
                {
                    "name": text(required=True),
                    "zoneId": text(required=True),
                    "evaluateTargetHealth": flag(required=True),
                }
            ),
            "setIdentifier": text(),
            "weightedRoutingPolicies": listed({"weight": number(required=True)}),
            "allowOverwrite": flag(unreadable=True, computed=True),
        },
        computed=("fqdn",),
        validate=_suitable_record,
        create=_create_record,
        read=_read_record,
        update=_update_record,
        delete=_delete_record,
        identify=_identify_record,
        gone=("NoSuchHostedZone",),
    ),
    ResourceType(
        token="aws:route53/zoneAssociation:ZoneAssociation",
        source=DOCS + "route53_zone_association",
        props={
            "zoneId": text(required=True, replace=True),
            "vpcId": text(required=True, replace=True),
        },
        create=_create_association,
        read=_read_association,
        delete=_delete_association,
        identify=_identify_association,
        gone=("NoSuchHostedZone", "VPCAssociationNotFound"),
    ),
)
