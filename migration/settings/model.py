"""The shape of a stack's configuration: what each key of `migration:` holds.

Keys are camelCase in the YAML file and snake_case here. Everything is frozen; unknown keys are errors.
Rules that compare several keys stand in `migration.settings.rules`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from migration.settings.balancers import ApiBalancerForm, BalancerForm, IngressForm
from migration.settings.base import Cidr, Model, number_as_text


def _address(value: str) -> str:
    return str(IPv4Address(value))  # raises ValueError with a sentence of its own


def _share(value: str) -> str:
    found = re.fullmatch(r"([1-9]\d*)(%?)", value)
    if not found or (found[2] and int(found[1]) > 100):
        raise ValueError("is no number of pods from 1 up, nor a whole percentage from 1% to 100%")
    return value


def _unit(value: str) -> str:
    # Names go into commands on the members' machines. Characters: systemd.unit(5).
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9:_.@-]*", value):
        raise ValueError("isn't the name of a systemd unit: letters, digits and :_.@- only")
    return value.removesuffix(".service")


def _path(value: str) -> str:
    if not re.fullmatch(r"(/[\w.@:+-]+)+", value):
        raise ValueError("isn't the whole path of a file on a machine: from / on, without spaces and quotes")
    return value


def _door(value: str) -> str:
    # It goes into a command on a machine.
    found = re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:([1-9]\d{0,4})", value)
    if not found or int(found[2]) > 65535:
        raise ValueError("is no host with a port, as 10.40.0.10:5432 or db.example:5432")
    return value


Address = Annotated[str, AfterValidator(_address)]
Door = Annotated[str, AfterValidator(_door)]
"""A host, by address or name, with a TCP port."""
Percent = Annotated[int, Field(ge=1, le=99)]
Share = Annotated[str, BeforeValidator(number_as_text), AfterValidator(_share)]
"""A number of pods, or a whole percentage of them; never none."""


class ReferencedSubnets(Model):
    """One zone of a referenced side: the id of the subnet that its machines are in."""

    dropped: ClassVar[frozenset[str]] = frozenset({"public"})

    private: str


class SecurityGroups(Model):
    """Security group ids of a referenced side. `etcd`: of members whose API servers are on other machines."""

    nodes: str
    control_plane: str
    etcd: str | None = None


class Balancer(Model):
    """A network load balancer that is already there. `target_groups` are ARNs.

    `zone_id`: the hosted zone that AWS answers its DNS name from (CanonicalHostedZoneId), which aliases need.
    """

    dropped: ClassVar[frozenset[str]] = frozenset({"port"})

    arn: str
    dns_name: str
    zone_id: str | None = None
    target_groups: tuple[str, ...]


class ReferencedBalancers(Model):
    """The balancers of a referenced side. `more`: further ingress balancers, by their names in `moreIngress`."""

    ingress: Balancer
    api: Balancer
    more: dict[str, Balancer] = Field(default_factory=dict)

    def ingresses(self) -> dict[str, Balancer]:
        """All ingress balancers by what records say they serve, the first one first."""
        return {"ingress": self.ingress, **self.more}

    def serving(self, serves: str) -> Balancer | None:
        """The one that answers for a name; None where there is none of that name."""
        return self.api if serves == "api" else self.ingresses().get(serves)


class ReferencedSide(Model):
    """A side this program did not make: its ids, as `python -m migration discover` wrote them."""

    kind: Literal["referenced"]
    vpc_id: str
    cidr: Cidr
    secondary_cidrs: tuple[Cidr, ...] = ()
    suffix: str = ""
    zones: dict[str, ReferencedSubnets]
    route_tables: tuple[str, ...]
    security_groups: SecurityGroups
    load_balancers: ReferencedBalancers

    @property
    def ranges(self) -> tuple[str, ...]:
        """Every range of the VPC, the first one first."""
        return (self.cidr, *self.secondary_cidrs)


class DiskKeys(Model):
    """A disk that shall be other than the copied one of that `device`, or one more. GiB, MiB/s; unsaid: as copied."""

    device: str
    size: Annotated[int, Field(ge=1)] | None = None
    type: str | None = None
    iops: Annotated[int, Field(ge=100)] | None = None
    throughput: Annotated[int, Field(ge=125)] | None = None
    kms_key_id: str | None = None


class MachineKeys(Model):
    """What machines are launched from, where it shall be other than what was copied. Unsaid: as copied.

    Of `instance_types` a pool may name several, in order of preference: its group then has a mixed instances policy.
    """

    image: str | None = None
    instance_type: str | None = None
    instance_types: tuple[str, ...] = ()
    key_name: str | None = None
    instance_profile: str | None = None
    disks: tuple[DiskKeys, ...] = ()

    @property
    def type_wanted(self) -> str | None:
        """The instance type that is said, either way; None where none is."""
        return next(iter(self.types_wanted), None)

    @property
    def types_wanted(self) -> tuple[str, ...]:
        """All instance types that are said."""
        return (self.instance_type,) if self.instance_type is not None else self.instance_types


class MemberKeys(MachineKeys):
    """What members of the control plane are launched from. Their user data is made from the copied one."""


class MembersKeys(MemberKeys):
    """The same for all members, and under `each` for one by name, which goes first."""

    each: dict[str, MemberKeys] = Field(default_factory=dict)


class PoolKeys(MachineKeys):
    """One pool of a side: what it launches, and what its group begins with. Unsaid: as copied.

    `user_data` is plain text, as the machine reads it. `min`, `max` and `desired` are sizes that the group begins with:
    afterwards the autoscaler owns them. `like`: the pool whose defaults a pool has that was never copied. `group`: the
    group's whole name, instead of the old one's with the side's suffix. `retiring`: no new pods come to it; those there
    are drained at once, or left to go by themselves.
    """

    market: Literal["on-demand", "spot"] | None = None
    user_data: Annotated[str | None, Field(repr=False)] = None
    min: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None
    desired: Annotated[int, Field(ge=0)] | None = None
    like: str | None = None
    group: str | None = None
    retiring: Literal["drain", "leave"] | None = None

    @property
    def own_source(self) -> bool:
        """Whether it can be made without anything that was copied for it."""
        return self.like is not None or (self.image is not None and self.type_wanted is not None)


Role = Literal["nodes", "control-plane", "etcd"]
"""A security group of the cluster, by what its machines do."""


class GroupRule(Model):
    """One permission of the cluster's groups besides those this program makes, as the old side's groups have it.

    Exactly one of `cidr`, `prefix_list`, `role` (the cluster's own group of that kind, on both sides), `own_vpc` (the
    ranges of the side itself, and of the other one as long as both are peered) and `security_group` (somebody's, in
    `vpc_id`) says with whom. Ports are None for every protocol (``-1``).
    """

    group: Role
    direction: Literal["ingress", "egress"]
    protocol: str = "-1"
    from_port: Annotated[int, Field(ge=-1, le=65535)] | None = None
    to_port: Annotated[int, Field(ge=-1, le=65535)] | None = None
    cidr: Cidr | None = None
    prefix_list: str | None = None
    role: Role | None = None
    own_vpc: Literal[True] | None = None
    security_group: str | None = None
    vpc_id: str | None = None

    @model_validator(mode="after")
    def _one_peer(self) -> Self:
        peers = (self.cidr, self.prefix_list, self.role, self.own_vpc, self.security_group)
        if sum(one is not None for one in peers) != 1:
            raise ValueError("needs exactly one of cidr, prefixList, role, ownVpc and securityGroup")
        if self.protocol in ("tcp", "udp") and (self.from_port is None or self.to_port is None):
            raise ValueError(f"{self.protocol} needs fromPort and toPort")
        return self


class Endpoint(Model):
    """A VPC endpoint beside the one for S3, which every side has. `policy` is JSON; None: AWS's own."""

    service: str
    type: Literal["Gateway", "Interface"]
    private_dns: bool = True
    policy: str | None = None


