"""With which the lab's stand-ins (kubelets, cloud controller, attacher) speak to the cluster.

Real kubelets get their certificates by bootstrapping, one each. The stand-ins serve a whole side with one process, so
they get one in `system:masters`, signed by the cluster's CA as the machines read it: from SSM.
"""

from __future__ import annotations

from pathlib import Path

from lab.legacy import pki
from lab.legacy.cloud import Cloud
from lab.machines.place import Place

USER = "lab:agents"


class NoCluster(RuntimeError):
    """The cluster's CA isn't in SSM (yet)."""


def obtain(place: Place, server: str, path: Path) -> None:
    """Writes a kubeconfig (0600) of the stand-ins for this server. Raises NoCluster, botocore's errors. Blocks."""
    text = pki.kubeconfig("lab", server, _authority(place), user=USER)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def _authority(place: Place) -> pki.Authority:
    keys = f"/{place.settings.cluster}/{place.settings.control_plane.keys}"
    names = [f"{keys}/{part}" for part in ("ca.crt", "ca.key")]
    answer = Cloud(place.addresses).ssm.get_parameters(Names=names, WithDecryption=True)
    found = {parameter["Name"]: parameter["Value"] for parameter in answer["Parameters"]}
    if len(found) < len(names):
        raise NoCluster(f"SSM has no {', '.join(sorted(set(names) - set(found)))}")
    return pki.authority(found[names[0]], found[names[1]])
