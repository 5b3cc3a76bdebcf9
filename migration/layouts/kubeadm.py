"""The layout `kubeadm`: stacked etcd, static pods, made by kubeadm on each machine. Pure.

A new member's user data is the old one's without what calls kubeadm there; instead kubeadm's phases are called by a
boot of this program (`migration/etcd/boot/kubeadm.py`), in the order that a swap needs: etcd by its join ticket, the
servers once it votes.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

from migration.clients.documents import Document, listed, mapping
from migration.discover import cloud_config
from migration.etcd import userdata
from migration.etcd.userdata import identity_of
from migration.layouts import found, kubeadm_config
from migration.layouts.contract import (
    MAX_BYTES,
    Commands,
    Evidence,
    GroupSeen,
    MemberIdentity,
    NewMachine,
    Recognition,
)
from migration.layouts.found import IDENTITY
from migration.layouts.kubeadm_config import CLIENT_PORT, MANIFESTS, PEER_PORT, PKI, Said
from migration.layouts.packed import without_comments
from migration.layouts.pki import told_to_a_join
from migration.layouts.static_pods import static_pod_commands
from migration.layouts.texts import plain_text
from migration.runtime.deadline import Permanent
from migration.settings.model import LayoutName, Pki, Units

PROGRAMS = "/usr/local/lib/member-boot"
"""The folder of the boot on a machine: two programs, one beside the other."""
CONFIGURATION = "/etc/kubernetes/kubeadm-member.yaml"
"""What kubeadm is told there, but for what only the machine knows."""

_SECRET = "PRIVATE KEY-----"
# Group tags that name a machine's role: kops', Cluster API's.
_ROLES = ("k8s.io/role/master", "k8s.io/role/control-plane", "sigs.k8s.io/cluster-api-provider-aws/role")
_PROGRAMS = ("etcd", "kube-apiserver")


class Kubeadm:
    """kubeadm's own phases on the new machine, in a swap's order."""

    @property
    def name(self) -> LayoutName:
        """``kubeadm``."""
        return "kubeadm"

    def recognise(self, evidence: Evidence) -> Recognition:
        """By kubeadm's documents and calls in user data, or by static pods that run; tags only say it once more."""
        seen = [(group, kubeadm_config.read(group.user_data)) for group in evidence.groups]
        members = [(group, said) for group, said in seen if said.is_member or _static_pods(group)]
        if not members:
            silent = [group.name for group, _ in seen if not group.user_data]
            told = (f"{', '.join(silent)} have no user data that is text",) if silent else ()
            return Recognition(layout=self.name, unseen=told)
        first, keys = members[0][0].name, [_keys(group, said) for group, said in members]
        return Recognition(
            layout=self.name,
            members=tuple(group.name for group, _ in members),
            because=tuple(_because(group, said) for group, said in members),
            unseen=tuple(f"{group.name}: {sentence}" for group, said in members for sentence in _unseen(group, said)),
            against=(
                *(f"{group.name}: {sentence}" for group, said in members for sentence in _against(group, said)),
                *(
                    f"{group.name} has its folders otherwise than {first}: one set of names is used for all members; "
                    f"give them the same configuration"
                    for (group, _), one in zip(members[1:], keys[1:], strict=True)
                    if one != keys[0]
                ),
            ),
            keys=keys[0],
            client_port=members[0][1].etcd_port("listen-client-urls", CLIENT_PORT),
            peer_port=members[0][1].etcd_port("listen-peer-urls", PEER_PORT),
            pod_cidr=members[0][1].network("podSubnet"),
            service_cidr=members[0][1].network("serviceSubnet"),
        )

    def user_data(self, machine: NewMachine) -> str:
        """The old member's, with another boot; raises `Permanent` where that can't be taken out of it."""
        identity = machine.identity
        if machine.original is None:
            raise Permanent(
                f"the launch template of {identity.member}'s original has no user data to make a new member's from; "
                f"give it one, or use migration:controlPlane.layout custom"
            )
        text = plain_text(machine.original)
        said = kubeadm_config.read(text)
        files = cloud_config.files(text)
        refusals = [*_unusable(said, files), *_otherwise(said, identity, machine.units)]
        if refusals:
            raise Permanent(f"no new member can be made from the old control plane's user data: {'; '.join(refusals)}")
        document = cloud_config.document(text)
        added = _added(said, files, document, machine.identity, machine.pki)
        # Keys of the cluster that an image's or an operator's tooling wrote there come from where `pki` says.
        dropped = {*_caught(said, files), *_keys_written(said, files), *(entry["path"] for entry in added)}
        kept = [entry for entry in listed(document, "write_files") if entry.get("path") not in dropped]
        commands = [one for one in said.commands if one not in userdata.START_BOOT]
        made = {**document, "write_files": [*kept, *added], "runcmd": [*commands, *userdata.START_BOOT]}
        written = "#cloud-config\n" + yaml.safe_dump(made, sort_keys=False, width=200)
        # mtime 0: the same input gives the same bytes, or every preview would show a change.
        packed = gzip.compress(written.encode(), mtime=0)
        if len(packed) > MAX_BYTES:
            raise Permanent(f"a new member's user data would be {len(packed)} bytes packed; EC2 takes {MAX_BYTES}")
        return base64.b64encode(packed).decode()

    def commands(self, units: Units) -> Commands:
        """Manifests in and out of the kubelet's folder."""
        return static_pod_commands(units, "member-boot")


