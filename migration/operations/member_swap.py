"""One control-plane member, moved from its old machine to its new one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from migration.etcd.reach import direct
from migration.etcd.swap import NewMember, OldMember, Swap
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent


def run(inputs: Mapping[str, Any], previous: Mapping[str, Any] | None, context: Context) -> dict[str, Any]:
    """Inputs as `components.control_plane` declares them; `wanted` is the side the member shall be on.

    Outputs: `state`, and what the swap did and saw. A member that moved can't be moved back yet.
    """
    before = dict(previous or {})
    if inputs["wanted"] == "old":
        if before.get("state") == "new":
            raise Permanent(
                f"{inputs['new']['name']} already votes: moving a member back isn't there yet; "
                f"set migration:controlPlaneMoved to at least what it was"
            )
        return {"state": "old"}
    etcd, aws = inputs["etcd"], context.clients.aws
    if etcd["access"] != "direct":
        raise Permanent(
            "migration:etcd.access is 'ssm', which isn't there yet; use direct with migration:operatorNetworks"
        )
    swap = Swap(
        cluster=inputs["cluster"],
        old=OldMember(**{key: inputs["old"][key] for key in ("name", "group", "address")}),
        new=NewMember(**{key: inputs["new"][key] for key in ("name", "group")}),
        ticket_parameter=inputs["ticketParameter"],
        client_port=etcd["clientPort"],
        peer_port=etcd["peerPort"],
        api_port=inputs["apiPort"],
        old_api_groups=list(inputs["oldApiTargetGroups"]),
        new_api_group=inputs["newApiTargetGroup"],
        snapshots=Path(etcd["snapshots"]),
        aws=aws,
        kubernetes=context.clients.kubernetes,
        etcd=direct(aws, etcd["certificates"]),
        deadline=context.deadline,
        log=context.log,
        alive=context.alive,
    )
    return {**before, **swap.advance(), "state": "new"}