class ManagedSide(Model):
    """A side this program makes. `zones` are availability zone names; `nat` is one gateway a zone, or none.

    `pools`, `members` and, where they are on machines of their own, `api_servers` say what machines are made of where
    that shall be other than what was copied. `rules` are what its security groups allow besides this program's own;
    None: nothing is known of the old groups' rules, and nothing of them is copied.

    `endpoints`, `dhcp_options` (a set's id), `resolver_rules` (ids) and `private_zones` (ids, beside the traffic's own)
    are what the VPC offers as the old one does; `without`: what it needn't have (`migration.parity.compare`).
    `reach`: what its machines must be able to connect to, in connected networks and elsewhere.
    """

    kind: Literal["managed"]
    cidr: Cidr
    suffix: str
    zones: tuple[str, ...]
    nat: Literal["none", "per-zone"] = "none"
    subnet_prefix: Annotated[int, Field(ge=16, le=28)] = 20
    rules: tuple[GroupRule, ...] | None = None
    endpoints: tuple[Endpoint, ...] = ()
    dhcp_options: str | None = None
    resolver_rules: tuple[str, ...] = ()
    private_zones: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    reach: tuple[Door, ...] = ()
    pools: dict[str, PoolKeys] = Field(default_factory=dict)
    members: MembersKeys = MembersKeys()
    api_servers: MembersKeys = MembersKeys()

    @property
    def ranges(self) -> tuple[str, ...]:
        """Every range of the VPC: it is made with one."""
        return (self.cidr,)

    def pool(self, name: str) -> PoolKeys:
        """What is said of a pool; nothing where it isn't named."""
        return self.pools.get(name, PoolKeys())

    def member(self, name: str) -> MemberKeys:
        """What is said of a member: of all, with what is said of it alone on top."""
        return _of_one(self.members, name)

    def api_server(self, name: str) -> MemberKeys:
        """The same for an API machine."""
        return _of_one(self.api_servers, name)