def _added(
    said: Said, files: Mapping[str, str], document: Document, identity: MemberIdentity, held: Pki
) -> list[dict[str, str]]:
    """The boot's files: who the machine is, kubeadm's configuration, the programs and their unit."""
    mount, device = found.mount_of(document, files, said.data, [])
    paths = {
        "data": (said.data, found.DATA),
        "mount": (mount, found.MOUNT),
        "device": (device, found.DEVICE),
        "pki": (said.pki, found.PKI),
        "manifests": (said.manifests, MANIFESTS),
    }
    told = {
        # What else the old member's file says, its own tooling may read.
        **{key: value for key, value in _facts(files).items() if key not in userdata.TOLD},
        **identity_of(identity, Pki()),
        "api_names": list(identity.api_names),
        "paths": {key: value for key, (value, usual) in paths.items() if value != usual},
    }
    source = told_to_a_join(held, identity.cluster)
    if source:
        told["pki"] = source
    documents = [
        {**said.machine, "kind": "InitConfiguration"},
        *([said.cluster] if said.cluster is not None and said.whole else []),
        *([said.kubelet] if said.kubelet is not None else []),
    ]
    configuration = "\n---\n".join(json.dumps(one, indent=1, default=str) for one in documents) + "\n"
    boot = Path(userdata.__file__).with_name("boot")
    return [
        _file(IDENTITY, json.dumps(told, indent=1, sort_keys=True) + "\n"),
        _file(CONFIGURATION, configuration),
        _file(f"{PROGRAMS}/member.py", without_comments(userdata.boot_script())),
        _file(f"{PROGRAMS}/kubeadm.py", without_comments(boot.joinpath("kubeadm.py").read_text()), "0755"),
        _file(userdata.BOOT_UNIT, userdata.boot_unit(f"{PROGRAMS}/kubeadm.py")),
    ]


def _file(path: str, content: str, permissions: str = "0644") -> dict[str, str]:
    return {"path": path, "permissions": permissions, "content": content}


