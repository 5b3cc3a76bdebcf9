"""With which the lab's stand-ins (kubelets, cloud controller, attacher) speak to the cluster.

Real kubelets get their certificates by bootstrapping, one each. The stand-ins serve a whole side with one process, so
they get some in `system:masters`, signed by the cluster's CA as the machines read it: from SSM.
"""

from __future__ import annotations

from pathlib import Path

from lab.legacy import pki
from lab.legacy.cloud import Cloud
from lab.machines import confinement
from lab.machines.place import Place

AGENTS, KUBELETS = "lab:agents", confinement.USER
"""The supervisor itself; KWOK."""


class NoCluster(RuntimeError):
    """The cluster's CA isn't in SSM (yet)."""


def obtain(place: Place, server: str, folder: Path) -> dict[str, Path]:
    """Writes a kubeconfig (0600) of each of the stand-ins for this server; their paths, by user. Blocks.

    Raises NoCluster, botocore's errors.
    """
    authority = _authority(place)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {user: folder / f"{user.rpartition(':')[2]}.kubeconfig" for user in (AGENTS, KUBELETS)}
    for user, path in paths.items():
        path.touch(mode=0o600)
        path.write_text(pki.kubeconfig("lab", server, authority, user=user))
    return paths


def _authority(place: Place) -> pki.Authority:
    keys = f"/{place.settings.cluster}/{place.settings.control_plane.keys}"
    names = [f"{keys}/{part}" for part in ("ca.crt", "ca.key")]
    answer = Cloud(place.addresses).ssm.get_parameters(Names=names, WithDecryption=True)
    found = {parameter["Name"]: parameter["Value"] for parameter in answer["Parameters"]}
    if len(found) < len(names):
        raise NoCluster(f"SSM has no {', '.join(sorted(set(names) - set(found)))}")
    return pki.authority(found[names[0]], found[names[1]])
