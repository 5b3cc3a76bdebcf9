"""A change batch is whole or nothing, and a name holds what DNS lets it hold."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

NAME = "api.pet.lab.internal"
WILDCARD = "*.apps.pet.lab.internal"


@pytest.fixture
def zone(aws: Any, old: Any) -> str:
    made = aws.dns.create_hosted_zone(
        Name="pet.lab.internal",
        CallerReference="1",
        VPC={"VPCRegion": "eu-central-1", "VPCId": old.vpc},
        HostedZoneConfig={"PrivateZone": True, "Comment": "pet"},
    )
    return made["HostedZone"]["Id"].rsplit("/", 1)[-1]


def record(value: str = "old.example", name: str = NAME, **more: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "CNAME", "TTL": 10, "ResourceRecords": [{"Value": value}], **more}


def weighted(identifier: str, weight: int, value: str = "old.example", **more: Any) -> dict[str, Any]:
    return record(value, SetIdentifier=identifier, Weight=weight, **more)


def change(aws: Any, zone: str, *changes: tuple[str, dict[str, Any]]) -> Any:
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": r} for action, r in changes]}
    return aws.dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)["ChangeInfo"]


def own(aws: Any, zone: str) -> list[dict[str, Any]]:
    found = aws.dns.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return [r for r in found if r["Type"] not in ("NS", "SOA")]


def test_a_weighted_record_beside_a_simple_one_is_refused(aws: Any, zone: str, refuses: Any) -> None:
    change(aws, zone, ("CREATE", record()))
    message = refuses(
        "InvalidChangeBatch", "simple_beside_weighted", lambda: change(aws, zone, ("CREATE", weighted("new", 0)))
    )
    assert "non-weighted set exists with the same name and type" in message


def test_a_simple_record_beside_a_weighted_one_is_refused(aws: Any, zone: str, refuses: Any) -> None:
    change(aws, zone, ("CREATE", weighted("old", 1)))
    refuses("InvalidChangeBatch", "simple_beside_weighted", lambda: change(aws, zone, ("UPSERT", record())))


def test_a_simple_cname_becomes_a_weighted_pair_in_one_batch(aws: Any, zone: str) -> None:
    change(aws, zone, ("CREATE", record()))
    change(
        aws, zone, ("DELETE", record()), ("CREATE", weighted("old", 100)), ("CREATE", weighted("new", 0, "new.example"))
    )
    assert {(r["SetIdentifier"], r["Weight"]) for r in own(aws, zone)} == {("old", 100), ("new", 0)}


def test_a_cname_beside_anything_is_refused(aws: Any, zone: str, refuses: Any) -> None:
    address = {"Name": NAME, "Type": "A", "TTL": 10, "ResourceRecords": [{"Value": "127.10.1.4"}]}
    change(aws, zone, ("CREATE", address))
    refuses("InvalidChangeBatch", "conflicting_cname", lambda: change(aws, zone, ("CREATE", record())))


def test_anything_beside_a_cname_is_refused(aws: Any, zone: str, refuses: Any) -> None:
    change(aws, zone, ("CREATE", record()))
    text = {"Name": NAME, "Type": "TXT", "TTL": 10, "ResourceRecords": [{"Value": '"x"'}]}
    refuses("InvalidChangeBatch", "conflicting_cname", lambda: change(aws, zone, ("CREATE", text)))


def test_a_cname_at_the_apex_is_refused(aws: Any, zone: str, refuses: Any) -> None:
    refuses(
        "InvalidChangeBatch",
        "cname_at_the_apex",
        lambda: change(aws, zone, ("CREATE", record(name="pet.lab.internal"))),
    )


@pytest.mark.parametrize(
    "given",
    [record(TTL=11), record("other.example")],
    ids=["another ttl", "another value"],
)
def test_a_delete_that_differs_is_refused(aws: Any, zone: str, refuses: Any, given: dict[str, Any]) -> None:
    change(aws, zone, ("CREATE", record()))
    refuses("InvalidChangeBatch", "delete_differs", lambda: change(aws, zone, ("DELETE", given)))


def test_a_delete_of_another_identifier_is_refused(aws: Any, zone: str) -> None:
    change(aws, zone, ("CREATE", weighted("old", 1)))
    for given in (weighted("new", 1), record()):
        with pytest.raises(ClientError, match="but it was not found") as raised:
            change(aws, zone, ("DELETE", given))
        assert "(InvalidChangeBatch)" in str(raised.value)


def test_creating_what_exists_is_refused(aws: Any, zone: str, refuses: Any) -> None:
    change(aws, zone, ("CREATE", record()))
    refuses("InvalidChangeBatch", "record_exists", lambda: change(aws, zone, ("CREATE", record("new.example"))))


def test_weights_of_one_name_have_one_ttl(aws: Any, zone: str, refuses: Any) -> None:
    change(aws, zone, ("CREATE", weighted("old", 1)), ("CREATE", weighted("new", 0)))
    change(aws, zone, ("UPSERT", weighted("old", 1, TTL=2)), ("UPSERT", weighted("new", 0, TTL=2)))
    refuses("InvalidChangeBatch", "weighted_ttl", lambda: change(aws, zone, ("UPSERT", weighted("old", 1, TTL=60))))


def test_a_batch_is_whole_or_nothing(aws: Any, zone: str) -> None:
    change(aws, zone, ("CREATE", record()))
    before, revision = own(aws, zone), aws.state()["revision"]
    with pytest.raises(ClientError, match="InvalidChangeBatch"):
        change(aws, zone, ("DELETE", record()), ("CREATE", weighted("old", 1)), ("DELETE", record(name="x." + NAME)))
    assert own(aws, zone) == before
    assert aws.state()["revision"] == revision


def test_a_change_is_pending_for_a_while_and_has_its_own_id(aws: Any, zone: str) -> None:
    first, second = change(aws, zone, ("CREATE", record())), change(aws, zone, ("DELETE", record()))
    assert first["Id"] != second["Id"]
    assert first["Status"] == "PENDING"
    assert aws.dns.get_change(Id=first["Id"])["ChangeInfo"]["Status"] == "PENDING"
    while aws.dns.get_change(Id=first["Id"])["ChangeInfo"]["Status"] != "INSYNC":
        time.sleep(0.05)
    with pytest.raises(ClientError, match="NoSuchChange"):
        aws.dns.get_change(Id="/change/C0000000000000")


def test_the_asterisk_is_listed_as_its_octal_code_and_taken_both_ways(aws: Any, zone: str) -> None:
    change(aws, zone, ("CREATE", record(name=WILDCARD)))
    assert [r["Name"] for r in own(aws, zone)] == ["\\052.apps.pet.lab.internal."]
    told = aws.state()["zones"][0]["records"]
    assert [r["name"] for r in told if r["type"] == "CNAME"] == ["*.apps.pet.lab.internal."]
    found = aws.dns.list_resource_record_sets(
        HostedZoneId=zone, StartRecordName=WILDCARD, StartRecordType="CNAME", MaxItems="1"
    )["ResourceRecordSets"]
    assert found[0]["Name"] == "\\052.apps.pet.lab.internal."
    change(aws, zone, ("DELETE", record(name="\\052.apps.pet.lab.internal")))
    assert own(aws, zone) == []


def test_the_backplane_tells_weights_and_values(aws: Any, zone: str) -> None:
    change(aws, zone, ("CREATE", weighted("old", 90)), ("CREATE", weighted("new", 10, "new.example")))
    told = {r["set_id"]: r for r in aws.state()["zones"][0]["records"] if r["name"] == NAME + "."}
    assert told["new"] == {
        "name": NAME + ".",
        "type": "CNAME",
        "ttl": 10,
        "values": ["new.example"],
        "alias": None,
        "weight": 10,
        "set_id": "new",
    }


def test_a_private_zone_is_associated_with_a_second_vpc(aws: Any, zone: str, new: Any, refuses: Any) -> None:
    vpc = {"VPCRegion": "eu-central-1", "VPCId": new.vpc}
    for _ in range(2):
        answer = aws.dns.associate_vpc_with_hosted_zone(HostedZoneId=zone, VPC=vpc)
        assert answer["ChangeInfo"]["Status"] == "PENDING"
    assert len(aws.dns.get_hosted_zone(Id=zone)["VPCs"]) == 2
    summaries = aws.dns.list_hosted_zones_by_vpc(VPCId=new.vpc, VPCRegion="eu-central-1")["HostedZoneSummaries"]
    assert len(summaries) == 1
    aws.dns.disassociate_vpc_from_hosted_zone(HostedZoneId=zone, VPC=vpc)
    unknown = {"VPCRegion": "eu-central-1", "VPCId": "vpc-00000000"}
    refuses(
        "InvalidVPCId",
        "association_possible",
        lambda: aws.dns.associate_vpc_with_hosted_zone(HostedZoneId=zone, VPC=unknown),
    )
