"""From a stack's configuration and name to `Settings`: parse, validate whole, settle the stage."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from botocore.exceptions import UnknownRegionError
from botocore.session import get_session
from pydantic import BaseModel, ValidationError

from migration.settings.errors import ConfigurationError, Problem
from migration.settings.model import Configuration, DnsRecord, ManagedSide, ReferencedSide
from migration.settings.partial import judge, written_path
from migration.settings.rules import problems
from migration.settings.secret import HIDDEN, KUBECONFIG, is_encrypted, plain_kubeconfig
from migration.stages import LAST, Stage, stage

NAMESPACE = "migration:"
_STACK_STAGE = re.compile(r"^(?:(?P<environment>.+)\.)?stage-(?P<stage>.*)$")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A valid configuration with its stage settled: what the whole program is a function of."""

    configuration: Configuration
    stage: Stage
    stack: str
    region: str
    kubeconfig_encrypted: bool = False
    """There is a kubeconfig that only Pulumi can read, and this was read without it."""

    @property
    def old(self) -> ReferencedSide | ManagedSide:
        """The side that plays the role of the old one."""
        return self.configuration.sides[self.configuration.from_]

    @property
    def new(self) -> ReferencedSide | ManagedSide:
        """The side that plays the role of the new one."""
        return self.configuration.sides[self.configuration.to]

    @property
    def records(self) -> tuple[DnsRecord, ...]:
        """The names, each with what it led to before; of a side that this program made, its balancers say that."""
        return tuple(self._led(record) for record in self.configuration.traffic.records)

    def _led(self, record: DnsRecord) -> DnsRecord:
        return record if isinstance(self.old, ReferencedSide) else record.model_copy(update={"value": None})

    @property
    def zones(self) -> dict[str, tuple[DnsRecord, ...]]:
        """The same by hosted zone."""
        every = self.configuration.traffic.zones()
        return {zone: tuple(self._led(record) for record in records) for zone, records in every.items()}

    @property
    def moved_members(self) -> int:
        """How many control-plane members shall be on the new side."""
        if not self.stage.control_plane.on_new:
            return 0
        wanted = self.configuration.control_plane_moved
        return len(self.configuration.members) if wanted is None else wanted

    @property
    def partition(self) -> str:
        """What ARNs of the region begin with after ``arn:``: aws, aws-cn, aws-us-gov, …"""
        return partition_of(self.region)

    @property
    def environment(self) -> str:
        """The part of the stack's name that stays when its stage changes; ``default`` where it has none."""
        named = _STACK_STAGE.match(self.stack)
        return (named["environment"] or "default") if named else self.stack

    @property
    def command(self) -> str:
        """How an operator moves this stack to a stage, with ``{stage}`` for the number."""
        named = _STACK_STAGE.match(self.stack)
        if not named:
            return "pulumi config set migration:stage {stage} && pulumi up"
        prefix = f"{named['environment']}." if named["environment"] else ""
        return f"pulumi stack rename {prefix}stage-{{stage}} && pulumi up -s {prefix}stage-{{stage}}"


@cache
def partition_of(region: str) -> str:
    """The partition of a region, by botocore's own list and patterns: nothing is asked over the network.

    Raises `UnknownRegionError` for what can't be a region of any.
    """
    return get_session().get_partition_for_region(region)


def _parsed(text: str) -> Any:
    """Pulumi hands objects over as JSON text and scalars as plain text."""
    if text[:1] in "{[":
        return json.loads(text)
    return {"true": True, "false": False}.get(text, text)


def _remedy(error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "is missing; set it (python -m migration discover writes the whole file)"
    if is_encrypted(error["input"]):
        return "is encrypted, and no secret; write it in plain: pulumi config set without --secret"
    if kind == "extra_forbidden":
        return "is not a key of this program; remove it or correct its spelling"
    if kind == "value_error":
        return f"{context.get('error', error['msg'])}; correct it"
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}; correct it"


def _problem(error: Mapping[str, Any], raw: Mapping[str, Any], encrypted: set[str]) -> Problem:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in written_path(raw, error["loc"]))
    value: object = error["input"]
    shown = None if error["type"] == "missing" or isinstance(value, dict | BaseModel) else value
    if {KUBECONFIG, *encrypted}.intersection(map(str, error["loc"][:1])):
        shown = HIDDEN
    return Problem(NAMESPACE + path.lstrip("."), cast(object, shown), _remedy(error))


