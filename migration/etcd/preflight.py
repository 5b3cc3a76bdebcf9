"""What must hold before a member of etcd is added or removed."""

from __future__ import annotations

from collections.abc import Callable

from migration.clients.etcd import Etcd, Member
from migration.runtime.deadline import Permanent, Retryable

# Round trips between members, seconds. Heartbeats are 100 ms and elections 1,000 ms; from 180 to 200 ms on API
# servers were seen to crash-loop (docs/facts.md, etcd).
WARN_ROUND_TRIP, REFUSE_ROUND_TRIP = 0.100, 0.180


def endpoint(member: Member) -> str:
    """A started member's client URL; raises `Retryable` for one that hasn't started."""
    if not member.client_urls:
        raise Retryable(f"member {member.name or member.id} has not started")
    return member.client_urls[0]


def quorum(voters: int) -> int:
    """How many of `voters` must agree."""
    return voters // 2 + 1


def healthy_voters(etcd: Etcd, members: list[Member]) -> list[Member]:
    """The voters, if every one of them answers, without errors and with one leader; else `Retryable`."""
    voters = [member for member in members if not member.learner]
    leaders: set[str] = set()
    for member in voters:
        status = etcd.status(endpoint(member))
        if status.errors:
            raise Retryable(f"member {member.name} reports {', '.join(status.errors)}")
        leaders.add(status.leader)
    if len(leaders) != 1 or leaders == {"0"}:
        raise Retryable(f"voters see {len(leaders - {'0'})} leaders ({', '.join(sorted(leaders))}): an election is on")
    return voters


def preflight(etcd: Etcd, *, ours: Callable[[Member], bool], log: Callable[[str], None]) -> str:
    """All voters healthy, no foreign learner, no alarm, short round trips; returns what was seen as a sentence.

    `ours` tells a learner that is this program's own, from a swap that was interrupted.
    Raises `Permanent` for what waiting doesn't cure, `Retryable` for what it may.
    """
    members = etcd.members()
    for member in members:
        if member.learner and not ours(member):
            raise Permanent(
                f"etcd has a learner that isn't this migration's: {member.name or member.id} at "
                f"{', '.join(member.peer_urls)}. Only one learner is allowed at a time: promote or remove it first"
            )
    alarms = etcd.alarms()
    if alarms:
        raise Permanent(
            f"etcd has raised {', '.join(alarms)}: cure that first (NOSPACE: compact, defragment, disarm; "
            f"CORRUPT: replace that member), then run the same up again"
        )
    voters = healthy_voters(etcd, members)
    slowest = max(etcd.round_trip(endpoint(member)) for member in voters)
    if slowest >= REFUSE_ROUND_TRIP:
        raise Retryable(
            f"a round trip to etcd takes {slowest * 1000:.0f} ms; the limit is {REFUSE_ROUND_TRIP * 1000:.0f}"
        )
    if slowest >= WARN_ROUND_TRIP:
        log(f"warning: a round trip to etcd takes {slowest * 1000:.0f} ms ({REFUSE_ROUND_TRIP * 1000:.0f} is too long)")
    return f"{len(voters)} voters healthy, slowest round trip {slowest * 1000:.0f} ms"
