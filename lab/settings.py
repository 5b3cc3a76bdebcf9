"""The lab's settings: names, and times that stand for AWS's longer ones. Read from `$LAB_DIR/lab.json`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    NonNegativeFloat,
    NonNegativeInt,
    ValidationError,
    field_validator,
    model_validator,
)

from lab import controllers, profiles, shapes, strictness, timings
from lab.addresses import lab_dir
from lab.layouts import BUILT, LAYOUTS, Layout
from lab.workload import room

FILE = "lab.json"


class SettingsError(ValueError):
    """`lab.json` or a `LAB_…` variable can't be used; the message names file, key, value and what is expected."""


def _seconds(value: Any) -> float | timings.Span:
    """A JSON number or list of two, or the text of a number."""
    try:
        low, high = map(float, value) if isinstance(value, list | tuple) else (float(value), float(value))
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not 0 <= low <= high < math.inf:
        raise ValueError("must be seconds from 0 up, or two of them with the shorter one first")
    return (low, high) if isinstance(value, list | tuple) else low


Seconds = Annotated[float | timings.Span, BeforeValidator(_seconds)]
"""A time, or the shortest and the longest that it may be."""


class LabSettings(BaseModel):
    """All times in seconds. Their defaults are quick; `timing` says by which set they are instead."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: str = "pet"
    zone_name: str = "pet.lab.internal"
    api_name: str = "api.pet.lab.internal"
    ingress_name: str = "app.apps.pet.lab.internal"
    """A host under the ingress wildcard; what the operator's ingress endpoint and the probes ask for."""
    ingress_wildcard: str = "*.apps.pet.lab.internal"
    ingress_service: str = "ingress/ingress"
    record_ttl_s: NonNegativeInt = 5
    """As the legacy tooling left it."""
    profile: str = profiles.SMALL
    """How big the first cluster is (`lab/profiles.py`)."""
    pods: NonNegativeInt | None = None
    """Of the teams' applications, together; None: as many as the profile has where nothing is said."""
    shape: str = shapes.PET
    """How the first cluster's account is (`lab/shapes.py`); its names are the shape's where they aren't given."""
    layout: str = "cloud-config"
    """The form of the first cluster's control plane (`lab/layouts.py`)."""
    controllers: Literal["stand-in", "real"] = "stand-in"
    """`real`: the cluster runs AWS's cloud controller and external-dns themselves (`lab/controllers.py`)."""

    timing: Literal["quick", "aws"] = "quick"
    """`aws`: as long as AWS takes, where nothing else is said (`lab/timings.py` has the values and their sources)."""
    health_interval_s: NonNegativeFloat = 0.5
    healthy_threshold: NonNegativeInt = 2
    unhealthy_threshold: NonNegativeInt = 2
    health_timeout_s: NonNegativeFloat = 1.0
    target_registration_s: Seconds = 0.0
    """From a target's registration to its first health check, where the cluster moves to."""
    deregistration_s: NonNegativeFloat = 2.0
    """Cap on a target group's deregistration delay (AWS: 300 by default)."""
    udp_idle_s: NonNegativeFloat = 5.0
    """How long a balancer remembers a flow of datagrams after the last one (AWS: 120)."""
    change_pending_s: Seconds = 0.3
    """How long a Route 53 change stays PENDING."""
    alias_ttl_s: NonNegativeInt = 5
    """Of what names lead to by AWS itself: a load balancer's own name, and aliases to it."""
    instance_boot_s: Seconds = 0.5
    """From its launch to a machine's user data."""
    node_join_s: Seconds = 0.5
    pod_start_s: NonNegativeFloat = 0.5
    metric_period_s: NonNegativeFloat = 5.0
    """Stands for the 60 s of CloudWatch."""
    metric_lag_s: Seconds = 0.0
    """How late a period's datum can be read."""
    refuse_after_s: NonNegativeFloat = 1.0
    """A packet that AWS would drop: the connection is reset after this long (a lab can't keep from accepting it)."""
    iam: Literal["open", "enforce"] = "open"
    """`enforce`: calls are allowed by the caller's policies; the lab's tooling (key `lab`) may do everything."""
    throttle: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of calls that are refused for their rate, chosen by `seed`."""
    lag_s: NonNegativeFloat = 0.0
    """For how long reads may still be answered as before a change; chosen by `seed` for each read."""
    seed: NonNegativeInt = 0
    egress: Literal["open", "enforce"] = "open"
    """`enforce`: a machine reaches AWS's APIs only as its security groups, ACLs, routes, NAT and endpoints let it."""
    quotas: dict[str, NonNegativeInt] = {}
    """Quotas other than AWS's defaults, by name (`lab/strictness.py`)."""
    private_networks: tuple[str, ...] = (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
    )
    """What counts as private where AWS or the product asks for it: RFC 1918, 100.64.0.0/10 and, here, loopback."""

    @model_validator(mode="wrap")
    @classmethod
    def _timed_by_set(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """The set's times; they don't count as given, so that another set's take their places."""
        if not isinstance(values, dict):
            return handler(values)
        found = timings.filled(values)
        settings = handler(found)
        settings.model_fields_set.difference_update(found.keys() - values.keys())
        return settings

    @model_validator(mode="before")
    @classmethod
    def _named_by_shape(cls, values: Any) -> Any:
        return shapes.named(values) if isinstance(values, dict) else values

    @field_validator("layout")
    @classmethod
    def _known_layout(cls, value: str) -> str:
        if value not in LAYOUTS:
            raise ValueError(f"must be one of {', '.join(LAYOUTS)}")
        return value

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, value: str) -> str:
        if value not in profiles.PROFILES:
            raise ValueError(f"must be one of {', '.join(profiles.PROFILES)}")
        return value

    @field_validator("quotas")
    @classmethod
    def _known_quotas(cls, value: dict[str, int]) -> dict[str, int]:
        if unknown := sorted(set(value) - set(strictness.QUOTAS)):
            raise ValueError(f"{', '.join(unknown)}: must be of {', '.join(strictness.QUOTAS)}")
        return value

    def quickly(self) -> LabSettings:
        """The same in quick times: for what stands in the VPC that the first cluster begins in."""
        given = self.model_dump(exclude_unset=True)
        return type(self).model_validate({**given, "timing": timings.QUICK})

    @property
    def team_pods(self) -> int:
        """How many pods the teams' applications have together."""
        return profiles.find(self.profile).pods if self.pods is None else self.pods

    @property
    def real_controllers(self) -> bool:
        return self.controllers == controllers.REAL

    @property
    def attended_workers(self) -> bool:
        """Whether workers have an agent, and what runs on machines reaches others by the lab's network alone."""
        return self.shape == shapes.AWKWARD

    @property
    def tools(self) -> tuple[str, ...]:
        """Of the toolchain's extras: what this lab needs."""
        return self.control_plane.tools + (controllers.TOOLS if self.real_controllers else ())

    @property
    def control_plane(self) -> Layout:
        return LAYOUTS[self.layout]

    @classmethod
    def load(cls, directory: Path | None = None, environ: Mapping[str, str] | None = None) -> LabSettings:
        """The settings of the lab in `directory` (default `$LAB_DIR`); the defaults where the file is missing.

        `LAB_PROFILE`, `LAB_PODS`, `LAB_LAYOUT`, `LAB_SHAPE`, `LAB_CONTROLLERS` and `LAB_TIMING` come before the file's.
        A cluster that is there keeps its own: another one asked for is an error, as is what isn't JSON, an unknown key,
        or a value that can't be. Raises SettingsError, every error of the file at once.
        """
        directory = directory or lab_dir()
        path = directory / FILE
        try:
            settings = cls.model_validate_json(path.read_text())
        except FileNotFoundError:
            settings = cls()
        except ValidationError as error:
            found = [f"{'.'.join(map(str, e['loc'])) or 'file'}={e['input']!r}: {e['msg']}" for e in error.errors()]
            raise SettingsError(f"{path}: " + "; ".join(found)) from error
        env = os.environ if environ is None else environ
        settings = settings._with(env)
        for built, key, variable in (
            (profiles.BUILT, "profile", "LAB_PROFILE"),
            (BUILT, "layout", "LAB_LAYOUT"),
            (shapes.BUILT, "shape", "LAB_SHAPE"),
            (controllers.BUILT, "controllers", "LAB_CONTROLLERS"),
            (timings.BUILT, "timing", "LAB_TIMING"),
        ):
            settings = settings._as_built(directory, built, key, env.get(variable) or None, variable)
        settings._refuse_controllers_elsewhere()
        settings = settings._with_pods(directory, env.get("LAB_PODS") or None)
        return settings._of_the_built_seed(directory, env.get("LAB_SEED") or None)

    def _refuse_controllers_elsewhere(self) -> None:
        """Raises SettingsError where real controllers are asked for and nothing starts them."""
        layout = type(self)().layout
        if self.real_controllers and (self.shape != shapes.AWKWARD or self.layout != layout):
            raise SettingsError(
                f"controllers={self.controllers!r}: shape {self.shape} with layout {self.layout} has none that are "
                f"real; set LAB_SHAPE={shapes.AWKWARD} and LAB_LAYOUT={layout}, or leave "
                f"LAB_CONTROLLERS={controllers.STAND_IN}"
            )

    def _as_built(self, directory: Path, built: str, key: str, asked: str | None, variable: str) -> LabSettings:
        """These with what the cluster that is there has, or else what is asked for."""
        known = {
            "profile": tuple(profiles.PROFILES),
            "layout": tuple(LAYOUTS),
            "shape": shapes.SHAPES,
            "controllers": controllers.WAYS,
            "timing": tuple(timings.TIMINGS),
        }[key]
        if asked is not None and asked not in known:
            raise SettingsError(f"{variable}={asked!r}: must be one of {', '.join(known)}")
        there = _built(directory / built, known)
        if there is not None and asked not in (None, there):
            raise SettingsError(
                f"{variable}={asked!r}: the lab in {directory} has a cluster of {key} {there}: take it down first "
                "(python3 -m lab down --purge), or set LAB_DIR to another folder"
            )
        chosen = there or asked
        if chosen is None or chosen == getattr(self, key):
            return self
        return type(self).model_validate({**self.model_dump(exclude_unset=True), key: chosen})

    def _with_pods(self, directory: Path, asked: str | None) -> LabSettings:
        """These with as many pods as the cluster that is there has, or else as are asked for.

        Raises SettingsError where the profile can't have so many.
        """
        try:
            wanted = self.pods if asked is None else profiles.number(asked, "LAB_PODS")
        except ValueError as error:
            raise SettingsError(str(error)) from error
        there = _kept(directory / profiles.BUILT_PODS)
        if isinstance(there, int):
            if asked is not None and wanted != there:
                raise SettingsError(
                    f"LAB_PODS={asked!r}: the lab in {directory} has a cluster of {there} pods: take it down first "
                    "(python3 -m lab down --purge), or set LAB_DIR to another folder"
                )
            wanted = there
        if wanted is not None and (reason := room.refusal(self.profile, wanted)):
            raise SettingsError(f"{'pods' if asked is None else 'LAB_PODS'}={wanted}: {reason}")
        return self if wanted is None else self.model_copy(update={"pods": wanted})

    def _of_the_built_seed(self, directory: Path, asked: str | None) -> LabSettings:
        """These with the seed of the variation that is there; `pet` has none, and only moods follow the seed."""
        there = _kept(directory / shapes.BUILT_SEED)
        if self.shape == shapes.PET or not isinstance(there, int):
            return self
        if asked is not None and asked != str(there):
            raise SettingsError(
                f"LAB_SEED={asked!r}: the lab in {directory} has a cluster of seed {there}: take it down first "
                "(python3 -m lab down --purge), or set LAB_DIR to another folder"
            )
        return self.model_copy(update={"seed": there})

    def _with(self, environ: Mapping[str, str]) -> LabSettings:
        """These with what the environment says. Raises SettingsError, naming the variables."""
        try:
            told = strictness.asked(environ)
            return type(self).model_validate({**self.model_dump(exclude_unset=True), **told}) if told else self
        except ValidationError as error:
            names = {key: name for name, key in strictness.VARIABLES.items()}
            found = [
                f"{names.get(str(e['loc'][0]), '.'.join(map(str, e['loc'])))}={e['input']!r}: {e['msg']}"
                for e in error.errors()
            ]
            raise SettingsError("; ".join(found)) from error
        except ValueError as error:
            raise SettingsError(str(error)) from error

    def note_built(self, directory: Path) -> None:
        """Keeps what the cluster is for as long as it is there, whatever later commands are told."""
        (directory / profiles.BUILT).write_text(json.dumps(self.profile) + "\n")
        (directory / profiles.BUILT_PODS).write_text(json.dumps(self.team_pods) + "\n")
        (directory / BUILT).write_text(json.dumps(self.layout) + "\n")
        (directory / shapes.BUILT).write_text(json.dumps(self.shape) + "\n")
        (directory / controllers.BUILT).write_text(json.dumps(self.controllers) + "\n")
        (directory / timings.BUILT).write_text(json.dumps(self.timing) + "\n")
        (directory / shapes.BUILT_SEED).write_text(json.dumps(self.seed) + "\n")


def _kept(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _built(path: Path, known: Collection[str]) -> str | None:
    found = _kept(path)
    return found if found in known else None