def _facts(files: Mapping[str, str]) -> dict[str, Any]:
    try:
        return msgspec.json.decode(files.get(IDENTITY, "{}"), type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _caught(said: Said, files: Mapping[str, str]) -> set[str]:
    """Files of the old boot: what calls kubeadm, and what it is told there."""
    configurations = {path for path, text in files.items() if any(True for _ in kubeadm_config.documents_in(text))}
    return {*said.callers, *configurations}


def _keys_written(said: Said, files: Mapping[str, str]) -> list[str]:
    return [path for path, text in files.items() if path.startswith(f"{said.pki}/") and _SECRET in text]


def _unusable(said: Said, files: Mapping[str, str]) -> list[str]:
    """Why no user data can be made from this one."""
    if not said.is_cloud_config:
        return [
            "it isn't a #cloud-config: what else it does can't be told from its calls of kubeadm; write it as one "
            "(write_files, runcmd), or use the layout custom"
        ]
    told = list(said.against)
    if not said.calls:
        told.append(
            "nothing in it calls kubeadm, so its image does, which would join beside the new boot; call kubeadm from "
            "runcmd, or use the layout custom"
        )
    secrets = [path for path, text in files.items() if _SECRET in text and path not in _keys_written(said, files)]
    if secrets:
        told.append(f"{', '.join(secrets)} holds a private key, which no user data may; let the machine fetch it")
    return told


def _otherwise(said: Said, identity: MemberIdentity, units: Units) -> list[str]:
    """What the configuration says otherwise than the user data."""
    ports = {
        "api.serverPort": (identity.api_port, said.api_port),
        "etcd.clientPort": (identity.client_port, said.etcd_port("listen-client-urls", CLIENT_PORT)),
        "etcd.peerPort": (identity.peer_port, said.etcd_port("listen-peer-urls", PEER_PORT)),
    }
    told = [
        f"migration:{key} is {port}, kubeadm's configuration says {there}; correct migration:{key}"
        for key, (port, there) in ports.items()
        if there is not None and port != there
    ]
    if identity.api_names and said.endpoint is not None and said.endpoint not in identity.api_names:
        told.append(
            f"controlPlaneEndpoint is {said.endpoint}, which isn't migration:api.name ({identity.api_names[0]}): nodes "
            f"would go on asking a name that nobody moves; correct migration:api.name"
        )
    names, usual = (one.model_dump(by_alias=True, exclude={"static_pods"}) for one in (units, Units()))
    told += [
        f"migration:controlPlane.units.{role} is {name!r}, kubeadm calls its static pod {usual[role]!r}; remove the key"
        for role, name in names.items()
        if name != usual[role]
    ]
    if units.static_pods != said.manifests:
        told.append(
            f"migration:controlPlane.units.staticPods is {units.static_pods!r}, the kubelet reads {said.manifests!r}; "
            f"correct the key"
        )
    return told


def _keys(group: GroupSeen, said: Said) -> dict[str, Any]:
    """Keys of `migration:controlPlane` that say what isn't where kubeadm has it by default."""
    text = group.user_data
    mount, _ = found.mount_of(cloud_config.document(text), cloud_config.files(text), said.data, [])
    files = {
        "etcdCa": (f"{said.pki}/etcd/ca.crt", f"{PKI}/etcd/ca.crt"),
        "etcdCertificate": (f"{said.pki}/apiserver-etcd-client.crt", f"{PKI}/apiserver-etcd-client.crt"),
        "etcdKey": (f"{said.pki}/apiserver-etcd-client.key", f"{PKI}/apiserver-etcd-client.key"),
        "snapshots": (f"{mount}/snapshots", f"{found.MOUNT}/snapshots"),
    }
    changed = {key: value for key, (value, usual) in files.items() if value != usual}
    folder = said.manifests
    return {
        **({"units": {"staticPods": folder}} if folder != MANIFESTS else {}),
        **({"files": changed} if changed else {}),
    }


def _because(group: GroupSeen, said: Said) -> str:
    ways: list[str] = []
    if said.is_member:
        kinds = ["ClusterConfiguration"] if said.cluster is not None else []
        kinds += ["a machine's configuration"] if said.machine.get("apiVersion") else []
        through = f", called by {', '.join(said.callers)}" if said.callers else ""
        ways.append(f"user data has kubeadm's {' and '.join(kinds) or 'call for a control plane'}{through}")
    if _static_pods(group):
        ways.append(f"static pods {' and '.join(_PROGRAMS)} lie in {_folder_seen(group)}")
    ways += [f"tag {key}" for key in _ROLES if group.tags.get(key) not in (None, "node", "0", "false")]
    return f"{group.name}: {'; '.join(ways)}"


def _unseen(group: GroupSeen, said: Said) -> list[str]:
    told = list(said.unseen)
    if group.running is None:
        told.append("what runs there wasn't asked")
    elif not _kubelets(group):
        told.append("no kubelet was seen among what runs there: by which flags it finds its static pods isn't known")
    if said.callers:
        told.append(
            f"{', '.join(said.callers)} calls kubeadm and isn't taken over: what else it does must be in runcmd, or in "
            f"the image"
        )
    given = cloud_config.files(group.user_data)
    server = mapping(said.cluster or {}, "apiServer")
    brought = [
        str(volume.get("hostPath"))
        for volume in listed(server, "extraVolumes")
        if volume.get("hostPath") not in given and str(volume.get("pathType", "")).startswith("File")
    ]
    encrypted = kubeadm_config.flags(server).get("encryption-provider-config")
    missing = [path for path in brought if path != encrypted]
    if missing:
        told.append(f"{', '.join(missing)} isn't among the user data's files: the image must bring it")
    return told


def _against(group: GroupSeen, said: Said) -> list[str]:
    files = cloud_config.files(group.user_data)
    told = _unusable(said, files)
    if group.running is None:
        return told
    for program in _PROGRAMS:
        if not any(_runs(line, program) for line in group.running):
            told.append(
                f"its user data makes {program} a static pod, and none runs there: the machine was made from other "
                f"user data, or changed since; let the launch template say what runs"
            )
        elif said.manifests == MANIFESTS and f"{MANIFESTS}/{program}.yaml" not in group.running:
            told.append(
                f"{program} runs there, and {MANIFESTS}/{program}.yaml doesn't lie there: something else than a static "
                f"pod starts it; put it right, or use another layout"
            )
    folder = _folder_seen(group)
    if folder != said.manifests:
        told.append(
            f"its kubelet is told --pod-manifest-path {folder}, and the user data's configuration says "
            f"{said.manifests}; write staticPodPath: {folder} into a KubeletConfiguration beside kubeadm's"
        )
    return told


def _runs(line: str, program: str) -> bool:
    first = line.split(maxsplit=1)[:1]
    return bool(first) and first[0].rsplit("/", 1)[-1] == program


def _kubelets(group: GroupSeen) -> list[str]:
    return [line for line in group.running or () if _runs(line, "kubelet")]


def _folder_seen(group: GroupSeen) -> str:
    """Where its kubelet reads static pods, by its flags; kubeadm's folder where they don't say."""
    named = (re.search(r"--pod-manifest-path[= ](\S+)", line) for line in _kubelets(group))
    return next((one[1].rstrip("/") for one in named if one), kubeadm_config.read(group.user_data).manifests)


def _static_pods(group: GroupSeen) -> bool:
    lines = cast("tuple[str, ...]", group.running or ())
    return all(any(line.endswith(f"/manifests/{program}.yaml") for line in lines) for program in _PROGRAMS)
