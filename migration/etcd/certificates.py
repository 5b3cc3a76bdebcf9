"""Whether certificates hold the names they are asked by, and outlive the migration: from PEM and a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509

CA_TIMES = 3
"""A CA must last so many times as long as what it has issued: replacing one is weeks of work, and every certificate
that a new member gets ends with it."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One certificate, and what is asked of it.

    `what` names it in a sentence (``a's etcd at 10.0.0.1:2379``); `pem` may hold several, as a CA's bundle does.
    `names` are hosts and addresses of which each must stand in it. `cure` is how it is renewed.
    """

    what: str
    pem: str
    names: tuple[str, ...] = ()
    authority: bool = False
    cure: str


def judged(asked: Asked, now: datetime, days: int) -> list[str]:
    """What is wrong, as sentences: it can't be read, isn't valid yet, ends within `days`, lacks names."""
    try:
        found = x509.load_pem_x509_certificates(asked.pem.encode())
    except ValueError as error:
        return [f"{asked.what}: what is there is no certificate ({error}); {asked.cure}"]
    horizon = days * CA_TIMES if asked.authority else days
    wrong: list[str] = []
    for one in found:
        if one.not_valid_before_utc > now:
            wrong.append(f"{asked.what}: is valid from {day(one.not_valid_before_utc)} only; {asked.cure}")
        # Several CAs are a change of CA under way: what is issued by the old one ends as soon as that does.
        left = one.not_valid_after_utc - now
        if left < timedelta(days=horizon):
            when = f"on {day(one.not_valid_after_utc)}{_days(left)}"
            key = f"migration:limits.certificateDays{f' × {CA_TIMES} for a CA' if asked.authority else ''}"
            wrong.append(f"{asked.what}: ends too soon: {when}, {horizon} days are wanted ({key}); {asked.cure}")
    lacking = [name for name in asked.names if not holds(found[0], name)]
    if lacking:
        has = ", ".join(_names(found[0])) or "no names at all"
        wrong.append(f"{asked.what}: its certificate lacks {', '.join(lacking)} (it has {has}); {asked.cure}")
    return wrong


def holds(certificate: x509.Certificate, name: str) -> bool:
    """Whether a certificate is for this address or host. Its common name doesn't count: Go looks at none since 1.15."""
    try:
        address = ip_address(name)
    except ValueError:
        wanted = name.lower().rstrip(".")
        parent = wanted.partition(".")[2]
        return any(one.lower() in (wanted, f"*.{parent}") for one in _dns(certificate))
    return address in _addresses(certificate)


def end_of(pems: Iterable[str]) -> datetime:
    """When the first of these certificates ends. Raises `ValueError` for what is none."""
    found = [one for pem in pems for one in x509.load_pem_x509_certificates(pem.encode())]
    return min(one.not_valid_after_utc for one in found)


def day(moment: datetime) -> str:
    """``2027-01-31``, UTC."""
    return moment.astimezone(UTC).date().isoformat()


def _days(left: timedelta) -> str:
    return f" (in {left.days} days)" if left > timedelta() else f" ({-left.days} days ago)"


def _alternatives(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _dns(certificate: x509.Certificate) -> list[str]:
    found = _alternatives(certificate)
    return [] if found is None else found.get_values_for_type(x509.DNSName)


def _addresses(certificate: x509.Certificate) -> list[object]:
    found = _alternatives(certificate)
    return [] if found is None else list(found.get_values_for_type(x509.IPAddress))


def _names(certificate: x509.Certificate) -> list[str]:
    return [*_dns(certificate), *map(str, _addresses(certificate))]
