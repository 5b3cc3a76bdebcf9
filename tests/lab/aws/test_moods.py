"""A busy account: calls are throttled and reads lag, and the product's own clients get through."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.retries.bucket import TokenBucket

from lab.addresses import REGION
from lab.aws import hooks
from lab.aws.world import WORLD
from lab.plugins.aws.call import Clients, Clock
from lab.plugins.aws.provider import AwsPlugin
from lab.plugins.aws.table import TABLE
from lab.plugins.aws.young import YOUNG_S
from lab.plugins.errors import HalfMade
from lab.plugins.host import Request
from lab.settings import LabSettings
from migration.clients.aws import Aws as Client
from migration.contracts.workers import HeldBefore
from migration.workers.hold import PROCESSES, forget, hold, note, release, suspended
from tests.lab.aws.conftest import Aws, Refuses

OPERATOR = "operator"
"""An access key that isn't the lab's own."""


@pytest.fixture
def aws(aws: Aws) -> Aws:
    """As somebody who isn't the lab's own tooling."""
    return Aws(aws.url, key=OPERATOR)


def product(aws: Any) -> Client:
    session: Any = boto3.Session(OPERATOR, OPERATOR, region_name=REGION)
    return Client(region=REGION, session=session)


@pytest.fixture
def own(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The product's client, with its own ways of retrying."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    return product(aws)


def test_each_service_says_in_its_own_words_that_it_was_asked_too_often(aws: Any, refuses: Refuses) -> None:
    WORLD.settings = LabSettings(throttle=0.999999)
    rule = "request_rate_exceeded"
    assert refuses("RequestLimitExceeded", rule, aws.ec2.describe_vpcs) == "Request limit exceeded."
    refuses("Throttling", rule, aws.asg.describe_auto_scaling_groups)
    refuses("Throttling", rule, aws.elb.describe_load_balancers)
    refuses("Throttling", rule, aws.dns.list_hosted_zones)
    refuses("Throttling", rule, aws.iam.list_roles)
    refuses("ThrottlingException", rule, lambda: aws.ssm.get_parameters(Names=["/a"]))


def throttled(aws: Any, calls: int) -> list[bool]:
    found: list[bool] = []
    for _ in range(calls):
        try:
            aws.ec2.describe_vpcs()
            found.append(False)
        except ClientError:
            found.append(True)
    return found


def test_the_seed_says_which_calls(aws: Any) -> None:
    seen: dict[int, list[bool]] = {}
    for seed in (1, 2, 1):
        WORLD.reset(LabSettings(throttle=0.3, seed=seed))
        found = throttled(aws, 40)
        assert seen.setdefault(seed, found) == found
    assert seen[1] != seen[2]
    assert 4 <= sum(seen[1]) <= 20


def test_the_labs_own_tooling_meets_no_moods(aws: Aws) -> None:
    WORLD.settings = LabSettings(throttle=0.999999, lag_s=60)
    own = Aws(aws.url)
    vpc = own.ec2.create_vpc(CidrBlock="127.30.0.0/16")["Vpc"]["VpcId"]
    assert [len(own.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]) for _ in range(20)] == [1] * 20


def test_the_products_client_gets_through_five_percent(aws: Any, own: Client) -> None:
    WORLD.reset(LabSettings(throttle=0.05, seed=7))
    met: list[str] = []
    own.ec2.meta.events.register(
        "needs-retry.ec2", lambda response, **_: met.append(str(response[0].status_code)) if response else None
    )
    for _ in range(60):
        assert own.ec2.describe_vpcs()["Vpcs"]
    own.ssm.put_parameter(Name="/pet/migration/record", Type="String", Value="{}")
    assert own.ssm.get_parameter(Name="/pet/migration/record")["Parameter"].get("Value") == "{}"
    assert "503" in met


def test_the_products_client_slows_down_when_it_is_told_to(own: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts, no two alike, and from then on each call waits for its turn; a bounded number in all."""
    pauses, turns, sent = list[float](), list[int](), list[int]()
    monkeypatch.setattr("botocore.endpoint.time.sleep", pauses.append)
    monkeypatch.setattr(TokenBucket, "acquire", lambda *_, **__: turns.append(len(sent)))
    own.ec2.meta.events.register("before-send.ec2", lambda **_: sent.append(1))
    assert own.ec2.describe_vpcs()["Vpcs"]
    assert (pauses, turns, len(sent)) == ([], [], 1)
    WORLD.settings = LabSettings(throttle=0.999999)
    with pytest.raises(ClientError, match=r"RequestLimitExceeded.*reached max retries"):
        own.ec2.describe_vpcs()
    assert len(sent) == 1 + 10
    assert len(set(pauses)) == 9
    # The first was sent before anybody had said a word.
    assert len(turns) == 9


