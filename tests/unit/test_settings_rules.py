"""Configurations that would pass and shouldn't: each is refused in one sentence, with key, value and remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from migration.gates.quiet import window
from migration.settings import ConfigurationError, load
from migration.settings.load import partition_of
from migration.settings.model import Limits
from tests.samples import ZONES, configuration, flat, sets

Change = Callable[[dict[str, Any]], object]

OLD_API = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/pet-api-main/1"


def old(c: dict[str, Any]) -> dict[str, Any]:
    return c["sides"]["legacy"]


def new(c: dict[str, Any]) -> dict[str, Any]:
    return c["sides"]["main"]


def pools(c: dict[str, Any], keys: dict[str, Any]) -> None:
    """What the new side says of its pools."""
    new(c).update(pools=keys)


def network(**keys: Any) -> dict[str, Any]:
    return {"name": "office", "cidr": "10.60.0.0/16", **keys}


def servers_of(values: dict[str, Any], /, **names: list[str]) -> dict[str, Any]:
    """Sets with these API machines, by the last letter of the member's name."""
    for member in values["members"]:
        member["apiServers"] = [
            {"name": name, "group": f"{name}.api", "zone": f"eu-central-1{name[-1]}"}
            for name in names.get(member["name"][-1], ())
        ]
    return values


def told(values: dict[str, Any], region: str = "eu-central-1") -> list[str]:
    """What is said about a configuration, a sentence each."""
    with pytest.raises(ConfigurationError) as caught:
        load({**flat(values), "aws:region": region}, "stage-3")
    return [str(problem) for problem in caught.value.problems]


