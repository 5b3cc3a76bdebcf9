"""What an adapter of a control plane's form answers. Small on purpose: everything else is the same for all forms.

An adapter is one object of `migration.layouts.registry.LAYOUTS`. It is pure: it reads what it is given and makes texts;
who asks AWS, runs commands and waits are the swap, the roll, the gates and discovery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from migration.settings.model import LayoutName, Pki, Units

# EC2 takes 16 KiB of user data before base64.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
MAX_BYTES = 16 * 1024


@dataclass(frozen=True, kw_only=True)
class MemberIdentity:
    """Who a new member is. `ticket_parameter` is the SSM parameter its join ticket appears in.

    `client_port` and `peer_port` are etcd's.
    """

    cluster: str
    member: str
    region: str
    ticket_parameter: str
    api_port: int
    client_port: int
    peer_port: int
    api_names: tuple[str, ...] = ()
    """What the API server's certificate is for, where the old member's own file doesn't say."""
    volume_moves: bool = False
    """Its volume comes along from the machine before, with a member's data: it is never formatted, and etcd starts with
    that data only by a ticket that says so."""


@dataclass(frozen=True, kw_only=True)
class NewMachine:
    """What a new member's machine is made from.

    `original` is the old member's user data, base64 as EC2 has it; None where its launch template has none. `template`
    is the text of `controlPlane.userDataFile`, where one is named. `units` are as configured.
    """

    original: str | None
    identity: MemberIdentity
    units: Units = field(default_factory=Units)
    pki: Pki = field(default_factory=Pki)
    template: str | None = None


@dataclass(frozen=True, kw_only=True)
class Commands:
    """What is run on a member's machine through SSM, as lines of shell; each does no harm when it runs twice.

    *Start* starts the API server and what belongs to it, or etcd, once; *enable* starts it at every boot, too. *Stop*
    ends it and keeps it from starting at a boot; *pause* ends etcd until it is started, or the machine boots. What ends
    with 0 has stopped. `logs` is what a person types there to see why a member doesn't come up.

    Where API servers are on other machines than etcd, `told_servers` prints, on one of those, the URLs its API server
    is told, with commas between, and `tell_servers` with other URLs restarts it with these.
    """

    start_servers: str
    enable_servers: str
    stop_servers: str
    start_etcd: str
    pause_etcd: str
    stop_etcd: str
    logs: str
    told_servers: str = ""
    tell_servers: Callable[[str], str] | None = None


@dataclass(frozen=True, kw_only=True)
class GroupSeen:
    """One Auto Scaling group of the cluster.

    `user_data` is plain text (unpacked); empty where there is none, or it is no text. `running`: lines of what runs on
    its machine, as `migration.layouts.running` asks; None where nobody asked.
    """

    name: str
    tags: Mapping[str, str]
    user_data: str
    running: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of a cluster's groups, members and workers alike."""

    groups: tuple[GroupSeen, ...]


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """Whether a cluster's control plane has this form. Sentences are for people.

    `members` are the groups that are its members by this form's signs; none: it isn't this one. `servers` are those of
    API machines, where they aren't the members'. `because`: how it knows. `unseen`: what it couldn't see, and took for
    granted. `against`: what isn't as this form has it, each with its remedy; with one of these no member can be made.
    `keys`: keys of `migration:controlPlane` that this cluster needs besides the layout, as the configuration writes
    them. `named`: whether it has seen what units and files are
    called, so that `keys` leave out only what is usual.
    """

    layout: LayoutName
    members: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    because: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    keys: Mapping[str, Any] = field(default_factory=dict[str, Any])
    client_port: int | None = None
    """etcd's, as this form says it; None where it doesn't. The same for the peers' and for the ranges of addresses."""
    peer_port: int | None = None
    pod_cidr: str | None = None
    service_cidr: str | None = None
    named: bool = True


class Layout(Protocol):
    """One form of a control plane."""

    @property
    def name(self) -> LayoutName:
        """What `migration:controlPlane.layout` calls it."""
        ...

    def recognise(self, evidence: Evidence) -> Recognition:
        """Whether this is the cluster's form, how one knows, and what couldn't be seen. Raises nothing."""
        ...

    def user_data(self, machine: NewMachine) -> str:
        """The new member's user data, base64, of at most `MAX_BYTES` before that.

        The same order gives the same bytes: a difference is a new launch template, and after the migration a new
        machine. A machine made from it attaches the volume that is its own (tags ``migration:cluster`` and
        ``migration:member``), gets its certificates where `pki` says, waits for its join ticket and starts etcd with
        exactly that, and its API server once it votes. No key is in it. Raises `Permanent` with a sentence for what
        can't be made.
        """
        ...

    def commands(self, units: Units) -> Commands:
        """How its etcd and its servers are started and stopped."""
        ...
