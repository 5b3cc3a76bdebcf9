"""The gate before the first swap looks for every configured member in etcd's own list."""

from __future__ import annotations

from typing import Any

import pytest

from migration.clients.aws import Instance
from migration.clients.etcd import Etcd
from migration.contracts.gates import EtcdPreflight
from migration.gates import Live, members
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent
from migration.stages import STAGES
from tests.samples import settings
from tests.unit.etcd.test_preflight import Voters

QUESTION = EtcdPreflight.of(settings(7), STAGES[7])


class Machines:
    """Two of the three members' machines, by whatever address they have now."""

    def instances_of_groups(self, groups: list[str]) -> list[Instance]:
        return [
            Instance(id=f"i-{number}", ip=f"10.0.9.{number}", zone="a", vpc="v", group=pair.old.group, state="running")
            for number, pair in enumerate(QUESTION.members[:2], 10)
        ]

    def groups(self, names: list[str]) -> dict[str, Any]:
        return {}  # no move has noted anything


class Listed(Voters):
    """As `Voters`, with peer URLs that lead somewhere."""

    def post(self, endpoint: str, path: str, body: Any) -> dict[str, Any]:
        answer = super().post(endpoint, path, body)
        for entry in answer.get("members", []):
            entry["peerURLs"] = [f"https://10.0.9.{entry['ID']}:2380"]
        return answer


def gate(monkeypatch: pytest.MonkeyPatch, question: EtcdPreflight) -> str:
    monkeypatch.setattr(members, "reach", lambda *_, **__: Etcd(["c10"], Listed()))
    clients: Any = type("Clients", (), {"aws": Machines()})()
    return members.preflight(question, Live("pet", Context(log=lambda _: None, deadline=Deadline(1), clients=clients)))


def test_a_configured_member_that_etcd_does_not_list_stops_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    third = QUESTION.members[2].old
    with pytest.raises(
        Permanent, match=rf"^{third.name} can't be found in etcd's list\. migration:members: .*{third.name}"
    ):
        gate(monkeypatch, QUESTION)


def test_all_found_is_said_entry_by_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    said = gate(monkeypatch, QUESTION.model_copy(update={"members": QUESTION.members[:2]}))
    assert said.startswith("2 voters healthy, slowest round trip between them 2 ms; m10 at https://10.0.9.10:2380")
