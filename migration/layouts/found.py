"""What a cloud-config's control plane calls its units, files and folders: read from its units, nothing written in.

Where the units don't say, it is what this program has always taken for granted, which is where kubeadm has things;
and the boot of a new member is told only what is otherwise. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import msgspec

from migration.clients.documents import Document, listed
from migration.discover import cloud_config
from migration.layouts.units import ROLES, Unit, read_units, units_of_role
from migration.settings.model import Units

IDENTITY = "/etc/kubernetes/member.json"
ENVIRONMENT = "/etc/kubernetes/member.env"
DATA, MOUNT, DEVICE = "/var/lib/etcd/data", "/var/lib/etcd", "/dev/xvdf"
PKI = "/etc/kubernetes/pki"
ETC = "/etc/kubernetes"
ETCD, API, MANAGER, SCHEDULER = ROLES
KEYS = {ETCD: "etcd", API: "apiServer", MANAGER: "controllerManager", SCHEDULER: "scheduler"}
"""Role to key of `migration:controlPlane.units`."""


def unit_names(units: Units) -> dict[str, str]:
    """The configured names by key, as `KEYS` has them."""
    return {
        "etcd": units.etcd,
        "apiServer": units.api_server,
        "controllerManager": units.controller_manager,
        "scheduler": units.scheduler,
    }


# What the boot writes, by the name it has for it, and the flags that say where that is read.
_READ_BY: dict[str, tuple[tuple[str, str], ...]] = {
    "apiserver.crt": ((API, "tls-cert-file"),),
    "apiserver.key": ((API, "tls-private-key-file"),),
    "apiserver-kubelet-client.crt": ((API, "kubelet-client-certificate"),),
    "apiserver-kubelet-client.key": ((API, "kubelet-client-key"),),
    "front-proxy-client.crt": ((API, "proxy-client-cert-file"),),
    "front-proxy-client.key": ((API, "proxy-client-key-file"),),
    "etcd/server.crt": ((ETCD, "cert-file"),),
    "etcd/server.key": ((ETCD, "key-file"),),
    "etcd/peer.crt": ((ETCD, "peer-cert-file"),),
    "etcd/peer.key": ((ETCD, "peer-key-file"),),
    "ca.crt": ((API, "client-ca-file"), (MANAGER, "root-ca-file"), (MANAGER, "client-ca-file")),
    "etcd/ca.crt": ((ETCD, "trusted-ca-file"), (ETCD, "peer-trusted-ca-file"), (API, "etcd-cafile")),
    "front-proxy-ca.crt": ((API, "requestheader-client-ca-file"), (MANAGER, "requestheader-client-ca-file")),
    "sa.key": ((API, "service-account-signing-key-file"), (MANAGER, "service-account-private-key-file")),
    "sa.pub": ((API, "service-account-key-file"),),
    "encryption.yaml": ((API, "encryption-provider-config"),),
    "controller-manager.kubeconfig": (
        (MANAGER, "kubeconfig"),
        (MANAGER, "authentication-kubeconfig"),
        (MANAGER, "authorization-kubeconfig"),
    ),
    "scheduler.kubeconfig": (
        (SCHEDULER, "kubeconfig"),
        (SCHEDULER, "authentication-kubeconfig"),
        (SCHEDULER, "authorization-kubeconfig"),
    ),
    "apiserver-etcd-client.crt": ((API, "etcd-certfile"),),
    "apiserver-etcd-client.key": ((API, "etcd-keyfile"),),
}
# Folders that many things share: one of them as a volume's mount point would hide the rest of the machine.
_SHARED = {"/", "/data", "/etc", "/home", "/media", "/mnt", "/opt", "/run", "/srv", "/usr", "/var", "/var/lib"}
# What the boot calls the variables it sets, by a flag whose value names one where a cluster calls it otherwise.
_SET_BY_BOOT = ("PRIVATE_IP", "MEMBER_NAME", "ETCD_INITIAL_CLUSTER", "ETCD_INITIAL_CLUSTER_STATE", "API_ETCD_SERVERS")
_VARIABLES = (
    (ETCD, "name", "MEMBER_NAME"),
    (ETCD, "initial-advertise-peer-urls", "PRIVATE_IP"),
    (ETCD, "advertise-client-urls", "PRIVATE_IP"),
    (ETCD, "listen-peer-urls", "PRIVATE_IP"),
    (ETCD, "listen-client-urls", "PRIVATE_IP"),
    (ETCD, "initial-cluster", "ETCD_INITIAL_CLUSTER"),
    (ETCD, "initial-cluster-state", "ETCD_INITIAL_CLUSTER_STATE"),
    (API, "advertise-address", "PRIVATE_IP"),
    (API, "etcd-servers", "API_ETCD_SERVERS"),
)


def place_by_default(name: str) -> str:
    """Where the boot writes a file of `_READ_BY` if it isn't told otherwise."""
    home = ETC if name == "encryption.yaml" or name.endswith(".kubeconfig") else PKI
    return f"{home}/{name}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one machine's user data says. `against` and `unseen` are sentences, as in a `Recognition`.

    `units` is unit by role, only those that are there. `files`: by `place_by_default`'s names, where each is read.
    `variables`: what the units call what the boot sets, where that isn't the boot's own name. `given`: files that the
    user data brings itself.
    """

    units: Mapping[str, Unit]
    identity: str = IDENTITY
    environment: str = ENVIRONMENT
    data: str = DATA
    mount: str = MOUNT
    device: str = DEVICE
    files: Mapping[str, tuple[str, ...]]
    variables: Mapping[str, str]
    given: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def runs_a_member(self) -> bool:
        """Whether etcd and an API server are started on it."""
        return ETCD in self.units and API in self.units

    @property
    def missing(self) -> tuple[str, ...]:
        """Roles without a unit."""
        return tuple(role for role in ROLES if role not in self.units)

    def unit(self, role: str) -> str:
        """The name of a role's unit; the role's own where there is none."""
        return self.units[role].name if role in self.units else role

    def port(self, role: str, flag: str) -> int | None:
        """A port that a unit is told to listen on."""
        unit = self.units.get(role)
        if unit is None:
            return None
        plain = unit.value(flag) or ""
        return int(plain) if plain.isdigit() else unit.port(flag)

    @property
    def snapshots(self) -> str:
        """A folder on the volume for snapshots."""
        return f"{self.mount}/snapshots"

    def place(self, name: str) -> str:
        """Where a file is read first."""
        return self.files.get(name, (place_by_default(name),))[0]

    def boots_otherwise(self) -> dict[str, Any]:
        """What the boot must be told because it isn't as this program takes for granted; empty for today's names."""
        paths = {
            "environment": (self.environment, ENVIRONMENT),
            "data": (self.data, DATA),
            "mount": (self.mount, MOUNT),
            "device": (self.device, DEVICE),
            "pki": (str(PurePosixPath(self.place("apiserver.crt")).parent), PKI),
        }
        parts: dict[str, Mapping[str, Any]] = {
            "paths": {key: value for key, (value, usual) in paths.items() if value != usual},
            "units": {role: unit.name for role, unit in self.units.items() if unit.name != role},
            "files": {
                **{name: list(places) for name, places in self.files.items() if places != (place_by_default(name),)},
                **{name: list[str]() for name in self.given},
            },
            "variables": self.variables,
        }
        return {key: dict(value) for key, value in parts.items() if value}

    def keys(self) -> dict[str, Any]:
        """Keys of `migration:controlPlane` that say what isn't by its usual name."""
        units = {KEYS[role]: unit.name for role, unit in self.units.items() if unit.name != role}
        read = {
            "etcdCa": (self.place("etcd/ca.crt"), place_by_default("etcd/ca.crt")),
            "etcdCertificate": (self.place(_CLIENT + ".crt"), place_by_default(_CLIENT + ".crt")),
            "etcdKey": (self.place(_CLIENT + ".key"), place_by_default(_CLIENT + ".key")),
            "snapshots": (self.snapshots, f"{MOUNT}/snapshots"),
        }
        files = {key: value for key, (value, usual) in read.items() if value != usual}
        return {**({"units": units} if units else {}), **({"files": files} if files else {})}


