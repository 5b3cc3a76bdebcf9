"""What an Auto Scaling group is at one moment: sizes, launch template, policy, attributes, hooks, tags."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from migration.clients.aws import GROUPS_PER_CALL, Aws, batches, described
from migration.clients.documents import Document
from migration.contracts.workers import Group, Template
from migration.runtime.deadline import Permanent
from migration.workers.carried import Carried, LeftOut, carried_group, carried_template
from migration.workers.hold import recorded
from migration.workers.templates import Templates

# Notes of this program's on a group, that it takes away again.
_OURS = "migration:"


def describe(aws: Aws, group: Mapping[str, Any], without: Collection[str] = ()) -> Group:
    """One group, from AWS's description of it; raises `Permanent` without a launch template.

    What a copy can't take over is left out (`noted` names it); `without` is what it is to lack.
    """
    return _Seen(aws, [group], without).of(group)[0]


def outlines(aws: Aws, groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Group]:
    """Groups by key without hooks, which each has to be asked for alone; raises `Permanent` as `describe` does."""
    templates = Templates(aws, groups.values())
    return {
        key: _group(group, carried_template(templates.data(group))[0], carried_group(group, (), recorded(group)))
        for key, group in groups.items()
    }


def noted(aws: Aws, groups: Mapping[str, Mapping[str, Any]], without: Collection[str] = ()) -> dict[str, Group]:
    """Groups by key, from AWS's descriptions of them; raises `Permanent` naming all that copies couldn't take over."""
    every = _Seen(aws, groups.values(), without)
    seen = {key: every.of(group) for key, group in groups.items()}
    if left := [sentence for group, more in seen.values() for sentence in _told(group.group, more)]:
        raise Permanent("; ".join(left))
    return {key: group for key, (group, _) in seen.items()}


def refusals(aws: Aws, groups: Mapping[str, Mapping[str, Any]], without: Collection[str] = ()) -> list[str]:
    """All that copies of the groups couldn't take over, a sentence each, without looking at anything else."""
    found: list[str] = []
    every = _Seen(aws, groups.values(), without)
    for name, group in groups.items():
        try:
            found += _told(name, every.of(group)[1])
        except Permanent as refusal:
            found.append(str(refusal))
    return found


def _told(group: str, left: Collection[LeftOut]) -> list[str]:
    by_name = "or list it by this name under migration:copies.without, and the copy goes without"
    return [
        f"{group}: {one}; " + ("correct it on the old group" if one.firm else f"take it off the old group, {by_name}")
        for one in left
    ]


def template_of(aws: Aws, group: Mapping[str, Any]) -> Template:
    """What a copy takes over of the launch template alone; raises `Permanent` as `describe` does."""
    return templates_of(aws, [group])[0]


def templates_of(aws: Aws, groups: Collection[Mapping[str, Any]]) -> list[Template]:
    """The same of many groups, in their order."""
    templates = Templates(aws, groups)
    return [carried_template(templates.data(group))[0] for group in groups]


class _Seen:
    """Groups as they are, with what AWS tells of many in one call asked for once."""

    def __init__(self, aws: Aws, groups: Collection[Mapping[str, Any]], without: Collection[str]) -> None:
        self._aws, self._without = aws, without
        self._templates = Templates(aws, groups)
        self._told = notifications(aws, [group["AutoScalingGroupName"] for group in groups])

    def of(self, group: Mapping[str, Any]) -> tuple[Group, tuple[LeftOut, ...]]:
        """One of them, and what a copy can't take over of it."""
        name, without = group["AutoScalingGroupName"], self._without
        template, left = carried_template(self._templates.data(group), without)
        # Of this AWS tells a group at a time.
        hooks = described(self._aws.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"])
        whole = {**group, "NotificationConfigurations": self._told.get(name, [])}
        carried = carried_group(whole, list(hooks), recorded(group))
        left = tuple(one for one in (*left, *carried.left) if one.firm or one.path not in without)
        return _group(group, template, carried), left


def notifications(aws: Aws, names: Iterable[str]) -> dict[str, list[Document]]:
    """Groups' notification configurations, by group; one without any is absent."""
    found: dict[str, list[Document]] = {}
    for batch in batches(names, GROUPS_PER_CALL):
        more: dict[str, Any] = {}
        while True:
            page = aws.autoscaling.describe_notification_configurations(AutoScalingGroupNames=batch, **more)
            for one in described(page["NotificationConfigurations"]):
                found.setdefault(one["AutoScalingGroupName"], []).append(one)
            token = page.get("NextToken")
            if not token:
                break
            more = {"NextToken": token}
    return found


def _group(group: Mapping[str, Any], template: Template, carried: Carried) -> Group:
    return Group(
        group=group["AutoScalingGroupName"],
        min=group["MinSize"],
        max=group["MaxSize"],
        desired=group["DesiredCapacity"],
        template=template,
        tags=propagated_tags(group),
        own_tags={key: value for key, value in _tags(group, propagated=False).items() if not key.startswith(_OURS)},
        mixed=carried.mixed,
        attributes=carried.attributes,
        hooks=carried.hooks,
    )


def propagated_tags(group: Mapping[str, Any]) -> dict[str, str]:
    """Tags that a group gives to its machines."""
    return _tags(group, propagated=True)


def _tags(group: Mapping[str, Any], *, propagated: bool) -> dict[str, str]:
    return {
        tag["Key"]: tag["Value"]
        for tag in group.get("Tags", [])
        if bool(tag.get("PropagateAtLaunch")) is propagated and not tag["Key"].startswith("aws:")
    }
