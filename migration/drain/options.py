"""The drain command's options: the configuration's `drain` keys, each with its default, in kebab case."""

from __future__ import annotations

import argparse
import re
from typing import Any, get_args

from pydantic import ValidationError

from migration.contracts.workers import DrainRules
from migration.runtime.deadline import Permanent
from migration.settings.model import Drain

# What a drain alone has no use for, since it moves ingress pods with all others; the time is `--timeout`.
WITHOUT = frozenset({"ingress_selector", "timeout_seconds"})
HELP = {
    "empty_dir": "pods may lose what they keep in emptyDir volumes",
    "bare_pods": "pods without a controller, which nothing starts again, may be ended",
    "host_path": "pods may leave behind what they wrote to their node's files",
    "local_volumes": "pods may leave behind volumes that live on their node alone",
    "jobs": "pods that run to completion are waited for, evicted, or block the drain",
    "finished_pods": "ended pods, whose logs go with the node, may be left there, or block the drain",
    "require_room": "refuse to begin where the other nodes can't hold the pods",
}
TIMEOUT = Drain.model_fields["timeout_seconds"].default


def option(field: str) -> str:
    """``empty_dir`` → ``--empty-dir``."""
    return "--" + field.replace("_", "-")


def arguments(command: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    add = command.add_argument
    add("--nodes", required=True, metavar="SELECTOR", help="the nodes to empty, by a label selector: pool=old")
    add("--kubeconfig", metavar="FILE", help="default: KUBECONFIG")
    what = command.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="only read, and say what would be done")
    what.add_argument("--uncordon", action="store_true", help="take back the cordon and taint an earlier run set")
    add("--json", action="store_true", help="one JSON document on standard output at the end; progress on stderr")
    add("--timeout", type=float, default=float(TIMEOUT), metavar="SECONDS", help=f"default: {TIMEOUT}")
    for name, field in Drain.model_fields.items():
        if name in WITHOUT:
            continue
        shown = {True: "yes", False: "no"}.get(field.default, str(field.default).replace("%", "%%"))
        text = f"{HELP[name]} (default: {shown})" if name in HELP else f"default: {shown}"
        if field.annotation is bool:
            add(option(name), action=argparse.BooleanOptionalAction, default=None, help=text)
        elif choices := get_args(field.annotation):
            add(option(name), choices=choices, help=text)
        else:
            add(option(name), metavar="N", help=text)


def rules(args: argparse.Namespace) -> DrainRules:
    """What was said, and the defaults for the rest; raises `Permanent` naming an option that can't be so."""
    given: dict[str, Any] = {
        name: value for name in Drain.model_fields if name not in WITHOUT and (value := getattr(args, name)) is not None
    }
    try:
        drain = Drain.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = re.sub("[A-Z]", lambda one: f"_{one[0].lower()}", str(first["loc"][0]))
        raise Permanent(f"{option(name)} {first['input']}: {first['msg']}") from error
    if args.timeout <= 0:
        raise Permanent(f"--timeout {args.timeout:g}: give more than 0 seconds")
    return DrainRules(
        ingress_namespace="",
        ingress_service="",
        ingress_selector={},
        **drain.model_dump(exclude=set(WITHOUT)),
    )
