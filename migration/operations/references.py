"""Twins of the rules elsewhere that name the old side: made, or taken away again. Others' rules are never touched."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from migration.clients.aws import Aws, error_code
from migration.contracts.references import ReferencesInputs, ReferencesResult
from migration.discover.tags import tags_of
from migration.references.find import (
    CLUSTER,
    ROLE,
    TWIN,
    ListReference,
    Reference,
    RuleReference,
    answered,
    is_twin,
    mark,
    references,
)
from migration.references.read import elsewhere
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent, Retryable

# A list takes one change at a time: IncorrectState while one is under way, and another version once it is done.
_LATER = ("IncorrectState", "PrefixListVersionMismatch")


def run(inputs: ReferencesInputs, previous: ReferencesResult | None, context: Context) -> ReferencesResult:
    """Add the twins that are missing, or take away those that are this program's; look again until all is so."""
    if previous is None and inputs.idle:
        return ReferencesResult(wanted=inputs.wanted)
    if inputs.wanted == "absent":
        return _take_away(inputs, context)
    return _answer(inputs, context)


def _answer(inputs: ReferencesInputs, context: Context) -> ReferencesResult:
    if inputs.new is None or not inputs.new.groups:
        raise Permanent("the new side has no security groups that a rule could name; this is an error of this program")
    aws, changed = context.clients.aws, list[str]()
    new = inputs.new

    def settle() -> int | None:
        seen = elsewhere(aws)
        found = references(
            seen,
            inputs.cluster,
            inputs.old,
            new,
            peered=inputs.peered_vpcs,
            cidr=new.ranges[0],
        )
        missing = [one for one in found if not answered(one, seen)]
        foreign = [one for one in missing if isinstance(one, ListReference) and not one.ours]
        if foreign:
            told = "; ".join(f"{one}, {one.twin} must be beside it" for one in foreign)
            raise Permanent(f"{told}: another account's, which its owner has to change")
        for one in missing:
            context.alive()
            _add(aws, one, inputs.cluster, inputs.sides[1])
            changed.append(f"{one}: now {one.twin} as well")
            context.log(changed[-1])
        return None if missing else len(found)

    total = context.deadline.until(settle, "rules elsewhere to name the new side", pause=1.0)
    return ReferencesResult(wanted="answered", changed=tuple(dict.fromkeys(changed)), there=total - len(set(changed)))


def _add(aws: Aws, reference: Reference, cluster: str, side: str) -> None:
    if isinstance(reference, ListReference):
        entry: Any = {"Cidr": reference.twin, "Description": mark(cluster)}
        _change_list(aws, reference.where.id, reference.version, AddEntries=[entry])
        return
    assert reference.twin is not None, "the new side has groups"
    permission = _permission(reference, f"twin of {reference.rule}: {cluster} is in {side}, too")
    tags = [
        {"Key": CLUSTER, "Value": cluster},
        {"Key": "migration:side", "Value": side},
        {"Key": ROLE, "Value": TWIN},
        {"Key": "migration:of", "Value": reference.rule},
    ]
    specified: Any = [{"ResourceType": "security-group-rule", "Tags": tags}]
    group = reference.where.id
    try:
        if reference.egress:
            aws.ec2.authorize_security_group_egress(
                GroupId=group, IpPermissions=[permission], TagSpecifications=specified
            )
        else:
            aws.ec2.authorize_security_group_ingress(
                GroupId=group, IpPermissions=[permission], TagSpecifications=specified
            )
    except ClientError as error:
        # Somebody made it meanwhile: it is theirs.
        if error_code(error) != "InvalidPermission.Duplicate":
            raise


def _permission(reference: RuleReference, why: str) -> Any:
    assert reference.twin is not None
    ports = {} if reference.protocol == "-1" else {"FromPort": reference.from_port, "ToPort": reference.to_port}
    if reference.twin.group is not None:
        peer = {"UserIdGroupPairs": [{"GroupId": reference.twin.group, "Description": why}]}
    else:
        peer = {"IpRanges": [{"CidrIp": reference.twin.cidr, "Description": why}]}
    return {"IpProtocol": reference.protocol, **ports, **peer}


def _change_list(aws: Aws, id_: str, version: int, **entries: Any) -> None:
    try:
        aws.ec2.modify_managed_prefix_list(PrefixListId=id_, CurrentVersion=version, **entries)
    except ClientError as error:
        if error_code(error) in _LATER:
            raise Retryable(f"{id_} is being changed: {error_code(error)}") from error
        raise


def _take_away(inputs: ReferencesInputs, context: Context) -> ReferencesResult:
    aws, changed = context.clients.aws, list[str]()

    def settle() -> bool:
        seen = elsewhere(aws)
        ours = [rule for rule in seen.rules if is_twin(tags_of(rule), inputs.cluster)]
        for rule in ours:
            context.alive()
            group, id_ = rule["GroupId"], rule["SecurityGroupRuleId"]
            # What was revoked a look ago may still be listed.
            aws.revoke(group, [id_], egress=rule["IsEgress"])
            changed.append(f"{id_} of {group} is gone")
        left = len(ours)
        for one in seen.lists:
            mine = [
                entry["Cidr"]
                for entry in seen.entries.get(one["PrefixListId"], ())
                if entry.get("Description") == mark(inputs.cluster)
            ]
            if mine:
                context.alive()
                gone: Any = [{"Cidr": cidr} for cidr in mine]
                _change_list(aws, one["PrefixListId"], int(one.get("Version", 1)), RemoveEntries=gone)
                changed.append(f"{', '.join(mine)} of {one['PrefixListId']} is gone")
                left += 1
        return not left

    context.deadline.until_true(settle, "twins of rules elsewhere to go", pause=1.0)
    return ReferencesResult(wanted="absent", changed=tuple(dict.fromkeys(changed)))
