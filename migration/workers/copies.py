"""In what a copy of a worker's or member's launch template is stricter than its original. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from migration.contracts.workers import Ebs, MetadataOptions, Template
from migration.settings.model import ImdsV2

# A copy is never less protected than its original: a disk is encrypted either way. No program on it notices.
ENCRYPTED = True

# One hop more than the machine's own: a pod behind its node's bridge. (The limit is on the answer that brings the
# session token, https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html)
POD_HOPS = 2


def encrypted(disk: Ebs, *, whole: bool = True) -> bool | None:
    """Whether a copied disk is encrypted.

    One made from a snapshot that a template names is as the original: AWS takes no other word for it
    (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_LaunchTemplateEbsBlockDeviceRequest.html).
    """
    return disk.encrypted if whole and disk.snapshot_id is not None else ENCRYPTED


def metadata_options(original: MetadataOptions, imdsv2: ImdsV2) -> MetadataOptions | None:
    """What a copy says of the metadata service; None where it says as little as its original.

    Under ``required`` pods keep what they had: where the original took requests without a token, its hop limit kept
    nobody off, so the copy's is at least a pod's. An original that required tokens had a limit that its pods live with.
    """
    if imdsv2 == "required":
        tokens = "required"
        hops = original.http_put_response_hop_limit
        if original.http_tokens != "required":
            hops = max(hops or POD_HOPS, POD_HOPS)
        return original.model_copy(update={"http_tokens": tokens, "http_put_response_hop_limit": hops})
    said = original.model_dump(exclude={"state"}, exclude_none=True)
    return original if said else None


def stricter(template: Template, imdsv2: ImdsV2) -> Iterator[str]:
    """Each way in which a copy of the template differs from it in protection, in an operator's words."""
    disks = [one.ebs for one in template.block_device_mappings if one.is_volume]
    if any(encrypted(disk, whole=template.whole) and not disk.encrypted for disk in disks):
        yield "disks encrypted"
    copy = metadata_options(template.metadata_options, imdsv2)
    if copy is not None and copy.http_tokens != template.metadata_options.http_tokens:
        yield f"IMDSv2 required, hop limit {copy.http_put_response_hop_limit}"


def differences(templates: Iterable[Template], imdsv2: ImdsV2) -> dict[str, int]:
    """How many copies differ from their originals, by each way."""
    found: dict[str, int] = {}
    for template in templates:
        for way in stricter(template, imdsv2):
            found[way] = found.get(way, 0) + 1
    return found
