"""Whether a profile can have so many pods of applications: whether there are applications for them, and nodes. Pure."""

from __future__ import annotations

from lab.legacy.plan import held
from lab.profiles import find
from lab.workload.apps import apps_of
from lab.workload.objects import beside


def most(profile: str) -> int:
    """The most pods of applications that a profile's nodes hold beside what else runs on them."""
    return held(profile) - beside(find(profile).nodes)


def refusal(profile: str, pods: int) -> str:
    """Why a profile can't have so many, and what it can; empty where it can."""
    try:
        apps_of(profile, pods)
    except ValueError as error:
        return str(error)
    if pods <= most(profile):
        return ""
    nodes = find(profile).nodes
    return f"the {nodes} nodes of profile {profile} hold {most(profile)} at most, beside {beside(nodes)} others"
