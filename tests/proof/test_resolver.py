"""The stub resolver against a real DNS server on loopback: TTLs, turns, and names that are gone."""

from __future__ import annotations

import asyncio

import pytest

from proof.config import KINDS
from proof.connection import ProbeFailed
from proof.resolver import StubResolver, server_query
from tests.proof.servers import DnsServer
from tests.proof.test_probes import NAME, stub


def test_a_name_is_asked_again_when_the_smallest_ttl_of_its_chain_has_passed() -> None:
    async def main() -> None:
        now = [100.0]
        dns = await DnsServer({NAME: (["127.0.0.1"], 10)}).start()
        resolver = StubResolver(server_query(dns.address, None), clock=lambda: now[0])
        assert await resolver.address(NAME) == "127.0.0.1"
        dns.records[NAME] = (["127.0.0.2"], 10)
        now[0] += 9.9
        assert await resolver.address(NAME) == "127.0.0.1"
        now[0] += 0.2
        assert await resolver.address(NAME) == "127.0.0.2"
        assert len(dns.asked) == 2
        dns.stop()

    asyncio.run(main())


def test_addresses_of_a_name_take_turns() -> None:
    async def main() -> None:
        dns = await DnsServer({NAME: (["127.0.0.1", "127.0.0.2", "127.0.0.3"], 10)}).start()
        resolver = stub(dns)
        assert len({await resolver.address(NAME) for _ in range(3)}) == 3
        dns.stop()

    asyncio.run(main())


@pytest.mark.parametrize(("silent", "detail"), [(False, "NXDOMAIN"), (True, "no answer from the resolver")])
def test_a_name_that_can_not_be_resolved_fails_even_when_it_once_could(silent: bool, detail: str) -> None:
    async def main() -> None:
        now = [100.0]
        dns = await DnsServer({NAME: (["127.0.0.1"], 10)}).start()
        resolver = StubResolver(server_query(dns.address, None), clock=lambda: now[0])
        await resolver.address(NAME)
        kept, now[0] = dns.records.pop(NAME), 111.0
        dns.silent = silent
        with pytest.raises(ProbeFailed, match=detail) as caught:
            await resolver.address(NAME)
        assert caught.value.phase == "resolve"
        dns.records[NAME], dns.silent = kept, False
        assert await resolver.address(NAME) == "127.0.0.1"
        dns.stop()

    asyncio.run(main())


def test_probes_that_wait_for_one_name_ask_once() -> None:
    async def main() -> None:
        dns = await DnsServer({NAME: (["127.0.0.1"], 10)}).start()
        resolver = stub(dns)
        await asyncio.gather(*(resolver.address(NAME) for _ in KINDS))
        assert len(dns.asked) == 1
        dns.stop()

    asyncio.run(main())
