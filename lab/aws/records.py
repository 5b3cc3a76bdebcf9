"""Route 53: a change batch whole or not at all, by AWS's rules, PENDING for a while."""

from __future__ import annotations

import copy
import uuid
from datetime import UTC, datetime
from typing import Any, cast

from moto.core.responses import ActionResult
from moto.route53.exceptions import InvalidActionValue
from moto.route53.models import FakeZone, RecordSet, Route53Backend
from moto.route53.responses import Route53

from lab.aws.hooks import Refused, active, inner_rule, instead, rule
from lab.aws.world import WORLD
from lab.timings import drawn

API = "Route 53 API reference, ChangeResourceRecordSets: "
ABOUT_ALIASES = ("alias_zone", "alias_target")
"""The rules of where an alias may lead."""
ROUTING = ("weight", "region", "failover", "geo_location", "multi_value_answer")

inner_rule("conflicting_cname", "Route 53 developer guide, CNAME record type: no other record of its name")
inner_rule("cname_at_the_apex", "Route 53 developer guide, CNAME record type: not at the zone apex")
inner_rule("simple_beside_weighted", "Route 53 developer guide, Choosing a routing policy: simple means one record")
inner_rule("weighted_ttl", "Route 53 API reference, ResourceRecordSet, TTL: the same throughout a weighted group")
inner_rule("alias_ttl", "Route 53 API reference, ResourceRecordSet, TTL: omitted for an alias")
inner_rule("alias_zone", "Route 53 API reference, AliasTarget, HostedZoneId: the load balancer's CanonicalHostedZoneId")
inner_rule(
    "alias_target",
    "Route 53 API reference, AliasTarget; as told in github.com/boto/boto/issues/2519: a balancer that isn't there",
)
inner_rule("record_exists", API + "CREATE of one that exists")
inner_rule("delete_differs", API + "to delete, specify all the values of the record")


def canonical(name: str) -> str:
    """A record's name as Route 53 keeps it: lower case, final dot, the asterisk as an asterisk."""
    return name.replace("\\052", "*").lower().rstrip(".") + "."


def listed(name: str) -> str:
    """A name as ListResourceRecordSets writes it. Source: developer guide, DNS domain name format (octal codes)."""
    return name.replace("*", "\\052")


def _refuse(message: str) -> None:
    # Route 53 puts the list of what is wrong into one message, in brackets.
    raise Refused("InvalidChangeBatch", f"[{message}]")


@instead(Route53Backend, "change_resource_record_sets")
def change(_original: Any, backend: Route53Backend, zoneid: str, change_list: list[dict[str, Any]]) -> None:
    """Applies the changes one after the other to a copy; the zone takes it only if all were fine."""
    zone = backend.get_hosted_zone(zoneid)
    records = list(zone.rrsets)
    for item in change_list:
        record = _parsed(zone, item["ResourceRecordSet"])
        if record.alias_target is not None and item["Action"] != "DELETE":
            _check_target(zone, record)
        records = _applied(zone, records, item["Action"], record)
    if active("weighted_ttl"):
        _check_ttls(records)
    zone.rrsets = records


def _parsed(zone: FakeZone, given: dict[str, Any]) -> RecordSet:
    data = copy.deepcopy(given)
    data["Name"] = canonical(data["Name"])
    data["ResourceRecords"] = [v["Value"] for v in data.get("ResourceRecords") or []]
    apex = canonical(zone.name)
    if data["Name"] != apex and not data["Name"].endswith("." + apex):
        _refuse(f"RRSet with DNS name {listed(data['Name'])} is not permitted in zone {apex}")
    record = cast("RecordSet", RecordSet(data))
    if record.alias_target is not None and (record.ttl is not None or record.records) and active("alias_ttl"):
        raise Refused(
            "InvalidInput",
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or"
            f" TrafficPolicyInstanceId], but found more than one in Change with [Name={data['Name']},"
            f" Type={record.type}]",
        )
    if record.alias_target is None and (record.ttl is None or not record.records):
        raise Refused(
            "InvalidInput",
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or"
            f" TrafficPolicyInstanceId], but found none in Change with [Name={data['Name']}, Type={record.type}]",
        )
    if record.weight is not None and not record.set_identifier:
        raise Refused(
            "InvalidInput",
            f"Invalid request: Missing field 'SetIdentifier' in Change with [Name={data['Name']}, Type={record.type}]",
        )
    return record