def test_what_was_made_a_moment_ago_may_not_be_known_yet(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    WORLD.settings = LabSettings(lag_s=60, seed=1)
    vpc = aws.ec2.create_vpc(CidrBlock="127.30.0.0/16")["Vpc"]["VpcId"]
    known: list[bool] = []
    for _ in range(20):
        try:
            aws.ec2.describe_vpcs(VpcIds=[vpc])
            known.append(True)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidVpcID.NotFound"  # type: ignore[typeddict-item]
            known.append(False)
    assert True in known and False in known
    with hooks.without("reads_lag_behind_writes"):
        assert [len(aws.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]) for _ in range(20)] == [1] * 20
    later = WORLD.clock() + 61
    monkeypatch.setattr(WORLD, "clock", lambda: later)
    assert [aws.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["VpcId"] for _ in range(20)] == [vpc] * 20


def test_a_read_may_be_answered_as_before_the_change(aws: Any, old: Any) -> None:
    old.new_group("workers", 0)
    WORLD.settings = LabSettings(lag_s=60, seed=1)

    def most() -> int:
        return aws.asg.describe_auto_scaling_groups(AutoScalingGroupNames=["workers"])["AutoScalingGroups"][0][
            "MaxSize"
        ]

    assert most() == 10
    aws.asg.update_auto_scaling_group(AutoScalingGroupName="workers", MaxSize=3)
    assert most() in (3, 10)
    # What was answered since the change isn't taken back.
    while most() != 3:
        pass
    assert [most() for _ in range(20)] == [3] * 20


@pytest.mark.parametrize("first", ["a call", "the account by itself"])
def test_no_answer_is_older_than_the_lag(first: str, aws: Any, old: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed longer ago is told, whatever changes now: else an account that is never quiet never learns of it."""
    old.new_group("workers", 0)
    WORLD.settings = LabSettings(lag_s=60, seed=1)
    now = [WORLD.clock()]
    monkeypatch.setattr(WORLD, "clock", lambda: now[0])

    def sizes() -> tuple[int, int]:
        [group] = aws.asg.describe_auto_scaling_groups(AutoScalingGroupNames=["workers"])["AutoScalingGroups"]
        return group["MaxSize"], group["DesiredCapacity"]

    assert sizes() == (10, 0)
    now[0] += 10
    if first == "a call":
        aws.asg.update_auto_scaling_group(AutoScalingGroupName="workers", MaxSize=3)
    else:
        WORLD.autoscaling.autoscaling_groups["workers"].max_size = 3
        WORLD.bump()
    now[0] += 61
    aws.asg.create_or_update_tags(
        Tags=[{"ResourceType": "auto-scaling-group", "ResourceId": "workers", "Key": "a", "Value": "b"}]
    )
    now[0] += 1
    assert [sizes() for _ in range(20)] == [(3, 0)] * 20


def test_a_group_is_held_and_given_back_in_a_busy_account(own: Client, old: Any) -> None:
    """As the product does it: look, act, look again until nothing is left to do."""
    old.new_group("workers", 1)
    WORLD.settings = LabSettings(throttle=0.05, lag_s=1.0, seed=7)
    before: dict[str, HeldBefore] = {}

    def until_quiet(act: Callable[[Client, Any, dict[str, HeldBefore], Callable[[], None]], bool]) -> Mapping[str, Any]:
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 1.5:
            if act(own, own.groups(["workers"])["workers"], before, lambda: None):
                quiet_since = time.monotonic()
            time.sleep(0.1)
        return own.groups(["workers"])["workers"]

    def holding(aws: Client, group: Any, before: dict[str, HeldBefore], alive: Callable[[], None]) -> bool:
        noted = note(aws, [group], before, alive)
        return hold(aws, group, before, alive) or bool(noted)

    def giving_back(aws: Client, group: Any, before: dict[str, HeldBefore], alive: Callable[[], None]) -> bool:
        given = release(aws, group, before, alive)
        forget(aws, ["workers"] if given else [], alive)
        return given

    held = until_quiet(holding)
    assert (held["MaxSize"], suspended(held)) == (1, set(PROCESSES))
    assert before["workers"] == HeldBefore(max=10, suspended=(), processes=PROCESSES)
    free = until_quiet(giving_back)
    assert (free["MaxSize"], suspended(free)) == (10, set())


def test_the_labs_own_plugin_waits_for_what_it_made(
    aws: Any, own: Client, old: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, OPERATOR)
    WORLD.settings = LabSettings(lag_s=1.0, seed=3)
    ec2 = Clients(REGION).get("ec2")
    made = [ec2.create_security_group(GroupName=f"g{n}", Description="g", VpcId=old.vpc)["GroupId"] for n in range(4)]
    assert [ec2.describe_security_groups(GroupIds=[one])["SecurityGroups"][0]["GroupId"] for one in made] == made
    with pytest.raises(ClientError, match=r"InvalidGroup.NotFound"):
        ec2.describe_security_groups(GroupIds=["sg-0123456789abcdef0"])


ROUTE = "aws:ec2/route:Route"


@pytest.fixture
def route(aws: Aws, old: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Request]:
    """What the engine asks the lab's plugin for, for a route of that number."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, OPERATOR)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    table = aws.ec2.create_route_table(VpcId=old.vpc)["RouteTable"]["RouteTableId"]
    gateway = aws.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    aws.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=old.vpc)

    def asked(number: int) -> Request:
        inputs = {"routeTableId": table, "destinationCidrBlock": f"10.{number}.0.0/16", "gatewayId": gateway}
        return Request(type=ROUTE, name=f"r{number}", inputs=inputs)

    return asked


