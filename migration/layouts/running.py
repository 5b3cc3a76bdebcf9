"""What runs on members' machines, as lines of text gathered through SSM: evidence for `recognise`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from migration.etcd.machine import shell
from migration.runtime.deadline import Deadline, OutOfTime, Permanent, Retryable

if TYPE_CHECKING:
    from migration.clients.aws import Aws

# Reads only. What units start, then static pods' manifests by path, then processes with what they were told: these may
# be many, and a command's output is cut.
COMMAND = (
    "sed -e ':a' -e '/\\\\$/N; s/\\\\\\n *//; ta' /etc/systemd/system/*.service 2>/dev/null "
    "| sed -n 's,^ExecStart=,unit: ,p'; ls -1d /etc/kubernetes/manifests/* 2>/dev/null; ps -eo args= 2>/dev/null; true"
)
# A command's output ends at 24,000 characters, and only these tell one form from another.
TELLING = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "/manifests/")


def lines(output: str) -> tuple[str, ...]:
    """The lines of what a machine printed that say something of its form, each once."""
    found = (line.strip() for line in output.splitlines())
    return tuple(dict.fromkeys(line for line in found if any(word in line for word in TELLING)))


def what_runs(
    aws: Aws, machines: Iterable[str], seconds: float, log: Callable[[str], None]
) -> dict[str, tuple[str, ...]]:
    """By instance id, the lines of what runs there; a machine that doesn't answer is left out, and said."""
    found: dict[str, tuple[str, ...]] = {}
    for machine in machines:
        try:
            found[machine] = lines(shell(aws, machine, COMMAND, Deadline(seconds), lambda: None))
        except (OutOfTime, Permanent, Retryable) as reason:
            log(f"what runs on {machine} can't be asked: {reason}")
    return found