def _check_target(zone: FakeZone, record: RecordSet) -> None:
    """An alias leads to a load balancer that is there, by that one's own hosted zone."""
    target = record.alias_target or {}
    name, given = canonical(target["DNSName"]), target["HostedZoneId"]
    head = f"Tried to create an alias that targets {name}, type {record.type} in zone {given}, but"
    if given == zone.resource_id or ".elb." not in name:
        # To a record of the zone, or to a service that the lab has none of.
        return
    balancers = {canonical(one.dns_name): one for one in WORLD.elbv2.load_balancers.values()}
    balancer = balancers.get(name.removeprefix("dualstack."))
    if balancer is None:
        if active("alias_target"):
            _refuse(f"{head} that target was not found")
    elif given != balancer.canonical_hosted_zone_id and active("alias_zone"):
        _refuse(f"{head} the alias target name does not lie within the target zone")


def _identity(record: RecordSet) -> tuple[str, str | None, str | None]:
    return canonical(record.name), record.type, record.set_identifier


def _described(record: RecordSet) -> str:
    identifier = f", set-identifier='{record.set_identifier}'" if record.set_identifier else ""
    return f"resource record set [name='{listed(record.name)}', type='{record.type}'{identifier}]"


def _applied(zone: FakeZone, records: list[RecordSet], action: str, record: RecordSet) -> list[RecordSet]:
    existing = next((r for r in records if _identity(r) == _identity(record)), None)
    if action == "DELETE":
        return _without(records, existing, record)
    if action not in ("CREATE", "UPSERT"):
        raise InvalidActionValue(action)
    if existing is not None and action == "CREATE" and active("record_exists"):
        _refuse(f"Tried to create {_described(record)} but it already exists")
    others = [r for r in records if r is not existing]
    _check_beside(zone, others, record)
    if existing is None:
        return [*records, record]
    return [record if r is existing else r for r in records]


def _without(records: list[RecordSet], existing: RecordSet | None, record: RecordSet) -> list[RecordSet]:
    if existing is None:
        _refuse(f"Tried to delete {_described(record)} but it was not found")
    elif _content(existing) != _content(record) and active("delete_differs"):
        _refuse(f"Tried to delete {_described(record)} but the values provided do not match the current values")
    return [r for r in records if r is not existing]


def _content(record: RecordSet) -> tuple[Any, ...]:
    """All that a DELETE must repeat."""
    alias = record.alias_target or {}
    return (
        None if record.ttl is None else int(record.ttl),
        sorted(v["Value"] if isinstance(v, dict) else v for v in record.records or []),
        None if record.weight is None else int(record.weight),
        alias.get("HostedZoneId"),
        canonical(alias["DNSName"]) if alias else None,
        str(alias.get("EvaluateTargetHealth")).lower() if alias else None,
    )


def _check_beside(zone: FakeZone, others: list[RecordSet], record: RecordSet) -> None:
    """What may stand beside a record of that name."""
    name = canonical(record.name)
    if record.type == "CNAME" and name == canonical(zone.name) and active("cname_at_the_apex"):
        _refuse(f"RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {zone.name}")
    for other in others:
        if canonical(other.name) != name:
            continue
        if other.type != record.type:
            if "CNAME" in (other.type, record.type) and active("conflicting_cname"):
                _refuse(
                    f"RRSet of type {record.type} with DNS name {listed(name)} is not permitted because a conflicting"
                    f" RRSet of type {other.type} with the same DNS name already exists in zone {zone.name}"
                )
            continue
        if not active("simple_beside_weighted"):
            continue
        head = f"RRSet with DNS name {listed(name)}, type {record.type}"
        if record.set_identifier is None:
            _refuse(f"{head} cannot be created as other RRSets exist with the same name and type.")
        for policy in ROUTING:
            if (getattr(record, policy) is None) != (getattr(other, policy) is None):
                kind = {"weight": "weighted", "region": "latency", "geo_location": "geolocation"}.get(policy, policy)
                _refuse(
                    f"{head}, SetIdentifier {record.set_identifier} cannot be created as a non-{kind} set exists with"
                    " the same name and type."
                )


