"""User data that was rendered from a template: a script whose values are its lines ``NAME=value``. Pure.

Only such values are read and changed; the rest of the script is somebody else's and stays byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

_ASSIGNED = re.compile(r"^([ \t]*(?:export[ \t]+)?)([A-Za-z_]\w*)=(.*)$", re.MULTILINE)
_PORT = re.compile(r"https?://[^,/\s]+:(\d+)")
# By the end of their names, which templates put a prefix before: etcd's own variables, and the flag of the API server.
NAME, INITIAL, STATE, SERVERS = "ETCD_NAME", "INITIAL_CLUSTER", "INITIAL_CLUSTER_STATE", "ETCD_SERVERS"


@dataclass(frozen=True)
class Rendered:
    """One machine's script."""

    text: str

    @cached_property
    def values(self) -> Sequence[tuple[str, str]]:
        """Names and values in order, quotes and all."""
        return [(found[2], found[3]) for found in _ASSIGNED.finditer(self.text)]

    def named(self, end: str) -> tuple[str, str] | None:
        """The first variable whose name ends so, with its value without quotes; None where there is none."""
        return next(((name, _bare(value)) for name, value in self.values if name.endswith(end)), None)

    def value(self, end: str) -> str | None:
        """Its value alone."""
        found = self.named(end)
        return found[1] if found else None

    @property
    def starts_etcd(self) -> bool:
        """Whether it says who a member of etcd is, and with whom."""
        return self.named(NAME) is not None and self.named(INITIAL) is not None

    @property
    def starts_servers(self) -> bool:
        """Whether it says where an API server finds an etcd that is elsewhere."""
        return not self.starts_etcd and self.named(SERVERS) is not None

    def port(self, end: str) -> int | None:
        """The port of the first URL in a variable's value."""
        found = _PORT.search(self.value(end) or "")
        return int(found[1]) if found else None

    def faults(self) -> list[str]:
        """Why values can't be changed, as sentences with their remedy."""
        wanted = (NAME, INITIAL, STATE) if self.starts_etcd else (SERVERS,)
        told: list[str] = []
        for end in wanted:
            found = [(name, value) for name, value in self.values if name.endswith(end)]
            if not found and end == STATE:
                told.append(
                    "it sets no variable ..._INITIAL_CLUSTER_STATE: a member that joins must be told that its cluster "
                    "is existing; let the template set it"
                )
            elif len({name for name, _ in found}) > 1 or len(found) > 1:
                names = ", ".join(name for name, _ in found)
                told.append(f"it sets {names}: which of them counts can't be told; leave one")
            elif found and not _whole(found[0][1]):
                told.append(f"the value of {found[0][0]} goes on after its line; write it on one line")
        name = self.value(NAME) if self.starts_etcd else ""
        if name is not None and self.starts_etcd and (not name or "$" in name or "`" in name):
            told.append(
                f"{NAME} is {name!r}, which only the machine knows: a new member has another name; let the template "
                f"write it out"
            )
        return told

    def with_values(self, changed: Mapping[str, str], renamed: Mapping[str, str]) -> str:
        """The script with other values: by the end of a variable's name, or `renamed` where one is exactly such."""

        def line(found: re.Match[str]) -> str:
            before, name, value = found[1], found[2], found[3]
            # The longest end: a state is no cluster.
            ends = sorted((end for end in (*changed, INITIAL, STATE) if name.endswith(end)), key=len)
            if ends and ends[-1] in changed:
                return f"{before}{name}={_quoted(changed[ends[-1]], value)}"
            bare = _bare(value)
            return f"{before}{name}={_quoted(renamed[bare], value)}" if bare in renamed else found[0]

        return _ASSIGNED.sub(line, self.text)


def _bare(value: str) -> str:
    value = value.strip()
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value


def _quoted(value: str, before: str) -> str:
    sign = before.strip()[:1]
    return f"{sign}{value}{sign}" if sign and sign in "'\"" else value


def _whole(value: str) -> bool:
    return not value.endswith("\\") and value.count('"') % 2 == 0 and value.count("'") % 2 == 0
