"""What a machine asks of the host it runs on, over HTTP: instance metadata (IMDSv2), systemd and mounts (shim.py).

Metadata: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html. A request without a
session token gets 401, unless the instance's options say that version 1 will do.
"""

from __future__ import annotations

import asyncio
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
LOST_S = 1.0
"""After this long somebody whose answer is lost is let go."""
HOPS = "Lab-Hops"
"""Header of requests that come through containers' networks: how many hops the answer takes; 1 without it."""
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
        "meta-data/services/domain": "amazonaws.com",
        "meta-data/services/partition": "aws",
        **_interface(instance),
        "dynamic/instance-identity/document": json.dumps(document),
    }
    if role:
        items["meta-data/iam/info"] = json.dumps(
            {"Code": "Success", "InstanceProfileArn": instance["iam_profile"], "InstanceProfileId": "AIPALAB"}
        )
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


def _interface(instance: Mapping[str, Any]) -> dict[str, str]:
    """What is told of the first interface, below its MAC."""
    mac = instance.get("mac")
    if not mac:
        return {}
    below = f"meta-data/network/interfaces/macs/{mac}"
    return {
        "meta-data/mac": mac,
        f"{below}/device-number": "0",
        f"{below}/interface-id": str(instance.get("interface") or ""),
        f"{below}/local-ipv4s": instance["private_ip"],
        f"{below}/mac": mac,
        f"{below}/subnet-id": str(instance.get("subnet") or ""),
        f"{below}/vpc-id": str(instance.get("vpc") or ""),
    }


def found_at(items: Mapping[str, str], path: str) -> str | None:
    """An item, or a folder's list: its names, folders with a slash; None for neither.

    SDKs ask with double slashes, and for folders with and without the last one.
    """
    clean = "/".join(part for part in path.split("/") if part)
    for known in (clean, f"{clean}/"):
        if known in items:
            return items[known]
    inside = [key[len(clean) + 1 :] for key in items if key.startswith(f"{clean}/")]
    names = {name if not more else f"{name}/" for name, _, more in (key.partition("/") for key in inside) if name}
    return "\n".join(sorted(names)) or None


def application(machines: Mapping[str, Machine], status: Callable[[], dict[str, Any]]) -> web.Application:
    app = web.Application(client_max_size=1 << 20)
    app[MACHINES] = machines
    tokens: set[str] = set()

    async def put_token(request: web.Request) -> web.Response:
        options = _options(request)
        if "X-Forwarded-For" in request.headers:
            return web.Response(status=403, text="not through a proxy\n")
        if int(request.headers.get(HOPS, "1")) > options["hop_limit"]:
            # The answer's packets die on their way: whoever asked waits in vain.
            await asyncio.sleep(LOST_S)
            raise web.HTTPGatewayTimeout(text="the answer's hop limit was too low\n")
        lifetime = request.headers.get(f"{TOKEN}-ttl-seconds")
        if lifetime is None:
            return web.Response(status=400, text="the token's lifetime is missing\n")
        token = secrets.token_urlsafe(32)
        tokens.add(token)
        # Go's SDK takes no token whose answer doesn't say for how long it is.
        return web.Response(text=token, headers={f"{TOKEN}-ttl-seconds": lifetime})

    async def get_item(request: web.Request) -> web.Response:
        instance = _machine(request).instance
        token = request.headers.get(TOKEN)
        if token not in tokens and (token is not None or _options(request)["tokens"] == "required"):
            return web.Response(status=401, text="IMDSv2 needs a session token\n")
        path = request.match_info["path"]
        if path == "user-data":
            return web.Response(body=base64.b64decode(instance.get("user_data") or ""))
        found = found_at(metadata(instance), path)
        return web.Response(text=found) if found is not None else web.Response(status=404, text="not here\n")

    async def get_status(_: web.Request) -> web.Response:
        return web.json_response(status())

    app.add_routes(
        [
            # Go's SDK keeps host and port of an endpoint, and nothing of its path.
            web.put("/latest/api/token", put_token),
            web.get("/latest/{path:.*}", get_item),
            web.put("/imds/{instance}/latest/api/token", put_token),
            web.put("/imds/{instance}/{slash:/}latest/api/token", put_token),
            web.get("/imds/{instance}/latest/{path:.*}", get_item),
            web.get("/imds/{instance}/{slash:/}latest/{path:.*}", get_item),
            web.post("/shim/{instance}", post_shim),
            web.get("/status", get_status),
        ]
    )
    return app


async def post_shim(request: web.Request) -> web.Response:
    body = await request.json()
    answer = await _machine(request).call(body["command"], body["arguments"])
    return web.json_response({"code": answer.code, "stdout": answer.stdout, "stderr": answer.stderr})


def _options(request: web.Request) -> Mapping[str, Any]:
    """The instance's metadata options. Raises HTTPForbidden where the service is off."""
    told = _machine(request).instance.get("metadata") or {"enabled": True, "tokens": "required", "hop_limit": 1}
    if not told["enabled"]:
        raise web.HTTPForbidden(text="the metadata service is off\n")
    return told


def _machine(request: web.Request) -> Machine:
    machines = request.app[MACHINES]
    if "instance" in request.match_info:
        machine = machines.get(request.match_info["instance"])
    else:
        # Asked at an address: the machine's whose it is (`Supervisor.serve_metadata_at`).
        name = request.get_extra_info("sockname")
        ip = str(name[0]) if name else ""
        machine = next((one for one in machines.values() if one.instance["private_ip"] == ip), None)
    if machine is None:
        raise web.HTTPNotFound(text="no such instance\n")
    return machine
