"""Which entry of etcd's list is which member of the configuration: by address, and by name as the last hint.

Peer URLs may name a host, end in a slash, and carry other names than the configuration. A member that isn't found is
a question, never an answer: whoever takes "not found" for "removed" ends the machine of a member that votes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from migration.clients.aws import Instance
from migration.clients.etcd import Member
from migration.contracts.members import MemberPair
from migration.etcd.where import observed, taken
from migration.runtime.deadline import Permanent, Retryable


def hosts(member: Member) -> tuple[str, ...]:
    """The hosts in a member's peer URLs."""
    return tuple(dict.fromkeys(host for url in member.peer_urls if (host := urlsplit(url).hostname)))


def look_up(host: str) -> frozenset[str]:
    """IPv4 addresses of a host, by this machine's resolver; empty where it knows none."""
    try:
        found = socket.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(str(entry[4][0]) for entry in found)


class Addresses:
    """Addresses of etcd's members: literally in their peer URLs, by EC2's private DNS names, or by a resolver."""

    def __init__(self, machines: Iterable[Instance], resolve: Callable[[str], frozenset[str]] = look_up) -> None:
        self._names = {one.dns: one.ip for one in machines if one.dns}
        self._resolve = resolve
        self._seen: dict[str, frozenset[str]] = {}

    def of(self, member: Member) -> frozenset[str]:
        """All addresses of a member; empty where no name in its peer URLs can be resolved."""
        return frozenset[str]().union(*(self._of_host(host) for host in hosts(member)))

    def at(self, members: Iterable[Member], address: str) -> Member | None:
        """The one entry at `address`, or None. Raises `Permanent` where several share it."""
        found = [member for member in members if address in self.of(member)]
        if len(found) > 1:
            raise Permanent(f"several members of etcd's list are at {address}: {told(found)}")
        return found[0] if found else None

    def side(self, member: Member) -> frozenset[str]:
        """As `of`, but raises `Retryable` where that is nothing: then nobody can say where the member is."""
        found = self.of(member)
        if not found:
            raise Retryable(
                f"where etcd's member {told([member])} is can't be told: no name in its peer URLs resolves here, and "
                f"none is a machine's private DNS name; make it resolve on this machine (/etc/hosts will do)"
            )
        return found

    def _of_host(self, host: str) -> frozenset[str]:
        if host.replace(".", "").isdigit():
            return frozenset({host})
        if host in self._names:
            return frozenset({self._names[host]})
        # Only answers are kept: a name that doesn't resolve yet may do so later.
        known = self._seen.get(host) or self._resolve(host)
        if known:
            self._seen[host] = known
        return known


def told(members: Iterable[Member]) -> str:
    """Entries of etcd's list as people read them."""
    return "; ".join(
        f"{one.name or one.id}{' (learner)' if one.learner else ''} at {', '.join(one.peer_urls) or 'no peer URL'}"
        for one in members
    )


@dataclass(frozen=True, kw_only=True)
class Seat:
    """One configured member and its entries in etcd's list: the old one, the new one, or, mid-swap, both."""

    pair: MemberPair
    old: Member | None
    new: Member | None


def seats(
    pairs: Sequence[MemberPair],
    members: Sequence[Member],
    machines: Iterable[Instance],
    ids: Mapping[str, str] | None = None,
) -> list[Seat]:
    """Every configured member with its entries. `machines` are those of the members' old and new groups.

    `ids` are those of members that are known, by their old names: one that is on its way with its volume may be at the
    address of a machine that is gone. New entries are known by their machine's address or their name, old ones by their
    machine's or the configured address, and by name only where no address says otherwise. Raises `Permanent` with both
    lists where a configured member has no entry, an entry fits several, or a voter is nobody's.
    """
    matcher = _Matcher(pairs, members, list(machines))
    new = {pair.old.name: matcher.new(pair) for pair in pairs}
    by_address = {pair.old.name: matcher.old(pair) for pair in pairs}
    # Names last, among what no address has claimed: two members may have exchanged theirs.
    claimed = {entry.id for entry in (*new.values(), *by_address.values()) if entry is not None}
    rest = [member for member in members if member.id not in claimed]
    found: list[Seat] = []
    for pair in pairs:
        name = pair.old.name
        known = next((one for one in rest if one.id == (ids or {}).get(name)), None)
        old = by_address[name] or known or matcher.called(name, rest)
        found.append(Seat(pair=pair, old=old, new=new[name]))
    _agreed(matcher, found)
    return found


class _Matcher:
    def __init__(self, pairs: Sequence[MemberPair], members: Sequence[Member], machines: Sequence[Instance]) -> None:
        self.pairs, self.members = pairs, members
        self._addresses = Addresses(machines)
        self._machines = machines

    def new(self, pair: MemberPair) -> Member | None:
        return self._at(self._ips(pair.new.group)) or self.called(pair.new.name, self.members)

    def old(self, pair: MemberPair) -> Member | None:
        hint, group = pair.old.address, pair.old.group
        hints = [hint] if hint is not None and not taken(hint, group, self._machines) else []
        return self._at([*self._ips(group), *hints])

    def called(self, name: str, members: Iterable[Member]) -> Member | None:
        named = [member for member in members if member.name == name]
        if len(named) > 1:
            raise self.refusal(f"several entries of etcd's list are called {name}")
        return named[0] if named else None

    def refusal(self, why: str) -> Permanent:
        """What is wrong, with both lists."""
        wanted = "; ".join(f"{pair.old.name} at {self._where(pair)}" for pair in self.pairs)
        return Permanent(
            f"{why}. migration:members: {wanted}. etcd's list: {told(self.members)}. Correct name and address in "
            f"migration:members, or make the names in the peer URLs resolve on this machine, then run the same up again"
        )

    def _ips(self, group: str) -> list[str]:
        return observed(group, self._machines)

    def _where(self, pair: MemberPair) -> str:
        known = [*self._ips(pair.old.group), *([pair.old.address] if pair.old.address else [])]
        return " or ".join(dict.fromkeys(known)) or f"no machine of {pair.old.group}"

    def _at(self, addresses: Iterable[str]) -> Member | None:
        found = (self._addresses.at(self.members, address) for address in addresses)
        return next((member for member in found if member is not None), None)


def _agreed(matcher: _Matcher, found: Sequence[Seat]) -> None:
    """Each configured member has an entry, each entry one member, and no voter is left over."""
    claims = [entry for seat in found for entry in (seat.old, seat.new) if entry is not None]
    lost = [seat.pair.old.name for seat in found if seat.old is None and seat.new is None]
    if lost:
        raise matcher.refusal(f"{', '.join(lost)} can't be found in etcd's list")
    if len({entry.id for entry in claims}) != len(claims):
        twice = [entry for entry in claims if sum(one.id == entry.id for one in claims) > 1]
        raise matcher.refusal(f"{told(twice[:1])} fits several configured members")
    known = {entry.id for entry in claims}
    strangers = [member for member in matcher.members if not member.learner and member.id not in known]
    if strangers:
        raise matcher.refusal(f"etcd has voters that the configuration doesn't know: {told(strangers)}")
