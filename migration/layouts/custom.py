"""The layout `custom`: the operator's own user data, a file with placeholders. Pure."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable, Mapping

from migration.etcd.userdata import boot_script, identity_of
from migration.layouts import found, pki, scripts
from migration.layouts.contract import MAX_BYTES, Commands, Evidence, MemberIdentity, NewMachine, Recognition
from migration.layouts.systemd import systemd_commands
from migration.runtime.deadline import Permanent
from migration.settings.model import LayoutName, Pki, Units

Value = Callable[[MemberIdentity, Pki], str]

# Plain replacing, and no language: user data is shell, where ``${#list}`` and ``{%`` have meanings of their own.
PLACEHOLDERS: Mapping[str, Value] = {
    "cluster": lambda one, _: one.cluster,
    "region": lambda one, _: one.region,
    "member": lambda one, _: one.member,
    "ticket_parameter": lambda one, _: one.ticket_parameter,
    "api_port": lambda one, _: str(one.api_port),
    "client_port": lambda one, _: str(one.client_port),
    "peer_port": lambda one, _: str(one.peer_port),
    "api_names": lambda one, _: ",".join(one.api_names),
    "certificates": lambda one, held: pki.location(held, one.cluster),
    "identity": lambda one, held: identity_json(one, held),
    "boot": lambda one, held: _packed(boot_script()),
    "open": lambda one, held: "{{",
}
"""By name, what stands in its place; docs/control-plane.md has a line for each."""

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][^{}]*?)\s*\}\}")
# Group tags that people give members of a control plane: those of kops, and of Cluster API.
_ROLES = ("k8s.io/role/master", "k8s.io/role/control-plane", "sigs.k8s.io/cluster-api-provider-aws/role")


class Custom:
    """A new member's user data is rendered from `controlPlane.userDataFile`."""

    @property
    def name(self) -> LayoutName:
        """``custom``."""
        return "custom"

    def recognise(self, evidence: Evidence) -> Recognition:
        """By tags alone, since nothing is known of the user data: never a better answer than another layout's.

        Where the user data writes units as text, be it a script, their names and files are taken from there.
        """
        members = [(one, tag) for one in evidence.groups if (tag := _role_tag(one.tags)) is not None]
        if not members:
            return Recognition(layout=self.name)
        seen = [found.read(one.user_data, scripts.files(one.user_data)) for one, _ in members]
        known = seen[0] if not seen[0].missing and all(one.keys() == seen[0].keys() for one in seen) else None
        return Recognition(
            layout=self.name,
            members=tuple(one.name for one, _ in members),
            because=(
                *(f"{one.name} has the tag {tag}" for one, tag in members),
                *((f"{members[0][0].name}'s user data writes {_units(known)}",) if known else ()),
            ),
            unseen=()
            if known
            else (
                "how its members start etcd and their servers: say it in migration:controlPlane.units",
                "where they keep their certificates: say it in migration:controlPlane.files",
            ),
            keys=known.keys() if known else {},
        )

    def user_data(self, machine: NewMachine) -> str:
        """The file with its placeholders filled in, not packed: only cloud-init unpacks by itself."""
        if machine.template is None:
            raise Permanent("migration:controlPlane.layout is 'custom' and names no userDataFile; set it")
        refusals = faults(machine.template)
        if refusals:
            raise Permanent("; ".join(refusals))
        text = render(machine.template, machine.identity, machine.pki)
        size = len(text.encode())
        if size > MAX_BYTES:
            raise Permanent(
                f"{machine.identity.member}'s user data would be {size} bytes; EC2 takes {MAX_BYTES}: let it fetch "
                f"what is large"
            )
        return base64.b64encode(text.encode()).decode()

    def commands(self, units: Units) -> Commands:
        """systemd's, for the units that the configuration names."""
        return systemd_commands(units)


def faults(template: str) -> list[str]:
    """What is wrong with a file, as sentences: unknown placeholders, and what a new member can't do without."""
    named = [one[1] for one in _PLACEHOLDER.finditer(template)]
    unknown = sorted({name for name in named if name not in PLACEHOLDERS})
    told = [
        f"migration:controlPlane.userDataFile has the placeholder {{{{ {name} }}}}, which isn't known; known are "
        f"{', '.join(PLACEHOLDERS)}; correct it, or write {{{{ open }}}} for two braces that are meant"
        for name in unknown
    ]
    if not {"ticket_parameter", "identity"} & set(named):
        told.append(
            "migration:controlPlane.userDataFile never says {{ ticket_parameter }} (nor {{ identity }}, which holds "
            "it): a machine made from it would wait for no ticket; read the ticket from that SSM parameter"
        )
    if not {"member", "identity"} & set(named):
        told.append(
            "migration:controlPlane.userDataFile never says {{ member }} (nor {{ identity }}, which holds it): all "
            "members would have one name"
        )
    return told


def render(template: str, identity: MemberIdentity, held: Pki) -> str:
    """The file with every placeholder filled in; raises `KeyError` for one that `faults` names."""
    return _PLACEHOLDER.sub(lambda one: PLACEHOLDERS[one[1]](identity, held), template)


def identity_json(identity: MemberIdentity, held: Pki) -> str:
    """What this program's boot reads from its identity file, on one line."""
    return json.dumps({"api_names": list(identity.api_names), **identity_of(identity, held)}, sort_keys=True)


def _packed(text: str) -> str:
    # No time inside: the same bytes every time.
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _units(seen: found.Found) -> str:
    return ", ".join(f"{unit.name}.service" for unit in seen.units.values())


def _role_tag(tags: Mapping[str, str]) -> str | None:
    for key in _ROLES:
        if key in tags and tags[key] not in ("node", "0", "false"):
            return f"{key}={tags[key]}"
    return None
