"""What a restored snapshot must agree with: what the live cluster said right before and right after it was taken."""

from __future__ import annotations

from dataclasses import dataclass

from migration.clients.etcd import Etcd, Read
from migration.etcd.preflight import endpoint
from migration.runtime.deadline import Retryable

# Every cluster has this namespace, and nothing changes it. An API server with another `--etcd-prefix` has it elsewhere.
KNOWN = b"/registry/namespaces/kube-system"


@dataclass(frozen=True, kw_only=True)
class Witness:
    """What the live cluster said at one time: its revision, and what it held under `key`."""

    key: bytes
    revision: int
    read: Read


def before(etcd: Etcd) -> Witness:
    """Asked of every voter: each has applied as much by then, so whichever gives the snapshot, it holds no less.

    Raises `Retryable`, also for a cluster that holds no key at all: there is nothing to know a restored one by.
    """
    voters = [endpoint(member) for member in etcd.members() if not member.learner]
    key = _known(etcd, voters[0])
    reads = [etcd.read(at, key) for at in voters]
    return Witness(key=key, revision=min(one.revision for one in reads), read=reads[0])


def after(etcd: Etcd, key: bytes) -> Witness:
    """Asked once the snapshot is there, so it can hold no more. Raises `Retryable`."""
    read = etcd.anywhere(lambda at: etcd.read(at, key))
    return Witness(key=key, revision=read.revision, read=read)


def _known(etcd: Etcd, at: str) -> bytes:
    if etcd.read(at, KNOWN).modified is not None:
        return KNOWN
    first = etcd.first_key(at)
    if first is None:
        raise Retryable("etcd holds no key: this is no cluster's database, or not this cluster's")
    return first


def wrong(first: Witness, last: Witness, status: int, restored: Read) -> list[str]:
    """What doesn't agree, as sentences: the file's own revision (`status`), and what was read once it was restored."""
    said: list[str] = []
    if not first.revision <= status <= last.revision:
        said.append(
            f"the snapshot says it is of revision {status}, the cluster was at {first.revision} before it was taken "
            f"and at {last.revision} after"
        )
    # More than the file's is possible, since Leases go on ending; less is not.
    if restored.revision < status:
        said.append(f"restored it is at revision {restored.revision}, and the snapshot says {status}")
    shown = first.key.decode(errors="replace")
    was, then, now = first.read, last.read, restored
    if now.modified is None:
        if was.modified is not None and then.modified is not None:
            said.append(f"restored it has no {shown}, which the cluster had all the time")
    elif was.modified == then.modified and (now.modified, now.sha256) != (was.modified, was.sha256):
        said.append(
            f"{shown} is of revision {now.modified} in what was restored and of {was.modified} in the cluster"
            if now.modified != was.modified
            else f"{shown} has another value in what was restored than in the cluster"
        )
    return said