def settle_stage(stack: str, key: object) -> int:
    """The stage that the stack's name and `migration:stage` agree on; raises `ConfigurationError`."""
    named = _STACK_STAGE.match(stack)
    given: list[tuple[str, object]] = []
    if named:
        given.append((f"the stage in the stack's name {stack!r}", named["stage"]))
    if key is not None:
        given.append(("migration:stage", key))
    if not given:
        remedy = "is missing; set it: pulumi config set migration:stage 0, or name the stack stage-0"
        raise ConfigurationError([Problem("migration:stage", None, remedy)])
    wrong = [
        Problem(where, value, f"is not a stage; give a whole number from 0 to {LAST}")
        for where, value in given
        if not re.fullmatch(r"\d{1,3}", str(value)) or int(str(value)) > LAST
    ]
    if wrong:
        raise ConfigurationError(wrong)
    numbers = [int(str(value)) for _, value in given]
    if len(set(numbers)) > 1:
        remedy = (
            f"but the stack's name {stack!r} says {numbers[0]}; make them agree: "
            f"pulumi config rm migration:stage, or pulumi stack rename"
        )
        raise ConfigurationError([Problem("migration:stage", numbers[1], remedy)])
    return numbers[0]


def load(values: Mapping[str, str], stack: str, encrypted: Collection[str] = ()) -> Settings:
    """Settings from Pulumi's flat configuration (``namespace:key`` to text) and the stack's name.

    `encrypted` has the keys that Pulumi keeps encrypted; their values are in no message. Raises `ConfigurationError`
    naming every problem at once.
    """
    raw: dict[str, Any] = {}
    found: list[Problem] = []
    for key, text in values.items():
        if key.startswith(NAMESPACE):
            try:
                name = key.removeprefix(NAMESPACE)
                # A kubeconfig may be JSON, and stays the text it is.
                raw[name] = text if name == KUBECONFIG else _parsed(text)
            except json.JSONDecodeError as error:
                shown = HIDDEN if key in encrypted else text
                found.append(Problem(key, shown, f"is not valid ({error.msg}); write it as YAML in the stack's file"))
    return _settings(raw, values.get("aws:region"), stack, found, {key.removeprefix(NAMESPACE) for key in encrypted})


def load_file(path: Path) -> Settings:
    """Settings from a stack's YAML file, ``Pulumi.<stack>.yaml``, without Pulumi."""
    document: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
    config: dict[str, Any] = document.get("config") or {}
    raw = {key.removeprefix(NAMESPACE): value for key, value in config.items() if key.startswith(NAMESPACE)}
    encrypted = is_encrypted(raw.get(KUBECONFIG))
    if encrypted:
        del raw[KUBECONFIG]
    stack = path.name.removeprefix("Pulumi.").removesuffix(".yaml")
    return replace(_settings(raw, config.get("aws:region"), stack, [], set()), kubeconfig_encrypted=encrypted)


def _settings(
    raw: dict[str, Any], region: str | None, stack: str, found: list[Problem], encrypted: set[str]
) -> Settings:
    key = raw.pop("stage", None)
    number: int | None = None
    try:
        number = settle_stage(stack, key)
    except ConfigurationError as error:
        found.extend(error.problems)
    if not region:
        found.append(Problem("aws:region", region, "is missing; set it: pulumi config set aws:region eu-central-1"))
    else:
        try:
            partition_of(region)
        except UnknownRegionError:
            found.append(Problem("aws:region", region, "is a region of no AWS partition; correct it, or update boto3"))
    found.extend(plain_kubeconfig(raw, encrypted))
    configuration: Configuration | None = None
    try:
        configuration = Configuration.model_validate({**raw, "stage": number})
    except ValidationError as error:
        errors = [dict(item) for item in error.errors()]
        found.extend(_problem(item, raw, encrypted) for item in errors)
        found.extend(judge(raw, errors, region))
    else:
        found.extend(problems(configuration, region))
    if found or configuration is None or number is None or not region:
        raise ConfigurationError(found)
    return Settings(configuration=configuration, stage=stage(number), stack=stack, region=region)
