"""What a plan says of a literal world, that it only reads, and that it ends in time."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import httpx2
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from migration import __main__ as cli
from migration.clients.kubernetes import NODES, Unreachable
from migration.contracts.durations import Prediction, Timings
from migration.contracts.parity import Difference, Parity
from migration.contracts.plan import Plan
from migration.contracts.seen import Unseen
from migration.gates import run as gates
from migration.plan import at_stage, lines, observe, plan
from migration.plan.reading import NotReading, ReadingAws, ReadingKubernetes
from migration.plan.text import LINES, seconds
from migration.runtime.deadline import Permanent, Retryable
from migration.settings.model import Access
from migration.stages import admission
from migration.stages.moves import IllegalMove
from tests.samples import KUBECONFIG, settings
from tests.unit.plan.world import (
    API,
    APPS,
    NEW_GROUPS,
    OLD_GROUPS,
    OLD_MEMBERS,
    World,
    budget,
    pair,
    pod,
    template,
)

OWNER = "migration/default"
BOTH_SIDES = dict.fromkeys((*OLD_GROUPS, *NEW_GROUPS, *OLD_MEMBERS), 1)
ON_OLD, ON_BOTH, ON_NEW = ([*pair(API, *w), *pair(APPS, *w)] for w in ((100, 0), (50, 50), (0, 100)))
WEB = [
    *(pod(f"web-{n}", on=f"old-{n % 3}") for n in range(6)),
    pod("db-0", "db", ready_after=20),
    pod("alone", None),
    pod("cache-0", "cache", volumes=[{"name": "scratch", "emptyDir": {}}]),
]
BUDGETS = [
    budget("web", allowed=2, healthy=6, wanted=4, expected=6),
    budget("db", allowed=0, healthy=2, wanted=2, expected=3),
]


@pytest.fixture(autouse=True)
def quiet_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check holds, unless a test says otherwise: what each looks at has tests of its own."""
    for name in gates.CHECKS:
        monkeypatch.setitem(gates.CHECKS, name, lambda question, live: "as it should be")
    monkeypatch.setattr(observe, "parity", lambda *_: ALIKE)
    monkeypatch.setattr(admission, "refuse_contradiction", lambda record, settings, aws: None)


NO_WAY_OUT = Difference(key="default-route", old="tgw-1", new="none", cure="attach it")
ALIKE = Parity(made=False, alike=("dhcp-options", "dns"), differences=(), accepted=())


def world(stage: int) -> World:
    """The world from which an `up` goes to the stage."""
    reached = None if stage == 0 else stage - 1
    if stage <= 2:
        return World(reached)
    if stage == 3:
        return World(reached, names=ON_OLD)
    names = {4: ON_OLD, 5: ON_BOTH}.get(stage, ON_NEW)
    pods, budgets = (WEB, BUDGETS) if stage <= 6 else ([], [])
    return World(reached, names=names, groups=BOTH_SIDES, tainted=True, pods=pods, budgets=budgets)


def told(stage: int, within: World | None = None, **changes: Any) -> list[str]:
    return lines(plan(settings(stage, **changes), OWNER, (within or world(stage)).clients))


# What it says


def test_names_go_from_weight_to_weight() -> None:
    assert told(4) == [
        "stage 4 (traffic-both) of cluster pet, legacy → main: forward from stage 3 (workers)",
        "moves: names lead to both sides; way back: to stage 3: names lead to the old side again",
        "names: api.pet.example, *.apps.pet.example: legacy 100 → 50, main 0 → 50",
        "ahead, at stage 6: 9 pods to move off 3 nodes, 2 blocked, in at least 12 s",
        "waits: budgets that allow no eviction now: apps/db",
        "blocked: apps/alone: it has no controller, nothing would start it again; set migration:drain.barePods to true",
        "    to end it",
        "blocked: apps/cache-0: its emptyDir data would be lost; set migration:drain.emptyDir to true to accept that",
        "gate old-side-stands holds now: as it should be",
        "gate new-targets-healthy holds now: as it should be",
        "gate new-balancers-answer holds now: as it should be",
        "gate old-targets-serve holds now: as it should be",
        "gate clients-reach-new-side holds now: as it should be",
        "not seen: gate new-machines-reach: ways out of the new VPC would be tried by commands on machines, and that",
        "    isn't a read; of corp nothing would be tried: sides.<new>.reach is empty",
        "gate records-in-sync, afterwards: are the records exactly what the stage wants?",
        "takes 30 s to 4 min: the engine's own work 10 s to 2 min, weights on all name servers 20 s to 2 min",
        "after it: pulumi stack rename stage-5 && pulumi up -s stage-5",
    ]


