"""Listeners beside ingress and API: asked by HTTP, TLS and DNS, counted, judged, and shown."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import pytest

from proof.config import ConfigError, listener_kind, listener_of, parse
from proof.html import write_html
from proof.model import Due, Parts, Report, Status
from proof.report import build
from proof.run import Run
from proof.summary import read
from proof.verdict import judge
from tests.proof.servers import DnsServer, Handler, HttpServer, certificates, says
from tests.proof.test_probes import until

NAME = "direct.lab.internal"
NOTHING_ELSE = Due(
    ingress=False,
    api=False,
    writer=False,
    budgets=False,
    owners=False,
    etcd=False,
    answerers=False,
    idle=False,
    stages=False,
    leftovers=False,
)
ANSWER = b'{"pod": "intranet-1"}'


class Pods(DnsServer):
    """A DNS server that is probed: it says who it is."""

    says: bytes = ANSWER

    def answer(self, data: bytes, asker: str) -> bytes | None:
        query = dns.message.from_wire(data)
        self.asked.append((query.question[0].name.to_text(omit_final_dot=True), asker))
        if self.silent:
            return None
        answer = dns.message.make_response(query)
        text = self.says.decode().replace('"', '\\"')
        answer.answer.append(dns.rrset.from_text(query.question[0].name, 0, "IN", "TXT", f'"{text}"'))
        return answer.to_wire()


def report_of(folder: Path, *, web: Handler | None = None, told: bytes = ANSWER, silent: bool = False) -> Report:
    """The report of a run that asks a plain, a secure and a DNS listener some times."""

    async def main() -> Report:
        ca, tls = certificates(folder, NAME)
        plain = await HttpServer(web or says(ANSWER)).start()
        secure = await HttpServer(says(ANSWER), tls=tls).start()
        pods = Pods({})
        pods.says, pods.silent = told, silent
        await pods.start()
        names = await DnsServer({NAME: (["127.0.0.1"], 1)}).start()
        listeners = [
            {"name": "web", "url": f"http://{NAME}:{plain.port}/", "answers": '{"pod": "intranet-'},
            {"name": "tls", "url": f"https://{NAME}:{secure.port}/", "answers": '{"pod": "intranet-', "ca": str(ca)},
            {"name": "dns", "url": f"dns://{NAME}:{pods.address.split(':')[1]}", "answers": '{"pod": "intranet-'},
        ]
        config = {
            "places": [{"name": "old", "source_address": "127.10.0.10", "resolver": names.address}],
            "listeners": listeners,
            "probe": {"listener_rate_hz": 4, "timeout_s": 2},
            "writer": None,
            "budgets": False,
            "owners": False,
        }
        path = folder / "proof.json"
        path.write_text(json.dumps(config))
        run = Run(path, folder / "out")
        running = asyncio.create_task(run.until_stopped())
        await until(lambda: (status := read(folder / "out/status.json", Status)) is not None and status.due >= 18)
        (folder / "out" / "stop").touch()
        summary = await running
        assert {asker for _, asker in pods.asked} == {"127.10.0.10"}
        for server in (plain, secure):
            await server.stop()
        pods.stop()
        names.stop()
        return build(summary, Parts(due=NOTHING_ELSE))

    return asyncio.run(main())


def test_every_listener_is_asked_and_a_run_without_a_failure_is_ok(tmp_path: Path) -> None:
    report = report_of(tmp_path)
    assert report.reasons == ()
    asked = {kind: cell.due for kind, cell in report.probes.items() if listener_of(kind)}
    assert set(asked) == {listener_kind(name) for name in ("web", "tls", "dns")}
    assert all(asked.values())
    write_html(report, tmp_path / "out", tmp_path / "page.html")
    assert "Listener dns, each anew" in (tmp_path / "page.html").read_text()


def test_one_lost_request_of_one_listener_fails_the_report(tmp_path: Path) -> None:
    async def loses_one(exchange: Any) -> None:
        if exchange.connection == 2:
            exchange.reset()
        else:
            await says(ANSWER)(exchange)

    reasons = report_of(tmp_path, web=loses_one).reasons
    assert len(reasons) == 1
    assert reasons[0].startswith(f"{listener_kind('web')} from old: 1 of ")


def test_an_answer_of_somebody_else_fails_the_report(tmp_path: Path) -> None:
    reasons = report_of(tmp_path, told=b'{"pod": "wiki-1"}').reasons
    assert len(reasons) == 1
    assert "wrong answerer" in reasons[0]


def test_a_listener_that_answers_no_datagram_fails_the_report(tmp_path: Path) -> None:
    reasons = report_of(tmp_path, silent=True).reasons
    assert any(reason.startswith(listener_kind("dns")) and "no last byte within" in reason for reason in reasons)


def test_a_listener_that_was_configured_and_never_asked_is_a_breach(tmp_path: Path) -> None:
    report = report_of(tmp_path)
    unasked = {kind: cell for kind, cell in report.probes.items() if kind != listener_kind("tls")}
    assert judge(report.model_copy(update={"probes": unasked})) == [f"{listener_kind('tls')} was never probed."]


@pytest.mark.parametrize(
    ("listener", "named"),
    [
        ({"name": "a", "url": "ftp://x/", "answers": "x"}, "http://name:port/path"),
        ({"name": "a", "url": "dns://x:53/path", "answers": "x"}, "must have no path"),
        ({"name": "a", "url": "http://x/"}, "answers"),
        ({"name": "A b", "url": "http://x/", "answers": "x"}, "name"),
    ],
)
def test_a_wrong_listener_is_named(listener: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse({"places": [{"name": "here"}], "listeners": [listener]}, "x.json")


def test_two_listeners_of_one_name_are_refused() -> None:
    one = {"name": "a", "url": "http://x/", "answers": "x"}
    with pytest.raises(ConfigError, match="a is there twice"):
        parse({"places": [{"name": "here"}], "listeners": [one, one]}, "x.json")
