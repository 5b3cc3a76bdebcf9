"""The gate of the control plane's form: could each new member's user data be made today, from what is there today?"""

from __future__ import annotations

from migration.contracts.gates import ControlPlaneForm
from migration.gates.live import Live
from migration.layouts.contract import Evidence, GroupSeen, MemberIdentity, NewMachine
from migration.layouts.contradiction import contradictions
from migration.layouts.registry import layout_of, template_text
from migration.layouts.texts import plain_text
from migration.names import ticket_parameter
from migration.runtime.deadline import Permanent
from migration.workers.snapshot import describe


def control_plane_form(q: ControlPlaneForm, live: Live) -> str:
    """The form is what the user data shows, and a new member's can be made from each; all refusals at once."""
    layout, template = layout_of(q.form.layout), template_text(q.form.user_data_file)
    described = live.aws.groups(q.groups)
    absent = [group for group in q.groups if group not in described]
    if absent:
        raise Permanent(
            f"Auto Scaling groups {', '.join(absent)} don't exist; correct migration:members[].group, or discover again"
        )
    originals: dict[str, str | None] = {}
    seen: list[GroupSeen] = []
    for group in q.groups:
        known = describe(live.aws, described[group])
        secret = known.template.user_data
        originals[group] = secret.get_secret_value() if secret is not None else None
        seen.append(GroupSeen(name=group, tags=known.tags, user_data=plain_text(originals[group])))
    contradicted = contradictions(Evidence(groups=tuple(seen)), q.form.layout, q.form.units, q.files)
    refused = list(contradicted)
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
    return f"{q.form.layout}: {len(q.groups)} members' user data is as the configuration has it, and can be made anew"
