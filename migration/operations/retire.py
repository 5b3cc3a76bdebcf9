"""The clean-up: exactly the retire list is deleted, what ways back left behind, and nothing that stands in keep."""

from __future__ import annotations

from collections.abc import Iterable

from migration.clients.documents import Document, mapping
from migration.clients.kubernetes import VOLUMES
from migration.contracts.retirement import RetirementInputs, RetirementResult
from migration.etcd.returning import delete_returned_volumes
from migration.etcd.volumes import moved
from migration.retire.delete import retire
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent


def volumes_in_use(volumes: Iterable[Document]) -> set[str]:
    """Ids of the EBS volumes that PersistentVolumes stand for (CSI and the older in-tree form)."""
    found: set[str] = set()
    for volume in volumes:
        in_tree = mapping(volume, "spec", "awsElasticBlockStore").get("volumeID")
        handle = mapping(volume, "spec", "csi").get("volumeHandle") or in_tree
        if handle:
            found.add(str(handle).rsplit("/", 1)[-1])
    return found


def _refuse_members_data(inputs: RetirementInputs, context: Context) -> None:
    """A volume that came along with its member is what the cluster runs on, whatever it was listed as before."""
    listed = {item.id for item in inputs.items if item.type == "volume"}
    came = [one.id for one in moved(context.clients.aws, inputs.cluster) if one.id in listed] if listed else []
    if came:
        raise Permanent(
            f"{', '.join(came)} in migration:retire came along with members of etcd, who run on them now: take them "
            f"out of migration:retire"
        )


def run(inputs: RetirementInputs, previous: RetirementResult | None, context: Context) -> RetirementResult:
    """Delete all items; raises `Permanent` where one must not go."""
    both = sorted({item.id for item in inputs.items} & set(inputs.keep))
    if both:
        raise Permanent(f"{', '.join(both)} stands in migration:retire and in migration:keep; decide for one")
    used = volumes_in_use(context.clients.kubernetes.list(VOLUMES))
    data = sorted({item.id for item in inputs.items if item.type == "volume"} & used)
    if data:
        raise Permanent(
            f"{', '.join(data)} in migration:retire hold the data of PersistentVolumes, which live on on the new side; "
            f"move them to migration:keep"
        )
    _refuse_members_data(inputs, context)
    left = delete_returned_volumes(context.clients.aws, inputs.cluster, context.alive)
    if left:
        context.log(f"deleted the volumes of members that had come back: {', '.join(left)}")
    deleted = retire(
        context.clients.aws,
        inputs.items,
        context.deadline,
        context.log,
        context.alive,
        references=inputs.references,
    )
    return RetirementResult(deleted=tuple(sorted({*(previous.deleted if previous else ()), *left, *deleted})))