def _check_ttls(records: list[RecordSet]) -> None:
    """Over the batch's outcome, so that one batch can change the TTL of a whole group."""
    ttls: dict[tuple[str, str | None], int] = {}
    for record in records:
        if record.weight is None or record.ttl is None:
            continue
        key = (canonical(record.name), record.type)
        if ttls.setdefault(key, int(record.ttl)) != int(record.ttl):
            _refuse(
                f"RRSet with DNS name {listed(record.name)}, type {record.type}, SetIdentifier {record.set_identifier}"
                " cannot be created as weighted sets must contain the same TTL."
            )


@instead(
    Route53,
    "change_resource_record_sets",
    "associate_vpc_with_hosted_zone",
    "disassociate_vpc_from_hosted_zone",
    "create_hosted_zone",
    "delete_hosted_zone",
)
def with_a_change(original: Any, response: Route53) -> ActionResult:
    """Every change gets an id of its own and is PENDING at first (moto: one id, INSYNC at once)."""
    answer: ActionResult = original(response)
    result = answer.result
    assert isinstance(result, dict)
    change_id = f"/change/C{uuid.uuid4().hex[:13].upper()}"
    WORLD.changes[change_id] = {"submitted": WORLD.clock(), "comment": result["ChangeInfo"].get("Comment")}
    result["ChangeInfo"] = _change_info(change_id)
    return answer


def _change_info(change_id: str) -> dict[str, Any]:
    made = WORLD.changes[change_id]
    age = WORLD.clock() - made["submitted"]
    # Ids are random; how many changes there were before this one is not.
    pending = drawn(
        WORLD.settings.change_pending_s, WORLD.settings.seed, "change", list(WORLD.changes).index(change_id)
    )
    return {
        "Id": change_id,
        "Status": "INSYNC" if age >= pending else "PENDING",
        "SubmittedAt": datetime.fromtimestamp(made["submitted"], tz=UTC),
        "Comment": made["comment"],
    }


@instead(Route53, "get_change")
def get_change(_original: Any, response: Route53) -> ActionResult:
    """GetChange of a change that was made."""
    change_id = "/change/" + str(response._get_param("Id")).rsplit("/", 1)[-1]
    if change_id not in WORLD.changes:
        raise Refused("NoSuchChange", f"A change with the specified change ID does not exist: {change_id}")
    return ActionResult({"ChangeInfo": _change_info(change_id)})


@instead(Route53Backend, "list_resource_record_sets")
def list_records(
    original: Any, backend: Route53Backend, zone_id: str, start_type: str, start_name: str, max_items: int
) -> Any:
    """ListResourceRecordSets writes the asterisk as \\052, as AWS does."""
    start = canonical(start_name) if start_name else start_name
    records, next_name, next_type, truncated = original(backend, zone_id, start_type, start, max_items)
    shown = []
    for record in records:
        record = copy.copy(record)
        record.name = listed(canonical(record.name))
        shown.append(record)
    return shown, listed(next_name) if next_name else next_name, next_type, truncated


@instead(FakeZone, "add_vpc")
def associated_once(original: Any, zone: FakeZone, vpc_id: str | None, vpc_region: str | None) -> Any:
    """The same association again changes nothing."""
    if vpc_id and any(v.get("vpc_id") == vpc_id for v in zone.vpcs):
        return {"vpc_id": vpc_id, "vpc_region": vpc_region}
    return original(zone, vpc_id, vpc_region)


@rule(
    Route53Backend,
    "associate_vpc_with_hosted_zone",
    source="Route 53 API reference, AssociateVPCWithHostedZone: InvalidVPCId, ConflictingDomainExists",
)
def association_possible(backend: Route53Backend, arguments: dict[str, Any]) -> None:
    vpc_id = arguments["vpcid"]
    if vpc_id not in WORLD.ec2.vpcs:
        raise Refused("InvalidVPCId", f"The VPC: {vpc_id} you provided is not found.")
    zone = backend.get_hosted_zone(arguments["zone_id"])
    for other in backend.zones.values():
        if (
            other is not zone
            and other.private_zone
            and canonical(other.name) == canonical(zone.name)
            and any(v.get("vpc_id") == vpc_id for v in other.vpcs)
        ):
            raise Refused(
                "ConflictingDomainExists",
                f"The VPC {vpc_id} in region {arguments['vpcregion']} has already been associated with the hosted zone"
                f" {other.resource_id} with the same domain name.",
            )
