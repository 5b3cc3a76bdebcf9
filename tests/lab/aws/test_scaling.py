"""Auto Scaling: what a template says reaches the machines, the loop replaces them, and a suspended process rests."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

SETTLED_S = 0.4
"""Longer than several passes of the loop: what hasn't happened by then doesn't."""


def of_group(state: dict[str, Any], name: str, *states: str) -> list[dict[str, Any]]:
    wanted = states or ("running",)
    return [
        i for i in state["instances"] if i["tags"].get("aws:autoscaling:groupName") == name and i["state"] in wanted
    ]


def running(name: str, count: int) -> Any:
    return lambda state: len(of_group(state, name)) == count


def described(aws: Any, name: str) -> dict[str, Any]:
    return aws.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]


def suspend(aws: Any, name: str, *processes: str) -> None:
    aws.asg.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=list(processes))


def resume(aws: Any, name: str, *processes: str) -> None:
    aws.asg.resume_processes(AutoScalingGroupName=name, ScalingProcesses=list(processes))


def set_size(aws: Any, name: str, desired: int) -> None:
    aws.asg.update_auto_scaling_group(AutoScalingGroupName=name, DesiredCapacity=desired)


def test_everything_a_template_says_reaches_the_instance(aws: Any, old: Any) -> None:
    aws.iam.create_instance_profile(InstanceProfileName="nodes")
    template = old.new_template(
        "full",
        IamInstanceProfile={"Name": "nodes"},
        InstanceMarketOptions={"MarketType": "spot"},
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        BlockDeviceMappings=[{"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 9, "DeleteOnTermination": True}}],
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "from-template", "Value": "yes"}]},
            {"ResourceType": "volume", "Tags": [{"Key": "volume-tag", "Value": "yes"}]},
        ],
    )
    old.new_group(
        "workers",
        1,
        LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
        Tags=[
            {"Key": "Name", "Value": "worker", "PropagateAtLaunch": True},
            {"Key": "stays", "Value": "here", "PropagateAtLaunch": False},
        ],
    )
    told = of_group(aws.until(running("workers", 1)), "workers")[0]
    seen = aws.ec2.describe_instances(InstanceIds=[told["id"]])["Reservations"][0]["Instances"][0]
    assert seen["IamInstanceProfile"]["Arn"] == told["iam_profile"]
    assert told["iam_profile"] == "arn:aws:iam::123456789012:instance-profile/nodes"
    assert (seen["InstanceLifecycle"], told["market"]) == ("spot", "spot")
    assert seen["MetadataOptions"]["HttpTokens"] == "required"
    assert seen["MetadataOptions"]["HttpPutResponseHopLimit"] == 2
    assert told["user_data"] == base64.b64encode(b"#cloud-config\nruncmd: []\n").decode()
    wanted = {"from-template": "yes", "Name": "worker", "aws:autoscaling:groupName": "workers"}
    assert wanted.items() <= told["tags"].items()
    assert "stays" not in told["tags"]
    assert "/dev/sdb" in {v["device"] for v in told["volumes"]}
    volume = next(v for v in aws.ec2.describe_volumes()["Volumes"] if v["Size"] == 9)
    assert {"Key": "volume-tag", "Value": "yes"} in volume["Tags"]
    data = aws.ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"][0]
    assert {s["ResourceType"] for s in data["LaunchTemplateData"]["TagSpecifications"]} == {"instance", "volume"}


def test_a_groups_template_version_is_what_its_instances_get(aws: Any, old: Any) -> None:
    template = old.new_template("versions")
    aws.ec2.create_launch_template_version(
        LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData={"InstanceType": "c5.large"}
    )
    old.new_group("latest", 1, LaunchTemplate={"LaunchTemplateId": template, "Version": "$Latest"})
    old.new_group("default", 1, LaunchTemplate={"LaunchTemplateId": template, "Version": "$Default"})
    state = aws.until(lambda s: running("latest", 1)(s) and running("default", 1)(s))
    assert of_group(state, "latest")[0]["type"] == "c5.large"
    assert of_group(state, "default")[0]["type"] == "m5.large"
    assert of_group(state, "latest")[0]["security_groups"] == [old.group]
    assert described(aws, "latest")["Instances"][0]["LaunchTemplate"]["Version"] == "2"


def test_instances_spread_over_the_groups_subnets(aws: Any, old: Any) -> None:
    old.new_group("workers", 6)
    told = of_group(aws.until(running("workers", 6)), "workers")
    assert sorted(i["subnet"] for i in told) == sorted(old.subnets * 2)
    assert len({i["private_ip"] for i in told}) == 6
    assert all(i["asg"] == "workers" for i in told)


def test_updating_the_capacity_to_zero_empties_the_group(aws: Any, old: Any) -> None:
    old.new_group("workers", 2)
    aws.until(running("workers", 2))
    set_size(aws, "workers", 0)
    state = aws.until(lambda s: len(of_group(s, "workers", "terminated")) == 2)
    assert of_group(state, "workers") == []
    assert described(aws, "workers")["DesiredCapacity"] == 0


def test_a_smaller_maximum_pulls_the_capacity_down_and_a_larger_minimum_up(aws: Any, old: Any) -> None:
    old.new_group("workers", 3)
    aws.until(running("workers", 3))
    aws.asg.update_auto_scaling_group(AutoScalingGroupName="workers", MaxSize=1)
    aws.until(running("workers", 1))
    aws.asg.update_auto_scaling_group(AutoScalingGroupName="workers", MinSize=2, MaxSize=4)
    aws.until(running("workers", 2))
    assert described(aws, "workers")["DesiredCapacity"] == 2


def test_a_capacity_outside_the_bounds_is_refused(aws: Any, old: Any, refuses: Any) -> None:
    refuses("ValidationError", "capacity_outside_bounds", lambda: old.new_group("big", 11))
    old.new_group("workers", 0)
    refuses(
        "ValidationError",
        "desired_outside_bounds",
        lambda: aws.asg.set_desired_capacity(AutoScalingGroupName="workers", DesiredCapacity=11),
    )
    with pytest.raises(ClientError, match="ValidationError"):
        set_size(aws, "workers", 11)


def test_an_instance_that_dies_is_replaced(aws: Any, old: Any) -> None:
    old.new_group("workers", 1)
    first = of_group(aws.until(running("workers", 1)), "workers")[0]
    aws.post(f"/instances/{first['id']}/terminated-by-failure")
    second = of_group(aws.until(lambda s: any(i["id"] != first["id"] for i in of_group(s, "workers"))), "workers")[0]
    assert second["private_ip"] != first["private_ip"], "the dead machine's address must rest"


def test_an_instance_terminated_by_hand_is_replaced(aws: Any, old: Any) -> None:
    old.new_group("workers", 1)
    first = of_group(aws.until(running("workers", 1)), "workers")[0]
    aws.ec2.terminate_instances(InstanceIds=[first["id"]])
    aws.until(lambda s: any(i["id"] != first["id"] for i in of_group(s, "workers")))


@pytest.mark.parametrize("process", ["Launch", "HealthCheck", "ReplaceUnhealthy"])
def test_a_dead_instance_is_not_replaced_while_suspended(aws: Any, old: Any, process: str) -> None:
    old.new_group("member", 1)
    first = of_group(aws.until(running("member", 1)), "member")[0]
    suspend(aws, "member", process)
    aws.ec2.terminate_instances(InstanceIds=[first["id"]])
    time.sleep(SETTLED_S)
    assert of_group(aws.state(), "member") == []
    resume(aws, "member", process)
    aws.until(running("member", 1))


def test_launch_suspended_holds_a_growing_group(aws: Any, old: Any) -> None:
    old.new_group("workers", 1)
    aws.until(running("workers", 1))
    suspend(aws, "workers", "Launch", "AZRebalance")
    set_size(aws, "workers", 3)
    time.sleep(SETTLED_S)
    assert len(of_group(aws.state(), "workers")) == 1
    names = {p["ProcessName"] for p in described(aws, "workers")["SuspendedProcesses"]}
    assert names == {"Launch", "AZRebalance"}
    resume(aws, "workers", "Launch")
    aws.until(running("workers", 3))


def test_terminate_suspended_holds_a_shrinking_group(aws: Any, old: Any) -> None:
    old.new_group("workers", 2)
    aws.until(running("workers", 2))
    suspend(aws, "workers", "Terminate")
    set_size(aws, "workers", 0)
    time.sleep(SETTLED_S)
    assert len(of_group(aws.state(), "workers")) == 2
    resume(aws, "workers")
    aws.until(running("workers", 0))


def test_an_unbalanced_group_is_rebalanced_unless_suspended(aws: Any, old: Any) -> None:
    old.new_group("workers", 3, VPCZoneIdentifier=old.subnets[0])
    aws.until(running("workers", 3))
    suspend(aws, "workers", "AZRebalance")
    aws.asg.update_auto_scaling_group(AutoScalingGroupName="workers", VPCZoneIdentifier=",".join(old.subnets))
    time.sleep(SETTLED_S)
    assert len({i["zone"] for i in of_group(aws.state(), "workers")}) == 1
    resume(aws, "workers", "AZRebalance")
    aws.until(lambda s: len({i["zone"] for i in of_group(s, "workers")}) == 3 and running("workers", 3)(s))


def test_an_unknown_process_is_refused(aws: Any, old: Any) -> None:
    old.new_group("workers", 0)
    with pytest.raises(ClientError, match="ValidationError"):
        suspend(aws, "workers", "Lunch")


def test_what_was_launched_while_add_to_load_balancer_rested_is_not_added_later(aws: Any, old: Any) -> None:
    targets = old.new_targets("ingress")
    old.listen(old.new_balancer("ingress"), targets)
    old.new_group("workers", 1, TargetGroupARNs=[targets])
    first = of_group(aws.until(running("workers", 1)), "workers")[0]["id"]
    suspend(aws, "workers", "AddToLoadBalancer")
    set_size(aws, "workers", 2)
    aws.until(running("workers", 2))
    resume(aws, "workers", "AddToLoadBalancer")
    time.sleep(SETTLED_S)
    health = aws.elb.describe_target_health(TargetGroupArn=targets)["TargetHealthDescriptions"]
    assert [h["Target"]["Id"] for h in health] == [first]


def test_a_target_taken_out_by_hand_stays_out(aws: Any, old: Any) -> None:
    targets = old.new_targets("ingress")
    old.listen(old.new_balancer("ingress"), targets)
    old.new_group("workers", 2, TargetGroupARNs=[targets])
    one, other = (i["id"] for i in of_group(aws.until(running("workers", 2)), "workers"))
    aws.elb.deregister_targets(TargetGroupArn=targets, Targets=[{"Id": one}])
    set_size(aws, "workers", 3)
    state = aws.until(lambda s: running("workers", 3)(s) and len(s["target_groups"][0]["targets"]) == 2)
    assert one not in {t["id"] for t in state["target_groups"][0]["targets"]}
    assert other in {t["id"] for t in state["target_groups"][0]["targets"]}


def test_target_groups_are_attached_and_detached_with_their_instances(aws: Any, old: Any) -> None:
    targets = old.new_targets("ingress")
    old.listen(old.new_balancer("ingress"), targets)
    old.new_group("workers", 2)
    aws.until(running("workers", 2))
    aws.asg.attach_load_balancer_target_groups(AutoScalingGroupName="workers", TargetGroupARNs=[targets])
    assert len(aws.state()["target_groups"][0]["targets"]) == 2
    assert described(aws, "workers")["TargetGroupARNs"] == [targets]
    aws.asg.detach_load_balancer_target_groups(AutoScalingGroupName="workers", TargetGroupARNs=[targets])
    aws.until(lambda s: s["target_groups"][0]["targets"] == [])
    assert described(aws, "workers")["TargetGroupARNs"] == []


def test_an_instance_drains_before_it_is_terminated(aws: Any, old: Any) -> None:
    targets = old.new_targets("ingress")
    old.listen(old.new_balancer("ingress"), targets)
    old.new_group("workers", 1, TargetGroupARNs=[targets])
    aws.until(running("workers", 1))
    set_size(aws, "workers", 0)
    state = aws.until(lambda s: [t["state"] for t in s["target_groups"][0]["targets"]] == ["draining"])
    assert len(of_group(state, "workers")) == 1
    assert described(aws, "workers")["Instances"][0]["LifecycleState"] == "Terminating"
    state = aws.until(running("workers", 0))
    assert state["target_groups"][0]["targets"] == []


def test_terminating_one_instance_shrinks_or_replaces(aws: Any, old: Any) -> None:
    old.new_group("workers", 2)
    one, other = (i["id"] for i in of_group(aws.until(running("workers", 2)), "workers"))
    activity = aws.asg.terminate_instance_in_auto_scaling_group(InstanceId=one, ShouldDecrementDesiredCapacity=True)
    assert activity["Activity"]["StatusCode"] == "InProgress"
    aws.until(running("workers", 1))
    aws.asg.terminate_instance_in_auto_scaling_group(InstanceId=other, ShouldDecrementDesiredCapacity=False)
    aws.until(lambda s: running("workers", 1)(s) and of_group(s, "workers")[0]["id"] != other)
    with pytest.raises(ClientError, match="No managed instance found"):
        aws.asg.terminate_instance_in_auto_scaling_group(InstanceId="i-0000", ShouldDecrementDesiredCapacity=True)


def test_a_group_with_instances_is_not_deleted_without_force(aws: Any, old: Any, refuses: Any) -> None:
    old.new_group("workers", 1)
    aws.until(running("workers", 1))
    refuses(
        "ResourceInUse",
        "group_with_instances",
        lambda: aws.asg.delete_auto_scaling_group(AutoScalingGroupName="workers"),
    )


def test_force_takes_the_instances_along(aws: Any, old: Any) -> None:
    old.new_group("workers", 2)
    aws.until(running("workers", 2))
    aws.asg.delete_auto_scaling_group(AutoScalingGroupName="workers", ForceDelete=True)
    aws.until(running("workers", 0))
    # However slow this machine is: the test's own time limit ends it.
    while aws.asg.describe_auto_scaling_groups()["AutoScalingGroups"]:
        time.sleep(0.05)


def test_activities_tell_launches_terminations_and_failures(aws: Any, old: Any) -> None:
    old.new_group("workers", 1)
    aws.until(running("workers", 1))
    set_size(aws, "workers", 0)
    aws.until(running("workers", 0))
    template = old.new_template("broken", IamInstanceProfile={"Name": "nobody"})
    old.new_group("broken", 1, LaunchTemplate={"LaunchTemplateId": template, "Version": "1"})
    while not aws.asg.describe_scaling_activities(AutoScalingGroupName="broken")["Activities"]:
        time.sleep(0.05)
    told = aws.asg.describe_scaling_activities(AutoScalingGroupName="workers")["Activities"]
    assert [(a["Description"].split(" EC2")[0], a["StatusCode"]) for a in told] == [
        ("Terminating", "Successful"),
        ("Launching a new", "Successful"),
    ]
    failed = aws.asg.describe_scaling_activities(AutoScalingGroupName="broken")["Activities"]
    assert {a["StatusCode"] for a in failed} == {"Failed"}
    assert "nobody" in failed[0]["StatusMessage"]


def test_an_instance_of_no_group_is_nobodys_to_replace(aws: Any, old: Any) -> None:
    instance = old.new_instance()
    aws.ec2.terminate_instances(InstanceIds=[instance])
    time.sleep(SETTLED_S)
    state = aws.state()
    assert [(i["id"], i["state"], i["asg"]) for i in state["instances"]] == [(instance, "terminated", None)]


def test_groups_are_found_by_tag_and_tags_change(aws: Any, old: Any) -> None:
    old.new_group("workers", 0, Tags=[{"Key": "KubernetesCluster", "Value": "pet", "PropagateAtLaunch": True}])
    old.new_group("others", 0)
    found = aws.asg.describe_auto_scaling_groups(Filters=[{"Name": "tag:KubernetesCluster", "Values": ["pet"]}])
    assert [g["AutoScalingGroupName"] for g in found["AutoScalingGroups"]] == ["workers"]
    tag = {
        "ResourceId": "others",
        "ResourceType": "auto-scaling-group",
        "Key": "k",
        "Value": "v",
        "PropagateAtLaunch": True,
    }
    aws.asg.create_or_update_tags(Tags=[tag])
    assert described(aws, "others")["Tags"][0]["Value"] == "v"
    aws.asg.delete_tags(Tags=[tag])
    assert described(aws, "others")["Tags"] == []


def test_an_updated_template_keeps_the_running_instances(aws: Any, old: Any) -> None:
    old.new_group("workers", 1)
    before = of_group(aws.until(running("workers", 1)), "workers")[0]["id"]
    template = old.new_template("other", InstanceType="c5.large")
    aws.asg.update_auto_scaling_group(
        AutoScalingGroupName="workers", LaunchTemplate={"LaunchTemplateId": template, "Version": "1"}, DesiredCapacity=2
    )
    told = {i["id"]: i["type"] for i in of_group(aws.until(running("workers", 2)), "workers")}
    assert told.pop(before) == "m5.large"
    assert list(told.values()) == ["c5.large"]