def test_how_long_it_takes_is_said_with_what_could_not_be_told() -> None:
    [line] = [line for line in told(6) if line.startswith("takes")]
    assert line.startswith("takes at least 5 min 32 s, without drain: old machines gone 2 min 30 s to 4 min")


def test_how_long_it_takes_is_as_the_cloud_under_it_has_it() -> None:
    quick = Timings(engine=(1, 2), in_sync=(0, 1))
    lasting = plan(settings(4), OWNER, world(4).clients, timings=quick).takes
    assert isinstance(lasting, Prediction)
    assert (lasting.low, lasting.high) == (1, 4)


def test_a_way_back_is_not_predicted_and_nothing_is_said_of_it() -> None:
    back = plan(settings(4), OWNER, World(5, names=ON_NEW, groups=BOTH_SIDES, tainted=True).clients)
    assert (back.direction, isinstance(back.takes, Unseen)) == ("back", True)
    assert not any(line.startswith("takes") for line in lines(back))


def test_timings_of_another_cloud_that_can_not_be_are_refused_with_their_key(tmp_path: Path) -> None:
    file = tmp_path / "timings.json"
    file.write_text('{"boot": [9, 3], "reboot": [1, 2]}')
    with pytest.raises(Permanent) as refused:
        cli._timings(file)
    assert "boot: Value error, must be two times, the shorter one first; reboot: Extra inputs" in str(refused.value)
    file.write_text('{"boot": [3, 9]}')
    assert cli._timings(file) == Timings(boot=(3, 9))
    assert cli._timings(None) is None


def test_both_vpcs_are_compared_until_machines_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    alike = "VPCs: the new VPC, as it will be made, has as the old one: dhcp-options, dns"
    assert [line for line in told(1) if line.startswith("VPCs")] == [alike]
    assert not any(line.startswith("VPCs") for line in told(4))
    differ = Parity(made=True, alike=("dns",), differences=(NO_WAY_OUT,), accepted=(NO_WAY_OUT,))
    monkeypatch.setattr(observe, "parity", lambda *_: differ)
    text = " ".join(line.strip() for line in told(2))
    assert "VPCs differ: default-route is tgw-1 in the old VPC and none in the new one; attach it, or accept it" in text
    assert "VPCs: the new VPC has as the old one: dns; accepted without: default-route" in text


def test_short_ttls_are_told_with_the_wait_for_the_long_ones() -> None:
    line = next(line for line in told(2) if line.startswith("names"))
    assert line.startswith("names: api.pet.example, *.apps.pet.example: simple record of legacy → weighted pair legacy")
    assert "TTL 60 → 5 s (the old one is waited out: 1 min)" in " ".join(told(2)).replace("     ", " ")


def test_a_copy_of_the_workers_comes_and_the_old_nodes_are_tainted() -> None:
    text = told(3)
    assert "workers: legacy 3 instances in 3 groups; main 0 → 3 instances in 0 → 3 groups" in text
    assert "nodes: legacy 3, 3 ready, 0 → 3 tainted; main 0, 0 ready, 0 tainted" in text


def test_what_copies_are_stricter_in_is_one_line_at_the_stage_that_makes_them() -> None:
    within = world(3)
    within.templates = {
        OLD_GROUPS[0]: template("optional", encrypted=False),
        OLD_GROUPS[1]: template("required", encrypted=False),
    }
    start = "copies of 3 groups differ from their originals: "
    assert [line for line in told(3, within) if line.startswith(start)] == [f"{start}disks encrypted (2)"]
    chosen = told(3, within, hardening={"imdsv2": "required"})
    assert f"{start}disks encrypted (2), IMDSv2 required, hop limit 2 (1)" in chosen
    assert not any(line.startswith(start) for line in told(3) + told(4, hardening={"imdsv2": "required"}))
    within = world(7)
    within.templates = {OLD_MEMBERS[0]: template(encrypted=False)}
    assert f"{start}disks encrypted (1)" in told(7, within)


