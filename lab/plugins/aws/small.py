"""Types too small for a file each: inline role policies, volumes, parameters, alarms, single tags.

Sources: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/ iam_role_policy, ebs_volume,
ssm_parameter, cloudwatch_metric_alarm, ec2_tag; "replace" is their "Forces new resource", or ForceNew in the schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.naming import name_wanted
from lab.plugins.aws.tags import TAGS, as_dict, as_list, specification, sync_ec2
from lab.plugins.aws.vpc import DOCS, REGION, arn, first
from lab.plugins.errors import PluginError
from lab.plugins.schema import ResourceType, document, flag, mapping, number, text, texts

# --- IAM role policy


def _put_policy(call: Call) -> str:
    name = name_wanted(call) if not call.id else call.id.partition(":")[2]
    call.client("iam").put_role_policy(RoleName=call.new["role"], PolicyName=name, PolicyDocument=call.new["policy"])
    return call.made(f"{call.new['role']}:{name}")


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
        **call.given(
            Size="size", VolumeType="type", Iops="iops", Throughput="throughput", SnapshotId="snapshotId",
            Encrypted="encrypted", KmsKeyId="kmsKeyId", MultiAttachEnabled="multiAttachEnabled",
        ),
        **specification(call, "volume"),
    )  # fmt: skip
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
        "iops": volume.get("Iops"),
        "throughput": volume.get("Throughput"),
        "encrypted": bool(volume.get("Encrypted")),
        "kmsKeyId": volume.get("KmsKeyId"),
        "snapshotId": volume.get("SnapshotId") or None,
        "multiAttachEnabled": bool(volume.get("MultiAttachEnabled")),
        "arn": arn(call, f"volume/{call.id}"),
        "createTime": volume["CreateTime"].isoformat() if volume.get("CreateTime") else None,
        **call.tags_read(as_dict(volume.get("Tags"))),
    }


def _update_volume(call: Call) -> None:
    if call.changed("size", "type", "iops", "throughput"):
        call.ec2.modify_volume(
            VolumeId=call.id, **call.given(Size="size", VolumeType="type", Iops="iops", Throughput="throughput")
        )
    sync_ec2(call)


def _delete_volume(call: Call) -> None:
    call.retry(("VolumeInUse",), lambda: call.ec2.delete_volume(VolumeId=call.id), timeout_s=min(call.timeout_s, 300))


# --- SSM parameter


def _value(call: Call) -> str:
    value = call.new.get("value") if call.new.get("value") is not None else call.new.get("insecureValue")
    return str(value)


def _put_parameter(call: Call, *, overwrite: bool, tagged: bool) -> None:
    call.client("ssm").put_parameter(
        Name=call.new["name"],
        Value=_value(call),
        Type=call.new["type"],
        Overwrite=overwrite,
        **call.given(
            Description="description", KeyId="keyId", Tier="tier", DataType="dataType", AllowedPattern="allowedPattern"
        ),
        **({"Tags": as_list(call.tags_wanted)} if tagged and call.tags_wanted else {}),
    )


def _create_parameter(call: Call) -> str:
    overwrite = bool(call.new.get("overwrite"))
    _put_parameter(call, overwrite=overwrite, tagged=not overwrite)  # AWS takes tags only with a new parameter
    call.made(call.new["name"])
    if overwrite and call.tags_wanted:
        call.client("ssm").add_tags_to_resource(
            ResourceType="Parameter", ResourceId=call.id, Tags=as_list(call.tags_wanted)
        )
    return call.id


def _read_parameter(call: Call) -> dict[str, Any] | None:
    ssm = call.client("ssm")
    found = ssm.get_parameter(Name=call.id, WithDecryption=True)["Parameter"]
    by_name = {"Key": "Name", "Option": "Equals", "Values": [call.id]}
    details = first(ssm.describe_parameters(ParameterFilters=[by_name])["Parameters"])
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=call.id)["TagList"]
    open_value = (call.new or call.old_inputs or call.old).get("insecureValue") is not None
    return {
        "name": found["Name"],
        "type": found["Type"],
        "value": None if open_value else found["Value"],
        "insecureValue": found["Value"] if open_value else None,
        "description": (details or {}).get("Description") or None,
        "keyId": (details or {}).get("KeyId") or None,
        "tier": (details or {}).get("Tier") or "Standard",
        "dataType": found.get("DataType") or "text",
        "allowedPattern": (details or {}).get("AllowedPattern") or None,
        "version": found["Version"],
        "arn": found["ARN"],
        **call.tags_read(as_dict(tags)),
    }


def _update_parameter(call: Call) -> None:
    ssm = call.client("ssm")
    if call.changed("value", "insecureValue", "type", "description", "keyId", "tier", "dataType", "allowedPattern"):
        _put_parameter(call, overwrite=True, tagged=False)
    wanted, recorded = call.tags_wanted, call.old.get("tagsAll") or {}
    if gone := sorted(k for k in recorded if k not in wanted):
        ssm.remove_tags_from_resource(ResourceType="Parameter", ResourceId=call.id, TagKeys=gone)
    if fresh := {k: v for k, v in wanted.items() if recorded.get(k) != v}:
        ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId=call.id, Tags=as_list(fresh))


def _delete_parameter(call: Call) -> None:
    call.client("ssm").delete_parameter(Name=call.id)


def _suitable_parameter(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    if (values.get("value") is None) == (values.get("insecureValue") is None):
        return [("value", "a parameter needs either value or insecureValue")]
    return []


# --- Metric alarm

_ALARM = {
    "comparisonOperator": "ComparisonOperator",
    "evaluationPeriods": "EvaluationPeriods",
    "metricName": "MetricName",
    "namespace": "Namespace",
    "period": "Period",
    "statistic": "Statistic",
    "threshold": "Threshold",
    "alarmDescription": "AlarmDescription",
    "treatMissingData": "TreatMissingData",
    "actionsEnabled": "ActionsEnabled",
    "datapointsToAlarm": "DatapointsToAlarm",
    "unit": "Unit",
}
_ACTIONS = {
    "alarmActions": "AlarmActions",
    "okActions": "OKActions",
    "insufficientDataActions": "InsufficientDataActions",
}


def _put_alarm(call: Call) -> str:
    name = str(call.new["name"])
    call.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        **call.given(**{argument: prop for prop, argument in _ALARM.items()}),
        **call.given(**{argument: prop for prop, argument in _ACTIONS.items()}),
        Dimensions=[{"Name": k, "Value": v} for k, v in sorted((call.new.get("dimensions") or {}).items())],
        **({"Tags": as_list(call.tags_wanted)} if call.tags_wanted and not call.id else {}),
    )
    return call.made(name)


def _read_alarm(call: Call) -> dict[str, Any] | None:
    client = call.client("cloudwatch")
    alarm = first(client.describe_alarms(AlarmNames=[call.id])["MetricAlarms"])
    if alarm is None:
        return None
    tags = client.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
    return {
        "name": call.id,
        **{prop: alarm.get(argument) for prop, argument in _ALARM.items()},
        **{prop: sorted(alarm.get(argument) or []) for prop, argument in _ACTIONS.items()},
        "dimensions": {d["Name"]: d["Value"] for d in alarm.get("Dimensions", [])},
        "arn": alarm["AlarmArn"],
        **call.tags_read(as_dict(tags)),
    }


def _update_alarm(call: Call) -> None:
    _put_alarm(call)
    client, wanted, recorded = call.client("cloudwatch"), call.tags_wanted, call.old.get("tagsAll") or {}
    if gone := sorted(k for k in recorded if k not in wanted):
        client.untag_resource(ResourceARN=call.old["arn"], TagKeys=gone)
    if fresh := {k: v for k, v in wanted.items() if recorded.get(k) != v}:
        client.tag_resource(ResourceARN=call.old["arn"], Tags=as_list(fresh))


def _delete_alarm(call: Call) -> None:
    call.client("cloudwatch").delete_alarms(AlarmNames=[call.id])


# --- One tag of somebody else's resource


def _put_tag(call: Call) -> str:
    resource, key = call.new["resourceId"], call.new["key"]
    call.ec2.create_tags(Resources=[resource], Tags=[{"Key": key, "Value": str(call.new["value"])}])
    return call.made(f"{resource},{key}")


def _read_tag(call: Call) -> dict[str, Any] | None:
    resource, _, key = call.id.partition(",")
    found = call.ec2.describe_tags(
        Filters=[{"Name": "resource-id", "Values": [resource]}, {"Name": "key", "Values": [key]}]
    )["Tags"]
    return {"resourceId": resource, "key": key, "value": found[0].get("Value", "")} if found else None


def _delete_tag(call: Call) -> None:
    resource, _, key = call.id.partition(",")
    call.ec2.delete_tags(Resources=[resource], Tags=[{"Key": key}])


def _identify_tag(given: str) -> tuple[str, dict[str, Any]]:
    if "," not in given:
        raise PluginError(f"a tag is imported as <resource id>,<key>; '{given}' isn't that")
    return given, {}


ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:iam/rolePolicy:RolePolicy",
        source=DOCS + "iam_role_policy",
        props={
            "name": text(computed=True, replace=True),
            "namePrefix": text(replace=True, unreadable=True),
            "role": text(required=True, replace=True),
            "policy": document(required=True),
        },
        generated="name",
        unique="name",
        longest=128,
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
            "iops": number(computed=True),
            "throughput": number(computed=True),
            "encrypted": flag(computed=True, replace=True),
            "kmsKeyId": text(computed=True, replace=True),
            "snapshotId": text(computed=True, replace=True),
            "multiAttachEnabled": flag(replace=True),
            **TAGS,
            **REGION,
        },
        computed=("arn", "createTime"),
        create=_create_volume,
        read=_read_volume,
        update=_update_volume,
        delete=_delete_volume,
        gone=("InvalidVolume.NotFound",),
    ),
    ResourceType(
        token="aws:ssm/parameter:Parameter",
        source=DOCS + "ssm_parameter",
        props={
            "name": text(computed=True, replace=True),
            "type": text(required=True, choices=("String", "StringList", "SecureString")),
            "value": text(computed=True),
            "insecureValue": text(computed=True),
            "description": text(),
            "keyId": text(computed=True),
            "tier": text(computed=True),
            "dataType": text(computed=True, replace=True),
            "allowedPattern": text(),
            "overwrite": flag(unreadable=True),
            **TAGS,
            **REGION,
        },
        computed=("arn", "version"),
        recomputed={"version": ("value", "insecureValue", "type", "description", "keyId", "tier")},
        generated="name",
        unique="name",
        validate=_suitable_parameter,
        create=_create_parameter,
        read=_read_parameter,
        update=_update_parameter,
        delete=_delete_parameter,
        gone=("ParameterNotFound",),
    ),
    ResourceType(
        token="aws:cloudwatch/metricAlarm:MetricAlarm",
        source=DOCS + "cloudwatch_metric_alarm",
        props={
            "name": text(computed=True, replace=True),
            "comparisonOperator": text(required=True),
            "evaluationPeriods": number(required=True),
            "metricName": text(),
            "namespace": text(),
            "period": number(),
            "statistic": text(),
            "threshold": number(),
            "dimensions": mapping(),
            "alarmDescription": text(),
            "treatMissingData": text(default="missing"),
            "actionsEnabled": flag(default=True),
            "datapointsToAlarm": number(computed=True),
            "unit": text(),
            **{name: texts() for name in _ACTIONS},
            **TAGS,
            **REGION,
        },
        computed=("arn",),
        generated="name",
        unique="name",
        create=_put_alarm,
        read=_read_alarm,
        update=_update_alarm,
        delete=_delete_alarm,
        gone=("ResourceNotFound", "ResourceNotFoundException"),
    ),
    ResourceType(
        token="aws:ec2/tag:Tag",
        source=DOCS + "ec2_tag",
        props={
            "resourceId": text(required=True, replace=True),
            "key": text(required=True, replace=True),
            "value": text(required=True),
            **REGION,
        },
        create=_put_tag,
        read=_read_tag,
        update=_put_tag,
        delete=_delete_tag,
        identify=_identify_tag,
    ),
)
