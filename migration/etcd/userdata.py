"""The user data of a new control-plane member: the old member's, with its boot and its identity replaced.

Image, units and flags (encryption at rest by reference, admission, authorization) stay byte for byte, so the new
member runs what the old one ran. What differs is who it is, and that its etcd waits for a join ticket. What units,
files and folders are called comes from the units (`migration.layouts.found`); the boot is told what differs. Pure.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import yaml

from migration.clients.documents import Document, listed
from migration.discover import cloud_config
from migration.layouts import found, pki
from migration.layouts.contract import MAX_BYTES, MemberIdentity
from migration.layouts.found import IDENTITY, Found
from migration.layouts.texts import plain_text
from migration.layouts.units import ROLES
from migration.runtime.deadline import Permanent
from migration.settings.model import Pki, Units

UNITS = ROLES
BOOT = "/usr/local/bin/member-boot"
# The tag of a volume that this program made: the only kind that a member's boot may format, and only while blank.
NEW_VOLUME = "migration:new-volume"

BOOT_UNIT = "/etc/systemd/system/member-boot.service"
START_BOOT = [["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", "member-boot"]]


def boot_unit(program: str, what: str = "member") -> str:
    """The unit that runs a boot, in every layout.

    A service and not only a command of the first boot: a restarted machine mounts its volume and starts again, and a
    boot that failed half-way is tried again.
    """
    return f"""[Unit]
Description=Brings this control-plane {what} to life
Wants=network-online.target
After=network-online.target

[Service]
Type=simple
ExecStart={program}
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


_RENEW_UNIT = f"""[Unit]
Description=Renews this member's certificates when less than a third of their life is left

[Service]
Type=oneshot
ExecStart={BOOT} renew
"""
_RENEW_TIMER = """[Unit]
Description=Looks daily whether this member's certificates are to be renewed

[Timer]
OnCalendar=daily
RandomizedDelaySec=6h
Persistent=true

[Install]
WantedBy=timers.target
"""


def boot_script() -> str:
    """The program that brings a new member to life, as it lies on its machine."""
    return Path(__file__).with_name("boot").joinpath("member.py").read_text()


def identity_of(identity: MemberIdentity, held: Pki) -> dict[str, Any]:
    """What the boot is told of the member, but for what is called otherwise than usual."""
    source = pki.told_to_the_boot(held, identity.cluster)
    return {
        "cluster": identity.cluster,
        "member": identity.member,
        "region": identity.region,
        "ticket_parameter": identity.ticket_parameter,
        "ports": {"api": identity.api_port, "clients": identity.client_port, "peers": identity.peer_port},
        "volume_tags": {"migration:cluster": identity.cluster, "migration:member": identity.member},
        **({"pki": source} if source else {}),
        **({"volume_moves": True} if identity.volume_moves else {}),
    }


# Told only where it isn't as usual: what an earlier clone was told must not outlive its reason.
TOLD = ("paths", "units", "files", "variables", "pki", "volume_moves")


