"""What may be deleted: groups without pods, and a stack whose new side carries nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from migration.clients.aws import Aws
from migration.contracts.record import Record, StackGuardInputs, StageRecordInputs
from migration.contracts.workers import WorkerGuardInputs, WorkerGuardResult
from migration.operations import record, stack_guard, worker_guard
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable
from migration.stages import STAGES
from migration.stages.record import write_record
from migration.workers.guard import refuse_with_pods
from tests.samples import COMMON
from tests.unit.test_worker_operations import World, group

GUARDED = WorkerGuardInputs(**COMMON, side="main", groups=("a", "b"))
BEFORE = WorkerGuardResult(groups=("a", "b"))


@pytest.fixture
def world() -> World:
    """Group a with two nodes and a pod on each; b is empty."""
    made = World({"a": group("a"), "b": group("b", MinSize=0, DesiredCapacity=0, Instances=[])})
    for number in range(2):
        made.node(f"n{number}", f"i-a{number}")
        made.pod(f"web-{number}", f"n{number}")
    return made


def test_guarding_looks_at_nothing_and_says_what_is_guarded(world: World) -> None:
    assert worker_guard.run(GUARDED, None, world.context()) == BEFORE
    assert worker_guard.run(GUARDED, BEFORE, world.context()) == BEFORE


def test_groups_with_pods_are_not_deleted_by_whoever_deletes_all(world: World) -> None:
    with pytest.raises(Permanent, match=r"2 pods are on their 2 nodes \(apps/web-0 on n0, apps/web-1 on n1\)"):
        refuse_with_pods(GUARDED.groups, world.context())


def test_a_group_taken_out_of_the_list_must_be_empty(world: World) -> None:
    without = GUARDED.model_copy(update={"groups": ("b",)})
    with pytest.raises(Permanent, match="2 pods are on their 2 nodes"):
        worker_guard.run(without, BEFORE, world.context())
    assert worker_guard.run(GUARDED.model_copy(update={"groups": ("a",)}), BEFORE, world.context()).groups == ("a",)


@pytest.mark.parametrize("harmless", ["DaemonSet", "none"])
def test_what_only_daemonsets_run_on_may_go(world: World, harmless: str) -> None:
    world.pods = []
    world.pod("elsewhere", "another-node")
    if harmless == "DaemonSet":
        world.pod("agent", "n0", owner="DaemonSet")
    refuse_with_pods(GUARDED.groups, world.context())
    assert world.unchanged()


def test_a_finished_pod_is_nothing_that_would_be_lost(world: World) -> None:
    for pod in world.pods:
        pod["status"]["phase"] = "Succeeded"
    refuse_with_pods(GUARDED.groups, world.context())


def test_groups_that_are_gone_hold_nothing(world: World) -> None:
    world.described.clear()
    refuse_with_pods(GUARDED.groups, world.context())


def test_what_can_not_be_seen_is_not_deleted(world: World) -> None:
    del world.nodes["n1"]
    with pytest.raises(Permanent, match=r"i-a1 of a; what runs there can't be seen"):
        refuse_with_pods(GUARDED.groups, world.context())
    world.node("n1", "i-a1")
    world.pods = []
    with pytest.raises(Permanent, match="lists no pod at all"):
        refuse_with_pods(GUARDED.groups, world.context())
    world.unlisted()
    with pytest.raises(Retryable, match="EC2 lists none"):
        refuse_with_pods(GUARDED.groups, world.context())


def release(aws: Aws, stage: int, *, phase: str = "finish", reached: int | None = None, tried: int = 0) -> None:
    """`destroy` asks a state of `stage`; the cluster's record says `reached` and `tried`, or isn't there."""
    if reached is not None:
        found = Record(owner="a", from_side="legacy", to_side="main", reached=reached, tried=tried)
        write_record(aws, "pet", found, after=0, alive=lambda: None)
    known: dict[str, Any] = {"phase": phase, "stage": stage, "owner": "a", "fixed": "", "from": "legacy", "to": "main"}
    inputs = StageRecordInputs(**COMMON, **known, command="pulumi up -s stage-{stage}")
    record.release(inputs, context(aws))


def context(aws: Aws, slept: list[float] | None = None) -> Context:
    clients: Any = SimpleNamespace(aws=aws)
    deadline = Deadline(60, sleeper=([] if slept is None else slept).append)
    return Context(log=print, deadline=deadline, clients=clients, alive=lambda: None)


def test_the_guard_says_what_the_last_word_says_but_at_once(aws: Aws) -> None:
    guard = StackGuardInputs.model_validate({**COMMON, "to": "main", "command": "pulumi up -s stage-{stage}"})
    stack_guard.release(guard, context(aws))
    with pytest.raises(Permanent, match="next: pulumi up -s stage-4") as last:
        release(aws, 5, reached=5, tried=5)
    slept: list[float] = []
    with pytest.raises(Permanent) as first:
        stack_guard.release(guard, context(aws, slept))
    assert (str(first.value), slept) == (str(last.value), [])
    known: dict[str, Any] = {"phase": "finish", "stage": 5, "owner": "a", "fixed": "", "from": "legacy", "to": "main"}
    with pytest.raises(Permanent):
        record.release(StageRecordInputs(**COMMON, **known, command="x"), context(aws, slept))
    assert slept == [record.AFTER_THE_GUARD]


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_before_the_workers_all_may_be_destroyed(aws: Aws, stage: int) -> None:
    release(aws, stage, reached=stage, tried=stage)


@pytest.mark.parametrize("stage", [row.number for row in STAGES[3:8]])
def test_from_the_workers_on_nothing_may_and_the_way_back_is_named(aws: Aws, stage: int) -> None:
    back = rf"nothing was deleted: at stage {stage} .*next: pulumi up -s stage-{stage - 1}. At stage 2 and"
    with pytest.raises(Permanent, match=back):
        release(aws, stage, reached=stage, tried=stage)


def test_a_stage_that_was_only_tried_counts(aws: Aws) -> None:
    with pytest.raises(Permanent, match="at stage 3"):
        release(aws, 2, reached=2, tried=3)


def test_without_a_record_the_state_is_believed_only_while_nothing_runs_there(aws: Aws) -> None:
    with pytest.raises(Permanent, match="at stage 6"):
        release(aws, 6)
    release(aws, 2)
    instance(aws, cluster="pet", side="main")
    with pytest.raises(Permanent, match="has 1 instances on side main"):
        release(aws, 2)


def test_a_way_back_that_was_only_begun_counts_as_where_it_came_from(aws: Aws) -> None:
    with pytest.raises(Permanent, match="at stage 3"):
        release(aws, 3, reached=3, tried=2)


def test_the_first_word_guards_nothing(aws: Aws) -> None:
    release(aws, 6, phase="begin", reached=6, tried=6)


def instance(aws: Aws, **tags: str) -> str:
    image: str = aws.ec2.describe_images()["Images"][0].get("ImageId", "")
    known: Any = [{"Key": f"migration:{key}", "Value": value} for key, value in tags.items()]
    tagged: Any = [{"ResourceType": "instance", "Tags": known}]
    ec2: Any = aws.ec2
    made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=tagged)
    return made["Instances"][0]["InstanceId"]


def test_after_the_last_stage_nothing_may_while_the_cluster_lives_on_its_side(aws: Aws) -> None:
    found = Record(owner="a", from_side="legacy", to_side="main", reached=8, tried=8)
    write_record(aws, "pet", found, after=0, alive=lambda: None)
    instance(aws, cluster="other", side="main")
    instance(aws, cluster="pet", side="legacy")
    release(aws, 8)
    living = instance(aws, cluster="pet", side="main")
    with pytest.raises(Permanent, match=rf"has 1 instances on side main, the first of them {living}"):
        release(aws, 8)
    aws.ec2.terminate_instances(InstanceIds=[living])
    release(aws, 8)