def test_groups_that_are_to_be_copied_and_are_not_there_are_named() -> None:
    within = world(3)
    del within.groups[OLD_GROUPS[2]]
    assert "not seen: copies: Auto Scaling groups nodes-m5-c.pet don't exist" in told(3, within)


def test_a_drain_empties_the_old_groups() -> None:
    text = told(6)
    assert "workers: legacy 3 → 0 instances in 3 groups; main 3 instances in 3 groups" in text
    assert "pods: 9 pods to move off 3 nodes: 7 under 2 budgets (apps/web 6, apps/db 1); 2 blocked" in text
    assert "way back: to stage 5: old groups get their sizes back" in " ".join(line.strip() for line in text)


def test_all_stages_at_once_are_told_of_a_cluster_without_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migration.stages.admission.find", lambda *_: SimpleNamespace(vpc_id=None))
    found = plan(settings(3), OWNER, World(None).clients)
    assert found.origin == 0
    assert len(found.moves) == 3
    assert len(found.declared) == 2


def test_blocked_pods_are_a_few_names_and_a_number() -> None:
    bare = [pod(f"bare-{n}", None) for n in range(12)]
    line = next(
        line for line in told(6, replace(world(6), pods=bare, budgets=[])) if line.startswith("blocked: apps/bare")
    )
    assert line.startswith("blocked: apps/bare-0, apps/bare-1, apps/bare-10 and 9 more: it has no controller")


def test_a_budget_that_never_allows_an_eviction_blocks_and_says_so() -> None:
    found = plan(
        settings(6),
        OWNER,
        replace(
            world(6),
            pods=[pod("one", "one")],
            budgets=[budget("one", allowed=0, healthy=1, wanted=1, expected=1)],
        ).clients,
    )
    assert found.pods is not None and not isinstance(found.pods, Unseen)
    assert [one.pods for one in found.pods.blocked] == [("apps/one",)]
    assert found.pods.blocked[0].reason.startswith("budget apps/one: its budget never allows an eviction")
    assert found.pods.bound is None


def test_a_gate_that_would_refuse_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(question: object, live: object) -> str:
        raise Retryable("12 new flows on net/ingress-pet/1 within 15 s")

    def never(question: object, live: object) -> str:
        raise Permanent("peering isn't transitive")

    monkeypatch.setitem(gates.CHECKS, "ingress-quiet", refuse)
    monkeypatch.setitem(gates.CHECKS, "clients-reach-new-side", never)
    assert "gate ingress-quiet would refuse now: 12 new flows on net/ingress-pet/1 within 15 s" in told(6)
    assert "gate clients-reach-new-side would refuse now: peering isn't transitive" in told(4)


def test_gates_after_are_not_asked() -> None:
    assert not any("ingress-quiet holds" in line or "ingress-quiet would refuse" in line for line in told(5))
    assert any(line.startswith("gate ingress-quiet, afterwards:") for line in told(5))


def test_a_reached_stage_asks_no_gate_and_moves_nothing() -> None:
    found = plan(settings(5), OWNER, replace(world(6), pods=[], budgets=[]).clients)
    assert (found.settled, found.moves, found.gates_before, found.gates_after) == (True, (), (), ())
    assert lines(found)[0].endswith("reached; only what the configuration changed is done")


def test_members_are_machines_where_etcd_is_asked_by_commands_only() -> None:
    # Settings refuse it as long as members can't be swapped that way; a plan only looks.
    direct = settings(7)
    etcd = direct.configuration.etcd.model_copy(update={"access": Access.SSM})
    by_commands = replace(direct, configuration=direct.configuration.model_copy(update={"etcd": etcd}))
    found = plan(by_commands, OWNER, world(7).clients)
    assert isinstance(found.voters, Unseen)
    assert [(gate.check, gate.state) for gate in found.gates_before] == [
        ("old-side-stands", "holds"),
        ("etcd-preflight", "unseen"),
        ("versions-fit", "unseen"),
        ("database-fits", "unseen"),
        ("certificates-last", "unseen"),
        ("api-quiet", "holds"),
    ]
    text = lines(found)
    assert "members: machines legacy 3 → 0, main 0 → 3; voters will be legacy 0, main 3" in text
    unseen = "voters, gate etcd-preflight, gate versions-fit, gate database-fits, gate certificates-last"
    # Wrapped behind its first word of why.
    assert any(line.startswith(f"not seen: {unseen}: etcd") for line in text)


