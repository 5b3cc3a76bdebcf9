"""A new member is ready when what answers on its machine is the very member that was added."""

from __future__ import annotations

from typing import Any

import pytest

from migration.clients.etcd import Etcd, Member
from migration.layouts.ready import refuse_other_member
from migration.runtime.deadline import Permanent, Retryable

ADDED = Member(id="7", name="d", peer_urls=("https://d:2380",), client_urls=(), learner=True)


class Answers:
    """A transport behind which member `id` answers; nobody where it is empty."""

    def __init__(self, id: str) -> None:
        self.id = id

    def post(self, endpoint: str, path: str, body: Any) -> dict[str, Any]:
        assert (endpoint, path) == ("https://d:2379", "maintenance/status")
        if not self.id:
            raise Retryable("nobody answers")
        return {"header": {"member_id": self.id}, "isLearner": True}


def ready(id: str) -> bool:
    transport: Any = Answers(id)
    return refuse_other_member(Etcd(["https://a:2379"], transport), "https://d:2379", ADDED, "d")


def test_the_member_that_was_added_is_ready_though_it_only_learns() -> None:
    assert ready("7")


def test_while_nobody_answers_it_is_waited_for() -> None:
    with pytest.raises(Retryable):
        ready("")


def test_another_member_on_its_machine_is_refused_with_both_ids() -> None:
    with pytest.raises(Permanent, match=r"etcd at https://d:2379 is member 6, and d was added as 7: .*empty data"):
        ready("6")