REFUSED: list[tuple[str, Change, str]] = [
    (
        "suffix with an underscore",
        lambda c: new(c).update(suffix="_main"),
        "migration:sides.main.suffix is '_main': ends load balancers' names: only a-z, 0-9 and hyphens, no "
        "hyphen at its end; -main would do",
    ),
    (
        "suffix that ends with a hyphen",
        lambda c: new(c).update(suffix="-main-"),
        "migration:sides.main.suffix is '-main-': ends load balancers' names: only a-z, 0-9 and hyphens, "
        "no hyphen at its end; -main would do",
    ),
    (
        "suffix with capitals",
        lambda c: new(c).update(suffix="-Main"),
        "migration:sides.main.suffix is '-Main': ends load balancers' names: only a-z, 0-9 and hyphens, no "
        "hyphen at its end; -main would do",
    ),
    (
        "managed side without suffix",
        lambda c: (new(c).update(suffix=""), old(c).update(suffix="-x")),
        "migration:sides.main.suffix is '': would give this side the names of what is there already; give "
        "it one, for instance -main",
    ),
    (
        "old side without route tables",
        lambda c: old(c).update(routeTables=[]),
        "migration:sides.legacy.routeTables is []: nothing of vpc-old would lead to the other side; list "
        "all of its route tables",
    ),
    (
        "a route table twice",
        lambda c: old(c)["routeTables"].append("rtb-1"),
        "migration:sides.legacy.routeTables is 'rtb-1': is listed twice; list it once",
    ),
    (
        "old balancer without target group",
        lambda c: old(c)["loadBalancers"]["api"].update(targetGroups=[]),
        "migration:sides.legacy.loadBalancers.api.targetGroups is []: names no target group behind it; "
        "list the ARNs of those that its listener leads to",
    ),
    (
        "network named like a side",
        lambda c: c["connectedNetworks"].append(network(name="legacy")),
        "migration:connectedNetworks[legacy].name is 'legacy': is a side's name, and the side's own rules "
        "would be lost; give the network another",
    ),
    (
        "two networks of one name",
        lambda c: c["connectedNetworks"].append(network(name="corp")),
        "migration:connectedNetworks is 'corp': names two networks; give each a name of its own",
    ),
    (
        "two networks in one VPC",
        lambda c: c["connectedNetworks"].append(network(vpcId="vpc-corp", routeTables=["rtb-9"])),
        "migration:connectedNetworks is 'vpc-corp': is the vpcId of two networks, but AWS takes one "
        "peering between two VPCs; leave it with one of them",
    ),
    (
        "a network's route table twice",
        lambda c: c["connectedNetworks"][0]["routeTables"].append("rtb-corp"),
        "migration:connectedNetworks[corp].routeTables is 'rtb-corp': is listed twice; list it once",
    ),
    (
        "nobody may reach etcd",
        lambda c: c.update(operatorNetworks=[]),
        "migration:operatorNetworks is []: nobody could reach etcd to swap members (etcd.access is "
        "direct); name the range you work from: pulumi config set --path 'migration:operatorNetworks[0]' "
        "CIDR",
    ),
    (
        "everybody may reach etcd",
        lambda c: c.update(operatorNetworks=["0.0.0.0/0"]),
        "migration:operatorNetworks is '0.0.0.0/0': would open etcd, which holds every Secret, to "
        "4294967296 addresses; name the ranges that operators work from, none wider than a /8",
    ),
    (
        "half of everybody may",
        lambda c: c.update(operatorNetworks=["10.0.0.0/7"]),
        "migration:operatorNetworks is '10.0.0.0/7': would open etcd, which holds every Secret, to "
        "33554432 addresses; name the ranges that operators work from, none wider than a /8",
    ),
    (
        "an operators' range twice",
        lambda c: c["operatorNetworks"].append("10.50.0.0/16"),
        "migration:operatorNetworks is '10.50.0.0/16': is listed twice; list it once",
    ),
    (
        "a range in other words",
        lambda c: c.update(operatorNetworks=["10.50.0.0/255.255.0.0"]),
        "migration:operatorNetworks[0] is '10.50.0.0/255.255.0.0': AWS wants the range written as "
        "10.50.0.0/16; correct it",
    ),
    (
        "etcd by Systems Manager",
        lambda c: c["etcd"].update(access="ssm"),
        "migration:etcd.access is 'ssm': members can't be swapped through Systems Manager yet; set it to "
        "direct and name the ranges that operators work from in migration:operatorNetworks",
    ),
    (
        "a pool's zone twice",
        lambda c: c["pools"][0]["zones"].append(ZONES[0]),
        "migration:pools[m5-a].zones is 'eu-central-1a': is listed twice; list it once",
    ),
    (
        "a pool without zones",
        lambda c: c["pools"][0].update(zones=[]),
        "migration:pools[m5-a].zones is []: names no availability zone; list those it is in",
    ),
    (
        "a side's zone twice",
        lambda c: new(c)["zones"].append(ZONES[0]),
        "migration:sides.main.zones is 'eu-central-1a': is listed twice; list it once",
    ),
    (
        "no pools",
        lambda c: c.update(pools=[]),
        "migration:pools is []: no worker would ever move, and the old ones would still be let go; list "
        "the old side's worker groups",
    ),
    (
        "no members",
        lambda c: c.update(members=[]),
        "migration:members is []: an etcd cluster has an odd number of members (1, 3, 5)",
    ),
    (
        "one group for two pools",
        lambda c: c["pools"][1].update(group="nodes-m5-a.pet"),
        "migration:pools is 'nodes-m5-a.pet': is the group of migration:pools[m5-a] and "
        "migration:pools[m5-b]; give each the group that is its own",
    ),
    (
        "one group for a pool and a member",
        lambda c: c["members"][0].update(group="nodes-m5-a.pet"),
        "migration:pools is 'nodes-m5-a.pet': is the group of migration:pools[m5-a] and "
        "migration:members[a]; give each the group that is its own",
    ),
    (
        "two members at one address",
        lambda c: c["members"][1].update(address="10.0.0.10"),
        "migration:members is '10.0.0.10': is the address of two members; give each its own",
    ),
    (
        "an address outside of the old VPC",
        lambda c: c["members"][1].update(address="10.9.0.10"),
        "migration:members[b].address is '10.9.0.10': lies outside of migration:sides.legacy.cidr "
        "10.0.0.0/16, all that is routed to the other side; correct it, or name its range in "
        "migration:sides.legacy.secondaryCidrs",
    ),
    (
        "an address that is none",
        lambda c: c["members"][1].update(address="banana"),
        "migration:members[1].address is 'banana': Expected 4 octets in 'banana'; correct it",
    ),
    (
        "a member's name that etcd's list can't hold",
        lambda c: c["members"][0].update(name="a=b"),
        "migration:members[a=b].name is 'a=b': is etcd's name and part of an SSM parameter's: letters, "
        "digits, dots, hyphens and underscores only",
    ),
    (
        "cluster with a slash",
        lambda c: c.update(cluster="pet/one"),
        "migration:cluster is 'pet/one': becomes part of SSM parameters' names: up to 100 letters, digits, "
        "dots, hyphens and underscores, not beginning with aws or ssm",
    ),
    (
        "cluster that SSM keeps for itself",
        lambda c: c.update(cluster="aws-pet"),
        "migration:cluster is 'aws-pet': becomes part of SSM parameters' names: up to 100 letters, digits, "
        "dots, hyphens and underscores, not beginning with aws or ssm",
    ),
    (
        "a suffix that leaves no room",
        lambda c: new(c).update(suffix="-" + "x" * 26),
        "migration:sides.main.suffix is '-xxxxxxxxxxxxxxxxxxxxxxxxxx': makes the target-group name "
        "'7244f5-xxxxxxxxxxxxxxxxxxxxxxxxxx' 33 characters long; AWS takes 32: shorten it",
    ),
    (
        "a group's name too long for a template",
        lambda c: c["pools"][0].update(group="g" * 124),
        f"migration:sides.main.suffix is '-main': makes the launch-template name '{'g' * 124}-main' 129 characters "
        "long; AWS takes 128: shorten it",
    ),
    (
        "a group's name that no template can have",
        lambda c: c["pools"][0].update(group="nodes of a"),
        "migration:pools[m5-a].group is 'nodes of a-main': names a launch template; AWS takes at least "
        "three letters, digits and ().-/_ for one: give the old group a successor with such a name first",
    ),
    (
        "a suffix that makes an old group's name",
        lambda c: c["pools"][1].update(group="nodes-m5-a.pet-main"),
        "migration:sides.main.suffix is '-main': makes migration:pools[m5-a].group 'nodes-m5-a.pet-main', "
        "which is the group of migration:pools[m5-b]; choose another suffix",
    ),
    (
        "pool member-a beside member a",
        lambda c: c["pools"][0].update(name="member-a"),
        "migration:pools[member-a].name is 'member-a': makes the Group main-member-a, as "
        "migration:members[a].name does; choose another name",
    ),
    (
        "a network called nodes",
        lambda c: c["connectedNetworks"].append(network(name="nodes")),
        "migration:connectedNetworks[nodes].name is 'nodes': makes the SecurityGroupIngressRule "
        "main-api-from-nodes, as the rule for nodes does; choose another name",
    ),
    (
        "a side called nodes",
        lambda c: (c["sides"].update(nodes=c["sides"].pop("legacy")), c.update({"from": "nodes"})),
        "migration:from is 'nodes': makes the SecurityGroupIngressRule main-api-from-nodes, as the rule "
        "for nodes does; choose another name",
    ),
    (
        "records that meet in the state",
        lambda c: (
            c["sides"].update({"main-b": c["sides"].pop("legacy")}),
            c.update({"from": "main-b"}),
            c["traffic"]["records"].extend(
                [
                    {**c["traffic"]["records"][1], "name": "b-x.pet.example"},
                    {**c["traffic"]["records"][1], "name": "x.pet.example"},
                ]
            ),
        ),
        "migration:traffic.records[x.pet.example].name is 'x.pet.example': makes the Record "
        "main-b-x.pet.example, as migration:traffic.records[b-x.pet.example].name does; choose another "
        "name",
    ),
    (
        "tag Name",
        lambda c: c.update(tags={"Name": "x"}),
        "migration:tags is 'Name': is a tag that this program sets or finds its objects by; choose another key",
    ),
    (
        "tag KubernetesCluster",
        lambda c: c.update(tags={"KubernetesCluster": "x"}),
        "migration:tags is 'KubernetesCluster': is a tag that this program sets or finds its objects by; "
        "choose another key",
    ),
    (
        "the cluster's tag",
        lambda c: c.update(tags={"kubernetes.io/cluster/other": "owned"}),
        "migration:tags is 'kubernetes.io/cluster/other': is a tag that this program sets or finds its "
        "objects by; choose another key",
    ),
    (
        "tag migration:side",
        lambda c: c.update(tags={"migration:side": "x"}),
        "migration:tags is 'migration:side': is a tag that this program sets or finds its objects by; "
        "choose another key",
    ),
    (
        "tag aws:x",
        lambda c: c.update(tags={"AWS:x": "x"}),
        "migration:tags is 'AWS:x': is a tag that this program sets or finds its objects by; choose another key",
    ),
    (
        "tag pool",
        lambda c: c.update(tags={"pool": "x"}),
        "migration:tags is 'pool': is a tag that this program sets or finds its objects by; choose another key",
    ),
    (
        "no record for the ingress",
        lambda c: c["traffic"]["records"].pop(1),
        "migration:traffic.records is ['api.pet.example']: none serves ingress, whose clients would stay "
        "behind; add the name they use",
    ),
    (
        "the API's name without a record",
        lambda c: c["api"].update(name="kube.pet.example"),
        "migration:api.name is 'kube.pet.example': isn't a name of migration:traffic.records that serves "
        "the api; add it there, or correct it",
    ),
    (
        "a name twice",
        lambda c: c["traffic"]["records"].append({**c["traffic"]["records"][0], "name": "API.pet.example."}),
        "migration:traffic.records is 'api.pet.example': is listed twice; list it once",
    ),
    (
        "a record to neither balancer",
        lambda c: c["traffic"]["records"][1].update(value="elsewhere.example"),
        "migration:traffic.records[*.apps.pet.example].value is 'elsewhere.example': isn't "
        "ingress-pet.elb.example, legacy's ingress balancer; correct one of the two, or leave the name out "
        "if it leads elsewhere on purpose",
    ),
    (
        "a record to the other balancer",
        lambda c: c["traffic"]["records"][1].update(value="api-pet.elb.example"),
        "migration:traffic.records[*.apps.pet.example].value is 'api-pet.elb.example': isn't "
        "ingress-pet.elb.example, legacy's ingress balancer; correct one of the two, or leave the name out "
        "if it leads elsewhere on purpose",
    ),
    (
        "no room for the check's listener",
        lambda c: c["api"].update(port=65535),
        "migration:api.port is 65535: the balancer's check listens one above it; give at most 65534",
    ),
    (
        "the API servers on etcd's port",
        lambda c: c["api"].update(serverPort=2380),
        "migration:etcd.peerPort is 2380: is also migration:api.serverPort, and both listen on a member's "
        "machine; give each its own",
    ),
    (
        "the API on etcd's port",
        lambda c: c["api"].update(port=2379),
        "migration:etcd.clientPort is 2379: is also migration:api.port, and both listen on a member's "
        "machine; give each its own",
    ),
    (
        "etcd's ports the same",
        lambda c: c["etcd"].update(peerPort=2379),
        "migration:etcd.peerPort is 2379: is also migration:etcd.clientPort, and both listen on a member's "
        "machine; give each its own",
    ),
    (
        "quiet longer than its gate",
        lambda c: c.update(limits={"quietPeriods": 20}),
        "migration:limits.gateSeconds is 900: is less than the 1260 s without a new flow that count as "
        "quiet (traffic.ttl, limits.quietPeriods, limits.metricPeriodSeconds); raise it or shorten those",
    ),
    (
        "a CNAME without a TTL",
        lambda c: c["traffic"]["records"][1].pop("ttl"),
        "migration:traffic.records[*.apps.pet.example].ttl is None: a CNAME needs the seconds it has now; or say "
        "type: alias",
    ),
    (
        "a CNAME whose target's health is evaluated",
        lambda c: c["traffic"]["records"][1].update(evaluateTargetHealth=True),
        "migration:traffic.records[*.apps.pet.example].evaluateTargetHealth is True: is an alias's; leave it out, or "
        "say type: alias",
    ),
    (
        "an alias with a TTL",
        lambda c: (
            c["traffic"]["records"][1].update(type="alias"),
            c["sides"]["legacy"]["loadBalancers"]["ingress"].update(zoneId="ZELB"),
        ),
        "migration:traffic.records[*.apps.pet.example].ttl is 60: an alias has no TTL of its own; leave it out",
    ),
    (
        "an alias to a balancer whose zone isn't known",
        lambda c: (c["traffic"]["records"][1].update(type="alias"), c["traffic"]["records"][1].pop("ttl")),
        "migration:sides.legacy.loadBalancers.ingress.zoneId is None: is needed by the alias *.apps.pet.example; give "
        "the balancer's CanonicalHostedZoneId (aws elbv2 describe-load-balancers)",
    ),
    (
        "12.5%",
        lambda c: c.update(drain={"unprotectedMaxUnavailable": "12.5%"}),
        "migration:drain.unprotectedMaxUnavailable is '12.5%': is no number of pods from 1 up, nor a whole "
        "percentage from 1% to 100%; correct it",
    ),
    (
        "banana",
        lambda c: c.update(drain={"unprotectedMaxUnavailable": "banana"}),
        "migration:drain.unprotectedMaxUnavailable is 'banana': is no number of pods from 1 up, nor a "
        "whole percentage from 1% to 100%; correct it",
    ),
    (
        "0",
        lambda c: c.update(drain={"unprotectedMaxUnavailable": "0"}),
        "migration:drain.unprotectedMaxUnavailable is '0': is no number of pods from 1 up, nor a whole "
        "percentage from 1% to 100%; correct it",
    ),
    (
        "0 as a number",
        lambda c: c.update(drain={"unprotectedMaxUnavailable": 0}),
        "migration:drain.unprotectedMaxUnavailable is 0: is no number of pods from 1 up, nor a whole "
        "percentage from 1% to 100%; correct it",
    ),
    (
        "0%",
        lambda c: c.update(drain={"unprotectedMaxUnavailable": "0%"}),
        "migration:drain.unprotectedMaxUnavailable is '0%': is no number of pods from 1 up, nor a whole "
        "percentage from 1% to 100%; correct it",
    ),
    (
        "101%",
        lambda c: c.update(drain={"unprotectedMaxUnavailable": "101%"}),
        "migration:drain.unprotectedMaxUnavailable is '101%': is no number of pods from 1 up, nor a whole "
        "percentage from 1% to 100%; correct it",
    ),
    (
        "a new side's group retired",
        lambda c: c["retire"].append({"type": "autoscaling-group", "id": "nodes-m5-a.pet-main"}),
        "migration:retire is 'nodes-m5-a.pet-main': is main's own; stage 8 would delete what the cluster "
        "runs on: take it out",
    ),
    (
        "a new side's target group retired",
        lambda c: c["retire"].append({"type": "target-group", "id": OLD_API}),
        "migration:retire is "
        "'arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/pet-api-main/1': is main's "
        "own; stage 8 would delete what the cluster runs on: take it out",
    ),
    (
        "retired twice",
        lambda c: c["retire"].append({"type": "security-group", "id": "sg-nodes"}),
        "migration:retire is 'sg-nodes': is listed twice; list it once",
    ),
    (
        "keys of a pool that isn't there",
        lambda c: pools(c, {"m6-a": {}}),
        "migration:sides.main.pools.m6-a is 'm6-a': is no pool of migration:pools (m5-a, m5-b, m5-c); correct the "
        "name, or, to add a pool, list it there with name, group and zones",
    ),
    (
        "like nothing that is there",
        lambda c: pools(c, {"m5-a": {"like": "m6-a"}}),
        "migration:sides.main.pools.m5-a.like is 'm6-a': names no other pool of migration:pools; name one of "
        "m5-b, m5-c",
    ),
    (
        "like itself",
        lambda c: pools(c, {"m5-a": {"like": "m5-a"}}),
        "migration:sides.main.pools.m5-a.like is 'm5-a': names no other pool of migration:pools; name one of "
        "m5-b, m5-c",
    ),
    (
        "like one that is like another",
        lambda c: pools(c, {"m5-a": {"like": "m5-b"}, "m5-b": {"like": "m5-c"}}),
        "migration:sides.main.pools.m5-a.like is 'm5-b': is itself like m5-c; name that one",
    ),
    (
        "keys of a member that isn't there",
        lambda c: new(c).update(members={"each": {"d": {"image": "ami-0123456789abcdef0"}}}),
        "migration:sides.main.members.each.d is 'd': is no member of migration:members (a, b, c); correct the name",
    ),
    (
        "no image's id",
        lambda c: pools(c, {"m5-a": {"image": "ubuntu-24.04"}}),
        "migration:sides.main.pools.m5-a.image is 'ubuntu-24.04': is no image's id: ami- and 8 or 17 hexadecimal "
        "digits; look it up with aws ec2 describe-images",
    ),
    (
        "no image's id for members",
        lambda c: new(c).update(members={"image": "ami-12"}),
        "migration:sides.main.members.image is 'ami-12': is no image's id: ami- and 8 or 17 hexadecimal "
        "digits; look it up with aws ec2 describe-images",
    ),
    (
        "a copied group of a pool that isn't there",
        lambda c: c.update(securityGroups=[{"name": "g", "id": "sg-1", "pools": ["m5-x"]}]),
        "migration:securityGroups[g].pools is 'm5-x': is no pool of migration:pools (m5-a, m5-b, m5-c); correct the "
        "name",
    ),
    (
        "a copied group that is nobody's",
        lambda c: c.update(securityGroups=[{"name": "g", "id": "sg-1"}]),
        "migration:securityGroups[g].pools is []: no machine is in it; name its pools, or set controlPlane",
    ),
    (
        "a copied group like the cluster's own",
        lambda c: c.update(securityGroups=[{"name": "nodes", "id": "sg-1", "controlPlane": True}]),
        "migration:securityGroups is 'nodes': is no name for it: letters, digits, dots, hyphens and underscores, and "
        "not one of the cluster's own",
    ),
    (
        "a rule without a source",
        lambda c: c.update(
            securityGroups=[{"name": "g", "id": "sg-1", "controlPlane": True, "rules": [{"direction": "egress"}]}]
        ),
        "migration:securityGroups[g].rules is {'direction': 'egress'}: has one source: give one of cidr, prefixList "
        "and group",
    ),
    (
        "a policy twice",
        lambda c: c["pools"][0].update(
            scaling=[{"name": "cpu", "target": 1, "predefined": "ASGAverageCPUUtilization"}] * 2
        ),
        "migration:pools[m5-a].scaling is 'cpu': is named twice; names are unique",
    ),
    (
        "a policy without a metric",
        lambda c: c["pools"][0].update(scaling=[{"name": "cpu", "target": 1}]),
        "migration:pools[m5-a].scaling is 'cpu': tracks one metric: give one of predefined and metric",
    ),
    (
        "several instance types for a member",
        lambda c: new(c).update(members={"instanceTypes": ["m5.large", "m5a.large"]}),
        "migration:sides.main.members.instanceTypes is ['m5.large', 'm5a.large']: a member is one machine of one "
        "type; name one",
    ),
    (
        "an instance type twice",
        lambda c: pools(c, {"m5-a": {"instanceTypes": ["m5.large", "m5.large"]}}),
        "migration:sides.main.pools.m5-a.instanceTypes is 'm5.large': is listed twice; list a type once",
    ),
    (
        "the type said twice",
        lambda c: pools(c, {"m5-a": {"instanceType": "m5.large", "instanceTypes": ["m5.large"]}}),
        "migration:sides.main.pools.m5-a.instanceTypes is ['m5.large']: says the same as instanceType; leave one of "
        "the two",
    ),
    (
        "no instance type",
        lambda c: pools(c, {"m5-a": {"instanceType": "large"}}),
        "migration:sides.main.pools.m5-a.instanceType is 'large': is no instance type; m5.large would be one",
    ),
    (
        "a disk twice",
        lambda c: pools(c, {"m5-a": {"disks": [{"device": "/dev/xvda"}, {"device": "/dev/xvda"}]}}),
        "migration:sides.main.pools.m5-a.disks is '/dev/xvda': is listed twice; list a device once",
    ),
    (
        "no device",
        lambda c: pools(c, {"m5-a": {"disks": [{"device": "root"}]}}),
        "migration:sides.main.pools.m5-a.disks[root].device is 'root': is no device name; /dev/xvda would be one",
    ),
    (
        "no volume type",
        lambda c: pools(c, {"m5-a": {"disks": [{"device": "/dev/xvda", "type": "ssd"}]}}),
        "migration:sides.main.pools.m5-a.disks[/dev/xvda].type is 'ssd': is no volume type; take one of gp2, gp3, io1, "
        "io2, st1, sc1, standard",
    ),
    (
        "throughput of a type without one",
        lambda c: pools(c, {"m5-a": {"disks": [{"device": "/dev/xvda", "type": "gp2", "throughput": 250}]}}),
        "migration:sides.main.pools.m5-a.disks[/dev/xvda].throughput is 250: isn't taken by gp2; leave it out, or set "
        "type to one of gp3",
    ),
    (
        "sizes the wrong way round",
        lambda c: pools(c, {"m5-a": {"min": 5, "max": 3}}),
        "migration:sides.main.pools.m5-a.min is 5: is more than max, 3; min <= desired <= max",
    ),
    (
        "two pools in one group",
        lambda c: pools(c, {"m5-a": {"group": "x-1"}, "m5-b": {"group": "x-1"}}),
        "migration:sides.main.pools is 'x-1': is the group of two pools; give each its own",
    ),
    (
        "the name of a group that is still there",
        lambda c: pools(c, {"m5-a": {"group": "nodes-m5-a.pet"}}),
        "migration:sides.main.pools.m5-a.group is 'nodes-m5-a.pet': is the group of m5-a that is being left; take that "
        "name after the migration, when the old group is gone",
    ),
    (
        "retiring while a side is left",
        lambda c: pools(c, {"m5-a": {"retiring": "drain"}}),
        "migration:sides.main.pools.m5-a.retiring is 'drain': a pool retires when no migration is under way; take it "
        "out until stage 8 is reached",
    ),
    (
        "an own file for a layout that takes none",
        lambda c: c.update(controlPlane={"userDataFile": "own.sh"}),
        "migration:controlPlane.userDataFile is 'own.sh': is for the layout custom, and migration:controlPlane.layout "
        "is 'cloud-config'; set that to custom, or remove this",
    ),
    (
        "custom without a file",
        lambda c: c.update(controlPlane={"layout": "custom"}),
        "migration:controlPlane.userDataFile is None: is missing: the layout custom is made from it; name a file of "
        "the project (docs/control-plane.md)",
    ),
    (
        "one unit for two programs",
        lambda c: c.update(controlPlane={"units": {"etcd": "kube-apiserver.service"}}),
        "migration:controlPlane.units.apiServer is 'kube-apiserver': is also migration:controlPlane.units.etcd: they "
        "are stopped apart; name each one's own unit",
    ),
    (
        "a unit that is a command",
        lambda c: c.update(controlPlane={"units": {"etcd": "etcd; reboot"}}),
        "migration:controlPlane.units.etcd is 'etcd; reboot': isn't the name of a systemd unit: letters, digits and "
        ":_.@- only; correct it",
    ),
    (
        "a file that is no whole path",
        lambda c: c.update(controlPlane={"files": {"etcdCa": "pki/ca.crt"}}),
        "migration:controlPlane.files.etcdCa is 'pki/ca.crt': isn't the whole path of a file on a machine: from / on, "
        "without spaces and quotes; correct it",
    ),
    (
        "API machines in another layout",
        lambda c: c["members"][0].update(apiServers=[{"name": "x", "group": "x.api", "zone": ZONES[0]}]),
        "migration:members[a].apiServers is ['x']: is for the layout separate-etcd, and "
        "migration:controlPlane.layout is 'cloud-config'; set that to separate-etcd, or remove this",
    ),
    (
        "another role in another layout",
        lambda c: c.update(etcdRole="etcd.pet"),
        "migration:etcdRole is 'etcd.pet': is for the layout separate-etcd, and migration:controlPlane.layout is "
        "'cloud-config'; set that to separate-etcd, or remove this",
    ),
    (
        "separate etcd without API machines",
        lambda c: c.update(controlPlane={"layout": "separate-etcd"}, etcdRole="etcd.pet"),
        "migration:members is ['a', 'b', 'c']: none has apiServers: in the layout separate-etcd each API machine moves "
        "with a member's; list them there (python -m migration discover does)",
    ),
    (
        "the only API machine in the last set",
        lambda c: c.update(servers_of(sets(), c=["api-c"])),
        "migration:members[etcd-c].apiServers[api-c] is 'api-c': has the only API machine, and etcd-a would leave etcd "
        "before it: its server would have to stop to be told; list the member that has it first",
    ),
    (
        "all API machines in one set whose volume moves",
        lambda c: c["etcd"].update(strategy="volume") or c.update(servers_of(sets(), a=["api-a", "api-b"])),
        "migration:members[etcd-a].apiServers is ['api-a', 'api-b']: has all API machines, which stop while its volume "
        "moves: nobody would serve the API; set migration:etcd.strategy to learner",
    ),
    (
        "keys that an image brings",
        lambda c: c.update(sets(), controlPlane={"layout": "separate-etcd", "pki": {"source": "secrets-manager"}}),
        "migration:controlPlane.pki.source is 'secrets-manager': says nothing in the layout separate-etcd: its images "
        "fetch certificates in their own way; remove it",
    ),
    (
        "no role of etcd's machines",
        lambda c: c.update(sets()) or c.pop("etcdRole"),
        "migration:etcdRole is None: is missing: a new member reads its join ticket with the IAM role of etcd's "
        "machines; set it (to controlPlaneRole, if that is theirs, too)",
    ),
    (
        "an API machine called as a member",
        lambda c: c.update(servers_of(sets(), a=["etcd-b"], b=["api-b"])),
        "migration:members is 'etcd-b': is named twice; names are unique",
    ),
    (
        "an API machine in a zone that the new side lacks",
        lambda c: (
            c.update(servers_of(sets(), a=["api-a", "api-z"]))
            or old(c)["zones"].update({"eu-central-1z": {"private": "subnet-z"}})
        ),
        "migration:sides.main.zones is ['eu-central-1a', 'eu-central-1b', 'eu-central-1c']: has no subnet in "
        "eu-central-1z, where API server api-z lives; add eu-central-1z to it",
    ),
    (
        "keys of an API machine that there isn't",
        lambda c: c.update(sets()) or new(c).update(apiServers={"each": {"api-q": {"instanceType": "m5.large"}}}),
        "migration:sides.main.apiServers.each.api-q is 'api-q': is no API machine of migration:members[].apiServers "
        "(api-a, api-b, api-c); correct the name",
    ),
    (
        "S3 without a bucket",
        lambda c: c.update(controlPlane={"pki": {"source": "s3"}}),
        "migration:controlPlane.pki.bucket is None: is missing: source s3 needs the name of a bucket; set it",
    ),
    (
        "a bucket that nobody looks into",
        lambda c: c.update(controlPlane={"pki": {"bucket": "keys"}}),
        "migration:controlPlane.pki.bucket is 'keys': is for source s3, and migration:controlPlane.pki.source is "
        "'ssm'; set that to s3, or remove this",
    ),
    (
        "a prefix in an image",
        lambda c: c.update(controlPlane={"pki": {"source": "image", "prefix": "/x"}}),
        "migration:controlPlane.pki.prefix is '/x': says nothing where migration:controlPlane.pki.source is 'image'; "
        "remove it",
    ),
    (
        "kubeadm's upload for another form",
        lambda c: c.update(controlPlane={"pki": {"source": "kubeadm"}}),
        "migration:controlPlane.pki.source is 'kubeadm': is kubeadm's own upload, and migration:controlPlane.layout is "
        "'cloud-config'; use ssm, secrets-manager, s3 or image",
    ),
    (
        "a prefix that names nothing",
        lambda c: c.update(controlPlane={"pki": {"prefix": "/"}}),
        "migration:controlPlane.pki.prefix is '/': names nothing; give what the names begin with, like /pet/pki",
    ),
    (
        "user data that EC2 doesn't take",
        lambda c: pools(c, {"m5-a": {"userData": "x" * 16385}}),
        "migration:sides.main.pools.m5-a.userData is '16385 bytes': is longer than EC2 takes, 16384; shorten it",
    ),
]