def _of_one(keys: MembersKeys, name: str) -> MemberKeys:
    common = keys.model_dump(exclude={"each"}, exclude_defaults=True)
    own = keys.each.get(name, MemberKeys()).model_dump(exclude_defaults=True)
    return MemberKeys.model_validate({**common, **own})


Side = Annotated[ReferencedSide | ManagedSide, Field(discriminator="kind")]


class CustomMetric(Model):
    """A metric of CloudWatch's. ``{group}`` in a dimension's value is the name of the group that has the policy."""

    namespace: str
    name: str
    statistic: str
    unit: str | None = None
    dimensions: dict[str, str] = Field(default_factory=dict)


class ScalingPolicy(Model):
    """A target tracking policy of a group's: `target` for a `predefined` metric, or for one's own (`metric`).

    `warmup` is in seconds.
    """

    name: str
    target: float
    predefined: str | None = None
    metric: CustomMetric | None = None
    disable_scale_in: bool = False
    warmup: int | None = None
    enabled: bool = True


class ScheduledAction(Model):
    """Sizes that a group gets at a time. `recurrence` is cron's; `start` and `end` are RFC 3339, in UTC."""

    name: str
    recurrence: str | None = None
    time_zone: str | None = None
    start: str | None = None
    end: str | None = None
    min: int | None = None
    max: int | None = None
    desired: int | None = None


class Pool(Model):
    """A worker pool: one Auto Scaling group of the old side. What it launches is read from the group itself.

    `scaling` and `schedules` are what the group's copy is scaled by; `schedules` come when pods have moved.
    """

    dropped: ClassVar[frozenset[str]] = frozenset({"launchTemplate", "instanceType", "market"})

    name: str
    group: str
    zones: tuple[str, ...]
    scaling: tuple[ScalingPolicy, ...] = ()
    schedules: tuple[ScheduledAction, ...] = ()


class ApiServer(Model):
    """One API machine of the old side, where etcd is on others. `group` is its Auto Scaling group of size 1."""

    name: str
    group: str
    zone: str


class Member(Model):
    """One control-plane member of the old side. `group` is its Auto Scaling group of size 1.

    `address` is where it was when it was discovered: a hint, for when no machine of its group runs. `api_servers`:
    where etcd is on machines of its own (`separate-etcd`), the API machines that move with it, as one set.
    `volume_tags`: tags by which its machine's image finds its volume; ``{member}`` in a value is the member's name.
    """

    dropped: ClassVar[frozenset[str]] = frozenset({"launchTemplate", "volumeId"})

    name: str
    group: str
    zone: str
    address: Address | None = None
    volume_size: Annotated[int, Field(ge=1)] = 20
    volume_type: str = "gp3"
    api_servers: tuple[ApiServer, ...] = ()
    volume_tags: dict[str, str] = Field(default_factory=dict)


RecordType = Literal["CNAME", "alias"]
"""How a name leads to a balancer: by a CNAME, or by an alias record of type A."""


