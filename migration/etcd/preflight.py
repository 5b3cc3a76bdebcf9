"""What must hold before a member of etcd is added or removed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from migration.clients.etcd import Etcd, Member
from migration.etcd.round_trips import OBSERVATIONS, RoundTrips
from migration.etcd.versions import judge
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


Servers = Callable[[Sequence[Member]], Mapping[str, str]]
"""The Kubernetes versions of the API servers beside these voters, by member."""


def preflight(
    etcd: Etcd,
    *,
    ours: Callable[[Member], bool],
    log: Callable[[str], None],
    observations: int = OBSERVATIONS,
    round_trips: RoundTrips | None = None,
    away: Collection[str] = (),
    servers: Servers | None = None,
    upgrading: bool = False,
) -> str:
    """All voters healthy and of one safe version, no foreign learner, no alarm, short round trips between the voters.

    Returns what was seen as a sentence. `ours` tells a learner that is this program's own, from a swap that was
    interrupted; `observations` is how often each pair's round trip must have been measured; `round_trips` keeps
    what was measured from one attempt of a wait to the next; `away` are ids of members
    known to be down, and not asked. `servers` is asked for the versions of the API servers, where those count;
    `upgrading` lets voters run different versions of etcd.
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
    voters = healthy_voters(etcd, [member for member in members if member.id not in away])
    beside = None if servers is None else servers(voters)
    for warning in judge(versions(etcd, voters), beside, upgrading=upgrading):
        log(f"warning: {warning}")
    seconds, whose = (round_trips or RoundTrips()).slowest(etcd, voters, observations)
    near(seconds, whose, log)
    return f"{len(voters)} voters healthy, slowest round trip between them {seconds * 1000:.0f} ms"


def versions(etcd: Etcd, members: Sequence[Member]) -> dict[str, str]:
    """What etcd of each started member says it is, by member; empty text where it says nothing."""
    return {member.name: etcd.status(endpoint(member)).version for member in members}


def same_version(etcd: Etcd, own: Member, at: str) -> bool:
    """True where a new member's etcd, asked `at` its client URL, is of the voters' version.

    Raises `Permanent` where it isn't: promoted, it would make a cluster of mixed versions, which no swap goes on from.
    It has no vote yet, so nothing is lost by stopping here.
    """
    voters = versions(etcd, [member for member in etcd.members() if not member.learner and member.id != own.id])
    version = etcd.status(at).version
    if {version} != set(voters.values()):
        others = ", ".join(f"{name} {text}" for name, text in sorted(voters.items()))
        raise Permanent(
            f"{own.name} runs etcd {version or '(it does not say)'}, the voters {others}: it isn't promoted, since a "
            f"member is swapped among equals only. Give its machine an image with the voters' version "
            f"(migration:sides.<name>.members.image), or upgrade the voters first; then the same up goes on"
        )
    return True


def near(seconds: float, whose: str, log: Callable[[str], None]) -> None:
    """Raises `Retryable` for a round trip that is too long for etcd; warns of one that is nearly so."""
    limit = f"{REFUSE_ROUND_TRIP * 1000:.0f} ms"
    if seconds >= REFUSE_ROUND_TRIP:
        raise Retryable(f"a round trip between members takes {seconds * 1000:.0f} ms ({whose}); the limit is {limit}")
    if seconds >= WARN_ROUND_TRIP:
        log(f"warning: a round trip between members takes {seconds * 1000:.0f} ms ({whose}); {limit} is too long")
