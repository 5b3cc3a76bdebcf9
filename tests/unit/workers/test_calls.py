"""How often AWS is asked about groups: what one call tells of many isn't asked group by group."""

from __future__ import annotations

import copy
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from migration.contracts.workers import HeldBefore
from migration.runtime.deadline import Permanent
from migration.workers.hold import forget, hold, note, release
from migration.workers.snapshot import noted, outlines, refusals, templates_of
from migration.workers.templates import FEW, Templates


class Account:
    """Groups that each launch from a template of their own; counts what is asked."""

    def __init__(self, count: int, version: str = "1", page: int = 40) -> None:
        self.asked: Counter[str] = Counter()
        self.page = page
        self.every = [
            {
                "LaunchTemplateId": f"lt-{number}",
                "VersionNumber": at,
                "DefaultVersion": at == 1,
                "LaunchTemplateData": {"ImageId": f"ami-{number}-{at}"},
            }
            for number in range(count)
            for at in (1, 3)
        ]
        self.groups = {
            f"g{number}": {
                "AutoScalingGroupName": f"g{number}",
                "MinSize": 1,
                "MaxSize": 3,
                "DesiredCapacity": 2,
                "Tags": [],
                "LaunchTemplate": {"LaunchTemplateId": f"lt-{number}", "Version": version},
            }
            for number in range(count)
        }
        self.ec2: Any = SimpleNamespace(
            get_paginator=lambda name: SimpleNamespace(paginate=self._pages),
            describe_launch_template_versions=self._one,
        )
        self.autoscaling: Any = SimpleNamespace(
            describe_lifecycle_hooks=self._hooks, describe_notification_configurations=self._notified
        )
        self.told: list[dict[str, Any]] = []

    def _pages(self, Versions: list[str], PaginationConfig: dict[str, int]) -> Any:
        assert (set(Versions), PaginationConfig["PageSize"]) == ({"$Latest", "$Default"}, 200)
        for start in range(0, len(self.every), self.page):
            self.asked["versions"] += 1
            yield {"LaunchTemplateVersions": self.every[start : start + self.page]}

    def _one(self, LaunchTemplateId: str, Versions: list[str]) -> Any:
        self.asked["one version"] += 1
        if Versions == ["9"]:
            return {"LaunchTemplateVersions": []}
        return {
            "LaunchTemplateVersions": [{"LaunchTemplateData": {"ImageId": f"one-{LaunchTemplateId}-{Versions[0]}"}}]
        }

    def _hooks(self, AutoScalingGroupName: str) -> Any:
        self.asked["hooks"] += 1
        return {"LifecycleHooks": []}

    def _notified(self, AutoScalingGroupNames: list[str], NextToken: str = "") -> Any:
        self.asked["notifications"] += 1
        assert len(AutoScalingGroupNames) <= 50
        if not NextToken:
            return {"NotificationConfigurations": self.told[:1], "NextToken": "more"}
        return {"NotificationConfigurations": self.told[1:]}


def test_a_note_of_72_groups_asks_each_for_its_hooks_alone() -> None:
    account: Any = Account(72)
    seen = noted(account, account.groups)
    assert {key: one.template.image_id for key, one in seen.items()} == {f"g{n}": f"ami-{n}-1" for n in range(72)}
    assert account.asked == {"hooks": 72, "versions": 4, "notifications": 4}


def test_looks_without_hooks_do_not_grow_with_the_groups() -> None:
    account: Any = Account(72)
    assert len(outlines(account, account.groups)) == len(templates_of(account, list(account.groups.values()))) == 72
    assert account.asked == {"versions": 8}


@pytest.mark.parametrize(
    ("version", "image"), [("$Latest", "ami-5-3"), ("$Default", "ami-5-1"), ("1", "ami-5-1"), ("3", "ami-5-3")]
)
def test_a_group_gets_the_version_that_it_follows(version: str, image: str) -> None:
    account: Any = Account(8, version)
    assert templates_of(account, list(account.groups.values()))[5].image_id == image
    assert account.asked["one version"] == 0


def test_a_version_that_is_neither_latest_nor_default_is_asked_for_alone() -> None:
    account: Any = Account(8, "2")
    templates = Templates(account, account.groups.values())
    assert [templates.data(account.groups["g5"])["ImageId"] for _ in range(2)] == ["one-lt-5-2"] * 2
    assert account.asked["one version"] == 1


def test_a_few_templates_are_asked_for_one_by_one() -> None:
    account: Any = Account(FEW)
    templates_of(account, list(account.groups.values()))
    assert account.asked == {"one version": FEW}


def test_a_version_that_is_gone_is_told_with_its_group() -> None:
    account: Any = Account(8, "9")
    with pytest.raises(Permanent, match="lt-5 of group g5 has no version 9"):
        Templates(account, account.groups.values()).data(account.groups["g5"])


