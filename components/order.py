"""What comes after what, said once: of a resource's predecessors only those that no other of them implies.

Components hand on all that must be done before them, and theirs to the next ones, so that each resource would name
nearly every one before it. The order is the same without. A state is smaller; and the engine, which after a failed
delete follows every path behind it without remembering where it was, has millions to follow instead of billions.

Where many of one component would still name the same ones, only the first of them does, and the others follow it: 72
launch templates would name each rule between the sides. That is for what is made in a moment alone, since the others
wait for the first.
"""

from __future__ import annotations

import pulumi

QUICK = frozenset(
    {
        "aws:ec2/launchTemplate:LaunchTemplate",
        "aws:ec2/route:Route",
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    }
)
"""Types of which the first may be waited for: one call of AWS makes it."""
MANY = 4
"""From so many predecessors on it is shorter to name a sibling that names them."""


class Reduced:
    """A transformation for a component and all in it: shortens `depends_on` to what isn't implied."""

    def __init__(self) -> None:
        # By each object's identity, since two resources are never equal. All of them live as long as the program.
        self._behind: dict[int, frozenset[int]] = {}
        self._parents: dict[int, pulumi.Resource | None] = {}
        self._inside: dict[int, list[pulumi.Resource]] = {}
        self._first: dict[tuple[int, frozenset[int]], pulumi.Resource] = {}

    def __call__(self, args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        """Shorten one resource's predecessors, and remember what stands behind it."""
        resource, opts = args.resource, args.opts
        self._parents[id(resource)] = opts.parent
        if isinstance(resource, pulumi.ComponentResource):
            # It stands for what is in it, each of which names its own.
            return None
        self._place(resource)
        self._behind[id(resource)] = frozenset()
        named = opts.depends_on
        if not isinstance(named, list):
            return None
        before = {id(one): one for other in named if isinstance(other, pulumi.Resource) for one in self._meant(other)}
        implied = frozenset[int]().union(*(self._behind[one] for one in before))
        self._behind[id(resource)] = implied | before.keys()
        left = {key: one for key, one in before.items() if key not in implied}
        if args.type_ in QUICK and len(left) >= MANY:
            left = self._after_the_first(resource, opts.parent, left)
        shorter = pulumi.ResourceOptions.merge(opts, None)
        # What is no resource is something to wait for.
        waited = [other for other in named if not isinstance(other, pulumi.Resource)]
        shorter.depends_on = [*left.values(), *waited]
        return pulumi.ResourceTransformationResult(args.props, shorter)

    def _after_the_first(
        self, resource: pulumi.Resource, parent: pulumi.Resource | None, left: dict[int, pulumi.Resource]
    ) -> dict[int, pulumi.Resource]:
        """The sibling that names the same ones, in their place; the same ones for the first of its kind."""
        first = self._first.setdefault((id(parent), frozenset(left)), resource)
        if first is resource:
            return left
        self._behind[id(resource)] |= {id(first)}
        return {id(first): first}

    def _place(self, resource: pulumi.Resource) -> None:
        above = self._parents[id(resource)]
        while above is not None:
            self._inside.setdefault(id(above), []).append(resource)
            above = self._parents.get(id(above))

    def _meant(self, named: pulumi.Resource) -> list[pulumi.Resource]:
        """The resources that a name in a list stands for: itself, or all that is in a component."""
        return self._inside.get(id(named), []) if isinstance(named, pulumi.ComponentResource) else [named]
