from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from lab.machines import web
from lab.machines.web import TOKEN, application, metadata

INSTANCE = {
    "id": "i-0123456789abcdef0",
    "private_ip": "127.10.1.4", "zone": "eu-central-1a", "type": "m5.large", "image": "ami-1",
    "market": "spot", "iam_profile": "arn:aws:iam::123456789012:instance-profile/masters.pet", "user_data": "aGk=",
}  # fmt: skip


class Stub:
    def __init__(self, **more: Any) -> None:
        self.instance = {**INSTANCE, **more}


def asked(*requests: tuple[str, str, dict[str, str]], **more: Any) -> list[tuple[int, str]]:
    async def run() -> list[tuple[int, str]]:
        stub: Any = {"i-1": Stub(**more)}
        async with TestClient(TestServer(application(stub, dict))) as client:
            answers: list[tuple[int, str]] = []
            for method, path, headers in requests:
                filled = {
                    key: value.replace("<token>", answers[0][1] if answers else "") for key, value in headers.items()
                }
                async with client.request(method, path, headers=filled) as answer:
                    answers.append((answer.status, await answer.text()))
            return answers

    return asyncio.run(run())


def test_metadata_is_given_for_a_session_token_only() -> None:
    lifetime = {f"{TOKEN}-ttl-seconds": "60"}
    (first, _), (with_token, address), (without, _), (_, data), (missing, _) = asked(
        ("PUT", "/imds/i-1/latest/api/token", lifetime),
        ("GET", "/imds/i-1/latest/meta-data/local-ipv4", {TOKEN: "<token>"}),
        ("GET", "/imds/i-1/latest/meta-data/local-ipv4", {}),
        ("GET", "/imds/i-1/latest/user-data", {TOKEN: "<token>"}),
        ("GET", "/imds/i-1/latest/meta-data/public-ipv4", {TOKEN: "<token>"}),
    )
    assert (first, with_token, without, missing) == (200, 200, 401, 404)
    assert (address, data) == ("127.10.1.4", "hi")


def test_a_machine_that_is_gone_is_told_nothing() -> None:
    assert asked(("PUT", "/imds/i-2/latest/api/token", {}))[0][0] == 404


def test_credentials_are_those_of_the_instance_profile() -> None:
    items = metadata(INSTANCE)
    assert items["meta-data/iam/security-credentials/"] == "masters.pet"
    assert json.loads(items["meta-data/iam/security-credentials/masters.pet"])["Code"] == "Success"
    assert json.loads(items["dynamic/instance-identity/document"])["region"] == "eu-central-1"
    assert not [key for key in metadata({**INSTANCE, "iam_profile": None}) if "credentials" in key]


LIFETIME = {f"{TOKEN}-ttl-seconds": "60"}


def options(tokens: str = "required", hops: int = 1, *, enabled: bool = True) -> dict[str, Any]:
    return {"enabled": enabled, "tokens": tokens, "hop_limit": hops}


def test_an_answer_that_takes_more_hops_than_allowed_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LOST_S", 0.01)
    from_a_pod = ("PUT", "/imds/i-1/latest/api/token", {**LIFETIME, "Lab-Hops": "2"})
    assert asked(from_a_pod, metadata=options(hops=1))[0][0] == 504
    assert asked(from_a_pod, metadata=options(hops=2))[0][0] == 200
    assert asked(("PUT", "/imds/i-1/latest/api/token", {**LIFETIME, "X-Forwarded-For": "a"}))[0][0] == 403


def test_version_one_is_answered_where_the_options_say_so() -> None:
    plain = ("GET", "/imds/i-1/latest/meta-data/instance-id", {})
    assert asked(plain, metadata=options("optional"))[0] == (200, INSTANCE["id"])
    assert asked(plain, metadata=options("required"))[0][0] == 401
    assert asked(("GET", plain[1], {TOKEN: "wrong"}), metadata=options("optional"))[0][0] == 401
    assert asked(("PUT", "/imds/i-1/latest/api/token", LIFETIME), metadata=options(enabled=False))[0][0] == 403


def test_folders_are_listed_and_slashes_forgiven() -> None:
    mac = "0e:00:00:00:00:01"
    token = {TOKEN: "<token>"}
    _, listed, bare, vpc, doubled, missing = asked(
        ("PUT", "/imds/i-1/latest/api/token", LIFETIME),
        ("GET", "/imds/i-1/latest/meta-data/network/interfaces/macs/", token),
        ("GET", "/imds/i-1/latest/meta-data/iam/security-credentials", token),
        ("GET", f"/imds/i-1/latest/meta-data/network/interfaces/macs/{mac}/vpc-id", token),
        ("GET", "/imds/i-1//latest/meta-data/services/domain", token),
        ("GET", "/imds/i-1/latest/meta-data/nothing/", token),
        mac=mac,
        vpc="vpc-1",
    )
    assert (listed[1], bare[1], vpc[1], doubled[1]) == (f"{mac}/", "masters.pet", "vpc-1", "amazonaws.com")
    assert missing[0] == 404


def test_who_asks_at_a_machines_own_address_is_told_of_that_machine() -> None:
    lifetime = {f"{TOKEN}-ttl-seconds": "60"}
    requests = (("PUT", "/latest/api/token", lifetime), ("GET", "/latest/meta-data/instance-id", {TOKEN: "<token>"}))
    # The test's server answers at 127.0.0.1.
    assert asked(*requests, private_ip="127.0.0.1")[1] == (200, INSTANCE["id"])
    assert asked(requests[0])[0][0] == 404


def test_a_token_says_for_how_long_it_is() -> None:
    async def run() -> str | None:
        stub: Any = {"i-1": Stub()}
        async with TestClient(TestServer(application(stub, dict))) as client:
            headers = {f"{TOKEN}-ttl-seconds": "60"}
            async with client.put("/imds/i-1/latest/api/token", headers=headers) as answer:
                return answer.headers.get(f"{TOKEN}-ttl-seconds")

    assert asyncio.run(run()) == "60"
