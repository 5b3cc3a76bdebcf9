"""The layout `separate-etcd`: etcd on machines of its own, API servers on others, all programs in their images. Pure.

A machine's user data is a rendered script. The new one's is the same with other values: the member's name at once, its
initial cluster and the API server's `--etcd-servers` from the ticket, by `migration/etcd/boot/separate.py`.
"""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import yaml

from migration.discover import cloud_config
from migration.etcd import userdata
from migration.layouts import rendered
from migration.layouts.contract import MAX_BYTES, Commands, Evidence, GroupSeen, MemberIdentity, NewMachine, Recognition
from migration.layouts.found import IDENTITY
from migration.layouts.rendered import Rendered
from migration.layouts.systemd import systemd_commands
from migration.layouts.texts import plain_text
from migration.runtime.deadline import Permanent
from migration.settings.model import LayoutName, Pki, Units

PROGRAMS = "/usr/local/lib/member-boot"
"""The folder of the boot on a machine: two programs, one beside the other, and the machine's own user data."""
BROUGHT = f"{PROGRAMS}/user-data"
STATE = "/var/lib/member-boot"
# As in the boot.
INITIAL_MARK, SERVERS_MARK = "@member-boot:initial-cluster@", "@member-boot:etcd-servers@"
_MOUNT = "/run/member-boot/volume"
# Files that set what an API server is told: which of them its unit reads, the image knows.
_SETS = "^[[:space:]]*(export[[:space:]]+)?[A-Za-z_]*ETCD_SERVERS="


class SeparateEtcd:
    """A set of machines moves together: a member's, and those of the API servers that are listed with it."""

    @property
    def name(self) -> LayoutName:
        """``separate-etcd``."""
        return "separate-etcd"

    def recognise(self, evidence: Evidence) -> Recognition:
        """By values in user data: groups with a member's name and cluster, and groups with etcd's URLs alone."""
        seen = [(group, script(group.user_data)) for group in evidence.groups if group.user_data]
        members = [(group, one) for group, one in seen if one is not None and one.starts_etcd]
        servers = [(group, one) for group, one in seen if one is not None and one.starts_servers]
        if not members or not servers:
            # One kind alone is half of this form: said, since nothing else explains what the other half is.
            return Recognition(layout=self.name, unseen=_half(members, servers))
        every = [*members, *servers]
        return Recognition(
            layout=self.name,
            members=tuple(group.name for group, _ in members),
            servers=tuple(group.name for group, _ in servers),
            because=(
                *(
                    f"{group.name}'s user data is a script that sets {_of(one, rendered.NAME)}"
                    for group, one in members
                ),
                *(
                    f"{group.name}'s user data is a script that sets {_of(one, rendered.SERVERS)}"
                    for group, one in servers
                ),
            ),
            unseen=(
                "what units and files are called, which the images bring: taken to be as usual; say in "
                "migration:controlPlane.units and .files where it is otherwise",
                *(f"what runs on {group.name} wasn't asked" for group, _ in every if group.running is None),
            ),
            against=tuple(f"{group.name}: {sentence}" for group, one in every for sentence in _against(group, one)),
            keys=_keys(members),
            named=False,
            client_port=servers[0][1].port(rendered.SERVERS),
            peer_port=members[0][1].port(rendered.INITIAL),
            pod_cidr=next(filter(None, (_pod_cidr(one) for _, one in servers)), None),
        )

    def user_data(self, machine: NewMachine) -> str:
        """The old machine's script with another boot before it; raises `Permanent` where values can't be changed."""
        identity = machine.identity
        if machine.original is None:
            raise Permanent(
                f"the launch template of {identity.member}'s original has no user data to make a new machine's from; "
                f"give it one, or use migration:controlPlane.layout custom"
            )
        original = script(plain_text(machine.original))
        if original is None or not (original.starts_etcd or original.starts_servers):
            raise Permanent(
                "the user data is no script that sets a member's name and cluster, or an API server's etcd servers; "
                "docs/control-plane.md says what the layout separate-etcd needs"
            )
        refusals = [*original.faults(), *_otherwise(original, identity)]
        if refusals:
            raise Permanent(f"no new machine can be made from the old one's user data: {'; '.join(refusals)}")
        text = _with_marks(original, identity)
        told = {**userdata.identity_of(identity, Pki()), "machine": "etcd" if original.starts_etcd else "api"}
        if original.starts_etcd:
            told["paths"] = {"mount": _MOUNT, "data": _MOUNT}
        if machine.units.etcd != Units().etcd:
            told["units"] = {"etcd": machine.units.etcd}
        boot = Path(userdata.__file__).with_name("boot")
        document = {
            "write_files": [
                _file(IDENTITY, json.dumps(told, indent=1, sort_keys=True) + "\n"),
                _file(BROUGHT, text, "0755"),
                _file(f"{PROGRAMS}/member.py", userdata.boot_script()),
                _file(f"{PROGRAMS}/separate.py", boot.joinpath("separate.py").read_text(), "0755"),
                _file(userdata.BOOT_UNIT, userdata.boot_unit(f"{PROGRAMS}/separate.py", "machine")),
            ],
            "runcmd": userdata.START_BOOT,
        }
        written = "#cloud-config\n" + yaml.safe_dump(document, sort_keys=False, width=200)
        # mtime 0: the same input gives the same bytes, or every preview would show a change.
        packed = gzip.compress(written.encode(), mtime=0)
        if len(packed) > MAX_BYTES:
            raise Permanent(f"a new machine's user data would be {len(packed)} bytes packed; EC2 takes {MAX_BYTES}")
        return base64.b64encode(packed).decode()

    def commands(self, units: Units) -> Commands:
        """systemd's, on either kind of machine; and how an API server is told of other members of etcd."""
        usual = systemd_commands(units, "member-boot")
        return Commands(
            start_servers=_once_booted(usual.start_servers),
            enable_servers=_once_booted(usual.enable_servers),
            stop_servers=usual.stop_servers,
            start_etcd=usual.start_etcd,
            pause_etcd=usual.pause_etcd,
            stop_etcd=usual.stop_etcd,
            logs=usual.logs,
            told_servers=f"cat {STATE}/told 2>/dev/null || {{ {_READ}; }}",
            tell_servers=lambda urls: _tell(urls, units.api_server),
        )