def test_the_labs_own_plugin_waits_until_what_it_made_is_shown(route: Callable[[int], Request]) -> None:
    WORLD.settings = LabSettings(lag_s=1.0, seed=3)
    plugin = AwsPlugin()
    plugin.configure({"region": REGION})
    made = [plugin.create(route(number)) for number in range(6)]
    assert [outputs["state"] for _, outputs in made] == ["active"] * 6


def test_the_labs_own_plugin_waits_until_what_it_changed_is_shown(old: Any, route: Callable[[int], Request]) -> None:
    """Else the state has the value of before, and the next `up` finds a change that isn't one."""
    WORLD.settings = LabSettings(lag_s=1.0, seed=3)
    plugin, kind = AwsPlugin(), "aws:ec2/routeTable:RouteTable"
    plugin.configure({"region": REGION})
    id_, outputs = plugin.create(Request(type=kind, name="t", inputs={"vpcId": old.vpc, "tags": {"n": "0"}}))
    for number in range(1, 6):
        inputs = {"vpcId": old.vpc, "tags": {"n": str(number)}}
        outputs = plugin.update(Request(type=kind, name="t", id=id_, inputs=inputs, old_outputs=outputs))
        assert outputs["tags"] == inputs["tags"]


def test_what_is_shown_otherwise_than_it_was_given_is_taken_as_it_is_shown(
    old: Any, route: Callable[[int], Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    WORLD.settings = LabSettings()
    kind = "aws:ec2/routeTable:RouteTable"
    row, passed = TABLE[kind], [0.0]
    monkeypatch.setitem(TABLE, kind, replace(row, read=lambda call: {**(row.read(call) or {}), "tags": {"other": "x"}}))
    plugin = AwsPlugin(Clock(now=lambda: passed[0], pause=lambda seconds: passed.append(passed.pop() + seconds)))
    plugin.configure({"region": REGION})
    inputs = {"vpcId": old.vpc, "tags": {"n": "0"}}
    _, outputs = plugin.create(Request(type=kind, name="t", inputs=inputs))
    assert outputs["tags"] == {"other": "x"}
    assert passed[0] >= YOUNG_S


def test_what_is_never_shown_isnt_lost(route: Callable[[int], Request], monkeypatch: pytest.MonkeyPatch) -> None:
    WORLD.settings = LabSettings()
    monkeypatch.setitem(TABLE, ROUTE, replace(TABLE[ROUTE], read=lambda call: None))
    passed = [0.0]
    plugin = AwsPlugin(Clock(now=lambda: passed[0], pause=lambda seconds: passed.append(passed.pop() + seconds)))
    plugin.configure({"region": REGION})
    with pytest.raises(HalfMade, match="to be shown: not so within 20 s"):
        plugin.create(route(1))


def test_what_is_deleted_isnt_waited_for(own: Client, old: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, OPERATOR)
    WORLD.settings = LabSettings()
    ec2, asked = Clients(REGION).get("ec2"), list[str]()
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=old.vpc)["GroupId"]
    ec2.delete_security_group(GroupId=group)
    ec2.meta.events.register("before-send.ec2", lambda **_: asked.append("once"))
    with pytest.raises(ClientError, match=r"InvalidGroup\.NotFound"):
        ec2.describe_security_groups(GroupIds=[group])
    assert asked == ["once"]
