"""A whole run's files, made up: a cluster of 120 pods moved from `legacy` to `main` in nine stages of a minute each."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from proof import marks
from proof.config import KINDS, Side
from proof.model import Budgets, Drain, End, EtcdSeen, Gate, Meta, Owners, Parts, Stage, Watched, Writes

BEGIN = 1_795_600_000
STAGE_S = 60
NAMES = (
    "baseline",
    "network",
    "shared",
    "workers",
    "traffic-both",
    "traffic-new",
    "workloads",
    "control-plane",
    "cleanup",
)
SIDES = (
    Side(name="legacy", cidr="127.10.0.0/16", also=("10.10.0.0/16",)),
    Side(name="main", cidr="127.30.0.0/16", also=("10.30.0.0/16",)),
)
ZONES = "abc"
PODS = 120
DRAIN_BEGIN, DRAIN_S = 12, 36
"""Seconds into stage 6, and how long it took."""


def begin_of(stage: int) -> int:
    """Epoch seconds; before stage 0 the cluster is at rest for half a minute."""
    return BEGIN + 30 + stage * STAGE_S


def stage_at(t: int) -> int:
    return (t - begin_of(0)) // STAGE_S


def balancers(target: str, side: str) -> list[str]:
    host = {"ingress": 4, "api": 5}[target]
    network = {"legacy": 10, "main": 30}[side]
    return [f"127.{network}.{16 * zone}.{host}:{8080 if target == 'ingress' else 6443}" for zone in range(3)]


def pods_at(t: int) -> dict[str, int]:
    gone = min(PODS, max(0, round(PODS * (t - begin_of(6) - DRAIN_BEGIN) / DRAIN_S)))
    return {"legacy": PODS - gone, "main": gone}


def members_at(stage_second: float) -> tuple[list[dict[str, Any]], str]:
    """Members and leader at a time within stage 7: one swap each 18 s, a learner first."""
    done, rest = divmod(stage_second, 18)
    old = [f"legacy-{zone}" for zone in ZONES[int(done) :]]
    new = [f"main-{zone}" for zone in ZONES[: int(done)]]
    learner = [f"main-{ZONES[int(done)]}"] if 4 < rest < 10 and done < 3 else []
    voting = old + new + ([f"main-{ZONES[int(done)]}"] if rest >= 10 and done < 3 else [])
    members = [
        {
            "name": name,
            "address": f"127.{10 if name.startswith('legacy') else 30}.{16 * ZONES.index(name[-1])}.7",
            "learner": name in learner,
            "healthy": True,
        }
        for name in sorted([*voting, *learner])
    ]
    return members, old[-1] if old else "main-a"


def made_run(out: Path, *, broken: bool = False) -> Parts:
    """Write the files into `out`; returns what only the rehearsal knows. `broken`: ingress fails for a while."""
    dice = random.Random(7)
    out.mkdir(parents=True, exist_ok=True)
    end = begin_of(9)
    config = Watched(
        ingress="http://shop.apps.pet.lab.internal:8080/",
        api="https://api.pet.lab.internal:6443",
        rate_hz=10,
        timeout_s=1,
        places=("old", "connected", "new"),
        writer=None,
        budgets=True,
        owners=True,
        etcd=True,
        sides=SIDES,
        cluster="6f1c0d2e-0000-4000-8000-000000000001",
        answers="Welcome to the shop",
    )
    (out / "meta.json").write_text(Meta(run="made", begin=BEGIN, config=config).model_dump_json())
    marks.add(out, "idle begin", BEGIN)
    marks.add(out, "idle end", begin_of(0))
    for stage in range(9):
        marks.add(out, f"stage {stage} begin", begin_of(stage))
        marks.add(out, f"stage {stage} end", begin_of(stage + 1))
    events = [configured(BEGIN, "old", "connected"), configured(begin_of(2) - 4, "old", "connected", "new")]
    events.append(configured(begin_of(8), "connected", "new"))
    with (out / "seconds.jsonl").open("w") as sink:
        for t in range(BEGIN, end):
            bad = broken and begin_of(6) + 20 <= t < begin_of(6) + 23
            sink.write(json.dumps(_second(t, dice, bad)) + "\n")
            for seq in range(10 if bad else 0):
                events.append(
                    {"t": t + seq / 10, "event": "probe_failed", "cell": "connected/ingress_fresh", "seq": seq}
                    | {"phase": "connect", "detail": "127.10.16.4:8080: refused", "peer": "127.10.16.4:8080"}
                    | {"elapsed_ms": 0.6, "loop_late_ms": 0.0}
                )
    told: Any = None
    for tenth in range((end - BEGIN) * 2):
        t = BEGIN + tenth / 2
        now = members_at(min(max(0.0, t - begin_of(7) - 3), 54.0))
        if now != told:
            events.append({"t": t, "event": "etcd_changed", "members": now[0], "leader": now[1]})
            told = now
    (out / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    facts = End(
        run="made",
        end=end,
        names={},
        budgets=Budgets(watched=18),
        etcd=EtcdSeen(
            members_before=tuple(f"legacy-{zone}" for zone in ZONES),
            members_after=tuple(f"main-{zone}" for zone in ZONES),
            healthy_voters_at_start=3,
            min_healthy_voters=3,
            min_healthy_at=float(BEGIN),
            leader_changes=3,
            samples=1140,
            due_from=float(BEGIN),
        ),
        owners=Owners(watched=25, ready_before=262, ready_after=262, looked_at_end=True),
        peak_rss_mb=3210,
        writes=Writes(
            acknowledged=6700, read_back=True, longest_gap_s=0.9, retries=2, per_second=11.8, min_per_second=10.0
        ),
    )
    (out / "end.json").write_text(facts.model_dump_json())
    return Parts(
        profile="default",
        versions={"pulumi": "3.259.0", "etcd": "3.6.6", "kubernetes": "1.34.2", "python": "3.11.2"},
        stages=tuple(_stage(number) for number in range(9)),
        drain=Drain(
            nodes=12,
            pods=PODS,
            evictions=PODS,
            rejected_429=31,
            seconds=float(DRAIN_S),
            lower_bound_s=22.0,
            terms="shop/web lets 1 of 6 go at a time and its pods take 3.5 s to be ready",
        ),
        leftovers=(),
    )


def configured(t: float, *active: str) -> dict[str, Any]:
    """The configuration as it was read at `t`: the places that are active, and the others, ended."""
    places = [{"name": name, "active": name in active} for name in ("old", "connected", "new")]
    return {"t": t, "event": "configured", "places": places}


def _stage(number: int) -> Stage:
    gates = {
        0: [("before", "permissions", "all 61 AWS actions and 38 Kubernetes verbs are allowed")],
        4: [
            (
                "before",
                "new-targets-healthy",
                "6 ingress and 3 API targets are healthy",
            ),
            ("after", "records-in-sync", "shop.apps.pet.lab.internal and api.pet.lab.internal answer with both sides"),
        ],
        6: [
            ("before", "ingress-quiet", "no new flow on the old balancer for 120 s, 0 active ones"),
            (
                "after",
                "nothing-movable-on-old-nodes",
                "12 old nodes hold 24 pods, all of which stay",
            ),
        ],
        7: [("after", "members-all-new", "main-a, main-b, main-c vote; the quorum is whole")],
    }
    return Stage(
        stage=number,
        name=NAMES[number],
        changes={"create": 40 if number < 4 else 3, "update": number, "replace": 0, "delete": 0, "same": 100},
        gates=tuple(
            Gate.model_validate({"position": position, "check": check, "ok": True, "detail": detail})
            for position, check, detail in gates.get(number, [("after", "cluster-healthy", "12 nodes are ready")])
        ),
        second_up_changes=0,
        seconds=float(STAGE_S),
        failed_probes_so_far=0,
    )


def _second(t: int, dice: random.Random, bad: bool) -> dict[str, Any]:
    stage = stage_at(t)
    share = 0.0 if stage < 4 else 0.5 if stage == 4 else 1.0
    cells: dict[str, Any] = {}
    for place in ("old", "connected", "new"):
        if (place == "new" and stage < 2) or (place == "old" and stage == 8):
            continue
        for kind in KINDS:
            failed = 10 if bad and (place, kind) == ("connected", "ingress_fresh") else 0
            peers: dict[str, int] = {}
            for _ in range(10 - failed):
                peer = dice.choice(balancers(kind.split("_")[0], "main" if dice.random() < share else "legacy"))
                peers[peer] = peers.get(peer, 0) + 1
            base = (4.0 if kind.startswith("api") else 1.6) * (2.5 if kind.endswith("fresh") else 1)
            ms = [round(base * (0.7 + dice.expovariate(2.2)), 1) for _ in range(10 - failed)]
            cells[f"{place}/{kind}"] = {"due": 10, "sent": 10, "late_ms": 1.2, "ms": ms, "peers": peers}
            if failed:
                cells[f"{place}/{kind}"]["failed"] = failed
    used = {"engine": 40 if stage >= 0 else 0, "api servers": 45, "kwok": 18, "etcd": 12, "proof": 14, "network": 9}
    return {
        "t": t,
        "cells": cells,
        "writes": {"acknowledged": int((t - BEGIN) * 11.8), "gap_s": round(dice.random() * 0.2, 2)},
        "pods": pods_at(t),
        "cpu": {
            "machine": round(55 + 25 * dice.random(), 1),
            "groups": {
                name: {"cpu": round(value * (0.6 + 0.8 * dice.random()), 1), "rss_mb": 100}
                for name, value in used.items()
            },
        },
    }
