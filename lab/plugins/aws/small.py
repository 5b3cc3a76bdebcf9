"""Types too small for a file each: inline role policies and volumes.

Sources: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/ iam_role_policy, ebs_volume;
"replace" is their "Forces new resource", or ForceNew in the schema.
"""

from __future__ import annotations

import json
from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.tags import TAGS, as_dict, specification, sync_ec2
from lab.plugins.aws.vpc import DOCS, arn, first
from lab.plugins.schema import ResourceType, document, flag, number, text

# --- IAM role policy


def _put_policy(call: Call) -> str:
    role, name = call.new["role"], call.new["name"]
    call.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=call.new["policy"])
    return call.made(f"{role}:{name}")


def _read_policy(call: Call) -> dict[str, Any]:
    role, _, name = call.id.partition(":")
    found = call.client("iam").get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    policy = found if isinstance(found, str) else json.dumps(found)
    known = (call.new or call.old_inputs or call.old).get("policy")
    # Equal documents keep their spelling, or every refresh would be a change of whitespace.
    if isinstance(known, str) and _same_document(known, policy):
        policy = known
    return {"role": role, "name": name, "policy": policy}


def _same_document(one: str, other: str) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return one == other


def _delete_policy(call: Call) -> None:
    role, _, name = call.id.partition(":")
    call.client("iam").delete_role_policy(RoleName=role, PolicyName=name)


# --- EBS volume


def _volume(call: Call) -> dict[str, Any] | None:
    found = first(call.ec2.describe_volumes(VolumeIds=[call.id])["Volumes"])
    return found if found and found["State"] not in ("deleted", "deleting") else None


def _create_volume(call: Call) -> str:
    made = call.ec2.create_volume(
        AvailabilityZone=call.new["availabilityZone"],
        **call.given(Size="size", VolumeType="type", Encrypted="encrypted"),
        **specification(call, "volume"),
    )
    call.made(made["VolumeId"])
    call.wait(
        f"volume {call.id} available", lambda: (_volume(call) or {"State": ""})["State"] in ("available", "in-use")
    )
    return call.id


def _read_volume(call: Call) -> dict[str, Any] | None:
    volume = _volume(call)
    if volume is None:
        return None
    return {
        "availabilityZone": volume["AvailabilityZone"],
        "size": volume["Size"],
        "type": volume.get("VolumeType"),
        "encrypted": bool(volume.get("Encrypted")),
        "arn": arn(call, f"volume/{call.id}"),
        **call.tags_read(as_dict(volume.get("Tags"))),
    }


def _update_volume(call: Call) -> None:
    if call.changed("size", "type"):
        call.ec2.modify_volume(VolumeId=call.id, **call.given(Size="size", VolumeType="type"))
    sync_ec2(call)


def _delete_volume(call: Call) -> None:
    call.retry(("VolumeInUse",), lambda: call.ec2.delete_volume(VolumeId=call.id), timeout_s=min(call.timeout_s, 300))


ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:iam/rolePolicy:RolePolicy",
        source=DOCS + "iam_role_policy",
        props={
            "name": text(required=True, replace=True),
            "role": text(required=True, replace=True),
            "policy": document(required=True),
        },
        unique="name",
        create=_put_policy,
        read=_read_policy,
        update=_put_policy,
        delete=_delete_policy,
        gone=("NoSuchEntity",),
    ),
    ResourceType(
        token="aws:ebs/volume:Volume",
        source=DOCS + "ebs_volume",
        props={
            "availabilityZone": text(required=True, replace=True),
            "size": number(computed=True),
            "type": text(computed=True),
            "encrypted": flag(computed=True, replace=True),
            **TAGS,
        },
        computed=("arn",),
        create=_create_volume,
        read=_read_volume,
        update=_update_volume,
        delete=_delete_volume,
        gone=("InvalidVolume.NotFound",),
    ),
)
