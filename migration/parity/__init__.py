"""Whether the new VPC offers machines what the old one does: ways out, names, endpoints, packet filters."""

from __future__ import annotations
