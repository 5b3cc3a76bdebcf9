"""The motions moto skips: health by report, draining, commands that run; and the backplane that carries them."""

from __future__ import annotations

import threading
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.aws.serializing import KNOWN
from lab.aws.snapshot import snapshot
from lab.aws.world import WORLD


@pytest.fixture
def served(aws: Any, old: Any) -> tuple[str, str]:
    """A target group behind a balancer, with one instance."""
    targets, instance = old.new_targets("ingress"), old.new_instance()
    old.listen(old.new_balancer("ingress"), targets)
    aws.elb.register_targets(TargetGroupArn=targets, Targets=[{"Id": instance}])
    return targets, instance


def health(aws: Any, targets: str) -> list[tuple[str, str | None]]:
    found = aws.elb.describe_target_health(TargetGroupArn=targets)["TargetHealthDescriptions"]
    return [(h["TargetHealth"]["State"], h["TargetHealth"].get("Reason")) for h in found]


def report(aws: Any, targets: str, instance: str, state: str, **more: Any) -> None:
    aws.post("/target-health", {targets: {f"{instance}:30080": {"state": state, **more}}})


def test_a_target_is_initial_until_somebody_reports(aws: Any, served: tuple[str, str]) -> None:
    targets, instance = served
    assert health(aws, targets) == [("initial", "Elb.InitialHealthChecking")]
    report(aws, targets, instance, "healthy")
    assert health(aws, targets) == [("healthy", None)]
    report(aws, targets, instance, "unhealthy")
    assert health(aws, targets) == [("unhealthy", "Target.FailedHealthChecks")]


def test_reports_wake_nobody(aws: Any, served: tuple[str, str]) -> None:
    before = aws.state()["revision"]
    report(aws, *served, "healthy")
    assert aws.state()["revision"] == before


def test_targets_of_no_balancer_are_unused(aws: Any, old: Any) -> None:
    targets = old.new_targets("spare")
    aws.elb.register_targets(TargetGroupArn=targets, Targets=[{"Id": old.new_instance()}])
    assert health(aws, targets) == [("unused", "Target.NotInUse")]


def test_a_deregistered_target_drains_and_vanishes(aws: Any, served: tuple[str, str]) -> None:
    targets, instance = served
    report(aws, targets, instance, "healthy")
    aws.elb.deregister_targets(TargetGroupArn=targets, Targets=[{"Id": instance}])
    assert health(aws, targets) == [("draining", "Target.DeregistrationInProgress")]
    assert [t["state"] for t in aws.state()["target_groups"][0]["targets"]] == ["draining"]
    aws.until(lambda s: s["target_groups"][0]["targets"] == [])
    assert health(aws, targets) == []


def test_a_target_that_comes_back_is_initial_again(aws: Any, served: tuple[str, str]) -> None:
    targets, instance = served
    report(aws, targets, instance, "healthy")
    aws.elb.deregister_targets(TargetGroupArn=targets, Targets=[{"Id": instance}])
    report(aws, targets, instance, "healthy")
    aws.elb.register_targets(TargetGroupArn=targets, Targets=[{"Id": instance}])
    assert health(aws, targets) == [("initial", "Elb.InitialHealthChecking")]
    time.sleep(1.2)
    assert len(aws.state()["target_groups"][0]["targets"]) == 1, "the old drain must not take the new target"


def test_the_groups_own_delay_counts_when_it_is_shorter(aws: Any, served: tuple[str, str]) -> None:
    targets, instance = served
    aws.elb.modify_target_group_attributes(
        TargetGroupArn=targets, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}]
    )
    aws.elb.deregister_targets(TargetGroupArn=targets, Targets=[{"Id": instance}])
    assert health(aws, targets) == []


def test_deregistering_what_isnt_there_is_no_error(aws: Any, served: tuple[str, str]) -> None:
    aws.elb.deregister_targets(TargetGroupArn=served[0], Targets=[{"Id": "i-0123456789abcdef0"}])


