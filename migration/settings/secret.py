"""What of a configuration is a secret: a kubeconfig itself, where `migration:kubeconfig` isn't a path.

Pulumi keeps it encrypted in the stack's file and hands it over in plain; who reads the file without Pulumi sees
``secure: …`` in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from migration.settings.errors import Problem

KUBECONFIG = "kubeconfig"
_KEY = f"migration:{KUBECONFIG}"
# Said instead of a value, in every message.
HIDDEN = "[hidden]"


def is_inline(kubeconfig: str) -> bool:
    """Whether this is a kubeconfig's own text, not a path to one."""
    return "\n" in kubeconfig or kubeconfig.lstrip().startswith("{")


def is_encrypted(value: object) -> bool:
    """Whether this stands in a stack's file for what only Pulumi can decrypt."""
    return isinstance(value, dict) and set(cast(Mapping[str, Any], value)) == {"secure"}


def plain_kubeconfig(raw: Mapping[str, Any], encrypted: Collection[str]) -> list[Problem]:
    """A kubeconfig that stands in the stack's file for everybody to read; its value is in no message."""
    given = raw.get(KUBECONFIG)
    inline = is_inline(given) if isinstance(given, str) else isinstance(given, dict)
    if not inline or KUBECONFIG in encrypted:
        return []
    remedy = (
        f"is a kubeconfig in plain text, with its key or token; give a path, or: pulumi config set --secret {_KEY} "
        f"< FILE; and end that key or token if the stack's file was ever shared"
    )
    return [Problem(_KEY, HIDDEN, remedy)]
