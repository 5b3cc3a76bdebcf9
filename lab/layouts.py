"""The forms of control plane that a lab's first cluster can have, and what the rest of the lab must know of each. Pure.

`LAB_LAYOUT`, or `layout` in `lab.json`. Its machines' own part is in `lab/legacy/members.py` and `lab/legacy/images`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.addresses import API_PORT, ETCD_CLIENT_PORT, ETCD_PEER_PORT

BUILT = "layout"
"""File in the lab's folder: the layout of the cluster that is there."""
MASTER = "k8s.io/role/master"
ETCD = "k8s.io/role/etcd"
"""Tags that say what a machine is for."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    name: str
    etcd_client_port: int = ETCD_CLIENT_PORT
    etcd_peer_port: int = ETCD_PEER_PORT
    api_port: int = API_PORT
    """On the machines; the API's balancer listens on `API_PORT` in every layout."""
    keys: str = "pki"
    """SSM path of the cluster's authorities and keys, below `/<cluster>/`."""
    etcd_role: str = MASTER
    """The tag of the machines that etcd runs on."""
    tools: tuple[str, ...] = ()
    """Of the toolchain's extras: what its machines run."""

    @property
    def forwarded_ports(self) -> tuple[int, ...]:
        """The public ports behind which its machines' processes listen hidden."""
        return (self.etcd_client_port, self.etcd_peer_port, self.api_port)


LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        # Units, keys and certificates, all by the user data of one group a member.
        Layout(name="cloud-config"),
        # etcd and API servers on machines of their own; images bring the programs, user data is a rendered template.
        Layout(name="separate-etcd", etcd_role=ETCD),
        # Stacked etcd, static pods, written by kubeadm itself.
        Layout(name="kubeadm", tools=("kubeadm",)),
        # An operator's own script: other names, ports and paths.
        Layout(name="custom", etcd_client_port=12379, etcd_peer_port=12380, api_port=8443, keys="tls"),
    )
}