def test_what_is_deleted_for_good_is_counted() -> None:
    assert "deleted for good: 1 security-group; 1 to keep; peering and its routes go" in told(8)


def test_what_becomes_of_services_of_type_load_balancer_is_told() -> None:
    made = settings(8)
    c = made.configuration
    traffic = c.traffic.model_copy(
        update={"load_balancer_services": "carried", "service_balancers": ("ingress",), "afterwards": "keep"}
    )
    carried = replace(made, configuration=c.model_copy(update={"traffic": traffic}))
    found = plan(carried, OWNER, world(8).clients)
    assert any("(keep): ingress/ingress become NodePorts" in line for line in found.declared), found.declared
    third = plan(observe.at_stage(carried, 3), OWNER, world(3).clients)
    assert any("take nodes of legacy only" in line for line in third.declared), third.declared
    assert not any("Services" in line for line in plan(made, OWNER, world(8).clients).declared)


def test_another_stage_of_the_same_stack_is_planned_with_its_command() -> None:
    found = plan(at_stage(settings(3), 4), OWNER, world(4).clients)
    assert lines(found)[-1] == "to do it: pulumi stack rename stage-4 && pulumi up -s stage-4"


def test_an_illegal_stage_names_the_legal_ones() -> None:
    with pytest.raises(IllegalMove, match=r"has reached stage 3. Next legal: stage 4"):
        plan(settings(6), OWNER, world(4).clients)


# How much


@pytest.mark.parametrize("stage", range(9))
def test_a_plan_is_at_most_20_short_lines(stage: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(question: object, live: object) -> str:
        raise Retryable("a sentence that doesn't end " * 20)

    for name in gates.CHECKS:
        monkeypatch.setitem(gates.CHECKS, name, refuse)
    text = told(stage)
    assert 3 < len(text) <= LINES == 20
    assert not any("more lines" in line for line in text)
    assert max(map(len, text)) <= 110


@pytest.mark.parametrize("stage", range(9))
def test_json_holds_the_whole_plan(stage: int) -> None:
    found = plan(settings(stage), OWNER, world(stage).clients)
    assert Plan.model_validate_json(found.model_dump_json(by_alias=True)) == found


def test_times_are_told_as_people_say_them() -> None:
    assert [seconds(0.2), seconds(59), seconds(125), seconds(3600), seconds(4200)] == [
        "1 s",
        "59 s",
        "2 min 5 s",
        "1 h",
        "1 h 10 min",
    ]


# What can't be seen


def test_a_part_that_does_not_answer_in_time_is_named_and_the_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(question: object, live: object) -> str:
        # A plan that waited for it would never end.
        released.wait()
        return "at last"

    monkeypatch.setitem(gates.CHECKS, "ingress-quiet", hang)
    try:
        text = lines(plan(settings(6), OWNER, world(6).clients, seconds=3.0))
    finally:
        released.set()
    assert "not seen: gate ingress-quiet: no answer within 3 s" in text
    assert any(line.startswith("pods: 9 pods") for line in text)


def test_without_a_cluster_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = "the Kubernetes API at https://api doesn't answer"
    clients = world(6).clients

    def nothing(*asked: object, **how: object) -> Any:
        raise Unreachable(gone)

    monkeypatch.setattr(clients.kubernetes, "list", nothing)
    monkeypatch.setitem(gates.CHECKS, "ingress-quiet", nothing)
    text = lines(plan(settings(6), OWNER, clients))
    assert [line for line in text if gone in line] == [f"not seen: nodes, pods, gate ingress-quiet: {gone}"]
    assert any(line.startswith("workers: legacy 3 → 0") for line in text)


def test_without_aws_one_line_says_so_and_the_plan_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*asked: object, **how: object) -> Any:
        raise EndpointConnectionError(endpoint_url=f"https://{len(asked)}.example")

    clients = world(6).clients
    for name in ("groups", "instances_of_groups"):
        monkeypatch.setattr(clients.aws, name, nothing)
    clients.aws.ssm.get_parameter = clients.aws.route53.get_paginator = nothing
    monkeypatch.setitem(gates.CHECKS, "ingress-quiet", nothing)
    text = lines(plan(settings(6), OWNER, clients))
    assert text[0].endswith("where the migration is can't be seen")
    assert [line for line in text if "not seen" in line or "AWS" in line] == [
        "not seen: the record, names, workers, nodes, pods, gate ingress-quiet: AWS doesn't answer; check network and"
    ]


