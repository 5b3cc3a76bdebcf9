"""What a copied launch template says of the metadata service, and what it is stricter in."""

from __future__ import annotations

import pytest

from migration.contracts.workers import BlockDevice, Ebs, MetadataOptions, Template
from migration.settings.model import ImdsV2
from migration.workers.copies import differences, metadata_options

ORIGINALS: list[tuple[str, ImdsV2, MetadataOptions, MetadataOptions | None]] = [
    ("a copy says nothing where its original doesn't", "copied", MetadataOptions(), None),
    (
        "a copy is a copy",
        "copied",
        MetadataOptions(
            http_tokens="optional",
            http_put_response_hop_limit=3,
            instance_metadata_tags="enabled",
            httpProtocolIpv6="enabled",
        ),
        MetadataOptions(
            http_tokens="optional",
            http_put_response_hop_limit=3,
            instance_metadata_tags="enabled",
            httpProtocolIpv6="enabled",
        ),
    ),
    (
        "pods of an original that took requests without a token keep their credentials",
        "required",
        MetadataOptions(),
        MetadataOptions(http_tokens="required", http_put_response_hop_limit=2),
    ),
    (
        "its hop limit kept no pod off",
        "required",
        MetadataOptions(http_tokens="optional", http_put_response_hop_limit=1),
        MetadataOptions(http_tokens="required", http_put_response_hop_limit=2),
    ),
    (
        "a wider limit stays",
        "required",
        MetadataOptions(http_tokens="optional", http_put_response_hop_limit=5),
        MetadataOptions(http_tokens="required", http_put_response_hop_limit=5),
    ),
    (
        "an original that required tokens kept pods off, and so does its copy",
        "required",
        MetadataOptions(http_tokens="required", http_put_response_hop_limit=1, instance_metadata_tags="enabled"),
        MetadataOptions(http_tokens="required", http_put_response_hop_limit=1, instance_metadata_tags="enabled"),
    ),
    (
        "or left it to the image, which is the same one",
        "required",
        MetadataOptions(http_tokens="required"),
        MetadataOptions(http_tokens="required"),
    ),
]


@pytest.mark.parametrize(
    ("imdsv2", "original", "copy"), [row[1:] for row in ORIGINALS], ids=[row[0] for row in ORIGINALS]
)
def test_metadata_options_of_a_copy(imdsv2: ImdsV2, original: MetadataOptions, copy: MetadataOptions | None) -> None:
    assert metadata_options(original, imdsv2) == copy


def test_only_what_is_stricter_counts_as_different() -> None:
    plain = Template(image_id="ami-1", block_device_mappings=(BlockDevice(device_name="/dev/xvda"),))
    ours = BlockDevice(device_name="/dev/xvda", ebs=Ebs(encrypted=True))
    safe = Template(
        image_id="ami-1", block_device_mappings=(ours,), metadata_options=MetadataOptions(http_tokens="required")
    )
    gone = Template(image_id="ami-1", block_device_mappings=(BlockDevice(device_name="/dev/sdb", no_device=""),))
    assert differences([plain, plain, safe, gone], "copied") == {"disks encrypted": 2}
    assert differences([plain, plain, safe, gone], "required") == {
        "disks encrypted": 2,
        "IMDSv2 required, hop limit 2": 3,
    }
    assert differences([safe], "required") == {}
