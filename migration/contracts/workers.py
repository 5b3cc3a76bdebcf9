"""Worker groups and the pods on them: their snapshot, the hold, the taint, the drain, their size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, cast

from pydantic import Field, model_validator

from migration.contracts.base import Contract, Inputs, Manner, Result, SecretText, Undoing, Wanted, common
from migration.contracts.launch import (
    CapacityReservation,
    CpuOptions,
    CreditSpecification,
    Enabled,
    Hibernation,
    InstanceRequirements,
    License,
    Maintenance,
    Monitoring,
    NetworkInterface,
    NetworkPerformance,
    Placement,
    PrivateDnsName,
    SpotOptions,
    TagSpecification,
)
from migration.contracts.scaling import Attributes, LifecycleHook, Mixed
from migration.settings import Settings
from migration.settings.forms import services
from migration.settings.groups import pool_group
from migration.settings.model import Configuration, ManagedSide

# Seconds; for inputs that an earlier version wrote into a stack's state.
JOIN_SECONDS = 120


class InstanceProfile(Contract):
    """An instance profile as a launch template names it: by ARN or by name."""

    arn: str | None = None
    name: str | None = None


class Ebs(Contract):
    """A disk of a launch template. Size in GiB, throughput in MiB/s."""

    volume_size: int | None = None
    volume_type: str | None = None
    encrypted: bool | None = None
    kms_key_id: str | None = None
    delete_on_termination: bool = True
    iops: int | None = None
    throughput: int | None = None
    snapshot_id: str | None = None
    volume_initialization_rate: int | None = None
    ebs_card_index: int | None = None


class BlockDevice(Contract):
    """One block device mapping of a launch template."""

    device_name: str
    ebs: Ebs = Ebs()
    virtual_name: str | None = None
    no_device: str | None = None

    @property
    def is_volume(self) -> bool:
        """Whether it is a volume: no disk of the machine itself, nor a device of the image's that shall be away."""
        return self.virtual_name is None and self.no_device is None


class MetadataOptions(Contract):
    """How instances reach their metadata service; what is None, the image or the account decides."""

    http_endpoint: str | None = None
    http_put_response_hop_limit: int | None = None
    http_tokens: str | None = None
    http_protocol_ipv6: str | None = Field(default=None, alias="httpProtocolIpv6")
    instance_metadata_tags: str | None = None
    state: str | None = None


class MarketOptions(Contract):
    """On which market instances are bought, and how."""

    market_type: str
    spot_options: SpotOptions | None = None


# What copies take over since notes say that they are whole.
_NOTED_LATER = (
    "monitoring",
    "creditSpecification",
    "tagSpecifications",
)


