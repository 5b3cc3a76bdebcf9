"""What clients reach: the names, the API's targets, and how nodes answer for the ingress Service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field

from migration.contracts.base import Contract, Inputs, Manner, Result, Undoing, Wanted
from migration.contracts.members import OldMember
from migration.runtime.deadline import Permanent
from migration.settings.model import DnsRecord


class SideBalancers(Contract):
    """One side's name (the set identifier of its records) and the DNS names of its balancers, `more` by role.

    None where a stage has no balancers on that side: then nothing can be made to lead to it.
    `zones`: by role, the hosted zones that AWS answers those names from, of balancers that aliases lead to.
    """

    side: str
    ingress: str | None = None
    api: str | None = None
    more: dict[str, str] = Field(default_factory=dict)
    zones: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def named(cls, side: str, names: Mapping[str, str], zones: Mapping[str, str] | None = None) -> Self:
        """From DNS names by what records serve, and the hosted zones of those that aliases lead to."""
        more = {role: name for role, name in names.items() if role not in ("ingress", "api")}
        return cls(side=side, ingress=names.get("ingress"), api=names.get("api"), more=more, zones=dict(zones or {}))

    def of(self, serves: str) -> str:
        """The DNS name of the balancer for what a record serves; raises `Permanent` where there is none."""
        found = self.found(serves)
        if found is None:
            raise Permanent(f"side {self.side} has no {serves} balancer at this stage, so no name can lead to it")
        return found

    def found(self, serves: str) -> str | None:
        """The same, or None."""
        return {"ingress": self.ingress, "api": self.api, **self.more}.get(serves)


class DnsCutInputs(Undoing):
    """What the names are: a weighted `pair`, as they were (`original`), or simple and the new side's (`final`).

    Each is made in one change batch. A pair that is there keeps its weights: those are records of the stack's own;
    `new_weight` is only what a pair begins with, the old side having the rest of 100. `ttl` (seconds) is the pair's;
    `alias_ttl` (seconds) is how long resolvers keep the answers of aliases, which have no TTL of their own.
    """

    shown: ClassVar[str] = "names"

    form: Wanted[Literal["pair", "original", "final"]]
    zone_id: Wanted[str]
    records: Wanted[tuple[DnsRecord, ...]]
    ttl: Wanted[int]
    new_weight: Manner[int]
    alias_ttl: Manner[int] = 60
    old: Wanted[SideBalancers]
    new: Wanted[SideBalancers]

    @property
    def takes_back(self) -> bool:
        """The names are as they were found."""
        return self.form == "original"

    def say(self) -> str:
        """What the names become."""
        names = ", ".join(record.name for record in self.records)
        if self.form == "pair":
            aliases = ", ".join(record.name for record in self.records if record.is_alias)
            kept = f"; {aliases} as aliases, kept for {self.alias_ttl} s" if aliases else ""
            return f"{names}: a weighted pair of {self.old.side} and {self.new.side}, TTL {self.ttl} s{kept}"
        side = self.old.side if self.form == "original" else self.new.side
        return f"{names}: simple records of {side}"


class DnsCutResult(Result):
    """What the names are, `ttl` as it was waited out (none without a pair), and the names that this run changed."""

    # What the weights were, when this operation set them too.
    dropped: ClassVar[frozenset[str]] = frozenset({"wanted", "weights"})

    form: Literal["pair", "original", "final"] | None = None
    ttl: int | None = None
    changed: tuple[str, ...]


class ApiTargetsInputs(Inputs):
    """Members, by address, that shall be targets of the new side's API balancer. `target_group` is an ARN."""

    shown: ClassVar[str] = "targets"

    target_group: Wanted[str]
    port: Wanted[int]
    members: Wanted[tuple[OldMember, ...]]

    def say(self) -> str:
        """Which members."""
        return f"{', '.join(member.name for member in self.members)}, port {self.port}"


class ApiTargetsResult(Result):
    """The addresses that are targets."""

    addresses: tuple[str, ...]


Policy = Literal["Local", "Cluster"]


class IngressPolicyInputs(Undoing):
    """The ingress Service's externalTrafficPolicy. `groups` are the Auto Scaling groups behind `target_groups` (ARNs).

    `recorded` is the policy the Service had before the migration.
    """

    shown: ClassVar[str] = "policy"

    wanted: Wanted[Literal["Cluster", "recorded"]]
    namespace: Wanted[str]
    service: Wanted[str]
    recorded: Wanted[Policy]
    target_groups: Wanted[tuple[str, ...]]
    groups: Wanted[tuple[str, ...]]

    @property
    def takes_back(self) -> bool:
        """The policy is as it was found."""
        return self.wanted == "recorded"

    @property
    def policy(self) -> Policy:
        """The policy wanted."""
        return self.recorded if self.wanted == "recorded" else "Cluster"

    def say(self) -> str:
        """The policy and whose."""
        return f"externalTrafficPolicy {self.policy} of {self.namespace}/{self.service}"


class IngressPolicyResult(Result):
    """`policy` now, `previous` as it was when first seen, and the steps of this run."""

    wanted: Literal["Cluster", "recorded"]
    policy: Policy
    previous: Policy
    steps: tuple[str, ...]