class Name(Model):
    """A name that clients use: `serves` says which balancer answers; `value` is what it led to before.

    ``ingress``, ``api``, or one of `migration:moreIngress` by its name. `zone`: the id of its hosted zone, where it
    isn't `traffic.zoneId`.
    Without a value, that is the old side's balancer, whatever it is called.
    `evaluate_target_health`: of an alias, whether Route 53 asks for its balancer's health.
    """

    name: str
    serves: str
    value: str | None = None
    zone: str | None = None
    type: RecordType = "CNAME"
    evaluate_target_health: bool = False

    @property
    def is_alias(self) -> bool:
        """Whether it is an alias record."""
        return self.type == "alias"

    @property
    def evaluated_in_pair(self) -> bool:
        """Whether a balancer's health counts while the name is a weighted pair.

        Not for the API: while members are swapped its new balancer has a target group without a healthy target, so
        that Route 53 would answer with the old one, whatever the weights.
        https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html (EvaluateTargetHealth)
        """
        return self.evaluate_target_health and self.serves != "api"


class DnsRecord(Name):
    """A name with its record's `ttl` (seconds) as it was before; an alias has none."""

    ttl: Annotated[int, Field(ge=1)] | None = None

    def kept(self, alias_ttl: int) -> int:
        """How long resolvers keep its answers (seconds); `alias_ttl`: those of an alias."""
        return alias_ttl if self.ttl is None else self.ttl


class AcceptedFlows(Model):
    """Flows on an old balancer that are known and may stay: `new` within the quiet window, `active` at any time.

    `why` names them, for whoever reads the gate's answer: ``node kubelets, which reconnect when their server stops``.
    """

    new: Annotated[int, Field(ge=0)] = 0
    active: Annotated[int, Field(ge=0)] = 0
    why: str = ""


class AcceptedByBalancer(Model):
    """What is accepted on the old ingress balancer and on the old API balancer."""

    ingress: AcceptedFlows = AcceptedFlows()
    api: AcceptedFlows = AcceptedFlows()


LoadBalancerServices = Literal["refuse", "planned", "carried"]
"""Services of type LoadBalancer: refused at stage 0; or each says its plan by stage 3 (`vpc-migration/plan`); or their
balancers are among the configured ones, and get copies in the new VPC."""
Afterwards = Literal["keep", "second-service"]
"""What serves in the end: this program's balancer, or one that the cloud controller makes for a second Service."""
ExternalDns = Literal["refuse", "paused", "set-identifiers"]
"""What external-dns does meanwhile with names that it claims: it is paused, or told the sides' set identifiers."""


class Traffic(Model):
    """The hosted zone and its names. TTLs in seconds; `new_traffic_percent` is the new side's share at stage 4.

    `public_zones`: ids of those zones that need no VPC to answer in. `service_balancers`: the balancers, as records
    serve them, that the cloud controller made for Services of type LoadBalancer; `afterwards`: what serves their
    clients in the end.
    """

    zone_id: str
    records: tuple[DnsRecord, ...]
    new_traffic_percent: Percent = 50
    ttl: Annotated[int, Field(ge=1, le=300)] = 5
    accepted_flows: AcceptedByBalancer = AcceptedByBalancer()
    load_balancer_services: LoadBalancerServices = "refuse"
    service_balancers: tuple[str, ...] = ()
    afterwards: Afterwards | None = None
    external_dns: ExternalDns = "refuse"
    public_zones: tuple[str, ...] = ()

    def zones(self) -> dict[str, tuple[DnsRecord, ...]]:
        """The names by their hosted zone, `zone_id` first. What is in one zone moves in one change batch."""
        found: dict[str, list[DnsRecord]] = {self.zone_id: []}
        for record in self.records:
            found.setdefault(record.zone or self.zone_id, []).append(record)
        return {zone: tuple(records) for zone, records in found.items()}

    def kept(self, alias_ttl: int) -> int:
        """How long resolvers keep answers while the pairs stand (seconds): `ttl`, or longer where a name is an alias.

        `alias_ttl`: how long those of an alias, which can't be lowered.
        """
        return max(self.ttl, alias_ttl) if any(record.is_alias for record in self.records) else self.ttl

    def private_zones(self) -> tuple[str, ...]:
        """Zones that answer only in VPCs that they are associated with."""
        return tuple(zone for zone in self.zones() if zone not in self.public_zones)


