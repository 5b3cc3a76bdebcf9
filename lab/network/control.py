"""The network's own small HTTP interface, for the lab and its tests. Nothing of the product calls it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

from aiohttp import web

from lab.addresses import unalias
from lab.network.fabric import Fabric, Pair
from lab.network.listeners import Datagrams, Listeners, Place
from lab.network.reachability import allowed
from lab.network.resolve import Resolver
from lab.network.state import TCP

Facts = Callable[[], dict[str, Any]]


def application(
    fabric: Fabric, listeners: Listeners, datagrams: Datagrams, resolver: Resolver, ready: Facts, stats: Facts
) -> web.Application:
    """GET /ready (503 until AWS's state was read), /flows, /stats, /listeners, /allowed, /resolve; /pairs both ways."""

    async def get_ready(_: web.Request) -> web.Response:
        facts = ready()
        return web.json_response(facts, status=200 if facts["ready"] else 503)

    async def get_flows(_: web.Request) -> web.Response:
        return web.json_response(open_flows(fabric))

    async def get_stats(_: web.Request) -> web.Response:
        return web.json_response(stats())

    async def get_listeners(_: web.Request) -> web.Response:
        places = {owner: [_said(p) for p in places] for owner, places in listeners.places().items()}
        udp = {owner: [_said(p) for p in places] for owner, places in datagrams.places().items()}
        failed = {_said(p): error for p, error in listeners.failed.items()}
        failed |= {f"{_said(p)}/udp": error for p, error in datagrams.failed.items()}
        return web.json_response({**places, "udp": udp, "failed": failed})

    async def get_allowed(request: web.Request) -> web.Response:
        query = request.query
        verdict = allowed(fabric.state, query["from"], query["to"], int(query["port"]), query.get("transport", TCP))
        return web.json_response(verdict._asdict())

    async def get_resolve(request: web.Request) -> web.Response:
        result = resolver.resolve(request.query["name"], request.query["from"], request.query.get("type", "A"))
        answers = [[a.name, a.type, a.ttl, a.value] for a in result.answers]
        return web.json_response({"exists": result.exists, "answers": answers})

    async def get_pairs(_: web.Request) -> web.Response:
        pairs = [{"pair": sorted(key), "cut": p.cut, "delay_ms": p.delay_ms} for key, p in fabric.pairs.items()]
        return web.json_response(pairs)

    async def post_pairs(request: web.Request) -> web.Response:
        try:
            one, other, pair = _wanted(await request.json())
        except (KeyError, TypeError, ValueError, json.JSONDecodeError) as error:
            return web.json_response({"error": f'{error}; give {{"a", "b", "mode", "ms"}}'}, status=400)
        return web.json_response({"reset": fabric.set_pair(one, other, pair)})

    app = web.Application()
    app.add_routes(
        [
            web.get("/ready", get_ready),
            web.get("/flows", get_flows),
            web.get("/stats", get_stats),
            web.get("/listeners", get_listeners),
            web.get("/allowed", get_allowed),
            web.get("/resolve", get_resolve),
            web.get("/pairs", get_pairs),
            web.post("/pairs", post_pairs),
        ]
    )
    return app


def _said(place: Place) -> str:
    address, port = place
    return f"{address}:{port}" if port else address


def _wanted(body: dict[str, Any]) -> tuple[str, str, Pair]:
    one, other = (unalias(str(IPv4Address(body[key]))) for key in ("a", "b"))
    mode = body["mode"]
    if mode == "cut":
        return one, other, Pair(cut=True)
    if mode == "heal":
        return one, other, Pair()
    if mode == "delay":
        return one, other, Pair(delay_ms=float(body["ms"]))
    raise ValueError(f"mode {mode!r} is none of cut, heal, delay")


def open_flows(fabric: Fabric) -> dict[str, list[dict[str, Any]]]:
    """Open flows by load balancer's name; those through none under "direct"."""
    now = time.monotonic()
    listed: dict[str, list[dict[str, Any]]] = {b.name: [] for b in fabric.state.load_balancers.values()}
    for flow in fabric.flows:
        hops = flow.plan.hops
        arn = next((hop.balancer for hop in hops if hop.balancer), None)
        balancer = fabric.state.load_balancers.get(arn) if arn else None
        up, down = flow.bytes
        listed.setdefault(balancer.name if balancer else "direct", []).append(
            {
                "client": hops[0].source,
                "dialled": f"{hops[0].target}:{hops[0].port}",
                "target": f"{hops[-1].target}:{hops[-1].port}",
                "seconds": round(now - flow.opened, 3),
                "quiet_s": round(now - flow.last, 3),
                "sent": up,
                "received": down,
            }
        )
    return listed
