#!/usr/bin/env python3
"""Lets a machine's own user data run once its ticket is there, with the ticket's values; may run again any time.

Beside `member.py`: the volume and the ticket are as everywhere. The image brings programs, units, certificates and how
they start; of its script only values that a ticket has are filled in. A member's script runs at every boot of the
machine, since it mounts the volume; an API machine's once, and afterwards its servers are told in place.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time
from typing import Any

import boto3
import member  # lies beside this file, on the machine as here
from member import IDENTITY, JOINED, MOVES, PEERS, VOLUME, log, put, ticket, unit, wait_for

BROUGHT = pathlib.Path(__file__).with_name("user-data")  # the machine's own, with marks for what a ticket says
FILLED = pathlib.Path("/run/member-boot/user-data")
SAVED = VOLUME / "initial-cluster"  # what the last ticket said: a start that was interrupted needs no other
DONE = pathlib.Path("/var/lib/member-boot/done")
MARKS = {"initial_cluster": "@member-boot:initial-cluster@", "etcd_servers": "@member-boot:etcd-servers@"}


def run(values: dict[str, str]) -> None:
    """The machine's own user data with these values; it ends with etcd or the servers started."""
    text = BROUGHT.read_text()
    for name, value in values.items():
        text = text.replace(MARKS[name], value)
    put(FILLED, text, 0o700)
    log("running this machine's own user data")
    ended = subprocess.run([str(FILLED)]).returncode
    if ended:
        sys.exit(f"the machine's own user data ended with {ended}; this is tried again")


def data() -> list[pathlib.Path]:
    """etcd's data on the volume: the image knows in which folder."""
    found = [place for depth in ("member", "*/member", "*/*/member") for place in VOLUME.glob(depth)]
    return [place for place in found if (place / "wal").is_dir()]


def joined(ssm: Any) -> tuple[str, str]:
    """The membership that this volume is of, and its initial cluster; without either there must be a ticket."""
    found = wait_for("the tickets", lambda: (ticket(ssm),))[0]
    if found is None and not JOINED.exists():
        found = wait_for(f"the join ticket {IDENTITY['ticket_parameter']}", lambda: ticket(ssm))
    before = JOINED.read_text() if JOINED.exists() else ""
    if found is not None:
        if before and before != found["member_id"]:
            for place in data():
                log(f"the data of membership {before} goes aside, this is {found['member_id']}")
                place.rename(place.with_name(f"member.{before}"))
        put(SAVED, found["initial_cluster"])
        put(PEERS, member.peers(found))
        put(JOINED, found["member_id"])
    # With data etcd knows its cluster and reads none of this.
    return JOINED.read_text(), SAVED.read_text() if SAVED.exists() else ""


def join(ssm: Any, ec2: Any, instance: str) -> str:
    """etcd started by the image, for the membership of the ticket or of the data; its id."""
    volume = member.own_volume(ec2, instance)
    if MOVES:
        member.DATA = next((place.parent for place in data()), VOLUME)
        member.take_over(ssm, instance, volume)
    membership, initial = joined(ssm)
    # The image mounts it where it has it.
    subprocess.run(["umount", str(VOLUME)], check=False)
    run({"initial_cluster": initial})
    # At a boot it would start before the volume is there, and join anew: only this service starts it.
    subprocess.run(["systemctl", "disable", unit("etcd")], check=False)
    return membership


def etcd(ssm: Any, ec2: Any, instance: str) -> None:
    """Until the ticket is taken back, which ends a swap; added anew meanwhile, it begins again as the new one."""
    membership = join(ssm, ec2, instance)
    while (found := wait_for("the tickets", lambda: (ticket(ssm),))[0]) is not None:
        if found["member_id"] != membership:
            subprocess.run(["systemctl", "stop", unit("etcd")], check=True)
            membership = join(ssm, ec2, instance)
        time.sleep(0.5)
    log(f"{IDENTITY['member']} is a member")


def servers(ssm: Any) -> None:
    """The API server and what belongs to it, once somebody says which members of etcd there are."""
    if DONE.exists():
        log("this machine's servers are its image's to start")
        return

    def told() -> str | None:
        return (ticket(ssm) or {}).get("etcd_servers")

    run({"etcd_servers": wait_for(f"etcd's members, in {IDENTITY['ticket_parameter']}", told)})
    put(DONE, "")
    log(f"{IDENTITY['member']} serves")


def main() -> None:
    session: Any = boto3.Session(region_name=IDENTITY["region"])
    ssm = session.client("ssm")
    if IDENTITY["machine"] == "api":
        servers(ssm)
        return
    instance = wait_for("this machine's metadata", lambda: member.metadata("instance-id"))
    etcd(ssm, session.client("ec2"), instance)


if __name__ == "__main__":
    sys.exit(main())