def clone_user_data(
    original: str, identity: MemberIdentity, *, units: Units | None = None, held: Pki | None = None
) -> str:
    """The base64 user data of the new member, from the old member's base64 user data.

    `units` are as configured, where somebody says; `held` is where the cluster's keys are. Raises `Permanent` with a
    sentence where the original isn't a cloud-config with the four units, or where those listen elsewhere, or are called
    otherwise, than the configuration says.
    """
    text = plain_text(original)
    document = _cloud_config(text)
    seen = found.read(text)
    if seen.missing and not seen.against:
        raise Permanent(
            f"the old control plane's user data has no systemd unit for {', '.join(seen.missing)}, so a new member "
            f"can't be made from it; docs/control-plane.md says what a template must hold"
        )
    if seen.against:
        raise Permanent(f"no new member can be made from the old control plane's user data: {'; '.join(seen.against)}")
    _refuse_other_ports(seen, identity)
    refuse_other_units(seen, units)
    files = listed(document, "write_files")
    old_boot = _started(document)
    # What else the old member's file says, its own tooling may read.
    before = next((cloud_config.content(entry) for entry in files if entry.get("path") == seen.identity), "{}")
    kept_facts = {key: value for key, value in json.loads(before).items() if key not in TOLD}
    written: dict[str, Any] = {
        "api_names": list(identity.api_names),
        **kept_facts,
        **identity_of(identity, held or Pki()),
        **seen.boots_otherwise(),
    }
    boot, renew = boot_unit(BOOT), _RENEW_UNIT
    if seen.identity != IDENTITY:
        told = f"[Service]\nEnvironment=MEMBER_IDENTITY={seen.identity}\n"
        boot, renew = (unit.replace("[Service]\n", told) for unit in (boot, renew))
    facts = json.dumps(written, indent=1, sort_keys=True) + "\n"
    added = [
        {"path": seen.identity, "permissions": "0644", "content": facts},
        {"path": BOOT, "permissions": "0755", "content": boot_script()},
        {"path": BOOT_UNIT, "permissions": "0644", "content": boot},
        {"path": "/etc/systemd/system/member-renew.service", "permissions": "0644", "content": renew},
        {"path": "/etc/systemd/system/member-renew.timer", "permissions": "0644", "content": _RENEW_TIMER},
    ]
    # What was made by this program before, on a side that it made, comes anew.
    replaced = {*old_boot, *(entry["path"] for entry in added)}
    kept = [entry for entry in files if entry.get("path") not in replaced]
    commands = [
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "--now", "member-boot"],
        ["systemctl", "enable", "--now", "member-renew.timer"],
    ]
    document = {**document, "write_files": [*kept, *added], "runcmd": commands}
    text = "#cloud-config\n" + yaml.safe_dump(document, sort_keys=False, width=200)
    # mtime 0: the same input gives the same bytes, or every preview would show a change.
    packed = gzip.compress(text.encode(), mtime=0)
    if len(packed) > MAX_BYTES:
        raise Permanent(f"a new member's user data would be {len(packed)} bytes packed; EC2 takes {MAX_BYTES}")
    return base64.b64encode(packed).decode()


def _refuse_other_ports(seen: Found, identity: MemberIdentity) -> None:
    """The units stay as they are, so what they listen on is what the boot, the swap and the rules must go by."""
    wrong = [
        f"migration:{key} is {port}, the unit says {there}"
        for key, (port, there) in ports_of(seen, identity).items()
        if there is not None and port != there
    ]
    if wrong:
        raise Permanent(
            f"the old control plane's units listen elsewhere: {'; '.join(wrong)}; correct the configuration"
        )


def ports_of(seen: Found, identity: MemberIdentity) -> dict[str, tuple[int, int | None]]:
    """By key of the configuration: the port it says, and the one that the unit does, if it does."""
    return {
        "api.serverPort": (identity.api_port, seen.port("kube-apiserver", "secure-port")),
        "etcd.clientPort": (identity.client_port, seen.port("etcd", "listen-client-urls")),
        "etcd.peerPort": (identity.peer_port, seen.port("etcd", "listen-peer-urls")),
    }


def refuse_other_units(seen: Found, units: Units | None) -> None:
    """The swap stops units by the configuration's names: those must be the ones that run."""
    wrong = other_units(seen, units)
    if wrong:
        raise Permanent(f"the old control plane's units are called otherwise: {'; '.join(wrong)}; correct the names")


def other_units(seen: Found, units: Units | None) -> list[str]:
    """Units that the configuration calls otherwise than the user data, as sentences."""
    said = found.unit_names(units) if units is not None else {}
    return [
        f"migration:controlPlane.units.{key} is {said[key]!r}, the user data has {seen.unit(role)!r}"
        for role, key in found.KEYS.items()
        if key in said and role in seen.units and said[key] != seen.unit(role)
    ]


def _cloud_config(text: str) -> Document:
    document: object = yaml.safe_load(text) if text.startswith("#cloud-config") else None
    if not isinstance(document, dict):
        raise Permanent(
            "the old control plane's user data isn't a #cloud-config, so its units and flags can't be taken over; "
            "docs/control-plane.md says what a template must hold"
        )
    return cast("Document", document)


def _started(document: Document) -> set[str]:
    """The files that the original's `runcmd` starts: its own boot, which the new one replaces."""
    written = {str(entry.get("path")) for entry in listed(document, "write_files")}
    words: set[str] = set()
    commands: Iterable[str | Iterable[object]] = document.get("runcmd") or ()
    for command in commands:
        words.update(command.split() if isinstance(command, str) else (str(word) for word in command))
    return words & written
