"""What is known of attributes: each has a place in Pulumi, and what isn't known is said."""

from __future__ import annotations

import inspect
from typing import Any

import pulumi_aws as aws
import pytest

from migration.balancing import attributes

TABLES: list[tuple[attributes.Table, Any]] = [
    (attributes.NETWORK, aws.lb.LoadBalancerArgs),
    (attributes.APPLICATION, aws.lb.LoadBalancerArgs),
    (attributes.NETWORK_GROUP, aws.lb.TargetGroupArgs),
    (attributes.UDP_GROUP, aws.lb.TargetGroupArgs),
    (attributes.APPLICATION_GROUP, aws.lb.TargetGroupArgs),
    (attributes.NETWORK_LISTENER, aws.lb.ListenerArgs),
    (attributes.APPLICATION_LISTENER, aws.lb.ListenerArgs),
]


@pytest.mark.parametrize(("table", "resource"), TABLES)
def test_every_attribute_has_an_argument_of_pulumis(table: attributes.Table, resource: Any) -> None:
    known = set(inspect.signature(resource.__init__).parameters)
    assert {one.argument.split(".")[0].removesuffix("[]") for one in table.values()} <= known


def test_what_is_off_or_usual_isnt_written_down_and_what_is_unknown_is_told() -> None:
    live = {
        "stickiness.enabled": "false",
        "stickiness.type": "source_ip",
        "preserve_client_ip.enabled": "true",
        "deregistration_delay.timeout_seconds": "30",
        "some.new.switch": "true",
        "some.new.limit": "0",
    }
    known, unknown = attributes.carried(attributes.NETWORK_GROUP, live)
    assert known == {"deregistration_delay.timeout_seconds": "30"}
    assert unknown == {"some.new.switch": "true"}


def test_a_cookies_time_is_that_of_its_kind() -> None:
    live = {
        "stickiness.enabled": "true",
        "stickiness.type": "app_cookie",
        "stickiness.app_cookie.cookie_name": "session",
        "stickiness.app_cookie.duration_seconds": "60",
        "stickiness.lb_cookie.duration_seconds": "86400",
    }
    known, unknown = attributes.carried(attributes.APPLICATION_GROUP, live)
    assert unknown == {}
    assert attributes.arguments(attributes.APPLICATION_GROUP, known) == {
        "stickiness": {"enabled": True, "type": "app_cookie", "cookie_name": "session", "cookie_duration": 60}
    }


def test_values_that_arent_of_their_kind_are_told() -> None:
    said = {"proxy_protocol_v2.enabled": "yes", "deregistration_delay.timeout_seconds": "long"}
    assert attributes.misread(attributes.NETWORK_GROUP, said) == {
        "proxy_protocol_v2.enabled": "is neither true nor false",
        "deregistration_delay.timeout_seconds": "is no whole number",
    }
