"""When a new member is ready, whatever its layout: the contract that a swap holds every machine to.

1. Its etcd is listed by its name, and answers on its machine's client port with the id that the addition gave: what
   runs there is the member that was added, and no cluster of its own nor one that was before.
2. It votes, which etcd grants once it has caught up.
3. Its API server is ready, reads existing Secrets and takes the others' tokens (`migration.etcd.api_server`).

The first is here; the swap asks for the others itself.
"""

from __future__ import annotations

from migration.clients.etcd import Etcd, Member
from migration.runtime.deadline import Permanent


def refuse_other_member(etcd: Etcd, endpoint: str, added: Member, name: str) -> bool:
    """True once the etcd at `endpoint` says it is the member that was `added`.

    Raises `Retryable` while nobody answers there, and `Permanent` where somebody else does.
    """
    seen = etcd.status(endpoint)
    if seen.id != added.id:
        raise Permanent(
            f"the etcd at {endpoint} is member {seen.id}, and {name} was added as {added.id}: its machine started on "
            f"data, or with an initial cluster, of another membership. Start it with exactly its join ticket and an "
            f"empty data directory"
        )
    return True