class Template(Contract):
    """What a copy takes over of a launch template, with AWS's names, first letter lower. `user_data` is base64.

    User data often holds join tokens. Of networking only the form is taken over: a copy has the subnets and security
    groups of its own side.

    `whole`: everything was noted that a copy takes over. Notes of an earlier version aren't, and what is made from them
    stays as it was made: other data would be a new version, and replace every machine.
    """

    image_id: str
    instance_type: str | None = None
    key_name: str | None = None
    iam_instance_profile: InstanceProfile | None = None
    ebs_optimized: bool | None = None
    metadata_options: MetadataOptions = MetadataOptions()
    block_device_mappings: tuple[BlockDevice, ...] = ()
    user_data: SecretText | None = None
    instance_market_options: MarketOptions | None = None
    whole: bool = False
    capacity_reservation_specification: CapacityReservation | None = None
    cpu_options: CpuOptions | None = None
    credit_specification: CreditSpecification | None = None
    disable_api_stop: bool | None = None
    disable_api_termination: bool | None = None
    enclave_options: Enabled | None = None
    hibernation_options: Hibernation | None = None
    instance_initiated_shutdown_behavior: str | None = None
    instance_requirements: InstanceRequirements | None = None
    kernel_id: str | None = None
    license_specifications: tuple[License, ...] = ()
    maintenance_options: Maintenance | None = None
    monitoring: Monitoring | None = None
    network_interfaces: tuple[NetworkInterface, ...] = ()
    network_performance_options: NetworkPerformance | None = None
    placement: Placement | None = None
    private_dns_name_options: PrivateDnsName | None = None
    ram_disk_id: str | None = None
    tag_specifications: tuple[TagSpecification, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _as_noted_then(cls, data: Any) -> Any:
        """An earlier version noted these, and no copy took them."""
        if not isinstance(data, dict):
            return data
        told = cast(dict[str, Any], data)
        return told if told.get("whole") else {key: told[key] for key in told if key not in _NOTED_LATER}


class Size(Contract):
    """The least and the wanted size of an Auto Scaling group, in instances."""

    min: int
    desired: int


class GroupSize(Size):
    """A group by name, with its size."""

    group: str


class Group(GroupSize):
    """One Auto Scaling group as it was: sizes, launch template, and the tags it propagates.

    What was noted by an earlier version lacks the rest: the tags that it doesn't propagate (`own_tags`), the mixed
    instances policy, attributes and hooks.
    """

    max: int
    template: Template
    tags: dict[str, str]
    own_tags: dict[str, str] = Field(default_factory=dict)
    mixed: Mixed | None = None
    attributes: Attributes | None = None
    hooks: tuple[LifecycleHook, ...] = ()

    def one_type(self) -> Template:
        """The template for a machine alone: of the first type that a mixed policy prefers, where there is one."""
        overrides = self.mixed.overrides if self.mixed is not None else ()
        kind = next((one.instance_type for one in overrides if one.instance_type is not None), None)
        if kind is None:
            return self.template
        return self.template.model_copy(update={"instance_type": kind, "instance_requirements": None})

    def size(self) -> Size:
        """The size, for a group of another name."""
        return Size(min=self.min, desired=self.desired)

    def own_size(self) -> GroupSize:
        """The size, with the group it is of."""
        return GroupSize(group=self.group, min=self.min, desired=self.desired)


class GroupNoteInputs(Inputs):
    """Auto Scaling groups to look at, by a key that stays; `side` is whose they are.

    `optional` are keys that something else is known to make a group from, so that theirs needn't exist. `without`: what
    a copy may lack (`migration.settings.model.Copies`).
    """

    shown: ClassVar[str] = "groups"

    side: Manner[str]
    groups: Manner[dict[str, str]]
    optional: Manner[tuple[str, ...]] = ()
    without: Manner[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """The side."""
        return self.side

    def wanted_part(self) -> dict[str, Any]:
        """As of all inputs; of the groups only their keys: what is known stays known when the groups are gone."""
        return {**super().wanted_part(), "groups": sorted(self.groups)}

    def say(self) -> str:
        """How many groups, and whose."""
        return f"sizes and launch templates of {len(self.groups)} groups of {self.side}, as they are now"


class GroupNoteResult(Result):
    """The groups as they were when first looked at, with their templates' user data."""

    secret: ClassVar[bool] = True

    groups: dict[str, Group]


class AutoscalerHoldInputs(Inputs):
    """`new_groups` maps each group of the new side to the size its original had; `held` or given back (`released`)."""

    shown: ClassVar[str] = "autoscaler"

    wanted: Wanted[Literal["held", "released"]]
    old_groups: Wanted[tuple[str, ...]]
    new_groups: Wanted[dict[str, Size]]

    def say(self) -> str:
        """Whether groups are held, and how many."""
        count = len(self.old_groups) + len(self.new_groups)
        return f"{count} groups held at their size" if self.wanted == "held" else f"{count} groups given back"


class HeldBefore(Contract):
    """What an old group had before it was held: its maximum, and which of the held `processes` were suspended.

    An earlier version held fewer, and gives back those alone.
    """

    max: int
    suspended: tuple[str, ...]
    processes: tuple[str, ...] = ("Launch", "AZRebalance")


class AutoscalerHoldResult(Result):
    """`old`: what each group had before it was held; `new`: each group's minimum now."""

    wanted: Literal["held", "released"]
    old: dict[str, HeldBefore]
    new: dict[str, int]


class TaintInputs(Undoing):
    """Whether the nodes of Auto Scaling groups carry the taint that keeps new pods off them.

    `join_seconds`: how long a running instance without a node is waited for, since one that joins later is untainted.
    `ended` names groups that are to be deleted: those may be gone.
    """

    shown: ClassVar[str] = "nodes"

    wanted: Wanted[Literal["tainted", "clear"]]
    groups: Wanted[tuple[str, ...]]
    side: Manner[str]
    join_seconds: Manner[int]
    ended: Manner[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """The side."""
        return self.side

    @property
    def takes_back(self) -> bool:
        """The taint goes."""
        return self.wanted == "clear"

    def say(self) -> str:
        """Whose nodes, and how they shall be."""
        return f"nodes of {self.side} ({len(self.groups)} groups): {self.wanted}"


class TaintResult(Result):
    """Names of the tainted (or cleared) nodes, how many this run changed, and running instances without a node."""

    wanted: Literal["tainted", "clear"]
    nodes: tuple[str, ...]
    changed: int
    missing: tuple[str, ...]


class IngressService(Contract):
    """A further ingress Service: its pods are ingress pods, too."""

    namespace: str
    service: str


class DrainRules(Contract):
    """How a drain goes about it: changing any of this drains nothing again.

    `unprotected_max_unavailable` (a number or a percentage) applies per owner without a budget. `rescan_seconds` is
    the pause before the second look; after `stall_seconds` without progress what is left is named and given up. The
    rest is as `migration.settings.model.Drain` says.
    """

    ingress_namespace: str
    ingress_service: str
    ingress_selector: dict[str, str]
    unprotected_max_unavailable: str
    empty_dir: bool
    bare_pods: bool
    max_evictions_per_second: int
    rescan_seconds: float
    stall_seconds: float
    concurrency: int
    host_path: bool = False
    local_volumes: bool = False
    jobs: Literal["wait", "evict", "refuse"] = "wait"
    finished_pods: Literal["leave", "refuse"] = "leave"
    require_room: bool = True
    pending_seconds: float = 60.0
    max_unplaced_pods: int = 25
    more_ingress: tuple[IngressService, ...] = ()


def drain_rules(c: Configuration) -> DrainRules:
    """What a configuration says of how pods are moved."""
    return DrainRules(
        ingress_namespace=c.ingress.namespace,
        ingress_service=c.ingress.service,
        ingress_selector=c.drain.ingress_selector,
        unprotected_max_unavailable=c.drain.unprotected_max_unavailable,
        empty_dir=c.drain.empty_dir,
        bare_pods=c.drain.bare_pods,
        max_evictions_per_second=c.drain.max_evictions_per_second,
        rescan_seconds=c.drain.rescan_seconds,
        stall_seconds=c.drain.stall_seconds,
        concurrency=c.drain.concurrency,
        more_ingress=tuple(IngressService(namespace=one.namespace, service=one.service) for one in services(c)[1:]),
        host_path=c.drain.host_path,
        local_volumes=c.drain.local_volumes,
        jobs=c.drain.jobs,
        finished_pods=c.drain.finished_pods,
        require_room=c.drain.require_room,
        pending_seconds=c.drain.pending_seconds,
        max_unplaced_pods=c.drain.max_unplaced_pods,
    )


class DrainInputs(Undoing):
    """Which pods leave the nodes of which groups; `present` takes the cordon back. `vpc_id` stands in the log.

    `join_seconds` and `ended` are as the taint's.
    """

    shown: ClassVar[str] = "pods"

    wanted: Wanted[Literal["drained", "present"]]
    tier: Wanted[Literal["ingress", "rest"]]
    groups: Wanted[tuple[str, ...]]
    side: Manner[str]
    vpc_id: Manner[str]
    rules: Manner[DrainRules]
    join_seconds: Manner[int] = JOIN_SECONDS
    ended: Manner[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """The tier."""
        return self.tier

    @property
    def takes_back(self) -> bool:
        """The cordon goes."""
        return self.wanted == "present"

    def say(self) -> str:
        """Which pods leave which nodes."""
        which = "ingress pods" if self.tier == "ingress" else "all other pods"
        if self.wanted == "present":
            return f"{which} may stay on {self.side}"
        return f"{which} evicted from the nodes of {self.side} ({len(self.groups)} groups), under their budgets"


class DrainResult(Result):
    """What a drain did. `blocked` is empty, or the drain had failed.

    `bound_seconds` is its lower bound as known before it, `learnt_bound_seconds` the same with the quickest starts of
    pods seen by its end.
    """

    wanted: Literal["drained", "present"]
    tier: Literal["ingress", "rest"]
    nodes: int
    pods: int
    evictions: int
    restarts: int
    rejected429: int
    seconds: float
    blocked: tuple[str, ...]
    bound_seconds: float | None = None
    learnt_bound_seconds: float | None = None
    bound: str = ""


class WorkerGuardInputs(Inputs):
    """Groups that may not be deleted while pods are on their nodes: one that is taken out must be empty by then."""

    shown: ClassVar[str] = "guarded"

    side: Manner[str]
    groups: Wanted[tuple[str, ...]]

    def say(self) -> str:
        """What is guarded."""
        return f"{len(self.groups)} groups of {self.side}: none is deleted with pods on its nodes"


class WorkerGuardResult(Result):
    """`groups`: the groups that are guarded from now on."""

    groups: tuple[str, ...]


class WorkerScaleInputs(Undoing):
    """Worker groups at zero, back at the sizes they had (`recorded`), or with all machines they want (`complete`).

    `sizes` are the recorded ones; `groups` whose own sizes count where nothing was recorded. `join_seconds` and `ended`
    are as the taint's.
    """

    shown: ClassVar[str] = "size"

    wanted: Wanted[Literal["zero", "recorded", "complete"]]
    side: Manner[str]
    sizes: Wanted[tuple[GroupSize, ...]] = ()
    groups: Wanted[tuple[str, ...]] = ()
    join_seconds: Manner[int] = JOIN_SECONDS
    ended: Manner[tuple[str, ...]] = ()

    @property
    def takes_back(self) -> bool:
        """The groups have their machines."""
        return self.wanted != "zero"

    def say(self) -> str:
        """How large the groups shall be."""
        if self.wanted == "complete":
            return f"{len(self.groups)} groups of {self.side} with every instance they want"
        count = len(self.sizes)
        if self.wanted == "zero":
            return f"{count} groups of {self.side} at zero"
        return f"{count} groups of {self.side} at {sum(size.desired for size in self.sizes)} instances, as recorded"


class WorkerScaleResult(Result):
    """`groups`: each group's size now; `ended`: instances that this run ended."""

    wanted: Literal["zero", "recorded", "complete"]
    groups: dict[str, int]
    ended: int


class RolledGroup(Contract):
    """A pool's group with the launch template (id) and version that all of its machines shall be of.

    `retiring`: it takes no new pods; those there are drained at once (``drain``), or left to go by themselves.
    """

    pool: str
    group: str
    template: str
    version: str
    retiring: Literal["drain", "leave"] | None = None


class RollInputs(Inputs):
    """Worker groups of a side whose machines shall all be of their group's version, and nothing else of that side.

    `surge`: how many nodes, or which share of them, are replaced at once. `target_groups` (ARNs) are those that the
    nodes serve. `vpc_id` and `rules` are as the drain's. `allowed`: whether this is the time; otherwise it only looks
    and says what it would replace.
    """

    shown: ClassVar[str] = "nodes"

    side: Manner[str]
    groups: Wanted[tuple[RolledGroup, ...]]
    surge: Manner[str]
    target_groups: Manner[tuple[str, ...]]
    vpc_id: Manner[str]
    rules: Manner[DrainRules]
    join_seconds: Manner[int] = JOIN_SECONDS
    allowed: Manner[bool] = True

    @classmethod
    def of(
        cls,
        settings: Settings,
        side: str,
        *,
        templates: Sequence[tuple[str, str]],
        target_groups: Sequence[str],
        vpc_id: str,
        allowed: bool = True,
    ) -> RollInputs:
        """What the configuration says of a side of this program's. `templates`: each pool's, with the version."""
        c = settings.configuration
        made = c.sides[side]
        assert isinstance(made, ManagedSide)
        return cls(
            **common(settings, c.drain.timeout_seconds),
            side=side,
            groups=tuple(
                RolledGroup(
                    pool=pool.name,
                    group=pool_group(made, pool),
                    template=template,
                    version=version,
                    retiring=made.pool(pool.name).retiring,
                )
                for pool, (template, version) in zip(c.pools, templates, strict=True)
            ),
            surge=c.limits.roll_surge,
            target_groups=tuple(target_groups),
            vpc_id=vpc_id,
            rules=drain_rules(c),
            join_seconds=c.limits.join_seconds,
            allowed=allowed,
        )

    @property
    def label(self) -> str:
        """The side."""
        return self.side

    def say(self) -> str:
        """What all nodes shall be of."""
        said = f"nodes of {self.side}: {len(self.groups)} groups, each of its template's version"
        retiring = [f"{one.pool} retiring ({one.retiring})" for one in self.groups if one.retiring]
        versions = ", ".join(f"{one.pool} {one.version}" for one in self.groups if one.version != "1")
        return "; ".join([said, *([versions] if versions else []), *retiring])


class RollNote(Contract):
    """What a group had before a roll touched it, kept on the group as a tag until it is given back.

    `suspended` are those of the processes that a roll suspends which were so before.
    """

    min: int
    max: int
    desired: int
    suspended: tuple[str, ...] = ()


class RollResult(Result):
    """`groups`: each pool's group now. What the last run did: nodes replaced or emptied, evictions, seconds.

    `left`: instances that are still of another version, since this wasn't the time.
    """

    groups: dict[str, str]
    nodes: int = 0
    evictions: int = 0
    restarts: int = 0
    seconds: float = 0.0
    left: tuple[str, ...] = ()