def test_one_instance_on_two_ports_is_two_targets(aws: Any, served: tuple[str, str]) -> None:
    targets, instance = served
    aws.elb.register_targets(TargetGroupArn=targets, Targets=[{"Id": instance, "Port": 30081}])
    assert {t["port"] for t in aws.state()["target_groups"][0]["targets"]} == {30080, 30081}


def test_a_balancers_addresses_are_its_interfaces(aws: Any, old: Any) -> None:
    balancer = old.new_balancer("ingress")
    told = aws.state()["load_balancers"][0]
    suffix = balancer["LoadBalancerArn"].split(":loadbalancer/")[1]
    found = aws.ec2.describe_network_interfaces(Filters=[{"Name": "description", "Values": [f"ELB {suffix}"]}])[
        "NetworkInterfaces"
    ]
    assert sorted(a["ip"] for a in told["addresses"]) == sorted(i["PrivateIpAddress"] for i in found)
    assert sorted(a["subnet"] for a in told["addresses"]) == sorted(old.subnets)
    with pytest.raises(ClientError, match="currently in use"):
        aws.ec2.delete_network_interface(NetworkInterfaceId=found[0]["NetworkInterfaceId"])
    aws.elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    assert aws.state()["interfaces"] == []


def test_cross_zone_is_told(aws: Any, old: Any) -> None:
    balancer = old.new_balancer("ingress")
    assert aws.state()["load_balancers"][0]["cross_zone"] is False
    aws.elb.modify_load_balancer_attributes(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Attributes=[{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}],
    )
    assert aws.state()["load_balancers"][0]["cross_zone"] is True


def test_a_protected_balancer_is_not_deleted(aws: Any, old: Any) -> None:
    arn = old.new_balancer("ingress")["LoadBalancerArn"]
    protect = [{"Key": "deletion_protection.enabled", "Value": "true"}]
    aws.elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=protect)
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        aws.elb.delete_load_balancer(LoadBalancerArn=arn)


def test_a_command_runs_when_the_agent_takes_it(aws: Any, old: Any) -> None:
    instance = old.new_instance()
    sent = aws.ssm.send_command(
        InstanceIds=[instance], DocumentName="AWS-RunShellScript", Parameters={"commands": ["systemctl stop etcd"]}
    )["Command"]
    assert sent["Status"] == "Pending"

    def status() -> dict[str, Any]:
        return aws.ssm.get_command_invocation(CommandId=sent["CommandId"], InstanceId=instance)

    assert status()["Status"] == "Pending"
    taken = aws.get(f"/commands?instance={instance}&wait=5")
    assert taken == [
        {
            "id": sent["CommandId"],
            "document": "AWS-RunShellScript",
            "parameters": {"commands": ["systemctl stop etcd"]},
        }
    ]
    assert status()["Status"] == "InProgress"
    assert aws.get(f"/commands?instance={instance}&wait=0") == []
    aws.post(
        f"/commands/{sent['CommandId']}",
        {"instance": instance, "status": "Failed", "stdout": "out", "stderr": "err", "code": 3},
    )
    seen = status()
    assert (seen["Status"], seen["ResponseCode"]) == ("Failed", 3)
    assert (seen["StandardOutputContent"], seen["StandardErrorContent"]) == ("out", "err")
    assert aws.ssm.list_commands(CommandId=sent["CommandId"])["Commands"][0]["Status"] == "Failed"


def test_a_command_to_a_dead_instance_is_refused(aws: Any, old: Any) -> None:
    instance = old.new_instance()
    aws.ec2.terminate_instances(InstanceIds=[instance])
    with pytest.raises(ClientError, match="InvalidInstanceId"):
        aws.ssm.send_command(InstanceIds=[instance], DocumentName="AWS-RunShellScript", Parameters={"commands": ["x"]})


def test_an_agent_waiting_for_commands_is_woken(aws: Any, old: Any) -> None:
    instance = old.new_instance()
    taken: list[Any] = []
    waiter = threading.Thread(target=lambda: taken.extend(aws.get(f"/commands?instance={instance}&wait=10")))
    waiter.start()
    aws.ssm.send_command(InstanceIds=[instance], DocumentName="AWS-RunShellScript", Parameters={"commands": ["x"]})
    waiter.join(10)
    assert len(taken) == 1