def test_an_error_of_this_program_is_told_and_ends_no_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(question: object, live: object) -> str:
        raise KeyError("SomethingNew")

    monkeypatch.setattr(threading, "excepthook", lambda told: None)
    monkeypatch.setitem(gates.CHECKS, "ingress-quiet", wrong)
    assert "not seen: gate ingress-quiet: an error of this program, see standard error" in told(6)


def test_no_node_where_machines_run_is_not_nothing_to_move() -> None:
    clients = world(6).clients
    clients.kubernetes.lists["nodes"] = []
    text = lines(plan(settings(6), OWNER, clients))
    assert "not seen: pods: 3 instances of legacy run, but none is a node of this cluster" in text


# Only reads


def reading(answer: httpx2.Response) -> tuple[ReadingKubernetes, list[httpx2.Request]]:
    asked: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return answer

    return ReadingKubernetes(kubeconfig=KUBECONFIG, transport=httpx2.MockTransport(handle)), asked


def test_the_clients_refuse_to_write_to_kubernetes() -> None:
    api, asked = reading(httpx2.Response(200, json={}))
    with pytest.raises(NotReading, match="PATCH /api/v1/nodes/n isn't reading"):
        api.patch(NODES, "n", {})
    with pytest.raises(NotReading):
        api.evict("apps", "web-0", "uid")
    with pytest.raises(NotReading):
        api.delete(NODES, "n")
    with pytest.raises(NotReading):
        api.create(NODES, {"metadata": {"name": "n"}})
    assert asked == []


def test_a_list_is_asked_for_once() -> None:
    api, asked = reading(httpx2.Response(200, json={"items": [{"metadata": {"name": "n"}}]}))
    assert api.list(NODES) == api.list(NODES) == [{"metadata": {"name": "n"}}]
    assert len(asked) == 1


def test_no_kubeconfig_counts_as_no_cluster() -> None:
    with pytest.raises(Unreachable, match="the kubeconfig '/nowhere' can't be used"):
        ReadingKubernetes(kubeconfig="/nowhere").list(NODES)


@mock_aws
def test_the_clients_refuse_to_write_to_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "testing")
    aws = ReadingAws(region="eu-central-1")
    assert aws.ec2.describe_vpcs()["Vpcs"]
    with pytest.raises(NotReading, match="ssm:PutParameter isn't reading"):
        aws.ssm.put_parameter(Name="/pet/migration/record", Value="{}", Type="String")
    with pytest.raises(NotReading, match="ssm:SendCommand"):
        aws.ssm.send_command(DocumentName="AWS-RunShellScript", InstanceIds=["i-1"])
    assert boto3.client("ssm", "eu-central-1").describe_parameters()["Parameters"] == []


# The command


def test_the_command_prints_the_plan_and_refuses_what_is_illegal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_loaded", lambda file: (settings(3), None))
    monkeypatch.setattr("migration.plan.observe.ReadingClients", lambda **connection: world(4).clients)
    assert cli.main(["plan", "--stage", "4"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("moves: names lead to both sides; way back: ")
    assert cli.main(["plan", "--stage", "4", "--json"]) == 0
    assert Plan.model_validate_json(capsys.readouterr().out).stage == 4
    assert cli.main(["plan", "--stage", "6"]) == cli.EXIT_REFUSED
    assert "Next legal: stage 4 (traffic-both): pulumi stack rename stage-4" in capsys.readouterr().err