def at_8(values: dict[str, Any]) -> list[str]:
    """What is said once the migration is over."""
    try:
        load(flat(values), "stage-8")
    except ConfigurationError as refusal:
        return [str(problem) for problem in refusal.problems]
    return []


def test_after_the_migration_a_group_may_take_the_old_ones_name_and_a_pool_may_retire() -> None:
    values = configuration()
    pools(values, {"m5-a": {"group": "nodes-m5-a.pet"}, "m5-b": {"retiring": "leave"}})
    assert at_8(values) == []


def test_after_the_migration_a_list_that_would_delete_the_renamed_group_is_refused() -> None:
    values = configuration()
    pools(values, {"m5-a": {"group": "nodes-m5-a.pet"}})
    values["retire"].append({"type": "autoscaling-group", "id": "nodes-m5-a.pet"})
    [said] = at_8(values)
    assert "stage 8 would delete what the cluster runs on: take it out (the list has done its work" in said


def test_not_every_pool_retires_at_once() -> None:
    values = configuration()
    pools(values, {f"m5-{zone[-1]}": {"retiring": "drain"} for zone in ZONES})
    [said] = at_8(values)
    assert "every pool retires: their pods would have nowhere to go; add another pool first" in said


def test_user_data_is_in_no_message() -> None:
    values = configuration()
    pools(values, {"m5-a": {"userData": "the-join-token", "image": "nonsense", "min": 5, "max": 1}})
    assert "the-join-token" not in str(told(values))


