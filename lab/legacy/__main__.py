"""`python -m lab.legacy`: builds the legacy cluster in the lab's AWS, or finds that it is there."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from lab.addresses import LabAddresses, from_environment, lab_dir
from lab.legacy import access, awkward, balancing, groups, launching, network, pki
from lab.legacy.cloud import Cloud
from lab.legacy.members import Site
from lab.settings import LabSettings, SettingsError

KUBECONFIG = "kubeconfig"


def build(addresses: LabAddresses, settings: LabSettings, directory: Path) -> None:
    """Makes what is missing. The machines come up by themselves afterwards."""
    cloud = Cloud(addresses)
    _secrets(cloud, settings, directory)
    made = network.build(cloud, settings.cluster)
    rights = access.build(
        cloud,
        settings.cluster,
        made,
        settings.control_plane,
        controllers=settings.real_controllers,
        agents=settings.attended_workers,
    )
    balancers = balancing.build(cloud, settings, made)
    groups.build(cloud, settings, made, rights, balancers)
    site = Site(cloud=cloud, settings=settings, network=made, access=rights, balancing=balancers)
    if odd := awkward.build(site):
        print(f"shape {settings.shape}, seed {settings.seed}: {', '.join(odd)}", flush=True)


def _secrets(cloud: Cloud, settings: LabSettings, directory: Path) -> None:
    cluster = settings.cluster
    keys = settings.control_plane.keys
    names = [f"/{cluster}/{keys}/ca.crt", f"/{cluster}/{keys}/ca.key"]
    found = {p["Name"]: p["Value"] for p in cloud.ssm.get_parameters(Names=names, WithDecryption=True)["Parameters"]}
    new = len(found) < len(names)
    if new:
        found = pki.make(cluster, keys)
        # The CA's key last: a build that was cut short here begins again.
        for name in sorted(found, key=lambda name: name == names[1]):
            cloud.ssm.put_parameter(Name=name, Value=found[name], Type="SecureString", Overwrite=True)
    path = directory / KUBECONFIG
    if new or not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        authority = pki.authority(found[names[0]], found[names[1]])
        pki.put_secret(path, pki.kubeconfig(cluster, cloud.addresses.api_url, authority))


def main() -> int:
    started = time.monotonic()
    try:
        directory = lab_dir()
        build(from_environment(), LabSettings.load(directory), directory)
    except (SettingsError, ValueError, BotoCoreError, ClientError, launching.Incomplete) as error:
        print(f"lab.legacy: {error}", file=sys.stderr)
        return 1
    print(f"legacy cluster declared in {time.monotonic() - started:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
