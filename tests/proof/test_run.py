"""The writer, the watcher and whole runs, against an API on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from migration.clients.asynchronous import AsyncKubernetes
from migration.clients.kubeconfig import read_kubeconfig
from proof import __main__ as cli
from proof import marks
from proof.budgets import BudgetWatcher
from proof.config import KINDS, ConfigError, ProofConfig, WriterConfig
from proof.html import write_html
from proof.http1 import Exchange as HttpExchange
from proof.model import Due, Parts, Report, Stage, Status, Summary
from proof.names import NameWatcher
from proof.report import build
from proof.resolver import server_query
from proof.run import Run, addresses, cluster_of
from proof.summary import lines, read, summarize
from proof.watch import line
from proof.writer import Writer, key_name, key_value, read_back, read_journal
from tests.proof.servers import (
    CLUSTER,
    DnsServer,
    Exchange,
    FakeKube,
    HttpServer,
    budget,
    certificates,
    deployment,
    pod,
    says,
    says_cluster,
)
from tests.proof.test_probes import until

INGRESS, API = "shop.apps.pet.lab.internal", "api.pet.lab.internal"


class Events(list[tuple[str, dict[str, Any]]]):
    def __call__(self, kind: str, at: float, **data: Any) -> None:
        self.append((kind, data))


def with_writer(tmp_path: Path, act: Callable[[FakeKube, Writer], Any]) -> tuple[FakeKube, Writer, Events]:
    async def main() -> tuple[FakeKube, Writer, Events]:
        events = Events()
        api = await FakeKube().start()
        kube = AsyncKubernetes(read_kubeconfig(api.kubeconfig(tmp_path)))
        writer = Writer(kube, WriterConfig(rate_hz=200), "r", tmp_path, events)
        task = asyncio.create_task(writer.run())
        await act(api, writer)
        writer.stop()
        await task
        writer.journal.sync()
        writer.journal.close()
        await kube.close()
        await api.stop()
        return api, writer, events

    return asyncio.run(main())


def test_numbers_are_written_in_order_and_journaled(tmp_path: Path) -> None:
    async def act(api: FakeKube, writer: Writer) -> None:
        await until(lambda: writer.acknowledged >= 10)

    api, writer, _ = with_writer(tmp_path, act)
    run, numbers = read_journal(tmp_path / "writes.journal")
    assert run == "r"
    assert numbers == list(range(writer.acknowledged))
    assert set(api.keys) == {key_name("r", n) for n in numbers}


@pytest.mark.parametrize("how", ["refuse", "lose"])
def test_a_write_that_fails_is_tried_again_under_its_own_number(tmp_path: Path, how: str) -> None:
    async def act(api: FakeKube, writer: Writer) -> None:
        await until(lambda: writer.acknowledged >= 3)
        api.fail_writes = [how]
        wanted = writer.acknowledged + 3
        await until(lambda: not api.fail_writes and writer.acknowledged >= wanted)

    api, writer, events = with_writer(tmp_path, act)
    assert [kind for kind, _ in events if kind == "write_failed"] == ["write_failed"]
    assert writer.errors == 1
    assert set(api.keys) == {key_name("r", n) for n in range(writer.acknowledged)}


def test_writes_are_due_from_the_beginning_also_while_their_namespace_can_not_be_made(tmp_path: Path) -> None:
    async def main() -> Writer:
        api = await FakeKube().start()
        kube = AsyncKubernetes(read_kubeconfig(api.kubeconfig(tmp_path)))
        await api.stop()
        writer = Writer(kube, WriterConfig(), "r", tmp_path, Events())
        task = asyncio.create_task(writer.run())
        await until(lambda: writer.gap_s > 0.3)
        writer.stop()
        await task
        await kube.close()
        return writer

    writer = asyncio.run(main())
    assert (writer.acknowledged, writer.longest_gap_s > 0.3) == (0, True)
    assert writer.started_at is not None
    assert writer.longest_gap_begin == pytest.approx(writer.started_at, abs=0.1)


def test_a_gap_in_the_writes_has_its_length_and_its_beginning(tmp_path: Path) -> None:
    async def act(api: FakeKube, writer: Writer) -> None:
        await until(lambda: writer.acknowledged >= 3)
        api.fail_writes = ["refuse"] * 8  # tried again every tenth of a second
        wanted = writer.acknowledged + 3
        await until(lambda: not api.fail_writes and writer.acknowledged >= wanted)

    _, writer, _ = with_writer(tmp_path, act)
    assert writer.longest_gap_s > 0.7
    assert writer.longest_gap_begin is not None
    assert writer.started_at is not None
    assert writer.longest_gap_begin >= writer.started_at


def test_the_read_back_goes_through_all_pages_and_finds_what_is_lost(tmp_path: Path) -> None:
    async def main() -> None:
        api = await FakeKube().start()
        kube = AsyncKubernetes(read_kubeconfig(api.kubeconfig(tmp_path)))
        for n in range(1203):
            name = key_name("r", n)
            api.keys[name] = {
                "metadata": {"name": name, "labels": {"run": "r"}},
                "data": {"value": key_value("r", n)},
            }
        del api.keys[key_name("r", 700)]
        result = await read_back(kube, "proof", "r", list(range(1203)))
        assert (result.acknowledged, result.lost, result.complete) == (1203, [700], True)
        assert api.lists == 3
        await kube.close()
        await api.stop()

    asyncio.run(main())


def test_an_api_that_can_not_be_listed_is_not_taken_for_no_loss(tmp_path: Path) -> None:
    async def main() -> None:
        api = await FakeKube().start()
        kube = AsyncKubernetes(read_kubeconfig(api.kubeconfig(tmp_path)))
        await api.stop()
        result = await read_back(kube, "proof", "r", [1], patience_s=0)
        assert not result.complete
        assert result.problem

    asyncio.run(main())


def test_the_watch_goes_on_from_the_last_event_when_its_connection_ends(tmp_path: Path) -> None:
    async def main() -> None:
        events = Events()
        api = FakeKube()
        api.budgets = [budget("web", 3, 3)]
        await api.start()
        kube = AsyncKubernetes(read_kubeconfig(api.kubeconfig(tmp_path)))
        watcher = BudgetWatcher(kube, events)
        task = asyncio.create_task(watcher.run())
        await watcher.ready.wait()
        await api.events.put({"type": "MODIFIED", "object": budget("web", 3, 3, 7)})
        await api.events.put(None)
        await api.events.put({"type": "MODIFIED", "object": budget("web", 2, 3, 8)})
        await until(lambda: len(watcher.book.violations) == 1)
        assert api.watched_from == ["1", "7"]
        assert events[0][0] == "budget_violated"
        task.cancel()
        await api.events.put(None)
        await kube.close()
        await api.stop()

    asyncio.run(main())


def test_a_version_that_is_too_old_means_a_new_list_which_is_counted(tmp_path: Path) -> None:
    async def main() -> None:
        api = FakeKube()
        api.budgets = [budget("web", 3, 3)]
        await api.start()
        kube = AsyncKubernetes(read_kubeconfig(api.kubeconfig(tmp_path)))
        watcher = BudgetWatcher(kube, Events())
        task = asyncio.create_task(watcher.run())
        await watcher.ready.wait()
        api.budgets = [budget("web", 1, 3)]
        await api.events.put({"type": "ERROR", "object": {"code": 410, "message": "too old"}})
        await until(lambda: len(watcher.book.violations) == 1)
        assert watcher.facts().relists == 1
        task.cancel()
        await api.events.put(None)
        await kube.close()
        await api.stop()

    asyncio.run(main())


def test_a_record_missing_between_two_looks_of_the_cache_is_seen(tmp_path: Path) -> None:
    async def main() -> Events:
        events = Events()
        server = await DnsServer({INGRESS: (["127.0.0.1"], 3600)}).start()
        names = NameWatcher([INGRESS], events)
        names.start("old", server_query(server.address, None))
        await until(lambda: bool(names.counts) and names.counts[f"old/{INGRESS}"].asked >= 2)
        assert events == []
        kept = server.records.pop(INGRESS)
        await until(lambda: bool(events))
        server.records[INGRESS] = kept
        names.stop_all()
        server.stop()
        return events

    events = asyncio.run(main())
    assert events[0] == ("name_empty", {"place": "old", "name": INGRESS, "answer": "NXDOMAIN"})


def whole_run(
    tmp_path: Path,
    during: Callable[[FakeKube, HttpServer, Run], Any],
    also: Callable[[HttpServer], Any] | None = None,
) -> Summary:
    """A run against servers of its own; `also` is given the API that the probes ask."""

    async def main() -> Summary:
        ca, tls = certificates(tmp_path, API)
        ingress, server = await HttpServer().start(), await HttpServer(says_cluster(CLUSTER), tls=tls).start()
        dns = await DnsServer({INGRESS: (["127.0.0.1"], 1), API: (["127.0.0.1"], 1)}).start()
        api = FakeKube()
        api.budgets = [budget("web", 3, 3)]
        api.pods = [pod(f"p{n}", "n1", "127.0.0.9") for n in range(3)]
        await api.start()
        config = {
            "places": [{"name": "old", "source_address": "127.10.0.10", "resolver": dns.address}],
            "ingress": {"url": f"http://{INGRESS}:{ingress.port}/", "answers": "ok"},
            "api": {"url": f"https://{API}:{server.port}", "ca": str(ca)},
            "kubeconfig": api.kubeconfig(tmp_path),
            # Slow enough that a busy machine starves no request: that it would be told is tested elsewhere.
            "probe": {"rate_hz": 2, "timeout_s": 20},
            "writer": {"rate_hz": 50, "min_rate": 0},
            "cpu_groups": {"tests": {"match": ["pytest"]}},
            "sides": [{"name": "legacy", "cidr": "127.0.0.0/16"}, {"name": "main", "cidr": "127.30.0.0/16"}],
        }
        path = tmp_path / "proof.json"
        path.write_text(json.dumps(config))
        run = Run(path, tmp_path / "out")
        task = asyncio.create_task(run.until_stopped())
        await until(lambda: (tmp_path / "out/status.json").exists() or task.done())
        await during(api, ingress, run)
        if also is not None:
            await also(server)
        if not task.done():
            (tmp_path / "out/stop").touch()
        await api.events.put(None)
        await api.pod_events.put(None)
        summary = await task
        for stop in (ingress.stop(), server.stop(), api.stop()):
            await stop
        dns.stop()
        return summary

    return asyncio.run(main())


def status(tmp_path: Path) -> Status:
    found = read(tmp_path / "out/status.json", Status)
    assert found is not None
    return found


def judged(summary: Summary) -> Report:
    stages = (Stage(stage=0, name="baseline", second_up_changes=0),)
    return build(summary, Parts(stages=stages, leftovers=(), due=Due(etcd=False)))


async def idle_and_stage_0(tmp_path: Path) -> None:
    """Both windows last until each has seen a few requests of every cell."""

    async def more() -> None:
        wanted = status(tmp_path).due + 24
        await until(lambda: status(tmp_path).due >= wanted)

    marks.add(tmp_path / "out", "idle begin")
    await more()
    marks.add(tmp_path / "out", "idle end")
    marks.add(tmp_path / "out", "stage 0 begin")
    await more()


def test_a_run_where_nothing_happens_is_ok_and_its_page_stands_alone(tmp_path: Path) -> None:
    async def during(api: FakeKube, ingress: HttpServer, run: Run) -> None:
        await api.pod_events.put(
            {"type": "MODIFIED", "object": pod("p0", "n1", "127.0.0.9", version=8, disrupted="EvictionByEvictionAPI")}
        )
        await idle_and_stage_0(tmp_path)

    summary = whole_run(tmp_path, during)
    report = judged(summary)
    assert report.evictions == {"legacy": 1, "main": 0}
    assert report.reasons == ()
    assert report.ok
    for part in (report.probes, report.idle):
        for numbers in part.values():
            assert numbers.due == numbers.sent > 0
            assert list(numbers.by_place) == ["old"]
    assert report.livez.due > 0
    assert report.watched is not None
    assert report.watched.cluster == CLUSTER
    assert report.writes.acknowledged > 0
    assert report.budgets.watched == 1
    assert (report.owners.watched, report.owners.ready_before, report.owners.ready_after) == (1, 3, 3)
    assert status(tmp_path).pods == {"legacy": 3, "main": 0}
    assert summary == summarize(tmp_path / "out") == read(tmp_path / "out/summary.json", Summary)
    assert Report.model_validate_json(report.model_dump_json()) == report
    write_html(report, tmp_path / "out", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") >= 3
    assert "<script" not in page
    assert 'src="' not in page


def test_a_run_where_things_break_names_each_of_them_with_its_stage(tmp_path: Path) -> None:
    async def during(api: FakeKube, ingress: HttpServer, run: Run) -> None:
        await idle_and_stage_0(tmp_path)
        await until(lambda: (now := status(tmp_path).writes) is not None and now.acknowledged >= 5)
        await api.events.put({"type": "MODIFIED", "object": budget("web", 1, 3, 9)})
        api.owners["deployments"] = [deployment("web", 0, 0)]
        await api.owner_events["deployments"].put({"type": "MODIFIED", "object": deployment("web", 0, 0, 9)})
        del api.keys[sorted(api.keys)[0]]
        await ingress.stop()
        await until(lambda: status(tmp_path).failed >= 3)
        assert "refused" in line(status(tmp_path))

    reasons = "\n".join(judged(whole_run(tmp_path, during)).reasons)
    assert "ingress_fresh from old: " in reasons
    assert "(stage 0: " in reasons
    assert "refused" in reasons
    assert "The budget shop/web was violated" in reasons
    assert "1 healthy pods where 3 are wanted" in reasons
    assert "Deployment shop/web was scaled from 3 to 0" in reasons
    assert "acknowledged writes are lost: w-" in reasons
    assert "api_" not in reasons


def test_probes_answered_by_another_cluster_and_another_application_fail(tmp_path: Path) -> None:
    async def during(api: FakeKube, ingress: HttpServer, run: Run) -> None:
        await idle_and_stage_0(tmp_path)
        ingress.handler = says(b"page of another team")

    async def also(server: HttpServer) -> None:
        server.handler = says_cluster("a-twin")
        await until(lambda: all(status(tmp_path).cells[f"old/{kind}"].failed >= 2 for kind in KINDS))

    reasons = "\n".join(judged(whole_run(tmp_path, during, also)).reasons)
    assert f"mostly wrong answerer: cluster a-twin answered, not {CLUSTER}." in reasons
    assert "mostly wrong answerer: 'page of another team' was answered, without 'ok'." in reasons
    assert all(f"{kind} from old: " in reasons for kind in KINDS)


def test_a_stopping_servers_livez_is_counted_apart_and_fails_nothing(tmp_path: Path) -> None:
    async def during(api: FakeKube, ingress: HttpServer, run: Run) -> None:
        await idle_and_stage_0(tmp_path)

    async def also(server: HttpServer) -> None:
        async def drained(exchange: Exchange) -> None:
            if exchange.path == "/livez":
                body = b"[-]etcd failed: reason withheld"
                head = f"HTTP/1.1 500 Internal Server Error\r\nContent-Length: {len(body)}\r\n\r\n"
                await exchange.send(head.encode() + body)
            else:
                await says_cluster(CLUSTER)(exchange)

        server.handler = drained
        await until(lambda: '"livez_failed"' in (tmp_path / "out/events.jsonl").read_text())

    report = judged(whole_run(tmp_path, during, also))
    assert report.reasons == ()
    assert report.livez.failed > 0
    assert "[-]etcd failed" in next(iter(report.livez.why))
    assert report.failures == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"api": {"url": "https://127.0.0.1:1", "cluster": "another"}}, "must be answered by cluster another"),
        ({"api": {"url": "https://127.0.0.1:1/livez"}}, "must have no path"),
    ],
)
def test_an_api_that_can_not_be_told_from_another_is_refused(tmp_path: Path, change: Any, told: str) -> None:
    async def main() -> None:
        api = await FakeKube().start()
        config = {"places": [{"name": "here"}], "kubeconfig": api.kubeconfig(tmp_path)} | change
        (tmp_path / "proof.json").write_text(json.dumps(config))
        try:
            await Run(tmp_path / "proof.json", tmp_path / "out").until_stopped()
        finally:
            await api.stop()

    with pytest.raises(ConfigError, match=told):
        asyncio.run(main())


def test_a_cluster_that_does_not_say_who_it_is_is_not_watched(tmp_path: Path) -> None:
    async def main() -> None:
        api = await FakeKube().start()
        kube = AsyncKubernetes(read_kubeconfig(api.kubeconfig(tmp_path)))
        await api.stop()
        try:
            await cluster_of(kube, patience_s=0)
        finally:
            await kube.close()

    with pytest.raises(ConfigError, match="doesn't say who it is"):
        asyncio.run(main())


def test_probes_of_an_api_show_who_they_are_or_do_not_begin(tmp_path: Path) -> None:
    kubeconfig = FakeKube().kubeconfig(tmp_path)
    known = read_kubeconfig(kubeconfig)
    config = ProofConfig.model_validate({"places": [{"name": "a"}], "api": {"url": "https://api:6443"}})
    asked = addresses(config, known)["api"]
    assert b"Authorization: Bearer t\r\n" in HttpExchange(asked.fresh.http1).request
    assert ("authorization", "Bearer t") in asked.kept.http2
    assert (":path", "/api/v1/namespaces/kube-system") in asked.kept.http2
    stranger = Path(kubeconfig).read_text().replace('"token": "t"', '"username": "nobody"')
    with pytest.raises(ConfigError, match="takes a client certificate or a token"):
        addresses(config, read_kubeconfig(stranger))


def test_a_killed_run_can_be_summed_up_but_is_not_ok(tmp_path: Path) -> None:
    async def during(api: FakeKube, ingress: HttpServer, run: Run) -> None:
        await until(lambda: status(tmp_path).due >= 16 and any(lines(tmp_path / "out/seconds.jsonl")))

    whole_run(tmp_path, during)
    (tmp_path / "out/end.json").unlink()
    report = judged(summarize(tmp_path / "out"))
    assert not report.ok
    assert report.probes["api_kept"].due > 0
    assert any("did not end in order" in reason for reason in report.reasons)
    assert any("could not be read back" in reason for reason in report.reasons)


def test_a_directory_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/seconds.jsonl").touch()
    with pytest.raises(ConfigError, match="holds an earlier run"):
        Run(tmp_path / "proof.json", tmp_path / "out")


def test_an_etcd_certificate_that_can_not_be_read_is_refused_before_anything_starts(tmp_path: Path) -> None:
    etcd = {"endpoints": ["https://127.0.0.1:2379"], "ca": "/none/ca.crt", "cert": "/none/c.crt", "key": "/none/c.key"}
    config = {"places": [], "writer": None, "budgets": False, "owners": False, "etcd": etcd}
    (tmp_path / "proof.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="etcd: its certificates can't be read"):
        Run(tmp_path / "proof.json", tmp_path / "out")


def test_an_etcd_certificate_that_becomes_unreadable_on_the_way_is_a_breach_and_a_blind_time(tmp_path: Path) -> None:
    async def during(api: FakeKube, ingress: HttpServer, run: Run) -> None:
        path = tmp_path / "proof.json"
        etcd = {"endpoints": ["https://127.0.0.1:1"], "ca": "/none/ca.crt", "cert": "/none/c.crt", "key": "/none/c.key"}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"etcd": etcd}))
        await until(lambda: any(event["event"] == "config_refused" for event in lines(tmp_path / "out/events.jsonl")))

    summary = whole_run(tmp_path, during)
    report = build(summary, Parts(due=Due.of(summary)))
    assert any("etcd: certificates can't be read" in reason for reason in report.reasons)
    assert any("etcd's healthy voters were never counted" in reason for reason in report.reasons)


def test_commands_tell_what_is_wrong_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", str(tmp_path / "none.json")]
    assert cli.main(["run", *config, "--out", str(tmp_path / "o")]) == 2
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "none.json").write_text(json.dumps({"places": []}))
    assert cli.main(["run", *config, "--out", str(tmp_path / "o")]) == 2
    assert "kubeconfig: is missing" in capsys.readouterr().err
    assert cli.main(["mark", "--out", str(tmp_path / "o"), "stage", "3", "begin"]) == 0
    assert marks.read(tmp_path / "o")[0].text == "stage 3 begin"
    assert cli.main(["place", *config, "new", "--source", "127.30.0.10"]) == 0
    assert json.loads((tmp_path / "none.json").read_text())["places"][0]["source_address"] == "127.30.0.10"
    assert cli.main(["report", "--out", str(tmp_path / "o"), "--json", str(tmp_path / "r.json")]) == 1
    assert "never probed" in capsys.readouterr().out
