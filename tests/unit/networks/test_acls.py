"""What network ACLs let through."""

from __future__ import annotations

from typing import Any

import pytest

from migration.acls import blocks

ALL = {"Protocol": "-1", "CidrBlock": "0.0.0.0/0"}
LAST = {"RuleNumber": 32767, "RuleAction": "deny", **ALL}


def acl(*entries: dict[str, Any], out: tuple[dict[str, Any], ...] | None = None) -> dict[str, Any]:
    every = [{**one, "Egress": False} for one in (*entries, LAST)]
    every += [{**one, "Egress": True} for one in (*(entries if out is None else out), LAST)]
    return {"NetworkAclId": "acl-1", "Entries": every}


def allow(number: int, cidr: str, *ports: int, protocol: str = "-1", action: str = "allow") -> dict[str, Any]:
    span = {"PortRange": {"From": ports[0], "To": ports[-1]}} if ports else {}
    return {"RuleNumber": number, "RuleAction": action, "Protocol": protocol, "CidrBlock": cidr, **span}


OPEN = allow(100, "0.0.0.0/0")


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (acl(OPEN), []),
        (acl(allow(100, "10.0.0.0/8")), []),
        (acl(allow(100, "10.1.0.0/16", 1024, 65535, protocol="6")), []),
        (acl(), ["no entry allows it", "no entry allows it"]),
        (acl(allow(100, "10.0.0.0/16")), ["no entry allows it"] * 2),
        # A part of the range is not all of it, and a deny of a part is a deny.
        (acl(allow(100, "10.1.0.0/17")), ["no entry allows it"] * 2),
        (acl(allow(90, "10.1.3.0/24", action="deny"), OPEN), ["entry 90 denies 10.1.3.0/24"] * 2),
        # Behind what lets everything through nothing is denied any more.
        (acl(OPEN, allow(110, "10.1.3.0/24", action="deny")), []),
        (acl(allow(90, "0.0.0.0/0", 22, 22, protocol="6", action="deny"), OPEN), []),
        (acl(allow(90, "0.0.0.0/0", protocol="17", action="deny"), OPEN), []),
        # Answers go to ports of the client's choice.
        (acl(allow(100, "0.0.0.0/0", 6443, 6443, protocol="6"), out=(OPEN,)), ["no entry allows it"]),
    ],
)
def test_an_acl_lets_all_of_a_range_through_or_says_what_stops_it(shown: dict[str, Any], said: list[str]) -> None:
    doors = [(6443, "tcp")]
    assert [one.partition(": ")[2] for one in blocks(shown, "10.1.0.0/16", doors, doors)] == said


TIGHT = acl(
    allow(100, "10.0.0.0/16"),
    allow(200, "0.0.0.0/0", 443, 443, protocol="6"),
    allow(210, "0.0.0.0/0", 1024, 65535, protocol="6"),
)
"""As many are: only today's networks, and whoever answers."""


def test_every_port_and_protocol_that_is_stopped_is_named() -> None:
    doors = [(80, "tcp"), (22, "tcp"), (443, "tcp"), (53, "udp")]
    assert list(blocks(TIGHT, "10.1.0.0/16", doors, [])) == [
        "acl-1 doesn't let TCP in from 10.1.0.0/16 through to ports 22, 80: no entry allows it",
        "acl-1 doesn't let UDP in from 10.1.0.0/16 through to port 53: no entry allows it",
        "acl-1 doesn't let UDP out to 10.1.0.0/16 through to the ports of answers: no entry allows it",
    ]
    assert not list(blocks(TIGHT, "10.1.0.0/16", [(443, "tcp"), (6443, "tcp")], [(2379, "tcp")]))
    assert not list(blocks(TIGHT, "10.0.3.0/24", doors, doors))


def test_what_is_asked_there_must_be_let_out_to_and_its_answers_in() -> None:
    assert list(blocks(TIGHT, "10.1.0.0/16", [], [(80, "tcp")])) == [
        "acl-1 doesn't let TCP out to 10.1.0.0/16 through to port 80: no entry allows it"
    ]