def test_a_group_without_a_template_is_told_and_the_others_are_read() -> None:
    account: Any = Account(8)
    del account.groups["g5"]["LaunchTemplate"]
    [told] = refusals(account, account.groups)
    assert "g5 uses a launch configuration" in told


def test_each_group_has_its_own_notifications() -> None:
    account: Any = Account(8)
    topic = {"NotificationType": "autoscaling:EC2_INSTANCE_LAUNCH", "TopicARN": "arn:aws:sns:x:1:t"}
    account.told = [{"AutoScalingGroupName": "g1", **topic}, {"AutoScalingGroupName": "g6", **topic}]
    told = refusals(account, account.groups)
    assert [one.partition(":")[0] for one in told] == ["g1", "g6"]


class Scaled:
    """Groups that grow beyond what they want; counts what is asked, and dies at the call it is told."""

    def __init__(self, count: int) -> None:
        self.groups: dict[str, dict[str, Any]] = {
            f"g{number}": {
                "AutoScalingGroupName": f"g{number}",
                "MinSize": 1,
                "MaxSize": 3,
                "DesiredCapacity": 2,
                "Tags": [],
                "SuspendedProcesses": [],
            }
            for number in range(count)
        }
        self.asked: Counter[str] = Counter()
        self.dies = ""
        self.autoscaling: Any = SimpleNamespace(
            create_or_update_tags=self._tag,
            delete_tags=self._untag,
            suspend_processes=self._suspend,
            resume_processes=self._resume,
            update_auto_scaling_group=self._update,
        )

    def _asked(self, name: str) -> None:
        if name == self.dies and self.asked[name] == 1:
            raise KeyboardInterrupt
        self.asked[name] += 1

    def _tag(self, Tags: list[dict[str, Any]]) -> None:
        self._asked("tag")
        for one in Tags:
            self.groups[one["ResourceId"]]["Tags"].append(one)

    def _untag(self, Tags: list[dict[str, Any]]) -> None:
        self._asked("untag")
        for one in Tags:
            self.groups[one["ResourceId"]]["Tags"].clear()

    def _suspend(self, AutoScalingGroupName: str, ScalingProcesses: list[str]) -> None:
        self._asked("suspend")
        self.groups[AutoScalingGroupName]["SuspendedProcesses"] += [{"ProcessName": one} for one in ScalingProcesses]

    def _resume(self, AutoScalingGroupName: str, ScalingProcesses: list[str]) -> None:
        self._asked("resume")
        self.groups[AutoScalingGroupName]["SuspendedProcesses"].clear()

    def _update(self, AutoScalingGroupName: str, MaxSize: int) -> None:
        self._asked("update")
        self.groups[AutoScalingGroupName]["MaxSize"] = MaxSize

    def hold(self) -> None:
        before: dict[str, HeldBefore] = {}
        every: Any = self
        note(every, list(self.groups.values()), before, lambda: None)
        for group in self.groups.values():
            hold(every, group, before, lambda: None)

    def give_back(self) -> None:
        before: dict[str, HeldBefore] = {}
        every: Any = self
        given = [name for name, one in self.groups.items() if release(every, one, before, lambda: None)]
        forget(every, given, lambda: None)


def test_groups_are_held_and_given_back_by_two_calls_each() -> None:
    account = Scaled(72)
    was = copy.deepcopy(account.groups)
    account.hold()
    assert account.asked == {"tag": 3, "suspend": 72, "update": 72}
    account.hold()
    assert account.asked.total() == 147
    account.asked.clear()
    account.give_back()
    assert account.asked == {"untag": 3, "resume": 72, "update": 72}
    assert account.groups == was


@pytest.mark.parametrize("call", ["tag", "suspend", "update"])
def test_a_hold_that_is_killed_gives_back_what_there_was(call: str) -> None:
    account = Scaled(60)
    was = copy.deepcopy(account.groups)
    account.dies = call
    with pytest.raises(KeyboardInterrupt):
        account.hold()
    account.dies = ""
    account.hold()
    assert all(one["MaxSize"] == 2 and len(one["SuspendedProcesses"]) == 4 for one in account.groups.values())
    account.give_back()
    assert account.groups == was


@pytest.mark.parametrize("call", ["untag", "resume", "update"])
def test_giving_back_that_is_killed_is_gone_on_with(call: str) -> None:
    account = Scaled(60)
    was = copy.deepcopy(account.groups)
    account.hold()
    account.asked.clear()
    account.dies = call
    with pytest.raises(KeyboardInterrupt):
        account.give_back()
    account.dies = ""
    account.give_back()
    assert account.groups == was