class Ingress(Model):
    """The ingress Service and how the balancers reach it. Ports as the Service and the old listener have them.

    `balancer`: all of its balancer, where that is more than one TCP listener.
    """

    namespace: str
    service: str
    node_port: Annotated[int, Field(ge=1024, le=65535)]
    listener_port: Annotated[int, Field(ge=1, le=65535)]
    external_traffic_policy: Literal["Local", "Cluster"] = "Local"
    balancer: BalancerForm | None = None


class Access(StrEnum):
    """A way to reach etcd: by its client port from the operator's networks, or on the members' machines."""

    DIRECT = "direct"
    SSM = "ssm"

    @property
    def by_port(self) -> bool:
        """Whether the operator's networks must be let in to the client port."""
        return self is Access.DIRECT

    @property
    def takes_changes(self) -> bool:
        """Whether members can be swapped by it; the others only look."""
        return self is Access.DIRECT


Strategy = Literal["learner", "volume"]
"""How etcd's data comes to a member's new machine: copied by a learner, or on the volume, which moves along."""

Drilling = Literal["auto", "always", "never"]


class Etcd(Model):
    """How this program reaches etcd. `certificates` is the SSM prefix that holds ca.crt, client.crt, client.key.

    `snapshots` is the folder, on the operator's machine, that a snapshot goes to before each swap. `strategy` says
    how a member's data comes along (docs/control-plane.md). `restore_drill`: whether the first snapshot is restored
    there: ``auto`` where it is below 2 GiB and the programs are there, ``always`` or not at all. `tools` is the folder
    that holds etcd and etcdutl; without it they are looked for on PATH.
    """

    access: Access = Access.DIRECT
    strategy: Strategy = "learner"
    certificates: str
    snapshots: str = ".migration/snapshots"
    restore_drill: Drilling = "auto"
    tools: str | None = None
    client_port: Annotated[int, Field(ge=1, le=65535)] = 2379
    peer_port: Annotated[int, Field(ge=1, le=65535)] = 2380


UnitName = Annotated[str, AfterValidator(_unit)]
MachinePath = Annotated[str, AfterValidator(_path)]
LayoutName = Literal["cloud-config", "separate-etcd", "kubeadm", "custom"]
PkiSource = Literal["ssm", "secrets-manager", "s3", "kubeadm", "image"]


class Units(Model):
    """The systemd units of a member's machine, without ``.service``; or its static pods, without ``.yaml``.

    `static_pods` is the kubelet's folder of them.
    """

    etcd: UnitName = "etcd"
    api_server: UnitName = "kube-apiserver"
    controller_manager: UnitName = "kube-controller-manager"
    scheduler: UnitName = "kube-scheduler"
    static_pods: MachinePath = "/etc/kubernetes/manifests"


class MemberFiles(Model):
    """Where things lie on a member's machine: what etcd is asked with there, and a folder for snapshots."""

    etcd_ca: MachinePath = "/etc/kubernetes/pki/etcd/ca.crt"
    etcd_certificate: MachinePath = "/etc/kubernetes/pki/apiserver-etcd-client.crt"
    etcd_key: MachinePath = "/etc/kubernetes/pki/apiserver-etcd-client.key"
    snapshots: MachinePath = "/var/lib/etcd/snapshots"


class Pki(Model):
    """Where a new member's machine finds the cluster's CAs and keys; they never pass through this program.

    `prefix` is what the names of parameters, secrets or objects begin with, `bucket` S3's. For kubeadm's own Secret,
    those parameters hold what opens it.
    """

    source: PkiSource = "ssm"
    prefix: str | None = None
    bucket: str | None = None


class ControlPlane(Model):
    """The form of the control plane: which adapter of `migration.layouts` knows it, and what things are called in it.

    `user_data_file` is the operator's own user data, a file of the project (`custom`).
    """

    layout: LayoutName = "cloud-config"
    user_data_file: str | None = None
    units: Units = Units()
    files: MemberFiles = MemberFiles()
    pki: Pki = Pki()


class Api(Model):
    """The Kubernetes API: its name, and the port that clients use. `server_port`: the servers' own, where it differs.

    Use `on_members` for that, never `server_port`. `balancer`: what its balancer has beyond one TCP listener.
    """

    name: str
    port: Annotated[int, Field(ge=1, le=65535)] = 6443
    server_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    balancer: ApiBalancerForm | None = None

    @property
    def on_members(self) -> int:
        """The port that an API server listens on, on its machine."""
        return self.port if self.server_port is None else self.server_port


