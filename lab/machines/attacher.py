"""The CSI driver's attacher: volumes are attached to the instances whose nodes need them, and detached again.

KWOK has no VolumeAttachment: without this, "wait until the volume is detached" would be true of nothing.
What it does is external-attacher's part: https://kubernetes-csi.github.io/docs/external-attacher.html
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.kubernetes.access import ApiError
from lab.kubernetes.follow import Api
from lab.legacy.cloud import Cloud, code_of
from lab.machines.nodes import instance_of
from lab.machines.place import Place

log = logging.getLogger(__name__)
DRIVER = "ebs.csi.aws.com"
FINALIZER = "external-attacher/ebs-csi-aws-com"
PATH = "/apis/storage.k8s.io/v1/volumeattachments"
MERGE = "application/merge-patch+json"
_FREE = frozenset({"InvalidAttachment.NotFound", "IncorrectState", "InvalidVolume.NotFound"})


class Attacher:
    def __init__(self, place: Place) -> None:
        self._ec2: Any = Cloud(place.addresses).ec2
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self, kube: Callable[[], Awaitable[Api]]) -> None:
        """Follows the VolumeAttachments for as long as it runs."""
        while True:
            try:
                client = await kube()
                listed = await client.call("GET", PATH)
                for item in listed["items"]:
                    self._look_at(client, item)
                async for kind, item in client.watch(PATH, listed["metadata"]["resourceVersion"]):
                    if kind != "BOOKMARK":
                        self._look_at(client, item)
            except ApiError as error:
                log.debug("attachments: %s", error)
            await asyncio.sleep(1)

    def _look_at(self, kube: Api, item: dict[str, Any]) -> None:
        name = item["metadata"]["name"]
        if item["spec"]["attacher"] == DRIVER and name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._settle(kube, name))

    async def _settle(self, kube: Api, name: str) -> None:
        """Brings one attachment to what it asks for; whatever fails is tried again with what is then wanted."""
        try:
            while True:
                try:
                    item = await kube.call("GET", f"{PATH}/{name}")
                    if await self._step(kube, item):
                        return
                except ApiError as error:
                    if error.code == 404:
                        return
                    await asyncio.sleep(0.5)
        finally:
            self._tasks.pop(name, None)

    async def _step(self, kube: Api, item: dict[str, Any]) -> bool:
        meta = item["metadata"]
        path = f"{PATH}/{meta['name']}"
        volume = await self._volume(kube, item)
        if meta.get("deletionTimestamp"):
            if volume is not None and not await asyncio.to_thread(self._detach, volume):
                await asyncio.sleep(0.5)
                return False
            await kube.call("PATCH", path, {"metadata": {"finalizers": None}}, content=MERGE)
            return True
        if item.get("status", {}).get("attached"):
            return True
        if FINALIZER not in (meta.get("finalizers") or []):
            await kube.call("PATCH", path, {"metadata": {"finalizers": [FINALIZER]}}, content=MERGE)
        node = await kube.call("GET", f"/api/v1/nodes/{item['spec']['nodeName']}")
        problem = await asyncio.to_thread(self._attach, volume or "", instance_of(node))
        status: dict[str, Any] = (
            {"attached": True} if problem is None else {"attached": False, "attachError": {"message": problem}}
        )
        await kube.call("PATCH", f"{path}/status", {"status": status}, content=MERGE)
        if problem is not None:
            await asyncio.sleep(1)
        return problem is None

    async def _volume(self, kube: Api, item: dict[str, Any]) -> str | None:
        claim = item["spec"]["source"].get("persistentVolumeName")
        try:
            volume = await kube.call("GET", f"/api/v1/persistentvolumes/{claim}")
        except ApiError as error:
            if error.code != 404:
                raise
            return None
        return volume["spec"].get("csi", {}).get("volumeHandle")

    def _attach(self, volume: str, instance: str) -> str | None:
        """None once attached; else AWS's sentence."""
        try:
            for attachment in self._ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"]:
                if attachment["InstanceId"] == instance:
                    return None
            taken = {
                mapping["DeviceName"]
                for mapping in self._ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0][
                    "BlockDeviceMappings"
                ]
            }
            device = next(d for d in (f"/dev/xvd{a}{b}" for a in "bc" for b in "abcdefghijkl") if d not in taken)
            self._ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=device)
        except (ClientError, BotoCoreError) as error:
            return str(error)
        return None

    def _detach(self, volume: str) -> bool:
        try:
            self._ec2.detach_volume(VolumeId=volume)
        except ClientError as error:
            return code_of(error) in _FREE
        except BotoCoreError:
            return False
        return True
