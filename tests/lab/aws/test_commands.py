"""A command goes to the instances it names, and to no other."""

from __future__ import annotations

from typing import Any


def test_only_the_named_instance_gets_the_command(aws: Any, old: Any) -> None:
    first, second = old.new_instance(), old.new_instance()
    aws.until(lambda state: {i["state"] for i in state["instances"]} == {"running"})
    sent = aws.ssm.send_command(
        InstanceIds=[first], DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]}
    )["Command"]
    assert sent["InstanceIds"] == [first]
    assert [c["id"] for c in aws.get(f"/commands?instance={first}&wait=0")] == [sent["CommandId"]]
    assert aws.get(f"/commands?instance={second}&wait=0") == []
