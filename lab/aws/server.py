"""The server: one lock around every API call, the backplane beside it, a ticker behind both."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from moto.core import responses
from moto.core.utils import method_names_from_class
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from lab.addresses import LOOPBACK
from lab.aws import egress, front, hooks, identity, scaling
from lab.aws.backplane import Backplane
from lab.aws.moods import Moods
from lab.aws.world import WORLD, World

log = logging.getLogger(__name__)

READING = ("Describe", "Get", "List", "Lookup", "Simulate", "Search", "Assume", "PutMetricData")
"""Actions that change nothing the backplane shows."""
READING_METHODS = ("GET ", "HEAD ", "OPTIONS ")
CHECKS: tuple[front.Check, ...] = (egress.check, identity.authorize, identity.dry_run)
"""What every call passes before its service, in this order."""
TICK_S = 0.03
"""Changes that come within this long of each other are reconciled together."""
IDLE_S = 1.0


class Dispatcher(DomainDispatcherApplication):
    """moto's dispatcher, remembering which host is whose: asking every service each time is a seventh of a call."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._known: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        if host not in self._known:
            self._known[host] = super().get_backend_for_host(host)
        return self._known[host]


class Application:
    """WSGI: `/_backplane/…` goes to the backplane, everything else through the lock to moto."""

    def __init__(self, world: World = WORLD) -> None:
        self.world = world
        self.moto = Dispatcher()
        self.backplane = Backplane(world)
        self._moods: tuple[int, Moods] = (-1, Moods())

    def moods(self) -> Moods:
        """Those of this world: another one begins without a memory."""
        if self._moods[0] != self.world.generation:
            self._moods = (self.world.generation, Moods())
        return self._moods[1]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "").startswith("/_backplane/"):
            return self.backplane(environ, start_response)
        body = _read_body(environ)
        request = front.read(environ, body)
        answer: list[Any] = []
        lost: str | None = None

        def keep(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
            answer[:] = [status, headers, exc_info]
            return lambda _data: None

        with self.world.lock:
            self.world.asked[request.app, request.name] += 1
            try:
                self.moods().throttle(request)
                for check in CHECKS:
                    check(request)
                if (stale := self.moods().behind(request)) is not None:
                    *answer[:], content = stale
                else:
                    content = b"".join(self.moto(environ, keep))
                    self.moods().note(request, (str(answer[0]), answer[1], content))
            except egress.Unanswered as unanswered:
                lost, content, answer[:] = str(unanswered), b"", ["504 Gateway Timeout", []]
            except front.Turned as turned:
                *answer[:], content = front.refusal(request, turned)
            except Exception as error:
                # A gap of moto's must reach the caller as an AWS error, not as a page boto3 can't parse.
                log.exception("%s", body[:500])
                content = _internal_failure(environ, error)
                answer[:] = ["501 Not Implemented", [("Content-Type", "text/xml")]]
            status = str(answer[0])
            action = _action(environ, body)
            if status < "400" and not action.startswith((*READING, *READING_METHODS)):
                self.world.calls[_access_key(environ), action] += 1
                self.world.bump(request.service)
        if lost is not None:
            log.info("%s", lost)
            time.sleep(self.world.settings.refuse_after_s)
            with contextlib.suppress(OSError):
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        start_response(status, answer[1])
        return [content]


def _internal_failure(environ: dict[str, Any], error: Exception) -> bytes:
    """InternalFailure as the service would write it: JSON, EC2's XML, or everybody else's XML."""
    message = f"{type(error).__name__}: {error}"
    if environ.get("HTTP_X_AMZ_TARGET"):
        return json.dumps({"__type": "InternalFailure", "message": message}).encode()
    inner = f"<Error><Code>InternalFailure</Code><Message>{escape(message)}</Message></Error>"
    if "/ec2/" in environ.get("HTTP_AUTHORIZATION", ""):
        return f"<Response><Errors>{inner}</Errors><RequestID>lab</RequestID></Response>".encode()
    return f"<ErrorResponse>{inner}<RequestId>lab</RequestId></ErrorResponse>".encode()


def _read_body(environ: dict[str, Any]) -> bytes:
    """The whole body, read before the lock is taken (a slow client must not hold it), and put back."""
    length = environ.get("CONTENT_LENGTH") or "0"
    body = environ["wsgi.input"].read(int(length)) if length.isdigit() and int(length) else b""
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _action(environ: dict[str, Any], body: bytes) -> str:
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return target.rsplit(".", 1)[-1]
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return (parse_qs(body.decode("utf-8", "replace")).get("Action") or [""])[0]
    # REST (Route 53): the method says it, and the path's end of what.
    return f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO', '').rstrip('/').rpartition('/')[2]}"


def _access_key(environ: dict[str, Any]) -> str:
    """Whose call it is: a machine's keys are other ones than the operator's. Empty where nothing is signed."""
    return environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition("/")[0]


class Ticker(threading.Thread):
    """Runs timers and the Auto Scaling loop, shortly after every change and when a timer is due."""

    def __init__(self, world: World = WORLD) -> None:
        super().__init__(name="aws-ticker", daemon=True)
        self.world = world
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            with self.world.lock:
                due = self.world.next_due()
                if not self.world.reconcile_wanted and (due is None or due > 0):
                    self.world.changed.wait(IDLE_S if due is None else min(due, IDLE_S))
            self._stopped.wait(TICK_S)
            self.tick()

    def tick(self) -> None:
        """One pass: timers that are due, then every group."""
        with self.world.lock:
            self.world.run_due()
            if self.world.reconcile_wanted:
                self.world.reconcile_wanted = False
                scaling.reconcile(self.world)

    def stop(self) -> None:
        self._stopped.set()
        with self.world.lock:
            self.world.changed.notify_all()
        self.join(5)


class LabAws:
    """The server in this process. `start()` listens (port 0: any free one), `stop()` ends it; `url` is its address."""

    def __init__(self, port: int = 0, host: str = LOOPBACK, world: World = WORLD) -> None:
        _install_rules()
        self.world = world
        self._server: BaseWSGIServer = make_server(
            host, port, Application(world), threaded=True, request_handler=QuietHandler
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="aws-server", daemon=True)
        self._ticker = Ticker(world)

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> LabAws:
        self._ticker.start()
        self._thread.start()
        return self

    def stop(self) -> None:
        self._ticker.stop()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class QuietHandler(MotoRequestHandler):
    """No line per request: the lab makes tens of thousands."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        del code, size


def _install_rules() -> None:
    # Importing is what registers; in a function so that importing this module patches nothing.
    from lab.aws import (  # noqa: F401
        agent,
        balancers,
        controllers,
        dependencies,
        groups,
        launch,
        launchable,
        limits,
        listening,
        peering,
        permissions,
        quotas,
        records,
        requesters,
        scaling_api,
        scaling_policies,
        serializing,
        targets,
        templates,
        volumes,
    )

    hooks.install()
    # The same list for the same class, by reflection on every call: a sixth of its time.
    responses.__dict__["method_names_from_class"] = functools.cache(method_names_from_class)
