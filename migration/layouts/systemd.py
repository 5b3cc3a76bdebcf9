"""Commands for members whose programs are systemd units: what most layouts do. Pure."""

from __future__ import annotations

from migration.layouts.contract import Commands
from migration.settings.model import Units


def systemd_commands(units: Units, *more_logs: str) -> Commands:
    """The commands for these units; `more_logs` are units beside etcd's that say why a member doesn't come up."""
    # Clients of the API server first: they would only log that it is gone.
    servers = f"{units.scheduler} {units.controller_manager} {units.api_server}"
    shown = " ".join(f"-u {name}" for name in (*more_logs, units.etcd))
    return Commands(
        start_servers=f"systemctl start {servers}",
        enable_servers=f"systemctl enable --now {servers}",
        stop_servers=f"systemctl disable --now {servers}",
        start_etcd=f"systemctl start {units.etcd}",
        pause_etcd=f"systemctl stop {units.etcd}",
        stop_etcd=f"systemctl disable --now {units.etcd}",
        logs=f"journalctl {shown}",
    )