def test_secure_parameters_come_back_in_clear_only_when_asked(aws: Any) -> None:
    aws.ssm.put_parameter(Name="/pet/pki/ca.key", Value="secret", Type="SecureString")
    assert aws.ssm.get_parameter(Name="/pet/pki/ca.key")["Parameter"]["Value"] != "secret"
    assert aws.ssm.get_parameter(Name="/pet/pki/ca.key", WithDecryption=True)["Parameter"]["Value"] == "secret"
    with pytest.raises(ClientError, match="ParameterAlreadyExists"):
        aws.ssm.put_parameter(Name="/pet/pki/ca.key", Value="x", Type="SecureString")


def test_balancer_metrics_go_in_and_out_and_wake_nobody(aws: Any) -> None:
    before = aws.state()["revision"]
    now = datetime.now(tz=UTC)
    dimensions = [{"Name": "LoadBalancer", "Value": "net/ingress/0123456789abcdef"}]
    for second, value in ((0, 3.0), (70, 4.0)):
        aws.cloudwatch.put_metric_data(
            Namespace="AWS/NetworkELB",
            MetricData=[
                {
                    "MetricName": "NewFlowCount",
                    "Dimensions": dimensions,
                    "Value": value,
                    "Timestamp": now - timedelta(seconds=120 - second),
                }
            ],
        )
    window = {"StartTime": now - timedelta(minutes=5), "EndTime": now + timedelta(minutes=1)}
    points = aws.cloudwatch.get_metric_statistics(
        Namespace="AWS/NetworkELB",
        MetricName="NewFlowCount",
        Dimensions=dimensions,
        Period=60,
        Statistics=["Sum"],
        **window,
    )["Datapoints"]
    assert sorted(p["Sum"] for p in points) == [3.0, 4.0]
    metric = {"Namespace": "AWS/NetworkELB", "MetricName": "NewFlowCount", "Dimensions": dimensions}
    data = aws.cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "flows", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}], **window
    )["MetricDataResults"][0]
    assert sorted(data["Values"]) == [3.0, 4.0]
    assert aws.state()["revision"] == before


def test_policies_are_simulated_for_roles_and_the_operator(aws: Any) -> None:
    role = aws.iam.create_role(RoleName="node", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    document = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"},'
        '{"Effect": "Deny", "Action": "ec2:DescribeTags", "Resource": "*"}]}'
    )
    aws.iam.put_role_policy(RoleName="node", PolicyName="p", PolicyDocument=document)
    actions = ["ec2:DescribeInstances", "ec2:DescribeTags", "ec2:RunInstances"]

    def decisions(arn: str) -> list[str]:
        answer = aws.iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=actions)
        return [r["EvalDecision"] for r in answer["EvaluationResults"]]

    assert decisions(role) == ["allowed", "explicitDeny", "implicitDeny"]
    assert decisions(aws.client("sts").get_caller_identity()["Arn"]) == ["allowed"] * 3
    with pytest.raises(ClientError, match="NoSuchEntity"):
        decisions("arn:aws:iam::123456789012:role/nobody")


def test_a_second_instance_profile_of_that_name_is_refused(aws: Any) -> None:
    aws.iam.create_instance_profile(InstanceProfileName="nodes")
    with pytest.raises(ClientError, match="EntityAlreadyExists"):
        aws.iam.create_instance_profile(InstanceProfileName="nodes")


def test_a_poll_answers_when_something_changes(aws: Any, old: Any) -> None:
    revision = aws.state()["revision"]
    answers: list[dict[str, Any]] = []
    poller = threading.Thread(target=lambda: answers.append(aws.get(f"/state?after={revision}&wait=15")))
    poller.start()
    aws.ec2.create_tags(Resources=[old.vpc], Tags=[{"Key": "k", "Value": "v"}])
    poller.join(10)
    assert answers[0]["revision"] > revision
    assert next(v for v in answers[0]["vpcs"] if v["id"] == old.vpc)["tags"] == {"k": "v"}


