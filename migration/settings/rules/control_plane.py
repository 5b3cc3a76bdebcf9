"""The control plane's form: each layout has the keys that it needs, and none of another's."""

from __future__ import annotations

from collections.abc import Iterator

from migration.settings.errors import Problem
from migration.settings.model import Configuration, ManagedSide, MembersKeys, Pki, Units
from migration.settings.rules.common import api_servers

_KEY = "migration:controlPlane"


def has_its_keys(c: Configuration) -> Iterator[Problem]:
    """`userDataFile` where the operator's own user data is used, and only there; no unit is two roles'."""
    form = c.control_plane
    own = form.layout == "custom"
    if own and not form.user_data_file:
        remedy = "is missing: the layout custom is made from it; name a file of the project (docs/control-plane.md)"
        yield Problem(f"{_KEY}.userDataFile", form.user_data_file, remedy)
    if not own and form.user_data_file is not None:
        remedy = f"is for the layout custom, and {_KEY}.layout is {form.layout!r}; set that to custom, or remove this"
        yield Problem(f"{_KEY}.userDataFile", form.user_data_file, remedy)
    units = [(role, unit) for role, unit in form.units.model_dump(by_alias=True).items() if role != "staticPods"]
    if form.layout != "kubeadm" and form.units.static_pods != Units().static_pods:
        remedy = f"is for the layout kubeadm, and {_KEY}.layout is {form.layout!r}; set that to kubeadm, or remove this"
        yield Problem(f"{_KEY}.units.staticPods", form.units.static_pods, remedy)
    for role, unit in units:
        others = [other for other, name in units if name == unit and other != role]
        if others and role < others[0]:
            remedy = (
                f"is also migration:controlPlane.units.{others[0]}: they are stopped apart; name each one's own unit"
            )
            yield Problem(f"{_KEY}.units.{role}", unit, remedy)


def pki_can_be_found(c: Configuration) -> Iterator[Problem]:
    """The source of certificates has what it needs: a bucket for S3; kubeadm's Secret only with kubeadm."""
    pki, key = c.control_plane.pki, f"{_KEY}.pki"
    if pki.source == "s3" and not pki.bucket:
        yield Problem(f"{key}.bucket", pki.bucket, "is missing: source s3 needs the name of a bucket; set it")
    if pki.source != "s3" and pki.bucket is not None:
        remedy = f"is for source s3, and {key}.source is {pki.source!r}; set that to s3, or remove this"
        yield Problem(f"{key}.bucket", pki.bucket, remedy)
    if pki.source == "image" and pki.prefix is not None:
        remedy = f"says nothing where {key}.source is {pki.source!r}; remove it"
        yield Problem(f"{key}.prefix", pki.prefix, remedy)
    if pki.source == "kubeadm" and c.control_plane.layout != "kubeadm":
        remedy = (
            f"is kubeadm's own upload, and {_KEY}.layout is {c.control_plane.layout!r}; "
            f"use ssm, secrets-manager, s3 or image"
        )
        yield Problem(f"{key}.source", pki.source, remedy)
    if pki.prefix is not None and (not pki.prefix.strip("/") or any(sign.isspace() for sign in pki.prefix)):
        yield Problem(f"{key}.prefix", pki.prefix, "names nothing; give what the names begin with, like /pet/pki")


def sets_fit_the_layout(c: Configuration) -> Iterator[Problem]:
    """API machines of their own where the layout has them, and only there; what belongs to them, too."""
    layout, servers = c.control_plane.layout, list(api_servers(c))
    if layout != "separate-etcd":
        only = f"is for the layout separate-etcd, and {_KEY}.layout is {layout!r}; set that to separate-etcd, or remove"
        for key, value in _of_sets(c):
            yield Problem(key, value, f"{only} this")
        return
    if not servers:
        remedy = (
            "none has apiServers: in the layout separate-etcd each API machine moves with a member's; list them there "
            "(python -m migration discover does)"
        )
        yield Problem("migration:members", [member.name for member in c.members], remedy)
    if len(servers) == 1 and not c.members[0].api_servers:
        remedy = (
            f"has the only API machine, and {c.members[0].name} would leave etcd before it: its server would have to "
            f"stop to be told; list the member that has it first"
        )
        yield Problem(servers[0][0], servers[0][1].name, remedy)
    if c.etcd.strategy == "volume":
        for member in c.members:
            if member.api_servers and len(member.api_servers) == len(servers):
                remedy = (
                    "has all API machines, which stop while its volume moves: nobody would serve the API; set "
                    "migration:etcd.strategy to learner"
                )
                yield Problem(f"migration:members[{member.name}].apiServers", [one.name for _, one in servers], remedy)
    if c.control_plane.pki != Pki():
        remedy = "says nothing in the layout separate-etcd: its images fetch certificates in their own way; remove it"
        yield Problem(f"{_KEY}.pki.source", c.control_plane.pki.source, remedy)
    if c.etcd_role is None:
        remedy = (
            "is missing: a new member reads its join ticket with the IAM role of etcd's machines; set it (to "
            "controlPlaneRole, if that is theirs, too)"
        )
        yield Problem("migration:etcdRole", None, remedy)


def _of_sets(c: Configuration) -> Iterator[tuple[str, object]]:
    """Keys that only a control plane has whose API servers are on other machines than etcd."""
    for member in c.members:
        key = f"migration:members[{member.name}]"
        if member.api_servers:
            yield f"{key}.apiServers", [one.name for one in member.api_servers]
        if member.volume_tags:
            yield f"{key}.volumeTags", sorted(member.volume_tags)
    if c.etcd_role is not None:
        yield "migration:etcdRole", c.etcd_role
    for name, side in sorted(c.sides.items()):
        if isinstance(side, ManagedSide):
            if side.api_servers != MembersKeys():
                yield f"migration:sides.{name}.apiServers", None
        elif side.security_groups.etcd is not None:
            yield f"migration:sides.{name}.securityGroups.etcd", side.security_groups.etcd