_CLIENT = "apiserver-etcd-client"


def read(user_data: str, files: Mapping[str, str] | None = None) -> Found:
    """What plain user data says; nothing found for one that isn't a cloud-config.

    `files` are those that it writes, where somebody knows better (`migration.layouts.scripts.files`).
    """
    if files is None:
        files = cloud_config.files(user_data)
    every = read_units(files)
    units: dict[str, Unit] = {}
    against: list[str] = []
    unseen: list[str] = []
    for role in ROLES:
        of_role = units_of_role(every, role)
        if len(of_role) > 1:
            names = ", ".join(one.name for one in of_role)
            against.append(f"{names} all start {role}: which of them runs can't be told; leave one of them")
        elif of_role:
            units[role] = of_role[0]
    if ETCD not in units:
        return Found(units=units, files={}, variables={}, against=tuple(against), unseen=tuple(unseen))
    document = cloud_config.document(user_data)
    environment = _environment(units[ETCD], files, against)
    for unit in units.values():
        if not any(word.startswith("-") for word in unit.words):
            unseen.append(f"{unit.name} is told nothing in its unit: its files are taken to be where they usually are")
    data = _told(units[ETCD], "data-dir", DATA, unseen)
    wal = units[ETCD].told("wal-dir")
    if wal is not None and not wal.startswith(f"{data}/"):
        against.append(
            f"etcd's --wal-dir is {wal}, outside of its data directory {data}; keep both in one, or use custom"
        )
    mount, device = mount_of(document, files, data, unseen)
    given = [name for name in ("encryption.yaml",) if (at := _at(units, name)) != _usual(name) and set(at) & set(files)]
    found = Found(
        units=units,
        identity=_identity(files),
        environment=environment,
        data=data,
        mount=mount,
        device=device,
        files={name: at for name in _READ_BY if name not in given and (at := _at(units, name))},
        variables=_renamed(units),
        given=tuple(given),
    )
    against += _shared_files(found)
    against += _nobody_sets(found, environment, files, unseen)
    against += _started_early(document, files)
    return replace(found, against=tuple(against), unseen=tuple(dict.fromkeys(unseen)))


