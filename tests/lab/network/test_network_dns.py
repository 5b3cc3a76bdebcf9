"""Names as Route 53 and the VPC resolver answer them, and the endpoints that use them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from lab.addresses import REGION
from lab.network.dns import Server
from lab.network.endpoints import Endpoint
from lab.network.outward import PUBLIC, S3
from lab.network.resolve import Resolver
from lab.network.state import cidr, ip_number
from lab.settings import LabSettings
from tests.lab.network.world import ADDRESSES, OPERATOR, World, greeting, network, record, server

ZONE = "pet.lab.internal"
API = f"api.{ZONE}"
OLD_CLIENT, NEW_CLIENT = "127.17.1.9", "127.37.1.9"
OLD_LB, NEW_LB = ("old-0123.elb.eu-central-1.amazonaws.com", "new-0123.elb.eu-central-1.amazonaws.com")


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 60))


def world(*records: dict[str, Any], vpcs: tuple[str, ...] = ("vpc-legacy", "vpc-main")) -> World:
    built = World()
    for side, name in (("legacy", "old"), ("main", "new")):
        built.balancer(name, side, 6443, built.target_group(name, side, 6443, []))
    built.zone(ZONE, list(records), list(vpcs))
    return built


def resolver(built: World) -> Resolver:
    corp = cidr(ADDRESSES.corp_cidr)
    return Resolver(built.state(), forwards=lambda ip: ip_number(ip) in corp, rng=random.Random(7))


def weighted(old: int, new: int) -> list[dict[str, Any]]:
    return [record(API, "CNAME", OLD_LB, weight=old), record(API, "CNAME", NEW_LB, weight=new)]


def side(addresses: tuple[str, ...]) -> str:
    return {"127.17": "old", "127.37": "new"}[addresses[0].rsplit(".", 2)[0]]


def test_a_cname_leads_into_a_balancers_addresses() -> None:
    result = resolver(world(record(API, "CNAME", OLD_LB))).resolve(API, OLD_CLIENT)
    assert [(a.type, a.name) for a in result.answers[:1]] == [("CNAME", API)]
    assert set(result.addresses) == {"127.17.1.200", "127.17.2.200", "127.17.3.200"}


@pytest.mark.parametrize(
    ("old", "new", "low", "high"), [(100, 0, 0, 0), (0, 100, 2_000, 2_000), (0, 0, 800, 1_200), (90, 10, 120, 280)]
)
def test_weights_are_honoured(old: int, new: int, low: int, high: int) -> None:
    asked = resolver(world(*weighted(old, new)))
    seen = Counter(side(asked.resolve(API, OLD_CLIENT).addresses) for _ in range(2_000))
    assert low <= seen["new"] <= high


def test_a_change_of_weights_never_leaves_a_query_without_an_address() -> None:
    asked = resolver(world(record(API, "CNAME", OLD_LB)))
    steps = [[record(API, "CNAME", OLD_LB)], weighted(100, 0), weighted(90, 10), weighted(0, 100), weighted(0, 0)]
    for records in steps:
        asked.state = world(*records).state()
        for _ in range(200):
            result = asked.resolve(API, OLD_CLIENT)
            assert result.exists
            assert result.addresses


def test_a_cname_to_a_balancer_that_is_gone_is_nxdomain() -> None:
    built = world(record(API, "CNAME", OLD_LB))
    built.raw["load_balancers"] = [b for b in built.raw["load_balancers"] if b["name"] == "new"]
    result = resolver(built).resolve(API, OLD_CLIENT)
    assert not result.exists
    assert not result.addresses


def test_chains_cross_zones_and_a_loop_ends() -> None:
    built = world(record(API, "CNAME", "somewhere.other.internal"), record(f"loop.{ZONE}", "CNAME", f"loop.{ZONE}"))
    built.zone("other.internal", [record("somewhere.other.internal", "A", "127.17.1.77", ttl=3)], ["vpc-legacy"])
    asked = resolver(built)
    result = asked.resolve(API, OLD_CLIENT)
    assert result.addresses == ("127.17.1.77",)
    assert result.ttl == 3
    assert not asked.resolve(API, NEW_CLIENT).exists  # main isn't associated with the other zone
    assert not asked.resolve(f"loop.{ZONE}", OLD_CLIENT).addresses


def test_a_private_zone_is_seen_by_its_vpcs_and_by_the_connected_network_only() -> None:
    asked = resolver(world(record(API, "CNAME", OLD_LB), vpcs=("vpc-legacy",)))
    assert asked.resolve(API, OLD_CLIENT).addresses
    assert asked.resolve(API, OPERATOR).addresses
    assert not asked.resolve(API, NEW_CLIENT).exists


def test_wildcards_answer_what_does_not_exist_and_stop_at_names_that_do() -> None:
    apps = record(f"\\052.apps.{ZONE}", "CNAME", OLD_LB)
    asked = resolver(world(apps, record(f"fixed.apps.{ZONE}", "A", "127.17.1.5")))
    assert side(asked.resolve(f"shop.apps.{ZONE}", OLD_CLIENT).addresses) == "old"
    assert side(asked.resolve(f"a.b.apps.{ZONE}", OLD_CLIENT).addresses) == "old"
    assert asked.resolve(f"fixed.apps.{ZONE}", OLD_CLIENT).addresses == ("127.17.1.5",)
    assert not asked.resolve(f"x.fixed.apps.{ZONE}", OLD_CLIENT).exists  # RFC 4592
    assert asked.resolve(f"apps.{ZONE}", OLD_CLIENT) == asked.resolve(f"apps.{ZONE}", OLD_CLIENT, "TXT")  # no data
    assert asked.resolve(f"apps.{ZONE}", OLD_CLIENT).exists


def test_an_alias_answers_addresses_under_its_own_name() -> None:
    alias = {**record(API, "A"), "alias": {"DNSName": f"{NEW_LB}.", "HostedZoneId": "Z"}, "values": []}
    result = resolver(world(alias)).resolve(API, OLD_CLIENT)
    assert {a.name for a in result.answers} == {API}
    assert side(result.addresses) == "new"


def test_weighted_aliases_share_by_weight_under_the_names_that_the_console_writes() -> None:
    pair = [
        {
            **record(API, "A", side, weight=weight),
            "alias": {"DNSName": f"dualstack.{balancer}.", "HostedZoneId": "Z"},
            "values": [],
        }
        for side, balancer, weight in (("legacy", OLD_LB, 90), ("main", NEW_LB, 10))
    ]
    asked = resolver(world(*pair))
    shares = Counter(side(asked.resolve(API, OLD_CLIENT).addresses) for _ in range(2_000))
    assert 120 <= shares["new"] <= 280
    answer = asked.resolve(API, OLD_CLIENT)
    assert answer.ttl == LabSettings().alias_ttl_s
    assert not asked.resolve(API, OLD_CLIENT, "AAAA").answers


def test_an_apis_name_leads_to_the_endpoint_that_took_it_and_else_out() -> None:
    built = world()
    built.raw["service_endpoints"] = [
        {"id": "vpce-1", "vpc": "vpc-main", "service": "ecr.dkr", "addresses": ["127.37.1.50"], "private_names": True},
        {"id": "vpce-2", "vpc": "vpc-main", "service": "ec2", "addresses": ["127.37.1.51"], "private_names": False},
    ]
    asked = resolver(built)
    registry = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
    assert asked.resolve(registry, NEW_CLIENT).addresses == ("127.37.1.50",)
    assert asked.resolve(registry, OLD_CLIENT).addresses == (PUBLIC,)
    assert asked.resolve(f"ec2.{REGION}.amazonaws.com", NEW_CLIENT).addresses == (PUBLIC,)
    assert asked.resolve(f"s3.{REGION}.amazonaws.com", NEW_CLIENT).addresses == (S3,)
    for unknown in (f"nothing.{REGION}.amazonaws.com", "ec2.eu-west-9.amazonaws.com", "registry.k8s.io"):
        assert not asked.resolve(unknown, NEW_CLIENT).exists


def test_the_server_answers_over_udp_and_tcp_by_who_asks() -> None:
    async def scenario() -> None:
        asked = resolver(world(record(API, "CNAME", OLD_LB), vpcs=("vpc-legacy",)))
        server = Server(asked, lambda peer: OPERATOR if peer[0] == "127.0.0.1" else peer[0])
        port = await server.start("127.0.0.1", 0)
        try:
            query = dns.message.make_query(API, "A")
            for ask in (dns.asyncquery.udp, dns.asyncquery.tcp):
                for source, code in ((OLD_CLIENT, dns.rcode.NOERROR), (NEW_CLIENT, dns.rcode.NXDOMAIN)):
                    reply = await ask(query, "127.0.0.1", timeout=5, port=port, source=source)
                    assert reply.rcode() == code
                    assert bool(reply.answer) == (code == dns.rcode.NOERROR)
            cname, addresses = (await dns.asyncquery.udp(query, "127.0.0.1", timeout=5, port=port)).answer
            assert (cname.ttl, len(addresses)) == (10, 3)
        finally:
            server.close()

    run(scenario())


def test_an_endpoint_resolves_for_new_connections_and_keeps_the_answer_for_its_ttl() -> None:
    now = 1_000.0

    async def scenario() -> None:
        nonlocal now
        one, two = "127.17.1.4", "127.37.1.4"
        built = world(record(API, "A", one, ttl=10))
        built.instance(one)
        built.instance(two)
        async with network(built) as net, server(one, 16443), server(two, 16443):
            asked = resolver(built)
            endpoint = Endpoint(net.fabric, asked, API, 6443, lambda: OLD_CLIENT, clock=lambda: now)
            net.listeners.sync("endpoints", {("127.0.0.1", 24799): endpoint.accept})
            assert await greeting("127.0.0.1", 24799) == f"{one} {OLD_CLIENT}"
            built.raw["zones"][0]["records"] = [record(API, "A", two, ttl=10)]
            asked.state = built.state()
            now += 9
            assert await greeting("127.0.0.1", 24799) == f"{one} {OLD_CLIENT}"
            now += 2
            assert await greeting("127.0.0.1", 24799) == f"{two} {OLD_CLIENT}"

    run(scenario())
