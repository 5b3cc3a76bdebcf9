"""The gate of the control plane's form: could each new member's user data be made today, from what is there today?"""

from __future__ import annotations

from migration.contracts.gates import ControlPlaneForm
from migration.gates.live import Live
from migration.layouts.contract import Evidence, GroupSeen, MemberIdentity, NewMachine, Recognition
from migration.layouts.contradiction import contradictions
from migration.layouts.registry import layout_of, template_text
from migration.layouts.texts import plain_text
from migration.names import ticket_parameter
from migration.runtime.deadline import Permanent
from migration.workers.snapshot import propagated_tags, template_of


def control_plane_form(q: ControlPlaneForm, live: Live) -> str:
    """The form is what the user data shows, and a new member's can be made from each; all refusals at once."""
    layout, template = layout_of(q.form.layout), template_text(q.form.user_data_file)
    groups = (*q.groups, *q.servers)
    described = live.aws.groups(groups)
    absent = [group for group in groups if group not in described]
    if absent:
        raise Permanent(
            f"Auto Scaling groups {', '.join(absent)} don't exist; correct migration:members[].group, or discover again"
        )
    originals: dict[str, str | None] = {}
    seen: list[GroupSeen] = []
    for group in groups:
        secret = template_of(live.aws, described[group]).user_data
        originals[group] = secret.get_secret_value() if secret is not None else None
        seen.append(
            GroupSeen(name=group, tags=propagated_tags(described[group]), user_data=plain_text(originals[group]))
        )
    evidence = Evidence(groups=tuple(seen))
    contradicted = contradictions(evidence, q.form.layout, q.form.units, q.files)
    refused = [*contradicted, *_in_the_wrong_place(layout.recognise(evidence), q)]
    for group, original in originals.items():
        identity = MemberIdentity(
            cluster=live.cluster,
            member=group,
            region=live.aws.region,
            ticket_parameter=ticket_parameter(live.cluster, group),
            api_port=q.api_port,
            client_port=q.client_port,
            peer_port=q.peer_port,
        )
        try:
            layout.user_data(
                NewMachine(original=original, identity=identity, units=q.form.units, pki=q.form.pki, template=template)
            )
        except Permanent as reason:
            # What was told already is the reason of this, too.
            if not any(sentence.startswith(f"{group}: ") or sentence in str(reason) for sentence in contradicted):
                refused.append(f"{group}: {reason}")
    if refused:
        raise Permanent(f"{'; '.join(refused)}; docs/control-plane.md says what each form needs")
    apart = f" and {len(q.servers)} API machines'" if q.servers else ""
    return (
        f"{q.form.layout}: {len(q.groups)} members'{apart} user data is as the configuration has it, and can be made "
        f"anew"
    )


def _in_the_wrong_place(seen: Recognition, q: ControlPlaneForm) -> list[str]:
    """Groups of etcd that are listed as API machines', and the other way round."""
    told = [
        f"{group} starts etcd and stands in migration:members[].apiServers; list it as a member's group"
        for group in sorted({*seen.members} & {*q.servers})
    ]
    return told + [
        f"{group} starts an API server and no etcd, and is a member's group; list it in migration:members[].apiServers"
        for group in sorted({*seen.servers} & {*q.groups})
    ]