def _told(unit: Unit, flag: str, usual: str, unseen: list[str]) -> str:
    """A flag's value; the usual one where it isn't given, or can't be told."""
    value = unit.value(flag)
    if value is None and (told := unit.told(flag)) is not None:
        unseen.append(f"{unit.name}'s --{flag} is {told}, which only the machine knows: taken for {usual}")
    return value or usual


def _usual(name: str) -> tuple[str, ...]:
    return (place_by_default(name),)


def _at(units: Mapping[str, Unit], name: str) -> tuple[str, ...]:
    """Where a file is read, by all units that read it; where it is by default if none says."""
    said = (units[role].value(flag) for role, flag in _READ_BY[name] if role in units)
    return tuple(dict.fromkeys(path for path in said if path)) or _usual(name)


def _environment(etcd: Unit, files: Mapping[str, str], against: list[str]) -> str:
    """The environment file that the boot writes: the one that isn't there until a boot has run."""
    named = etcd.environment_files
    if ENVIRONMENT in named or not named:
        return ENVIRONMENT
    made = [path for path in named if path not in files]
    if len(made) == 1:
        return made[0]
    listed_files = ", ".join(named)
    if not made:
        against.append(
            f"{etcd.name} reads its environment from {listed_files}, which the user data writes itself, so a boot has "
            f"nowhere to put the join ticket; give the unit one more, EnvironmentFile={ENVIRONMENT}"
        )
        return ENVIRONMENT
    against.append(
        f"{etcd.name} reads its environment from {listed_files}: which of them a boot writes can't be told; let the "
        f"user data write all but one"
    )
    return made[0]


def _identity(files: Mapping[str, str]) -> str:
    """The file that says who the machine is: the usual one, or the only one that reads as if it did."""
    if IDENTITY in files:
        return IDENTITY
    found: list[str] = []
    for path, text in files.items():
        try:
            said = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError:
            continue
        if {"api_names", "member", "memberName"} & said.keys():
            found.append(path)
    return found[0] if len(found) == 1 else IDENTITY


