"""What every call meets before its service sees it: who calls, what for, and AWS's refusals common to all services.

A check is a function of the request that may raise Turned; `refusal` writes it as the service writes its errors.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl
from xml.sax.saxutils import escape

import botocore.session

SERVICES = {"monitoring": "cloudwatch"}
"""IAM's word for a service, where its signature has another one."""
REST = ("route53",)


class Turned(Exception):
    """A call that AWS turns away: the error's code, its sentence, and HTTP's status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True)
class Request:
    """One call. `values` are its parameters, flat: `Filter.1.Name`, `TagSpecification.1.Tag.2.Key`."""

    service: str
    """As IAM calls it: ec2, elasticloadbalancing, cloudwatch, …"""
    action: str
    key: str
    """The access key; empty where nothing is signed."""
    token: str
    values: dict[str, str] = field(default_factory=dict)
    protocol: str = "query"
    path: str = ""
    app: str = ""
    """What the caller says it is (`app/…` in its user agent); empty where it doesn't."""

    @property
    def name(self) -> str:
        """The action as policies name it."""
        return f"{self.service}:{self.action}"


Check = Callable[[Request], None]


def read(environ: dict[str, Any], body: bytes) -> Request:
    """What a call asks for, by whichever protocol its service speaks."""
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition(",")[0].split("/")
    key, service = (scope[0], scope[3]) if len(scope) >= 4 else ("", "")
    token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "")
    path = environ.get("PATH_INFO", "")
    service = SERVICES.get(service, service)
    if target := environ.get("HTTP_X_AMZ_TARGET", ""):
        action, protocol, values = target.rsplit(".", 1)[-1], "json", _flat(_json(body))
    elif operation := re.search(r"/operation/(\w+)$", path):
        action, protocol, values = operation[1], "cbor", {}
    elif service in REST:
        protocol = "rest"
        action = _operation(service, environ.get("REQUEST_METHOD", "GET"), path)
        values = {"path": path, **dict(parse_qsl(environ.get("QUERY_STRING", "")))}
    else:
        text = body.decode("utf-8", "replace") or environ.get("QUERY_STRING", "")
        values = {name: found[0] for name, found in parse_qs(text, keep_blank_values=True).items()}
        action, protocol = values.get("Action", ""), "ec2" if service == "ec2" else "query"
    app = re.search(r"(?:^|\s)app/(\S+)", environ.get("HTTP_USER_AGENT", ""))
    return Request(service, action, key, token, values, protocol, path, app[1] if app else "")


def refusal(request: Request, turned: Turned) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, headers and body of an error, as that service's protocol has it."""
    code, message, status = turned.code, str(turned), turned.status
    kind = "text/xml"
    headers: list[tuple[str, str]] = []
    inner = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    if request.protocol == "json":
        status, kind = 400, "application/x-amz-json-1.1"
        body = json.dumps({"__type": code, "message": message}).encode()
    elif request.protocol == "cbor":
        # https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
        status, kind, headers = 400, "application/cbor", [("smithy-protocol", "rpc-v2-cbor")]
        body = b"\xa2" + b"".join(_cbor(text) for text in ("__type", code, "message", message))
    elif request.protocol == "ec2":
        body = f"<Response><Errors>{inner}</Errors><RequestID>lab</RequestID></Response>".encode()
    else:
        typed = inner.replace("<Error>", "<Error><Type>Sender</Type>")
        body = f"<ErrorResponse>{typed}<RequestId>lab</RequestId></ErrorResponse>".encode()
    return f"{status} {code}", [("Content-Type", kind), *headers, ("Content-Length", str(len(body)))], body


def _cbor(text: str) -> bytes:
    """A text string (RFC 8949, major type 3)."""
    raw = text.encode()
    if len(raw) < 24:
        return bytes([0x60 + len(raw)]) + raw
    return b"\x79" + len(raw).to_bytes(2, "big") + raw


def _json(body: bytes) -> Any:
    try:
        return json.loads(body or b"{}")
    except ValueError:
        return {}


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    pairs: Iterable[tuple[str, Any]]
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = ((str(number), item) for number, item in enumerate(value, 1))
    else:
        return {prefix: str(value)}
    return {k: v for name, item in pairs for k, v in _flat(item, f"{prefix}.{name}" if prefix else name).items()}


def _operation(service: str, method: str, path: str) -> str:
    """The operation that a REST path is, by botocore's own model of the service; empty for none."""
    for wanted, pattern, name in _operations(service):
        if method == wanted and pattern.fullmatch(path.rstrip("/")):
            return name
    return ""


@functools.cache
def _operations(service: str) -> list[tuple[str, re.Pattern[str], str]]:
    model = botocore.session.get_session().get_service_model(service)
    found: list[tuple[str, re.Pattern[str], str]] = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        uri = http["requestUri"].partition("?")[0].rstrip("/")
        parts = [
            part if not part.startswith("{") else (".+" if part.endswith("+}") else "[^/]+") for part in uri.split("/")
        ]
        found.append((http["method"], re.compile("/".join(parts)), name))
    # Those with fewer holes first: `/hostedzone/{Id}/rrset` before anything that `{Id+}` could swallow.
    return sorted(found, key=lambda one: one[1].pattern.count("+"))
