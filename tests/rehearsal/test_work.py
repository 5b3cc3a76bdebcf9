"""What was done between two moments, from counters that only rise."""

from __future__ import annotations

from rehearsal.work import Counted, Work, accepted_evictions, done_between, granted

METRICS = """\
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="eviction",verb="POST",version="v1"} 231
apiserver_request_total{code="429",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="eviction",verb="POST",version="v1"} 57
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="binding",verb="POST",version="v1"} 400
apiserver_request_total{code="200",component="apiserver",dry_run="",group="apps",resource="deployments",scope="resource",subresource="scale",verb="PUT",version="v1"} 9
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="eviction",verb="POST",version="v1"} 1.2e+01
"""  # noqa: E501


def test_evictions_that_were_granted_count_and_those_that_a_budget_refused_do_not() -> None:
    assert accepted_evictions(METRICS) == 243
    assert accepted_evictions("") == 0


def counted(calls: dict[str, int], **evictions: int) -> Counted:
    return Counted(calls=calls, evictions=evictions)


def test_what_was_done_is_the_difference_of_both_moments() -> None:
    before = counted({"CreateVpc": 1, "PutParameter": 4}, a=10, b=2)
    after = counted({"CreateVpc": 1, "PutParameter": 6, "DeleteVpc": 1}, a=12, b=2)
    found = done_between(before, after)
    assert found == Work(calls={"PutParameter": 2, "DeleteVpc": 1}, evictions=2)
    assert found.operations == 5


def test_evictions_are_not_known_where_an_api_server_came_went_or_began_anew() -> None:
    before = counted({}, a=10, b=2)
    assert done_between(before, counted({}, a=12)).evictions is None
    assert done_between(before, counted({}, a=12, b=2, c=0)).evictions is None
    assert done_between(before, counted({}, a=1, b=2)).evictions is None
    assert done_between(counted({}), counted({})).evictions is None


def test_stages_at_which_members_changed_leave_the_others_evictions_known() -> None:
    def work(evictions: int | None) -> Work:
        return Work(calls={}, evictions=evictions)

    assert granted([work(227), work(None), work(231)]) == 458
    assert granted([work(None)]) is None
    assert granted([]) is None