# What the file says is what the server was told only until somebody tells it otherwise: then `told` has it.
_READ = f"""grep -rhsE '{_SETS}' /etc | head -n 1 | sed -e 's/^[^=]*=//' | tr -d "'\\"\\n" """.strip()


def _tell(urls: str, unit: str) -> str:
    """Kept apart from the file until the server runs with it: a run that is killed between tells it again."""
    return f"""# etcd's members for {unit}: {urls}
mkdir -p {STATE}
[ -e {STATE}/told ] || {{ {_READ}; }} > {STATE}/told
files=$(grep -rlsE '{_SETS}' /etc)
[ -n "$files" ] || {{ echo "no file below /etc sets ETCD_SERVERS: what {unit} is told can't be changed" >&2; exit 1; }}
sed -i -E 's#({_SETS}).*#\\1"{urls}"#' $files
systemctl restart {unit} || exit 1
printf %s '{urls}' > {STATE}/told.new && mv {STATE}/told.new {STATE}/told"""


def _once_booted(command: str) -> str:
    """Not where this program's boot still waits for the ticket: it starts them with what that says."""
    return f"if [ -e {BROUGHT} ] && [ ! -e {STATE}/done ]; then exit 0; fi; {command}"


def script(user_data: str) -> Rendered | None:
    """The rendered script that user data is, or holds where this program made it; None for any other kind."""
    own = cloud_config.files(user_data).get(BROUGHT)
    text = own if own is not None else user_data
    return Rendered(text) if text.startswith("#!") else None


def _pod_cidr(one: Rendered) -> str | None:
    return one.value("POD_CIDR") or one.value("CLUSTER_CIDR")


def member_name(user_data: str) -> str | None:
    """The member's name in etcd, as its script has it."""
    found = script(user_data)
    return found.value(rendered.NAME) if found is not None else None


def _with_marks(original: Rendered, identity: MemberIdentity) -> str:
    before = original.value(rendered.NAME)
    changed = {
        rendered.NAME: identity.member,
        rendered.INITIAL: INITIAL_MARK,
        rendered.STATE: "existing",
        rendered.SERVERS: SERVERS_MARK,
    }
    if original.starts_etcd:
        del changed[rendered.SERVERS]
    # The name may stand in other values, too, as that of its volume.
    return original.with_values(changed, {before: identity.member} if before and original.starts_etcd else {})


def _otherwise(original: Rendered, identity: MemberIdentity) -> list[str]:
    asked = (
        ("etcd.peerPort", identity.peer_port, original.port(rendered.INITIAL) if original.starts_etcd else None),
        ("etcd.clientPort", identity.client_port, None if original.starts_etcd else original.port(rendered.SERVERS)),
    )
    return [
        f"migration:{key} is {port}, the user data says {there}; correct migration:{key}"
        for key, port, there in asked
        if there is not None and port != there
    ]


def _against(group: GroupSeen, one: Rendered) -> list[str]:
    told = one.faults()
    wanted = "etcd" if one.starts_etcd else "kube-apiserver"
    if group.running is not None and not any(_program(line) == wanted for line in group.running):
        told.append(
            f"its user data is for {wanted}, and none runs there: the machine was made from other user data, or "
            f"changed since; let the launch template say what runs"
        )
    return told


def _keys(members: list[tuple[GroupSeen, Rendered]]) -> dict[str, dict[str, str]]:
    """etcd's own certificate serves to ask it on its machine, as its JSON gateway does, where somebody saw it run."""
    for group, _ in members:
        # What units start is this machine's for certain.
        for line in sorted(group.running or (), key=lambda one: not one.startswith("unit: ")):
            line = line.removeprefix("unit: ")
            words = dict(
                word.lstrip("-").split("=", 1) for word in line.split() if word.startswith("-") and "=" in word
            )
            files = {
                key: words[flag]
                for key, flag in (
                    ("etcdCa", "trusted-ca-file"),
                    ("etcdCertificate", "cert-file"),
                    ("etcdKey", "key-file"),
                )
                if flag in words
            }
            if _program(line) == "etcd" and len(files) == 3:
                return {"files": files}
    return {}


def _program(line: str) -> str:
    return line.split(maxsplit=1)[0].rsplit("/", 1)[-1] if line.strip() else ""


def _of(one: Rendered, end: str) -> str:
    found = one.named(end)
    return found[0] if found is not None else end


def _half(members: list[tuple[GroupSeen, Rendered]], servers: list[tuple[GroupSeen, Rendered]]) -> tuple[str, ...]:
    if members:
        names = ", ".join(group.name for group, _ in members)
        return (f"{names} set a member's name and cluster in a script, and no group sets an API server's ETCD_SERVERS",)
    if servers:
        names = ", ".join(group.name for group, _ in servers)
        return (f"{names} set ETCD_SERVERS in a script, and no group sets a member's ETCD_NAME and INITIAL_CLUSTER",)
    return ()


def _file(path: str, content: str, permissions: str = "0644") -> dict[str, str]:
    return {"path": path, "permissions": permissions, "content": content}
