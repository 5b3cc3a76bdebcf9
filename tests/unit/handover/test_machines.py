"""Copied templates and groups in Terraform's words: all that is declared of them is handed over, too."""

from __future__ import annotations

from typing import Any

from migration.handover.hcl import written
from migration.handover.machines import group_parts, template_parts
from tests.transitions.test_copies import AWKWARD, GROUP, MIXED

# Terraform's user has the provider: what isn't said there isn't changed.
SAID_ELSEWHERE = {"ImageId", "InstanceType", "MetadataOptions", "BlockDeviceMappings"}


def test_a_templates_parts_are_terraforms_blocks() -> None:
    arguments, blocks = template_parts(AWKWARD)
    assert arguments == {"disable_api_termination": True, "instance_initiated_shutdown_behavior": "terminate"}
    assert {one.kind for one in blocks} == {
        "capacity_reservation_specification",
        "cpu_options",
        "credit_specification",
        "instance_market_options",
        "maintenance_options",
        "monitoring",
        "network_interfaces",
        "placement",
        "private_dns_name_options",
        "tag_specifications",
    }
    # Each of AWS's keys has become one of the two.
    assert len(arguments) + len(blocks) == len(AWKWARD.keys() - SAID_ELSEWHERE)
    text = written(blocks)
    assert 'max_price = "0.1"' in text and 'cpu_credits = "unlimited"' in text
    interface = text[text.index("network_interfaces {") :]
    assert 'security_groups = ["sg-old"]' in interface and 'associate_public_ip_address = "false"' in interface


def test_a_groups_parts_are_terraforms_arguments() -> None:
    arguments, blocks = group_parts(GROUP)
    assert arguments["termination_policies"] == ["OldestInstance", "Default"]
    assert arguments["protect_from_scale_in"] is True and arguments["enabled_metrics"] == ["GroupMinSize"]
    assert [one.kind for one in blocks] == ["launch_template", "instance_maintenance_policy"]


def test_a_mixed_policy_stands_instead_of_a_launch_template() -> None:
    group: dict[str, Any] = {**GROUP, "LaunchTemplate": None, "MixedInstancesPolicy": MIXED}
    _, blocks = group_parts(group)
    assert [one.kind for one in blocks] == ["mixed_instances_policy", "instance_maintenance_policy"]
    text = written(blocks[:1])
    assert text.count("override {") == 2 and 'launch_template_id = "lt-1"' in text
    assert "on_demand_base_capacity = 1" in text and "vcpu_count {" in text
