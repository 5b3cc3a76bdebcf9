"""The user data of a new control-plane member: the old member's, with its boot and its identity replaced.

Image, units and flags (encryption at rest by reference, admission, authorization) stay byte for byte, so the new
member runs what the old one ran. What differs is who it is, and that its etcd waits for a join ticket. Pure.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from migration.clients.documents import Document, listed
from migration.discover.cloud_config import flag, port_of
from migration.runtime.deadline import Permanent

UNITS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
IDENTITY = "/etc/kubernetes/member.json"
BOOT = "/usr/local/bin/member-boot"
# The tag of a volume that this program made: the only kind that a member's boot may format, and only while blank.
NEW_VOLUME = "migration:new-volume"
# EC2 takes 16 KiB of user data before base64; cloud-init unpacks gzip by itself.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
MAX_BYTES = 16 * 1024

# A service and not only a command of the first boot: a restarted machine mounts its volume and starts again, and
# a boot that failed half-way is tried again.
_BOOT_UNIT = f"""[Unit]
Description=Brings this control-plane member to life
Wants=network-online.target
After=network-online.target

[Service]
Type=simple
ExecStart={BOOT}
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


def clone_user_data(original: str, identity: MemberIdentity) -> str:
    """The base64 user data of the new member, from the old member's base64 user data.

    Raises `Permanent` with a sentence where the original isn't a cloud-config with the four units, or where those
    listen elsewhere than the configuration says.
    """
    before_text = _text(original)
    document = _cloud_config(before_text)
    files = listed(document, "write_files")
    paths = {str(entry.get("path")) for entry in files}
    missing = [unit for unit in UNITS if f"/etc/systemd/system/{unit}.service" not in paths]
    if missing:
        raise Permanent(
            f"the old control plane's user data has no systemd unit for {', '.join(missing)}, so a new member can't be "
            f"made from it; docs/adopting.md says what a template must hold"
        )
    _refuse_other_ports(before_text, identity)
    old_boot = _started(document)
    # What else the old member's file says, its own tooling may read.
    before = next((entry["content"] for entry in files if entry.get("path") == IDENTITY), "{}")
    written: dict[str, Any] = {
        "api_names": list(identity.api_names),
        **json.loads(before),
        "cluster": identity.cluster,
        "member": identity.member,
        "region": identity.region,
        "ticket_parameter": identity.ticket_parameter,
        "ports": {"api": identity.api_port, "clients": identity.client_port, "peers": identity.peer_port},
        "volume_tags": {"migration:cluster": identity.cluster, "migration:member": identity.member},
    }
    # What this program wrote for the machine before says nothing of this one's volume.
    written.pop("volume_moves", None)
    if identity.volume_moves:
        written["volume_moves"] = True
    script = Path(__file__).with_name("boot").joinpath("member.py").read_text()
    added = [
        {"path": IDENTITY, "permissions": "0644", "content": json.dumps(written, indent=1, sort_keys=True) + "\n"},
        {"path": BOOT, "permissions": "0755", "content": script},
        {"path": "/etc/systemd/system/member-boot.service", "permissions": "0644", "content": _BOOT_UNIT},
        {"path": "/etc/systemd/system/member-renew.service", "permissions": "0644", "content": _RENEW_UNIT},
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


def _text(original: str) -> str:
    raw = base64.b64decode(original)
    return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode(errors="replace")


def _refuse_other_ports(text: str, identity: MemberIdentity) -> None:
    """The units stay as they are, so what they listen on is what the boot, the swap and the rules must go by."""
    wanted = identity.api_port
    ports = {
        "api.port": (wanted, int(flag(text, "secure-port") or wanted)),
        "etcd.clientPort": (identity.client_port, port_of(text, "listen-client-urls", identity.client_port)),
        "etcd.peerPort": (identity.peer_port, port_of(text, "listen-peer-urls", identity.peer_port)),
    }
    wrong = [
        f"migration:{key} is {port}, the unit says {there}" for key, (port, there) in ports.items() if port != there
    ]
    if wrong:
        raise Permanent(
            f"the old control plane's units listen elsewhere: {'; '.join(wrong)}; correct the configuration"
        )


def _cloud_config(text: str) -> Document:
    document: object = yaml.safe_load(text) if text.startswith("#cloud-config") else None
    if not isinstance(document, dict):
        raise Permanent(
            "the old control plane's user data isn't a #cloud-config, so its units and flags can't be taken over; "
            "docs/adopting.md says what a template must hold"
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
