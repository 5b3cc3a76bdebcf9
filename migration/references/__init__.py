"""Rules elsewhere that name the side that is left: databases' security groups, prefix lists."""

from __future__ import annotations
