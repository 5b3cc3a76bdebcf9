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


def kubeconfig_of(place: Place, vpc: str, user: str) -> Path:
    """Where a stand-in's kubeconfig for this VPC is, once it was obtained."""
    return place.machines / "agents" / vpc / f"{user.rpartition(':')[2]}.kubeconfig"


def obtain(place: Place, server: str, vpc: str) -> None:
    """Writes each stand-in's kubeconfig (0600) for this server. Raises NoCluster, botocore's errors. Blocks."""
    authority = _authority(place)
    for user in (AGENTS, KUBELETS):
        path = kubeconfig_of(place, vpc, user)
        path.parent.mkdir(parents=True, exist_ok=True)
        pki.put_secret(path, pki.kubeconfig("lab", server, authority, user=user))


def _authority(place: Place) -> pki.Authority:
    keys = f"/{place.settings.cluster}/{place.settings.control_plane.keys}"
    names = [f"{keys}/{part}" for part in ("ca.crt", "ca.key")]
    answer = Cloud(place.addresses).ssm.get_parameters(Names=names, WithDecryption=True)
    found = {parameter["Name"]: parameter["Value"] for parameter in answer["Parameters"]}
    if len(found) < len(names):
        raise NoCluster(f"SSM has no {', '.join(sorted(set(names) - set(found)))}")
    return pki.authority(found[names[0]], found[names[1]])