@pytest.mark.parametrize(("change", "sentence"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_it_is_refused_in_this_sentence_and_in_no_other(change: Change, sentence: str) -> None:
    values = configuration()
    change(values)
    assert told(values) == [sentence]


def test_zones_of_another_region_are_named_wherever_they_stand() -> None:
    values = configuration()
    old(values)["zones"]["us-east-1a"] = {"private": "subnet-x"}
    new(values)["zones"].append("us-east-1a")
    values["pools"][0]["zones"] = ["us-east-1a"]
    values["members"][0]["zone"] = "us-east-1a"
    keys = ("sides.legacy.zones", "sides.main.zones", "pools[m5-a].zones", "members[a].zone")
    remedy = "isn't a zone of aws:region eu-central-1; correct one of the two"
    assert told(values) == [f"migration:{key} is 'us-east-1a': {remedy}" for key in keys]


@pytest.mark.parametrize("region", ["eu-central-11", "eu-central"])
def test_a_region_that_is_only_spelled_alike_is_another_one(region: str) -> None:
    assert any(f"isn't a zone of aws:region {region}" in one for one in told(configuration(), region))


def test_a_local_zone_belongs_to_its_region() -> None:
    values = configuration()
    new(values)["zones"].append("eu-central-1-ham-1a")
    assert "eu-central-1-ham-1a" in load(flat(values), "stage-3").new.zones


def test_a_region_of_no_partition_is_refused() -> None:
    assert told(configuration(), "lab-1")[0] == (
        "aws:region is 'lab-1': is a region of no AWS partition; correct it, or update boto3"
    )


def test_without_a_name_for_the_api_both_the_list_and_the_key_are_told() -> None:
    values = configuration()
    del values["traffic"]["records"][0]
    assert told(values) == [
        "migration:traffic.records is ['*.apps.pet.example']: none serves api, whose clients would stay behind; add "
        "the name they use",
        "migration:api.name is 'api.pet.example': isn't a name of migration:traffic.records that serves the api; add "
        "it there, or correct it",
    ]


def test_what_is_wrong_in_many_places_is_told_at_once() -> None:
    chosen = {
        "suffix with an underscore",
        "old side without route tables",
        "two networks of one name",
        "everybody may reach etcd",
        "etcd by Systems Manager",
        "a pool's zone twice",
        "two members at one address",
        "pool member-a beside member a",
        "tag migration:side",
        "a record to neither balancer",
        "quiet longer than its gate",
        "banana",
        "retired twice",
    }
    values, wanted = configuration(), set[str]()
    for name, change, sentence in REFUSED:
        if name in chosen:
            change(values)
            wanted.add(sentence.replace("pools[m5-a].zones", "pools[member-a].zones"))
    assert len(wanted) == len(chosen)
    assert set(told(values)) == wanted


ALLOWED: list[tuple[str, Change]] = [
    ("two members in one zone", lambda c: c["members"][1].update(zone=ZONES[0])),
    (
        "a record's value as Route 53 writes it",
        lambda c: c["traffic"]["records"][0].update(value="API-pet.elb.example."),
    ),
    ("an old TTL of a day", lambda c: c["traffic"]["records"][0].update(ttl=86400)),
    ("operators in the widest private range", lambda c: c.update(operatorNetworks=["10.0.0.0/8"])),
    (
        "the highest port of the API",
        lambda c: c["api"].update(port=65534),
    ),
    ("other ports of etcd", lambda c: c["etcd"].update(clientPort=4001, peerPort=7001)),
    ("quiet exactly as long as its gate", lambda c: c.update(limits={"gateSeconds": 240})),
    ("one pod at a time, as a number", lambda c: c.update(drain={"unprotectedMaxUnavailable": 1})),
    ("all pods at once", lambda c: c.update(drain={"unprotectedMaxUnavailable": "100%"})),
    ("a dotted cluster", lambda c: c.update(cluster="pet.k8s.example.com")),
    ("tags that nobody goes by", lambda c: c.update(tags={"name": "x", "Owner": "y", "migration": "z"})),
    ("an own file", lambda c: c.update(controlPlane={"layout": "custom", "userDataFile": "own.sh"})),
    (
        "kubeadm's upload with kubeadm",
        lambda c: c.update(controlPlane={"layout": "kubeadm", "pki": {"source": "kubeadm"}}),
    ),
    ("etcd on machines of its own", lambda c: c.update(sets())),
    ("fewer API machines than members", lambda c: c.update(servers_of(sets(), a=["api-a"]))),
    ("more", lambda c: c.update(servers_of(sets(), a=["api-a", "api-2a"], b=["api-b"], c=["api-c"]))),
    ("keys in a bucket", lambda c: c.update(controlPlane={"pki": {"source": "s3", "bucket": "keys", "prefix": "/a"}})),
    ("a network without a VPC here", lambda c: c["connectedNetworks"].append(network())),
]


@pytest.mark.parametrize("change", [row[1] for row in ALLOWED], ids=[row[0] for row in ALLOWED])
def test_it_is_none_of_these(change: Change) -> None:
    values = configuration()
    change(values)
    assert load(flat(values), "stage-3").stage.number == 3


@pytest.mark.parametrize(("ttl", "period", "periods"), [(5, 60, 3), (300, 60, 3), (2, 5, 1), (1, 3600, 60)])
def test_the_window_that_is_compared_is_the_one_the_gate_waits_for(ttl: int, period: int, periods: int) -> None:
    limits = Limits(metric_period_seconds=period, quiet_periods=periods)
    assert limits.quiet_window(ttl) == window(ttl, period, periods)


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_the_partition_is_the_regions(region: str, partition: str) -> None:
    assert partition_of(region) == partition