def mount_of(document: Document, files: Mapping[str, str], data: str, unseen: list[str]) -> tuple[str, str]:
    """Where etcd's volume is mounted and as which device it is attached."""
    wanted = [(str(entry[0]), str(entry[1])) for entry in _mounts(document) if len(entry) > 1]
    for path, text in files.items():
        if path.endswith(".mount"):
            unit = Unit(name=path, text=text, files={})
            wanted += zip(unit.values("What"), unit.values("Where"), strict=False)
    over = [(what, where.rstrip("/")) for what, where in wanted if f"{data}/".startswith(where.rstrip("/") + "/")]
    # The nearest mount above the data; "/" is the root disk's.
    over = sorted((one for one in over if one[1]), key=lambda one: len(one[1]))
    if over:
        what, where = over[-1]
        if what.startswith(("/dev/sd", "/dev/xvd")):
            return where, what
        unseen.append(
            f"etcd's volume is mounted from {what}: a new member's is attached as {DEVICE}, which must appear"
        )
        return where, DEVICE
    above = str(PurePosixPath(data).parent)
    return (data if above in _SHARED else above), DEVICE


def _mounts(document: Document) -> list[list[Any]]:
    entries: Any = document.get("mounts") or []
    return [entry for entry in entries if isinstance(entry, list)]


def _renamed(units: Mapping[str, Unit]) -> dict[str, str]:
    """The units' own names of what the boot sets."""
    found: dict[str, str] = {}
    for role, flag, meaning in _VARIABLES:
        unit = units.get(role)
        told = unit.told(flag) if unit is not None else None
        if unit is None or told is None:
            continue
        asked = Unit(name=unit.name, text=f"ExecStart=x {told}", files={}).variables
        for variable in asked:
            if variable not in unit.environment and variable not in _SET_BY_BOOT:
                found.setdefault(variable, meaning)
    return found


def _shared_files(found: Found) -> list[str]:
    """Sharing that can't be: a key and its certificate in one file, and a file that tells whether a renewal ended."""
    pairs = [name.removesuffix(".key") for name in found.files if name.endswith(".key") and name != "sa.key"]
    in_one = [pair for pair in pairs if set(found.files[f"{pair}.key"]) & set(found.files.get(f"{pair}.crt", ()))]
    told = [
        f"{pair}'s certificate and key are both in {found.place(f'{pair}.key')}; give each a file" for pair in in_one
    ]
    last = found.place(f"{_CLIENT}.crt")
    others = [name for name, places in found.files.items() if not name.startswith(_CLIENT) and last in places]
    if others:
        told.append(f"the API server shows etcd the same certificate {last} as {others[0]}; give it one of its own")
    return told


def _nobody_sets(found: Found, environment: str, files: Mapping[str, str], unseen: list[str]) -> list[str]:
    """Variables that neither the boot nor the user data sets: the unit would start with nothing in their place."""
    told: list[str] = []
    for unit in found.units.values():
        known = {*_SET_BY_BOOT, *found.variables, *unit.environment}
        unknown = [name for name in unit.variables if name not in known]
        elsewhere = [path for path in unit.environment_files if path != environment and path not in files]
        if unknown and elsewhere:
            unseen.append(f"{unit.name} needs {', '.join(unknown)} from {', '.join(elsewhere)}, which the image brings")
        elif unknown:
            told.append(
                f"{unit.name} needs the variable {', '.join(unknown)}, which nothing sets; set it in the unit "
                f"(Environment=), or use one of {', '.join(_SET_BY_BOOT)}"
            )
    return told


def _started_early(document: Document, files: Mapping[str, str]) -> list[str]:
    """What `bootcmd` starts runs at every boot beside the new one."""
    words: set[str] = set()
    for command in listed(document, "bootcmd"):
        plain: Any = command
        words.update(plain.split() if isinstance(plain, str) else (str(word) for word in plain))
    return [
        f"bootcmd starts {path} at every boot; start it from runcmd, which is replaced"
        for path in sorted(words & set(files))
    ]
