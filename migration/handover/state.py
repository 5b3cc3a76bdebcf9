"""A Terraform state file: what it manages, by id, and under which address. Pure.

Both forms are read: what ``terraform show -json`` prints, and the raw state (version 4), as ``terraform state pull``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from migration.clients.documents import listed, mapping
from migration.runtime.deadline import Permanent


@dataclass(frozen=True, kw_only=True)
class Managed:
    """One object of a state: `address` with its instance's key, `resource` without, and what identifies it in AWS."""

    address: str
    resource: str
    type: str
    ids: frozenset[str]


def read(path: Path) -> list[Managed]:
    """All managed objects; raises `Permanent` with a sentence for what is no state."""
    try:
        document: Any = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Permanent(f"{path} can't be read as a Terraform state ({error})") from error
    if not isinstance(document, dict):
        raise Permanent(f"{path} is no Terraform state: it is no JSON object")
    found = list(parsed(cast(dict[str, Any], document)))
    if not found:
        raise Permanent(
            f"{path} holds no managed resource; give what `terraform show -json` or `terraform state pull` prints"
        )
    return found


def parsed(document: Mapping[str, Any]) -> Iterator[Managed]:
    """The objects of either form; nothing where it is neither."""
    if "values" in document:
        yield from _module(mapping(document, "values", "root_module"))
    elif document.get("version") == 4:
        for resource in listed(document, "resources"):
            yield from _raw(resource)


def _module(module: Mapping[str, Any]) -> Iterator[Managed]:
    for resource in listed(module, "resources"):
        if resource.get("mode") == "managed":
            yield _managed(str(resource["address"]), str(resource["type"]), resource.get("values") or {})
    for child in listed(module, "child_modules"):
        yield from _module(child)


def _raw(resource: Mapping[str, Any]) -> Iterator[Managed]:
    if resource.get("mode") != "managed":
        return
    prefix = f"{resource['module']}." if resource.get("module") else ""
    base = f"{prefix}{resource['type']}.{resource['name']}"
    for instance in listed(resource, "instances"):
        key = instance.get("index_key")
        suffix = "" if key is None else f"[{json.dumps(key)}]"
        yield _managed(base + suffix, str(resource["type"]), instance.get("attributes") or {})


def _managed(address: str, kind: str, values: Mapping[str, Any]) -> Managed:
    ids = {str(values[key]) for key in ("id", "arn") if values.get(key)}
    if kind in ("aws_autoscaling_group", "aws_iam_instance_profile") and values.get("name"):
        ids.add(str(values["name"]))
    if kind == "aws_route53_record":
        ids = {record_key(str(values.get("zone_id") or ""), str(values.get("name") or ""))}
    return Managed(address=address, resource=without_key(address), type=kind, ids=frozenset(ids))


def record_key(zone: str, name: str) -> str:
    """A record by its zone and its name, however they are written."""
    return f"{zone} {name.replace(chr(92) + '052', '*').rstrip('.').lower()}"


def without_key(address: str) -> str:
    """The resource of an instance: without the key at its end. Keys may hold brackets of their own."""
    if not address.endswith("]"):
        return address
    quote = address.endswith('"]')
    start = address.rfind('["' if quote else "[")
    return address[:start]


def without_module(address: str) -> str:
    """An address without the modules it is in."""
    found = re.search(r"(?:^|\.)(aws_[a-z0-9_]+\..*)$", address)
    return found[1] if found else address
