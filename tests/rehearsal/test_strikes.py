"""When and whom to strike: by a seed and by what the event log shows."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

import psutil
import pytest

from rehearsal.strikes import LATEST_S, Doing, Family, Kind, Progress, choose, hit_of, living

DYNAMIC = "pulumi-python:dynamic/migration:Drain"


def test_the_same_seed_chooses_the_same_moment_and_another_seed_another() -> None:
    one = [choose(7, 3, number, 1, 80, 10) for number in range(10)]
    assert one == [choose(7, 3, number, 1, 80, 10) for number in range(10)]
    assert one != [choose(8, 3, number, 1, 80, 10) for number in range(10)]
    assert one != [choose(7, 3, number, 2, 80, 10) for number in range(10)], "a miss is tried elsewhere"


def test_every_kind_gets_its_share_within_a_move_and_over_the_moves() -> None:
    for place in range(12):
        kinds = Counter(choose(1, place, number, 1, 80, 20 - number).kind for number in range(20))
        assert kinds == dict.fromkeys(Kind, 5)
    assert Counter(choose(1, place, 0, 1, 80, 1).kind for place in range(4)) == dict.fromkeys(Kind, 1)
    for seed in range(20):
        two_each = [choose(seed, place, number, 1, 80, 2, each=2).kind for place in range(2) for number in range(2)]
        assert Counter(two_each) == dict.fromkeys(Kind, 1)
        assert two_each[-1] is Kind.AWS, "an up that outlives it can't be struck any more"
    assert len({choose(seed, 0, 0, 1, 80, 1).kind for seed in range(20)}) > 1


def test_moments_spread_over_what_remains() -> None:
    steps = [choose(seed, 2, 0, 1, 100, 1).step for seed in range(200)]
    assert min(steps) >= 1
    assert max(steps) <= 100
    assert min(steps) < 10 < 90 < max(steps)
    # With nine more to come in this up, the first comes early.
    assert max(choose(seed, 2, 0, 1, 100, 9).step for seed in range(200)) <= 20


def test_a_moment_may_come_between_two_steps_but_not_long_after() -> None:
    delays = [choose(seed, 2, 0, 1, 100, 1).delay for seed in range(100)]
    assert min(delays) == 0.0
    assert 0 < max(delays) <= LATEST_S


def test_an_up_that_has_hardly_a_step_left_is_struck_at_its_first() -> None:
    assert choose(1, 2, 0, 1, 0, 5).step == 1


# Progress


def begun(op: str, type_: str, name: str, *, custom: bool = True) -> dict[str, Any]:
    known = {"op": op, "type": type_, "urn": f"urn:pulumi:s::p::{type_}::{name}", "new": {"custom": custom}}
    return {"resourcePreEvent": {"metadata": known}}


def ended(type_: str, name: str, key: str = "resOutputsEvent") -> dict[str, Any]:
    return {key: {"metadata": {"op": "create", "type": type_, "urn": f"urn:pulumi:s::p::{type_}::{name}"}}}


def said(text: str, severity: str = "info") -> dict[str, Any]:
    return {"diagnosticEvent": {"message": text, "severity": severity}}


def test_what_was_begun_and_not_seen_to_end_is_what_a_strike_hits() -> None:
    progress = Progress()
    assert progress.hit() == "between resources"
    progress.feed(begun("create", "aws:ec2/vpc:Vpc", "main-vpc"))
    assert progress.hit() == "create of Vpc main-vpc"
    progress.feed(ended("aws:ec2/vpc:Vpc", "main-vpc"))
    assert progress.hit() == "between resources"
    assert progress.steps == 2


def test_an_operation_is_named_as_one_with_its_last_words() -> None:
    progress = Progress()
    progress.feed(begun("update", DYNAMIC, "drain"))
    progress.feed(said("12 pods are left\nof 230"))
    assert progress.hit() == 'operation drain running (update); last said: "12 pods are left"'
    assert progress.steps == 2


def test_a_resource_that_failed_is_no_longer_under_way() -> None:
    progress = Progress()
    progress.feed(begun("create", "aws:ec2/vpc:Vpc", "main-vpc"))
    progress.feed(ended("aws:ec2/vpc:Vpc", "main-vpc", "resOpFailedEvent"))
    assert progress.hit() == "between resources"


def test_what_stays_a_component_and_what_the_engine_says_to_itself_are_no_progress() -> None:
    progress = Progress()
    progress.feed(begun("same", "aws:ec2/vpc:Vpc", "main-vpc"))
    progress.feed(ended("aws:ec2/vpc:Vpc", "main-vpc"))
    progress.feed(begun("create", "migration:network:Side", "main", custom=False))
    progress.feed(said("registering resource", "debug"))
    progress.feed(said("a plugin exited", "info#err"))
    progress.feed(said("\n"))
    progress.feed({"summaryEvent": {}})
    assert progress.steps == 0


def test_whoever_waits_for_a_step_is_told_at_once_or_that_it_did_not_come() -> None:
    progress = Progress()
    assert not progress.reach(1, 0.01)
    later = threading.Timer(0.05, progress.feed, [begun("create", DYNAMIC, "drain")])
    later.start()
    began = time.monotonic()
    assert progress.reach(1, 20)
    assert time.monotonic() - began < 5
    later.join()


def test_of_many_the_first_are_named() -> None:
    many = [Doing(what="create", type="aws:ec2/subnet:Subnet", name=f"main-{zone}") for zone in "abcde"]
    told = "create of Subnet main-a; create of Subnet main-b; create of Subnet main-c and 2 more"
    assert hit_of(many, "a line of an operation that has ended") == told


# Processes

ENGINE = """
import subprocess, sys
host = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "pulumi.dynamic"])
language = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "pulumi-language-python"])
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "pulumi-resource-aws"])
print("ready", flush=True)
for one in (host, language, other):
    one.wait()
"""


@pytest.fixture
def engine() -> Any:
    process = subprocess.Popen([sys.executable, "-c", ENGINE], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    every = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
    yield process
    for one in living(every):
        one.kill()
    process.wait()
    process.stdout.close()


def test_each_kind_kills_whom_it_names_and_nobody_else(engine: subprocess.Popen[str]) -> None:
    family = Family.of(engine.pid)
    assert family is not None
    [host], [language] = family.hosts, family.language
    assert len(family.strike(Kind.HOST)) == 1
    psutil.wait_procs([host], 5)
    assert living([host, language]) == [language]
    assert living([family.engine]) == [family.engine]
    told = family.strike(Kind.BOTH)
    assert len(told) == 1, "the host was dead by then"
    assert f"(process {engine.pid})" in told[0]
    assert engine.wait(5) == -9
    assert living([language]) == [language]


def test_without_a_dynamic_host_yet_the_program_is_struck(engine: subprocess.Popen[str]) -> None:
    family = Family.of(engine.pid)
    assert family is not None
    without = Family(family.engine, (), family.language)
    [told] = without.strike(Kind.HOST)
    assert told.startswith("pulumi-language-python")
    psutil.wait_procs(family.language, 5)
    assert living(family.language) == []


def test_an_engine_that_has_ended_is_hit_by_nothing(engine: subprocess.Popen[str]) -> None:
    family = Family.of(engine.pid)
    assert family is not None
    engine.kill()
    engine.wait()
    assert family.strike(Kind.ENGINE) == []
    assert Family.of(engine.pid) is None
