"""Volumes: in one zone, on one instance, at one device."""

from __future__ import annotations

from typing import Any

from moto.ec2.models import EC2Backend
from moto.ec2.responses.elastic_block_store import ElasticBlockStore

from lab.aws.hooks import Refused, instead, rule
from lab.aws.world import WORLD

API = "EC2 API reference, AttachVolume: "
DETACH = "EC2 API reference, DetachVolume: "
ATTACHMENTS = 28
"""Volumes and network interfaces of one instance, of the general-purpose Nitro types that the lab launches."""
_forced: list[bool] = []
"""Whether the call that is being answered says `Force`; guarded by the world's lock."""


@rule(EC2Backend, "attach_volume", source=API + "VolumeInUse")
def volume_attached_already(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    volume = backend.get_volume(arguments["volume_id"])
    if volume.attachment:
        raise Refused("VolumeInUse", f"{volume.id} is already attached to an instance")


@rule(EC2Backend, "attach_volume", source=API + "instance and volume must be in the same Availability Zone")
def volume_of_another_zone(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    volume, instance = backend.get_volume(arguments["volume_id"]), backend.get_instance(arguments["instance_id"])
    if volume.zone.name != instance.availability_zone:
        raise Refused(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'",
        )


@rule(EC2Backend, "attach_volume", source=API + "the instance runs or is stopped; a device name once")
def device_taken_or_instance_gone(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    instance, device = backend.get_instance(arguments["instance_id"]), arguments["device_path"]
    if instance.state not in ("running", "stopped", "pending"):
        raise Refused("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
    # moto makes the root volume before the template's mappings, which may name its device again.
    if device in instance.block_device_mapping and device != instance.root_device_name:
        raise Refused(
            "InvalidParameterValue",
            f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use",
        )


@rule(EC2Backend, "attach_volume", source="EBS user guide, volume limits: 28 attachments of a Nitro instance, shared")
def no_room_for_another_volume(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    instance = backend.get_instance(arguments["instance_id"])
    volumes = [path for path in instance.block_device_mapping if path != arguments["device_path"]]
    if len(volumes) + len(getattr(instance, "nics", ())) >= ATTACHMENTS:
        raise Refused(
            "AttachmentLimitExceeded",
            f"Volume attachment limit exceeded for instance '{instance.id}': {len(volumes)} volumes",
        )


@rule(EC2Backend, "detach_volume", source=DETACH + "the instance it is attached to; IncorrectState")
def detached_from_another_instance(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    volume, instance = backend.get_volume(arguments["volume_id"]), arguments["instance_id"]
    if volume.attachment and instance and volume.attachment.instance.id != instance:
        raise Refused("IncorrectState", f"The volume '{volume.id}' is not attached to instance '{instance}'")


@instead(ElasticBlockStore, "detach_volume")
def detach_call(original: Any, response: ElasticBlockStore) -> Any:
    """moto doesn't read `Force`."""
    _forced[:] = [True] if str(response._get_param("Force")).lower() == "true" else []
    try:
        return original(response)
    finally:
        _forced.clear()


@instead(EC2Backend, "detach_volume")
def detach(original: Any, backend: EC2Backend, volume_id: str, instance_id: str, device_path: str) -> Any:
    """DetachVolume needs the volume only; moto insists on the instance.

    A volume that is mounted stays `detaching` until its machine lets go of it, unless `Force` tears it off (EC2 API
    reference, DetachVolume: "Make sure to unmount any file systems on the device … Failure to do so can result in the
    volume becoming stuck in the busy state while detaching"). An instance's end ends its mounts.
    """
    volume = backend.get_volume(volume_id)
    if not volume.attachment:
        raise Refused("IncorrectState", f"Volume '{volume_id}' is in the 'available' state.")
    holder = volume.attachment.instance.id
    if WORLD.mounted.get(volume_id) == holder and holder not in WORLD.terminated and not _forced:
        volume.attachment.status = "detaching"
        WORLD.bump()
        return volume.attachment
    WORLD.mounted.pop(volume_id, None)
    return original(backend, volume_id, instance_id or holder, device_path)


def finish_detaching(backend: EC2Backend, volume_id: str) -> None:
    """Detaches a volume that was waiting to be let go of. Called under the lock."""
    volume = backend.volumes.get(volume_id)
    if volume is not None and volume.attachment and volume.attachment.status == "detaching":
        backend.detach_volume(volume_id, volume.attachment.instance.id, volume.attachment.device)
