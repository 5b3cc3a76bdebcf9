"""Is this the cluster that the record is about? Asked before every operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migration.names import record_parameter
from migration.runtime.deadline import Permanent
from migration.runtime.identity import cluster_uid
from migration.stages.record import read_record, refuse_another_cluster

if TYPE_CHECKING:
    from migration.clients import Clients


def verify_cluster(clients: Clients, cluster: str) -> None:
    """Raise `Permanent` unless the kubeconfig leads to the cluster that the record in this account is about."""
    record = read_record(clients.aws, cluster)
    if record is None or record.cluster_uid is None:
        lack = "there is none" if record is None else "doesn't say which cluster it is about"
        raise Permanent(
            f"the record {record_parameter(cluster)} {lack}: the first operation of an up writes it; run the whole up, "
            f"without --target or --exclude"
        )
    refuse_another_cluster(record, cluster_uid(clients.kubernetes), cluster)
