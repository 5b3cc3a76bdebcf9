"""The control plane's form: each layout has the keys that it needs, and none of another's."""

from __future__ import annotations

from collections.abc import Iterator

from migration.settings.errors import Problem
from migration.settings.model import Configuration, Units

_KEY = "migration:controlPlane"


def has_its_keys(c: Configuration) -> Iterator[Problem]:
    """`userDataFile` where the operator's own user data is used, and only there; no unit is two roles'."""
    form = c.control_plane
    own = form.layout == "custom"
    if own and not form.user_data_file:
        remedy = "is missing: the layout custom is made from it; name a file of the project (docs/control-plane.md)"
        yield Problem(f"{_KEY}.userDataFile", form.user_data_file, remedy)
    if not own and form.user_data_file is not None:
        remedy = f"is for the layout custom, and {_KEY}.layout is {form.layout!r}; set that to custom, or remove this"
        yield Problem(f"{_KEY}.userDataFile", form.user_data_file, remedy)
    units = [(role, unit) for role, unit in form.units.model_dump(by_alias=True).items() if role != "staticPods"]
    if form.layout != "kubeadm" and form.units.static_pods != Units().static_pods:
        remedy = f"is for the layout kubeadm, and {_KEY}.layout is {form.layout!r}; set that to kubeadm, or remove this"
        yield Problem(f"{_KEY}.units.staticPods", form.units.static_pods, remedy)
    for role, unit in units:
        others = [other for other, name in units if name == unit and other != role]
        if others and role < others[0]:
            remedy = (
                f"is also migration:controlPlane.units.{others[0]}: they are stopped apart; name each one's own unit"
            )
            yield Problem(f"{_KEY}.units.{role}", unit, remedy)


def pki_can_be_found(c: Configuration) -> Iterator[Problem]:
    """The source of certificates has what it needs: a bucket for S3; kubeadm's Secret only with kubeadm."""
    pki, key = c.control_plane.pki, f"{_KEY}.pki"
    if pki.source == "s3" and not pki.bucket:
        yield Problem(f"{key}.bucket", pki.bucket, "is missing: source s3 needs the name of a bucket; set it")
    if pki.source != "s3" and pki.bucket is not None:
        remedy = f"is for source s3, and {key}.source is {pki.source!r}; set that to s3, or remove this"
        yield Problem(f"{key}.bucket", pki.bucket, remedy)
    if pki.source == "image" and pki.prefix is not None:
        remedy = f"says nothing where {key}.source is {pki.source!r}; remove it"
        yield Problem(f"{key}.prefix", pki.prefix, remedy)
    if pki.source == "kubeadm" and c.control_plane.layout != "kubeadm":
        remedy = (
            f"is kubeadm's own upload, and {_KEY}.layout is {c.control_plane.layout!r}; "
            f"use ssm, secrets-manager, s3 or image"
        )
        yield Problem(f"{key}.source", pki.source, remedy)
    if pki.prefix is not None and (not pki.prefix.strip("/") or any(sign.isspace() for sign in pki.prefix)):
        yield Problem(f"{key}.prefix", pki.prefix, "names nothing; give what the names begin with, like /pet/pki")
