"""Volumes: in one zone, on one instance, at one device."""

from __future__ import annotations

from typing import Any

from moto.ec2.models import EC2Backend

from lab.aws.hooks import Refused, instead, rule

API = "EC2 API reference, AttachVolume: "


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


@instead(EC2Backend, "detach_volume")
def detach(original: Any, backend: EC2Backend, volume_id: str, instance_id: str, device_path: str) -> Any:
    """DetachVolume needs the volume only; moto insists on the instance."""
    volume = backend.get_volume(volume_id)
    if not volume.attachment:
        raise Refused("IncorrectState", f"Volume '{volume_id}' is in the 'available' state.")
    return original(backend, volume_id, instance_id or volume.attachment.instance.id, device_path)
