"""Every address and port of a lab, computed from its index. Pure: nothing here opens a socket or a file.

`LAB_INDEX` (0–9) lets several labs live side by side on one machine; `LAB_DIR` holds one lab's state.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

REGION = "eu-central-1"
ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")
ACCOUNT_ID = "123456789012"  # moto's default account

LOOPBACK = "127.0.0.1"
HIDDEN_OFFSET = 10_000
"""A machine's process listens on its public port plus this; the network's forwarder owns the public one."""

ETCD_CLIENT_PORT = 2379
ETCD_PEER_PORT = 2380
API_PORT = 6443
FORWARDED_PORTS = (ETCD_CLIENT_PORT, ETCD_PEER_PORT, API_PORT)
INGRESS_PORT = 8080
INGRESS_NODE_PORT = 30080


def hidden_port(public: int) -> int:
    """The port a machine's process really listens on, for the port the world dials (2379 → 12379)."""
    return public + HIDDEN_OFFSET


def alias(ip: str) -> str:
    """The address written where Kubernetes refuses loopback: 127.b.c.d → 10.b.c.d; others stay as they are."""
    return "10." + ip[4:] if ip.startswith("127.") else ip


def unalias(ip: str) -> str:
    """The address something listens on, for an advertised one: 10.b.c.d → 127.b.c.d."""
    return "127." + ip[3:] if ip.startswith("10.") else ip


def private_dns_name(ip: str) -> str:
    """EC2's private DNS name of an address (the node's name): ip-127-10-1-23.eu-central-1.compute.internal."""
    return f"ip-{ip.replace('.', '-')}.{REGION}.compute.internal"


def ip_of_private_dns_name(name: str) -> str | None:
    """The inverse of `private_dns_name`; None for a name of another form."""
    host = name.split(".", 1)[0]
    if not host.startswith("ip-"):
        return None
    ip = host[3:].replace("-", ".")
    try:
        return str(IPv4Address(ip))
    except ValueError:
        return None


@dataclass(frozen=True, kw_only=True)
class LabAddresses:
    """The addresses and ports of the lab with this index."""

    index: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.index <= 9:
            raise ValueError(f"LAB_INDEX={self.index}: must be 0 to 9")

    @property
    def legacy_cidr(self) -> str:
        return f"127.{10 + self.index}.0.0/16"

    @property
    def main_cidr(self) -> str:
        return f"127.{30 + self.index}.0.0/16"

    @property
    def next_cidr(self) -> str:
        """Where a second migration may go."""
        return f"127.{70 + self.index}.0.0/16"

    @property
    def sides(self) -> dict[str, str]:
        """The VPCs that the cluster may be in, by name: the one it begins in, and those it moves to."""
        return {"legacy": self.legacy_cidr, "main": self.main_cidr, "next": self.next_cidr}

    def moved_to(self, ip: str) -> bool:
        """Whether an address is in a VPC that the cluster moves to, not in the one that it begins in."""
        return any(IPv4Address(ip) in IPv4Network(cidr) for cidr in (self.main_cidr, self.next_cidr))

    @property
    def corp_cidr(self) -> str:
        """The connected network: a VPC of the same account, where the operator's workstation stands."""
        return f"127.{50 + self.index}.0.0/16"

    @property
    def pod_cidr(self) -> str:
        return f"100.{64 + self.index}.0.0/16"

    @property
    def operator_ip(self) -> str:
        """Where a connection comes from that belongs to no machine: the operator's workstation."""
        return f"127.{50 + self.index}.0.10"

    def reserved_ip(self, cidr: str) -> str:
        """An address of the VPC no instance gets: the last usable of the first /24 (fixtures, probes' default)."""
        return str(IPv4Network(cidr).network_address + 254)

    def port(self, offset: int) -> int:
        return 24_000 + 100 * self.index + offset

    @property
    def aws_port(self) -> int:
        return self.port(1)

    @property
    def dns_port(self) -> int:
        return self.port(2)

    @property
    def api_port(self) -> int:
        """The operator's API endpoint: resolves the API's name anew for every connection."""
        return self.port(3)

    @property
    def imds_port(self) -> int:
        return self.port(4)

    @property
    def ingress_port(self) -> int:
        """The operator's ingress endpoint."""
        return self.port(5)

    @property
    def network_port(self) -> int:
        return self.port(6)

    def inside_api_port(self, cidr: str) -> int:
        """The API as seen from one of the `sides`: by its KWOK, its agents. Raises `ValueError` for another range."""
        return self.port(10 + list(self.sides.values()).index(cidr))

    @property
    def aws_url(self) -> str:
        return f"http://{LOOPBACK}:{self.aws_port}"

    @property
    def api_url(self) -> str:
        return f"https://{LOOPBACK}:{self.api_port}"

    @property
    def imds_url(self) -> str:
        return f"http://{LOOPBACK}:{self.imds_port}"

    @property
    def network_url(self) -> str:
        return f"http://{LOOPBACK}:{self.network_port}"

    def aws_environment(self) -> dict[str, str]:
        """What a process needs to talk to the lab's AWS by boto3. The keys are dummies."""
        return {
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def from_environment(environ: Mapping[str, str] | None = None) -> LabAddresses:
    """The lab named by `LAB_INDEX` (default 0). Raises ValueError, naming the value, if it isn't 0 to 9."""
    raw = (os.environ if environ is None else environ).get("LAB_INDEX") or "0"
    if not raw.isdecimal():
        raise ValueError(f"LAB_INDEX={raw!r}: must be a number from 0 to 9")
    return LabAddresses(index=int(raw))


def lab_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The folder with all of a lab's state: `LAB_DIR`, or `.lab` in the current folder."""
    raw = (os.environ if environ is None else environ).get("LAB_DIR")
    return Path(raw).absolute() if raw else Path.cwd() / ".lab"
