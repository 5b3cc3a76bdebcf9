"""The cloud controller's part for Services of type LoadBalancer whose balancer is there.

Targets follow the Nodes, and the balancer goes when its Service doesn't want it any more.

As cloud-provider-aws does it (pkg/providers/v1, aws_loadbalancer.go): nodes with a provider id and without the label
that excludes them, of those that the Service's annotation chooses; who isn't wanted any more is deregistered before
anybody is registered, in one call each, so that one node of another VPC makes the whole sync fail, every time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.kubernetes.access import ApiError
from lab.kubernetes.follow import Api
from lab.legacy.cloud import Cloud
from lab.machines.nodes import instance_of

log = logging.getLogger(__name__)
TAG = "kubernetes.io/service-name"
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
CHOOSES = "service.beta.kubernetes.io/aws-load-balancer-target-node-labels"
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
MERGE = "application/merge-patch+json"
EVERY_S = 2.0


def targets(service: Mapping[str, Any], nodes: list[dict[str, Any]]) -> set[str]:
    """Ids of the instances that are to be targets of a Service's balancer. Pure."""
    said = (service["metadata"].get("annotations") or {}).get(CHOOSES, "")
    chosen = dict(pair.strip().partition("=")[::2] for pair in said.split(",") if pair.strip())
    found: set[str] = set()
    for node in nodes:
        labels = node["metadata"].get("labels") or {}
        if EXCLUDED not in labels and instance_of(node) and chosen.items() <= labels.items():
            found.add(instance_of(node))
    return found


class ServiceBalancers:
    """Looks at all of them every other second; what fails is said once, and tried again."""

    def __init__(self, cloud: Cloud) -> None:
        self._elb: Any = cloud.elbv2
        self._said = ""

    async def run(self, kube: Callable[[], Awaitable[Api]]) -> None:
        """For as long as it runs."""
        while True:
            try:
                # Most clusters have none: their API isn't asked then.
                if balancers := await asyncio.to_thread(self._balancers):
                    await self._look(await kube(), balancers)
                self._say("")
            except (ApiError, ClientError, BotoCoreError) as error:
                self._say(str(error))
            await asyncio.sleep(EVERY_S)

    def _say(self, text: str) -> None:
        if text and text != self._said:
            log.warning("error syncing a Service's load balancer: %s", text)
        self._said = text

    def _balancers(self) -> dict[str, tuple[str, list[dict[str, Any]]]]:
        """By Service: its balancer, and the target groups that this leads to."""
        every = self._elb.describe_load_balancers()["LoadBalancers"]
        arns = [one["LoadBalancerArn"] for one in every]
        tags = self._elb.describe_tags(ResourceArns=arns)["TagDescriptions"] if arns else []
        found: dict[str, tuple[str, list[dict[str, Any]]]] = {}
        for one in tags:
            name = next((tag["Value"] for tag in one["Tags"] if tag["Key"] == TAG), None)
            if name:
                arn = one["ResourceArn"]
                found[name] = (arn, self._elb.describe_target_groups(LoadBalancerArn=arn)["TargetGroups"])
        return found

    async def _look(self, kube: Api, balancers: Mapping[str, tuple[str, list[dict[str, Any]]]]) -> None:
        nodes = (await kube.call("GET", "/api/v1/nodes"))["items"]
        for name, (arn, groups) in balancers.items():
            path = "/api/v1/namespaces/{}/services/{}".format(*name.split("/"))
            service = await self._service(kube, path)
            if service is None:
                continue
            metadata, wanted = service["metadata"], service["spec"].get("type") == "LoadBalancer"
            held = FINALIZER in (metadata.get("finalizers") or [])
            if wanted and not metadata.get("deletionTimestamp"):
                if not held:
                    await kube.call("PATCH", path, {"metadata": {"finalizers": [FINALIZER]}}, content=MERGE)
                await asyncio.to_thread(self._sync, groups, targets(service, nodes))
                continue
            # Without its finalizer it never was a Service of this controller's, whatever a balancer's tag says.
            if held:
                await asyncio.to_thread(self._delete, arn, groups)
                log.info("%s: its load balancer is deleted", name)
                await kube.call("PATCH", f"{path}/status", {"status": {"loadBalancer": None}}, content=MERGE)
                await kube.call("PATCH", path, {"metadata": {"finalizers": None}}, content=MERGE)

    async def _service(self, kube: Api, path: str) -> dict[str, Any] | None:
        try:
            return await kube.call("GET", path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def _sync(self, groups: list[dict[str, Any]], wanted: set[str]) -> None:
        for group in groups:
            arn = group["TargetGroupArn"]
            health = self._elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            there = {one["Target"]["Id"] for one in health if one.get("TargetHealth", {}).get("State") != "draining"}
            changes = ((self._elb.deregister_targets, there - wanted), (self._elb.register_targets, wanted - there))
            for change, ids in changes:
                if ids:
                    change(TargetGroupArn=arn, Targets=[{"Id": one, "Port": group["Port"]} for one in sorted(ids)])

    def _delete(self, arn: str, groups: list[dict[str, Any]]) -> None:
        self._elb.delete_load_balancer(LoadBalancerArn=arn)
        for group in groups:
            self._elb.delete_target_group(TargetGroupArn=group["TargetGroupArn"])
