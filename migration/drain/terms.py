"""Each lane's term of the bound while a drain is on its way: what pods showed before it, and what their successors do.

Before the first eviction the quickest start of a lane's pods is all there is. Where they all began at once, as after a
restart of everything, each waited for the others, and that says too much; a successor that was quicker corrects it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from migration.drain.bound import Term, end_seconds, is_shut, term_of
from migration.drain.index import Index
from migration.drain.plan import Lane, Rules, owner_of


@dataclass(frozen=True, kw_only=True)
class _First:
    """A lane as it was first seen: its term, whose pods it has (UIDs), and what of a round is its pods' end."""

    term: Term
    owners: frozenset[str]
    end: float


class Terms:
    """Of one drain, whose pods `index` follows."""

    def __init__(self, index: Index, rules: Rules) -> None:
        self._index, self._rules = index, rules
        self._first: dict[str, _First] = {}
        self._begun: frozenset[str] = frozenset()

    def begin(self, lanes: Iterable[Lane]) -> None:
        """These are there before the first eviction: `bound_seconds` is about those that may ever open."""
        counted = [lane for lane in lanes if lane.pods and not is_shut(lane)]
        for lane in counted:
            self._known(lane)
        self._begun = frozenset(lane.key for lane in counted)

    def of(self, lane: Lane) -> Term:
        """The term of what a lane still has."""
        first = self._known(lane)
        return replace(first.term, pods=len(lane.pods), round_seconds=self._round(first))

    @property
    def bound_seconds(self) -> float:
        """The longest term of what was there at first, with the quickest starts seen by now; 0 where there is none."""
        found = (self._first[key] for key in self._begun)
        return max((replace(one.term, round_seconds=self._round(one)).seconds for one in found), default=0.0)

    def _known(self, lane: Lane) -> _First:
        known = self._first.get(lane.key)
        if known is None:
            facts = self._index.facts
            owners = {owner.uid for pod in lane.pods if (owner := owner_of(pod, facts)) is not None}
            known = self._first[lane.key] = _First(
                term=term_of(lane, facts, self._rules), owners=frozenset(owners), end=end_seconds(lane, facts)
            )
        return known

    def _round(self, first: _First) -> float:
        starts = [self._index.quickest[uid] for uid in first.owners if uid in self._index.quickest]
        return min([first.term.round_seconds, *(start + first.end for start in starts)])