def test_who_needs_no_user_data_gets_the_same_state_without_it(aws: Any, old: Any) -> None:
    old.new_group("two", 2)
    whole = aws.until(lambda s: len(s["instances"]) == 2)
    short = aws.get("/state?omit=user_data")
    assert short["revision"] == aws.state()["revision"]
    assert all(one["user_data"] for one in aws.state()["instances"])
    assert not any("user_data" in one for one in short["instances"])
    kept = [{key: value for key, value in one.items() if key != "user_data"} for one in whole["instances"]]
    assert [one["id"] for one in short["instances"]] == [one["id"] for one in kept]
    assert short["instances"][0].keys() == kept[0].keys()


def test_where_values_are_found_is_remembered_by_what_they_are_not_by_how_many(aws: Any, old: Any) -> None:
    old.new_group("few", 3)
    aws.until(lambda s: len(s["instances"]) == 3)
    few = aws.ec2.describe_instances()["Reservations"]
    known = len(KNOWN)
    assert known
    old.new_group("more", 6)
    aws.until(lambda s: len(s["instances"]) == 9)
    more = aws.ec2.describe_instances()["Reservations"]
    assert len(KNOWN) == known
    assert sum(len(one["Instances"]) for one in more) == 9
    assert few[0]["Instances"][0].keys() == more[-1]["Instances"][0].keys()


def test_a_poll_without_a_change_answers_the_same_revision(aws: Any, old: Any) -> None:
    revision = aws.state()["revision"]
    time.sleep(0.1)
    assert aws.get(f"/state?after={revision}&wait=0.2")["revision"] == revision


def test_reading_and_failing_calls_do_not_change_the_revision(aws: Any, old: Any) -> None:
    revision = aws.state()["revision"]
    aws.ec2.describe_vpcs()
    aws.dns.list_hosted_zones()
    aws.asg.describe_auto_scaling_groups()
    with pytest.raises(ClientError):
        aws.ec2.delete_vpc(VpcId=old.vpc)
    assert aws.state()["revision"] == revision


def test_a_bad_backplane_call_is_a_sentence(aws: Any) -> None:
    for path, body in (
        ("/nothing", {}),
        ("/target-health", {"arn": {"i-1:80": {"state": "fine"}}}),
        ("/commands/unknown", {"instance": "i-1", "status": "Success"}),
        ("/instances/i-unknown/terminated-by-failure", {}),
    ):
        with pytest.raises(urllib.error.HTTPError) as raised:
            aws.post(path, body)
        assert raised.value.code in (400, 404)


def test_an_action_moto_lacks_is_an_aws_error(aws: Any) -> None:
    with pytest.raises(ClientError, match="InternalFailure"):
        aws.ec2.describe_network_insights_paths()


def test_the_snapshot_is_consistent_under_concurrent_calls(aws: Any, old: Any) -> None:
    def call(n: int) -> None:
        client = aws.client("ec2")
        group = client.create_security_group(GroupName=f"g{n}", Description="x", VpcId=old.vpc)["GroupId"]
        client.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
        )
        for told in aws.state()["security_groups"]:
            if told["name"].startswith("g") and told["ingress"]:
                assert told["ingress"][0]["groups"] == [told["id"]]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(24)))
    assert len([g for g in aws.state()["security_groups"] if g["name"].startswith("g")]) == 24


def test_a_snapshot_of_250_instances_is_one_pass_over_each(aws: Any, old: Any, monkeypatch: Any) -> None:
    """No clock: what would make it slow is reading every tag for each resource, which moto's `get_tags` does."""
    old.new_group("many", 250, MaxSize=250, Tags=[{"Key": "k", "Value": "v", "PropagateAtLaunch": True}])
    aws.until(lambda s: len(s["instances"]) == 250, limit_s=60)
    calls: list[Any] = []
    monkeypatch.setattr(type(WORLD.ec2), "describe_tags", lambda *a, **k: calls.append(a) or [])
    with WORLD.lock:
        started = time.perf_counter()
        told = snapshot(WORLD)
        print(f"snapshot of 250 instances: {(time.perf_counter() - started) * 1000:.1f} ms")
    assert len(told["instances"]) == 250
    assert calls == []
