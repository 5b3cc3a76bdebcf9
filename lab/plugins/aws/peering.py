"""VPC peering: the connection, and the DNS options of both its sides.

Sources as in `vpc.py`. As with the provider, deleting the options changes nothing in AWS.
"""

from __future__ import annotations

from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.tags import TAGS, as_dict, specification, sync_ec2
from lab.plugins.aws.vpc import DOCS, first
from lab.plugins.schema import ResourceType, block, flag, text

_GONE = ("InvalidVpcPeeringConnectionID.NotFound", "InvalidVpcPeeringConnectionId.NotFound")
_OVER = ("deleted", "deleting", "expired", "rejected", "failed")
_DNS = block({"allowRemoteVpcDnsResolution": flag()}, computed=True)
_AWS_DNS = "AllowDnsResolutionFromRemoteVpc"


def _peering(call: Call) -> dict[str, Any] | None:
    found = first(call.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[call.id])["VpcPeeringConnections"])
    return found if found and found["Status"]["Code"] not in _OVER else None


def _wait_for(call: Call, *states: str) -> None:
    def there() -> bool:
        found = first(
            call.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[call.id])["VpcPeeringConnections"]
        )
        status = found["Status"] if found else {"Code": "", "Message": ""}
        if status["Code"] in ("failed", "rejected", "expired") and status["Code"] not in states:
            raise call.refuse(f"{call.id} is {status['Code']}: {status.get('Message', '')}")
        return status["Code"] in states

    call.wait(f"{call.id} {' or '.join(states)}", there)


def _accept(call: Call) -> None:
    found = _peering(call)
    if found is None or found["Status"]["Code"] != "active":
        call.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=call.id)
    _wait_for(call, "active")


def _set_options(call: Call) -> None:
    arguments: dict[str, Any] = {}
    for side in ("accepter", "requester"):
        options = call.new.get(side)
        if options is not None and (not call.old or call.changed(side)):
            argument = "AccepterPeeringConnectionOptions" if side == "accepter" else "RequesterPeeringConnectionOptions"
            arguments[argument] = {_AWS_DNS: bool(options.get("allowRemoteVpcDnsResolution"))}
    if arguments:
        # AWS answers this while an acceptance is still travelling.
        call.retry(
            ("OperationNotPermitted", "InvalidStateTransition"),
            lambda: call.ec2.modify_vpc_peering_connection_options(VpcPeeringConnectionId=call.id, **arguments),
            timeout_s=60,
        )


def _options_of(found: dict[str, Any]) -> dict[str, Any]:
    def side(info: str) -> dict[str, Any]:
        options = found.get(info, {}).get("PeeringOptions") or {}
        return {"allowRemoteVpcDnsResolution": bool(options.get(_AWS_DNS))}

    return {"accepter": side("AccepterVpcInfo"), "requester": side("RequesterVpcInfo")}


# --- The connection


def _create(call: Call) -> str:
    made = call.ec2.create_vpc_peering_connection(
        VpcId=call.new["vpcId"],
        PeerVpcId=call.new["peerVpcId"],
        **specification(call, "vpc-peering-connection"),
    )["VpcPeeringConnection"]
    call.made(made["VpcPeeringConnectionId"])
    _wait_for(call, "pending-acceptance", "active")
    if call.new.get("autoAccept"):
        _accept(call)
    return call.id


def _read(call: Call) -> dict[str, Any] | None:
    found = _peering(call)
    if found is None:
        return None
    return {
        "vpcId": found["RequesterVpcInfo"]["VpcId"],
        "peerVpcId": found["AccepterVpcInfo"]["VpcId"],
        "acceptStatus": found["Status"]["Code"],
        **call.tags_read(as_dict(found.get("Tags"))),
    }


def _update(call: Call) -> None:
    if call.new.get("autoAccept") and call.old.get("acceptStatus") != "active":
        _accept(call)
    sync_ec2(call)


def _delete(call: Call) -> None:
    if _peering(call) is None:  # AWS keeps showing it for a while, and refuses to delete it twice
        return
    call.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=call.id)

    def gone() -> bool:
        return _peering(call) is None

    call.wait(f"{call.id} deleted", gone)


# --- The options


def _create_options(call: Call) -> str:
    call.made(call.new["vpcPeeringConnectionId"])
    _set_options(call)
    return call.id


def _read_options(call: Call) -> dict[str, Any] | None:
    found = _peering(call)
    return None if found is None else {"vpcPeeringConnectionId": call.id, **_options_of(found)}


def _nothing(call: Call) -> None:
    """AWS has no way to take these back."""


ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:ec2/vpcPeeringConnection:VpcPeeringConnection",
        source=DOCS + "vpc_peering_connection",
        props={
            "vpcId": text(required=True, replace=True),
            "peerVpcId": text(required=True, replace=True),
            "autoAccept": flag(unreadable=True),
            **TAGS,
        },
        computed=("acceptStatus",),
        recomputed={"acceptStatus": ("autoAccept",)},
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
        gone=_GONE,
    ),
    ResourceType(
        token="aws:ec2/peeringConnectionOptions:PeeringConnectionOptions",
        source=DOCS + "vpc_peering_connection_options",
        props={
            "vpcPeeringConnectionId": text(required=True, replace=True),
            "accepter": _DNS,
            "requester": _DNS,
        },
        create=_create_options,
        read=_read_options,
        update=_set_options,
        delete=_nothing,
        gone=_GONE,
    ),
)
