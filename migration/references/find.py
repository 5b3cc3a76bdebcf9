"""Which rules and prefix lists name the old side, and what their twins for the new one are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from migration.clients.documents import Document, mapping
from migration.contracts.references import Naming
from migration.discover.tags import owner_of, tags_of

ROLE, TWIN = "migration:role", "twin"
CLUSTER = "migration:cluster"


@dataclass(frozen=True, kw_only=True)
class Where:
    """A security group or prefix list of somebody's, with whoever answers for it."""

    id: str
    name: str
    vpc_id: str
    owner: str | None

    def __str__(self) -> str:
        return f"{self.name or self.id} ({self.id}, {f'owner {self.owner}' if self.owner else 'owner unknown'})"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """With whom a rule is: a range or a group."""

    cidr: str | None = None
    group: str | None = None

    def __str__(self) -> str:
        return self.cidr or self.group or ""


@dataclass(frozen=True, kw_only=True)
class RuleReference:
    """A rule that names the old side by `names`, and the peer that its twin has; None while the new side has none."""

    rule: str
    where: Where
    egress: bool
    protocol: str
    from_port: int
    to_port: int
    names: Peer
    twin: Peer | None

    def __str__(self) -> str:
        ports = "every protocol" if self.protocol == "-1" else f"{self.protocol} {_ports(self.from_port, self.to_port)}"
        way = "lets out to" if self.egress else "lets in"
        return f"{self.where} {way} {self.names} on {ports}"


@dataclass(frozen=True, kw_only=True)
class ListReference:
    """A prefix list that has a range of the old side's; `twin` is the new side's. `ours`: of this account."""

    where: Where
    cidr: str
    twin: str
    ours: bool
    version: int

    def __str__(self) -> str:
        return f"prefix list {self.where} has {self.cidr}"


Reference = RuleReference | ListReference


def _ports(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """The account's rules and lists, as AWS describes them. `entries` are prefix lists' ranges with descriptions."""

    groups: Sequence[Document]
    rules: Sequence[Document]
    lists: Sequence[Document]
    entries: Mapping[str, Sequence[Document]]
    account: str


def is_twin(tags: Mapping[str, str], cluster: str) -> bool:
    """Whether a rule was made by this program for one that names the old side."""
    return tags.get(CLUSTER) == cluster and tags.get(ROLE) == TWIN


def mark(cluster: str) -> str:
    """How this program describes a range that it added to somebody's prefix list."""
    return f"migration:twin of {cluster}"


def references(
    seen: Elsewhere,
    cluster: str,
    old: Naming,
    new: Naming | None,
    *,
    peered: Iterable[str],
    cidr: str,
) -> list[Reference]:
    """Everything outside of the cluster's own groups that names the old side. `cidr` is the new VPC's range.

    `peered`: connected VPCs. The cluster's own groups of balancers and of other machines count as elsewhere: until the
    old side is gone, clients and nodes of the new one come to them, too.
    """
    groups = {one["GroupId"]: _group(one) for one in seen.groups}
    own = {*old.groups.values(), *(new.groups.values() if new else ())}
    own |= {one["GroupId"] for one in seen.groups if tags_of(one).get(CLUSTER) == cluster}
    found: list[Reference] = []
    for rule in seen.rules:
        if rule["GroupId"] in own or rule["GroupId"] not in groups or is_twin(tags_of(rule), cluster):
            continue
        where = groups[rule["GroupId"]]
        names = _named(rule, old)
        if names is not None:
            twin = _twin(names, where, old, new, {*peered}, cidr)
            found.append(
                RuleReference(
                    rule=rule["SecurityGroupRuleId"],
                    where=where,
                    egress=bool(rule["IsEgress"]),
                    protocol=str(rule["IpProtocol"]),
                    from_port=_port(rule, "FromPort"),
                    to_port=_port(rule, "ToPort"),
                    names=names,
                    twin=twin,
                )
            )
    return [*found, *_in_lists(seen, old, cidr)]


def _port(rule: Document, key: str) -> int:
    return -1 if rule.get(key) is None else int(rule[key])


def _group(one: Document) -> Where:
    return Where(
        id=one["GroupId"], name=one.get("GroupName", ""), vpc_id=one.get("VpcId", ""), owner=owner_of(tags_of(one))
    )


def _named(rule: Document, old: Naming) -> Peer | None:
    group = mapping(rule, "ReferencedGroupInfo").get("GroupId")
    if group in old.groups.values():
        return Peer(group=group)
    cidr = rule.get("CidrIpv4")
    return Peer(cidr=cidr) if cidr and inside(cidr, old.ranges) else None


def inside(cidr: str, ranges: Iterable[str]) -> bool:
    """Whether a range lies within one of others; what is wider names more than them."""
    return any(IPv4Network(cidr).subnet_of(IPv4Network(one)) for one in ranges)


def _twin(names: Peer, where: Where, old: Naming, new: Naming | None, peered: set[str], cidr: str) -> Peer | None:
    if names.group is None:
        return Peer(cidr=cidr) if cidr else None
    role = next(role for role, id_ in old.groups.items() if id_ == names.group)
    if where.vpc_id != old.vpc_id and where.vpc_id not in peered:
        # A group may be named over a peering only; such a VPC is reached in another way.
        return Peer(cidr=cidr) if cidr else None
    if new is None:
        return None
    return Peer(group=new.groups.get(role) or new.groups.get("control-plane"))


def _in_lists(seen: Elsewhere, old: Naming, cidr: str) -> Iterator[ListReference]:
    for one in seen.lists:
        if one.get("OwnerId") == "AWS" or not cidr:
            continue
        id_ = one["PrefixListId"]
        where = Where(
            id=id_,
            name=one.get("PrefixListName", ""),
            vpc_id="",
            owner=owner_of(tags_of(one)) or _account(one, seen.account),
        )
        for entry in seen.entries.get(id_, ()):
            if inside(entry["Cidr"], old.ranges):
                yield ListReference(
                    where=where,
                    cidr=entry["Cidr"],
                    twin=cidr,
                    ours=one.get("OwnerId", seen.account) == seen.account,
                    version=int(one.get("Version", 1)),
                )


def _account(one: Document, account: str) -> str | None:
    owner = one.get("OwnerId")
    return f"account {owner}" if owner and owner != account else None


def answered(reference: Reference, seen: Elsewhere) -> bool:
    """Whether what `reference` lets through for the old side, something lets through for the new one."""
    if isinstance(reference, ListReference):
        return any(inside(reference.twin, [one["Cidr"]]) for one in seen.entries.get(reference.where.id, ()))
    return any(_same(rule, reference) for rule in seen.rules)


def _same(rule: Document, wanted: RuleReference) -> bool:
    if rule["GroupId"] != wanted.where.id or bool(rule["IsEgress"]) is not wanted.egress or wanted.twin is None:
        return False
    protocol = str(rule["IpProtocol"])
    low, high = _port(rule, "FromPort"), _port(rule, "ToPort")
    wide = protocol == "-1" or (protocol == wanted.protocol and low <= wanted.from_port and wanted.to_port <= high)
    if not wide:
        return False
    if wanted.twin.group is not None:
        return mapping(rule, "ReferencedGroupInfo").get("GroupId") == wanted.twin.group
    cidr, needed = rule.get("CidrIpv4"), wanted.twin.cidr
    return bool(cidr and needed and inside(needed, [cidr]))
