"""One health check of one target, and what a row of them means. Thresholds count consecutive results."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from lab.network.fabric import Dropped, Fabric, Refused
from lab.network.proxy_protocol import LOCAL
from lab.network.relay import dial
from lab.network.state import HealthCheck

INITIAL = "initial"
HEALTHY = "healthy"
UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Health:
    state: str = INITIAL
    passed: int = 0
    failed: int = 0

    def after(self, ok: bool, *, healthy: int, unhealthy: int) -> Health:
        """The health after one more result."""
        passed, failed = (self.passed + 1, 0) if ok else (0, self.failed + 1)
        state = self.state
        if passed >= healthy:
            state = HEALTHY
        elif failed >= unhealthy:
            state = UNHEALTHY
        return Health(state, passed, failed)

    @property
    def idle(self) -> bool:
        """Unhealthy, without a sign that it will be healthy again."""
        return self.state == UNHEALTHY and not self.passed

    @property
    def reason(self) -> str | None:
        return {INITIAL: "Elb.InitialHealthChecking", UNHEALTHY: "Target.FailedHealthChecks"}.get(self.state)


async def check(
    fabric: Fabric,
    source: str,
    target: str,
    port: int,
    how: HealthCheck,
    timeout_s: float,
    *,
    proxy_protocol: bool = False,
) -> bool:
    """A real connection from the balancer's address: TCP passes when it stands, HTTP on a status that matches.

    HTTPS is checked as TCP: the lab's balancers trust no authority. With proxy protocol its header comes first, without
    a client, as AWS sends it.
    """
    preface = LOCAL if proxy_protocol else b""
    try:
        plan = fabric.plan(source, target, port)
        sock, connected = (None, False) if plan.delay_s else dial(plan.source, plan.host, plan.port)
        # Hundreds a second in a large lab, and most are answered by now: that nobody listens, or that somebody does.
        if sock is not None and connected and how.protocol != "HTTP" and not preface:
            sock.close()
            return True
        async with asyncio.timeout(timeout_s):
            if plan.delay_s:
                await asyncio.sleep(2 * plan.delay_s)
            if sock is None:
                sock, connected = dial(plan.source, plan.host, plan.port)
            return await _probe(sock, connected, (plan.host, plan.port), how, target, preface)
    except (Dropped, Refused, OSError, TimeoutError):
        return False


async def _probe(
    sock: socket.socket, connected: bool, place: tuple[str, int], how: HealthCheck, name: str, preface: bytes
) -> bool:
    loop = asyncio.get_running_loop()
    try:
        if not connected:
            await loop.sock_connect(sock, place)
        if preface:
            await loop.sock_sendall(sock, preface)
        if how.protocol != "HTTP":
            return True
        request = (
            f"GET {how.path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: ELB-HealthChecker/2.0\r\nConnection: close\r\n\r\n"
        )
        await loop.sock_sendall(sock, request.encode())
        answer = b""
        while b"\r\n" not in answer:
            piece = await loop.sock_recv(sock, 4_096)
            if not piece:
                return False
            answer += piece
        status = answer.split(None, 2)[1:2]
        return bool(status) and status[0].isdigit() and matches(int(status[0]), how.matcher)
    finally:
        sock.close()


def matches(status: int, matcher: str) -> bool:
    """Whether a status passes: `matcher` is one number, a range, or several with commas, as ELB writes them."""
    for part in matcher.split(","):
        first, _, last = part.strip().partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False