def named_ranges(name: str, ranges: Sequence[str]) -> dict[str, str]:
    """Ranges by names that stay when others come or go: the first one's is `name`, the others' say which."""
    return {name if not position else f"{name}-{cidr}": cidr for position, cidr in enumerate(ranges)}


class Network(Model):
    """Somebody else's network that talks to this cluster (`connectedNetworks`).

    With a `vpc_id` and `route_tables` (same account) the network component peers it with the new VPC as it is
    peered with the old one; without, the operator connects it before stage 4. `secondary_cidrs` are its other ranges.
    """

    name: str
    cidr: Cidr
    secondary_cidrs: tuple[Cidr, ...] = ()
    vpc_id: str | None = None
    route_tables: tuple[str, ...] = ()

    @property
    def ranges(self) -> dict[str, str]:
        """Every range by a name of its own; the first one has the network's."""
        return named_ranges(self.name, (self.cidr, *self.secondary_cidrs))


class Retired(Model):
    """One object of the old side that stage 8 deletes."""

    type: Literal[
        "autoscaling-group",
        "launch-template",
        "load-balancer",
        "target-group",
        "security-group",
        "volume",
        "instance-profile",
        "subnet",
        "route-table",
    ]
    id: str


class Kept(Model):
    """One object found in the old VPC that this program leaves alone. `owner` is its Owner tag, if any."""

    type: str
    id: str
    owner: str | None = None


class Drain(Model):
    """How workloads are moved. Times in seconds. `unprotected_max_unavailable` applies per owner without budget.

    `rescan_seconds` is the pause before the second look for pods that slipped past the taint (5 s is the least that
    shows them); `stall_seconds` how long nothing may move before what is left is named and given up.

    What may be lost is said one by one, and nothing by default: `empty_dir`, `host_path` (a node's own files),
    `local_volumes` (volumes of one node), `bare_pods`. `jobs`: pods that run to completion end by themselves (`wait`,
    as long as the drain may take), are evicted, or block it. `finished_pods`: ended ones may be left on their node,
    or block the drain until somebody deletes them.

    The brake: `require_room` refuses to begin where the new side can't hold what the pods request. A moved pod that
    finds no node for `pending_seconds` stops evictions; `max_unplaced_pods` may be without one at the same time.
    """

    timeout_seconds: Annotated[int, Field(ge=1)] = 14400
    unprotected_max_unavailable: Share = "25%"
    empty_dir: bool = False
    bare_pods: bool = False
    host_path: bool = False
    local_volumes: bool = False
    jobs: Literal["wait", "evict", "refuse"] = "wait"
    finished_pods: Literal["leave", "refuse"] = "leave"
    require_room: bool = True
    pending_seconds: Annotated[int, Field(ge=1)] = 60
    max_unplaced_pods: Annotated[int, Field(ge=1)] = 25
    ingress_selector: dict[str, str] = Field(default_factory=dict)
    max_evictions_per_second: Annotated[int, Field(ge=1)] = 50
    rescan_seconds: Annotated[int, Field(ge=5)] = 5
    stall_seconds: Annotated[int, Field(ge=1)] = 900
    concurrency: Annotated[int, Field(ge=1, le=64)] = 16


class Limits(Model):
    """Bounds of waits, in seconds.

    `join_seconds`: how long a running instance is given to become a node. 4 to 7 min is what the reference saw (M.
    Tougeron, "Live migrating a Kubernetes cluster across VPCs without downtime"), and Auto Scaling calls a machine in
    service long before.
    `roll_surge` is no time: how many nodes of a side, or which share of them, are replaced at once after a migration.
    `certificate_days` is how long the members' certificates must last when a migration begins, and before the swaps.
    `alias_ttl_seconds`: how long resolvers keep the answer of an alias to a load balancer. AWS sets it and answers 60.
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html
    """

    gate_seconds: Annotated[int, Field(ge=1)] = 900
    swap_seconds: Annotated[int, Field(ge=1)] = 1800
    quiet_periods: Annotated[int, Field(ge=1)] = 3
    metric_period_seconds: Annotated[int, Field(ge=1)] = 60
    deregistration_seconds: Annotated[int, Field(ge=0, le=3600)] = 120
    health_interval_seconds: Annotated[int, Field(ge=5, le=300)] = 10
    join_seconds: Annotated[int, Field(ge=1)] = 600
    certificate_days: Annotated[int, Field(ge=1, le=300)] = 30
    roll_surge: Share = "25%"
    alias_ttl_seconds: Annotated[int, Field(ge=1, le=60)] = 60

    def quiet_window(self, ttl: int) -> int:
        """Seconds without a new flow that count as quiet, for names of a TTL of `ttl` seconds."""
        return max(2 * ttl, self.quiet_periods * self.metric_period_seconds) + self.metric_period_seconds


