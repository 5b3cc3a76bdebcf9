"""What a machine asks of the host it runs on, over HTTP: instance metadata (IMDSv2), systemd and mounts (shim.py).

Metadata: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html. Version 2 only: a
request without a session token gets 401, so that a script that forgot it fails here and not on a real image.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from lab.addresses import ACCOUNT_ID, private_dns_name
from lab.machines.machine import Machine

TOKEN = "X-aws-ec2-metadata-token"
MACHINES = web.AppKey("machines", Mapping[str, Machine])


def metadata(instance: Mapping[str, Any]) -> dict[str, str]:
    """Every item served, by path below `/latest`. Pure."""
    zone = instance["zone"]
    region = zone[:-1]
    role = str(instance.get("iam_profile") or "").rpartition("/")[2]
    document = {
        "accountId": ACCOUNT_ID,
        "availabilityZone": zone,
        "imageId": instance["image"],
        "instanceId": instance["id"],
        "instanceType": instance["type"],
        "privateIp": instance["private_ip"],
        "region": region,
        "version": "2017-09-30",
    }
    items = {
        "meta-data/instance-id": instance["id"],
        "meta-data/local-hostname": instance.get("private_dns") or private_dns_name(instance["private_ip"]),
        "meta-data/local-ipv4": instance["private_ip"],
        "meta-data/instance-type": instance["type"],
        "meta-data/ami-id": instance["image"],
        "meta-data/instance-life-cycle": instance["market"],
        "meta-data/placement/availability-zone": zone,
        "meta-data/placement/region": region,
        "dynamic/instance-identity/document": json.dumps(document),
    }
    if role:
        expires = datetime.now(UTC) + timedelta(hours=6)
        items["meta-data/iam/security-credentials/"] = role
        items[f"meta-data/iam/security-credentials/{role}"] = json.dumps(
            {
                "Code": "Success",
                "Type": "AWS-HMAC",
                "LastUpdated": datetime.now(UTC).isoformat(),
                "AccessKeyId": f"ASIA{instance['id'][-16:].upper()}",
                "SecretAccessKey": "lab",
                "Token": "lab",
                "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )
    return items


def application(machines: Mapping[str, Machine], status: Callable[[], dict[str, Any]]) -> web.Application:
    app = web.Application(client_max_size=1 << 20)
    app[MACHINES] = machines
    tokens: set[str] = set()

    async def put_token(request: web.Request) -> web.Response:
        _machine(request)
        if f"{TOKEN}-ttl-seconds" not in request.headers:
            return web.Response(status=400, text="the token's lifetime is missing\n")
        token = secrets.token_urlsafe(32)
        tokens.add(token)
        return web.Response(text=token)

    async def get_item(request: web.Request) -> web.Response:
        instance = _machine(request).instance
        if request.headers.get(TOKEN) not in tokens:
            return web.Response(status=401, text="IMDSv2 needs a session token\n")
        path = request.match_info["path"]
        if path == "user-data":
            return web.Response(body=base64.b64decode(instance.get("user_data") or ""))
        items = metadata(instance)
        found = items.get(path) or items.get(path.rstrip("/") + "/")
        return web.Response(text=found) if found is not None else web.Response(status=404, text="not here\n")

    async def get_status(_: web.Request) -> web.Response:
        return web.json_response(status())

    app.add_routes(
        [
            web.put("/imds/{instance}/latest/api/token", put_token),
            web.get("/imds/{instance}/latest/{path:.*}", get_item),
            web.post("/shim/{instance}", post_shim),
            web.get("/status", get_status),
        ]
    )
    return app


async def post_shim(request: web.Request) -> web.Response:
    body = await request.json()
    answer = await _machine(request).call(body["command"], body["arguments"])
    return web.json_response({"code": answer.code, "stdout": answer.stdout, "stderr": answer.stderr})


def _machine(request: web.Request) -> Machine:
    machine = request.app[MACHINES].get(request.match_info["instance"])
    if machine is None:
        raise web.HTTPNotFound(text="no such instance\n")
    return machine
