"""Names: of AWS's objects, of resources in Pulumi's state, of tags."""

from __future__ import annotations

import re
from collections.abc import Iterator

from migration.names import LIMITS, balancer_name, plain
from migration.settings.errors import Problem
from migration.settings.forms import ingress_forms
from migration.settings.model import Configuration
from migration.settings.rules.common import api_servers, machines, made_sides, new_groups, side_made_next

# Part of tag keys, IAM policies' and SSM parameters' names, of which the last are the strictest.
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
_CLUSTER = re.compile(r"(?!(?i:aws|ssm))[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html
_TEMPLATE = re.compile(r"[a-zA-Z0-9().\-/_]{3,}")
# What this program finds its objects by, or AWS keeps for itself.
_OWN_TAGS = re.compile(
    r"Name|KubernetesCluster|pool|kubernetes\.io/(cluster/.*|role/internal-elb)|migration:.*|(?i:aws:).*"
)


def cluster_is_legal(c: Configuration) -> Iterator[Problem]:
    """The cluster's name can be a part of all the names it becomes a part of."""
    if not _CLUSTER.fullmatch(c.cluster):
        remedy = (
            "becomes part of SSM parameters' names: up to 100 letters, digits, dots, hyphens and underscores, not "
            "beginning with aws or ssm"
        )
        yield Problem("migration:cluster", c.cluster, remedy)


def fit(c: Configuration) -> Iterator[Problem]:
    """No name becomes longer than AWS takes, or has characters that it doesn't take."""
    for side_name, side in made_sides(c):
        groups = new_groups(c, side)
        forms = ingress_forms(c)
        wanted = [("load-balancer", balancer_name(c.cluster, role, side.suffix)) for role in (*forms, "api")]
        wanted += [
            ("target-group", balancer_name(c.cluster, f"{role}-{key}", side.suffix))
            for role, form in forms.items()
            for key in form.groups
            if len(form.groups) > 1
        ]
        # The longest role of all: the group of members' instances that serves the API in the end.
        wanted += [("target-group", balancer_name(c.cluster, "apimembers", side.suffix))]
        # A group's template has the group's name.
        wanted += [(kind, name) for kind in ("autoscaling-group", "launch-template") for name in groups]
        long = [(len(name) - LIMITS[kind], kind, name) for kind, name in wanted if len(name) > LIMITS[kind]]
        if long:
            # A suffix short enough for this one is for all.
            _, kind, name = max(long)
            remedy = f"makes the {kind} name {name!r} {len(name)} characters long; AWS takes {LIMITS[kind]}: shorten it"
            yield Problem(f"migration:sides.{side_name}.suffix", side.suffix, remedy)
        for name, key in groups.items():
            if not _TEMPLATE.fullmatch(name):
                remedy = (
                    "names a launch template; AWS takes at least three letters, digits and ().-/_ for one: give the "
                    "old group a successor with such a name first"
                )
                yield Problem(key, name, remedy)


def are_nobodys_yet(c: Configuration) -> Iterator[Problem]:
    """No group to be made has the name of one that is there."""
    side, standing = side_made_next(c), {one.group: key for key, one in machines(c)}
    if side is None or not side.suffix:
        return
    # What a pool's own key calls its group is another rule's matter: after the migration it may be the old name.
    said = {keys.group for keys in side.pools.values()}
    for name, key in new_groups(c, side).items():
        if name in standing and name not in said:
            remedy = f"makes {key} {name!r}, which is the group of {standing[name]}; choose another suffix"
            yield Problem(f"migration:sides.{c.to}.suffix", side.suffix, remedy)


def _logical(c: Configuration) -> Iterator[tuple[tuple[str, str], str, str]]:
    """Type and name of the resources whose names several keys could make equal, each with a key and what it holds.

    As the components name them; a test declares each of these clashes. What isn't configured comes first.
    """
    rule = "SecurityGroupIngressRule"
    yield (rule, f"{c.to}-api-from-nodes"), "the rule for nodes", "nodes"
    for key, side in (("from", c.from_), ("to", c.to)):
        yield (rule, f"{c.to}-api-from-{side}"), f"migration:{key}", side
    for network in c.connected_networks:
        if network.name not in c.sides:
            key = f"migration:connectedNetworks[{network.name}].name"
            yield (rule, f"{c.to}-api-from-{network.name}"), key, network.name
    for member in c.members:
        yield ("Group", f"{c.to}-member-{member.name}"), f"migration:members[{member.name}].name", member.name
    for key, server in api_servers(c):
        yield ("Group", f"{c.to}-server-{server.name}"), f"{key}.name", server.name
    for pool in c.pools:
        yield ("Group", f"{c.to}-{pool.name}"), f"migration:pools[{pool.name}].name", pool.name
        for one in pool.scaling:
            key = f"migration:pools[{pool.name}].scaling[{one.name}].name"
            yield ("Policy", f"{c.to}-{pool.name}-policy-{one.name}"), key, one.name
        for one in pool.schedules:
            key = f"migration:pools[{pool.name}].schedules[{one.name}].name"
            yield ("Schedule", f"{c.to}-{pool.name}-schedule-{one.name}"), key, one.name
    for record in c.traffic.records:
        zone = "" if record.zone in (None, c.traffic.zone_id) else f"{record.zone}-"
        for side in (c.from_, c.to):
            key = f"migration:traffic.records[{zone}{plain(record.name)}].name"
            yield ("Record", f"{side}-{zone}{plain(record.name)}"), key, record.name


def are_told_apart_in_the_state(c: Configuration) -> Iterator[Problem]:
    """No two resources of one type have one name: Pulumi would refuse them halfway through an `up`."""
    owners: dict[tuple[str, str], str] = {}
    for (kind, name), key, value in _logical(c):
        first = owners.setdefault((kind, name), key)
        if first != key:
            yield Problem(key, value, f"makes the {kind} {name}, as {first} does; choose another name")


def tags_are_free(c: Configuration) -> Iterator[Problem]:
    """No tag of the operator's is one that this program, the cluster or AWS goes by."""
    for key in c.tags:
        if _OWN_TAGS.fullmatch(key):
            remedy = "is a tag that this program sets or finds its objects by; choose another key"
            yield Problem("migration:tags", key, remedy)