ImdsV2 = Literal["copied", "required"]


class Hardening(Model):
    """What copies of the old groups are to be stricter in than their originals, by choice.

    `imdsv2`: ``required`` refuses metadata requests without a session token (IMDSv1) on the new side; ``copied`` takes
    over what the original's launch template says.
    """

    imdsv2: ImdsV2 = "copied"


class CopiedRule(Model):
    """One rule of a copied security group. All ports where none are said; ``-1`` is every protocol.

    `group` is ``nodes``, ``controlPlane``, another copied group's name, or the id of any other group.
    """

    direction: Literal["ingress", "egress"]
    protocol: str = "-1"
    from_port: int | None = None
    to_port: int | None = None
    cidr: Cidr | None = None
    prefix_list: str | None = None
    group: str | None = None
    description: str | None = None


class CopiedGroup(Model):
    """A security group that machines are in besides the nodes' or the control plane's, made anew on each new side.

    `id` is the old one's. `pools` and `control_plane` say whose machines are in it. `tags` are the old one's: a cloud
    controller refuses a machine two of whose groups have the cluster's tag.
    """

    name: str
    id: str
    description: str = ""
    tags: dict[str, str] = Field(default_factory=dict)
    pools: tuple[str, ...] = ()
    control_plane: bool = False
    rules: tuple[CopiedRule, ...] = ()


class Copies(Model):
    """What copies of the old groups may lack. `without` names it as the refusal at stage 0 does, AWS's name first
    letter lower: ``networkInterfaces.associatePublicIpAddress``."""

    without: tuple[str, ...] = ()


class Configuration(Model):
    """The whole of `migration:`, before the stage is settled against the stack's name.

    `etcd_role` is the IAM role of members whose API servers are on other machines, which have `control_plane_role`.
    `ipv6`: whether machines of the old VPC that have IPv6 addresses are a reason to refuse; new ones have none.
    `references`: whether rules elsewhere that name the old side get their twins from this program or from their owners;
    None: nobody has decided, which is refused where there are any. `efs`: whether new nodes reach file systems whose
    mount targets are in the old VPC. `kept_flows`: whether what is kept there may be lost to the new side at the end.
    `try_from_machines`: whether the new VPC's ways are tried by commands on machines, by Systems Manager, or not.
    """

    dropped: ClassVar[frozenset[str]] = frozenset({"workerRole", "allowTrafficOnOldBalancers"})

    stage: int | None = None
    cluster: str
    from_: Annotated[str, Field(alias="from")]
    to: str
    sides: dict[str, Side]
    pod_cidr: Cidr
    service_cidr: Cidr
    connected_networks: tuple[Network, ...] = ()
    operator_networks: tuple[Cidr, ...] = ()
    pools: tuple[Pool, ...]
    members: tuple[Member, ...]
    control_plane_role: str
    etcd_role: str | None = None
    traffic: Traffic
    ingress: Ingress
    more_ingress: tuple[IngressForm, ...] = ()
    api: Api
    etcd: Etcd
    control_plane: ControlPlane = ControlPlane()
    kubeconfig: str | None = None
    control_plane_moved: Annotated[int, Field(ge=0)] | None = None
    retain_peering: bool = False
    drain: Drain = Drain()
    limits: Limits = Limits()
    hardening: Hardening = Hardening()
    copies: Copies = Copies()
    security_groups: tuple[CopiedGroup, ...] = ()
    ipv6: Literal["refuse", "leave"] = "refuse"
    references: Literal["apply", "list"] | None = None
    efs: Literal["refuse", "reachable"] = "refuse"
    kept_flows: Literal["refuse", "accept"] = "refuse"
    try_from_machines: Literal["ssm", "skip"] = "ssm"
    retire: tuple[Retired, ...] = ()
    keep: tuple[Kept, ...] = ()
    tags: dict[str, str] = Field(default_factory=dict)
