"""What the API lets the stand-in of kubelets delete: what is terminating, as a kubelet would.

A kubelet names the UID of the pod that it lets go. KWOK's `pod-delete` names the pod only, and may ask twice: of a
StatefulSet the next pod has the name of the last one, and would go in its place.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from typing import Any

from lab.kubernetes.client import Client, Where

USER = "lab:kubelets"
NAME = "kubelets.lab.internal"
MANAGER = "lab"
_GROUP = "admissionregistration.k8s.io/v1"
POLICY: dict[str, Any] = {
    "apiVersion": _GROUP,
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": NAME},
    "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["pods"]}
            ]
        },
        "matchConditions": [{"name": "kubelets", "expression": f"request.userInfo.username == '{USER}'"}],
        "validations": [
            {
                "expression": "has(oldObject.metadata.deletionTimestamp)",
                "message": "a kubelet lets a pod go that was told to, not the next one of its name",
            }
        ],
    },
}
BINDING: dict[str, Any] = {
    "apiVersion": _GROUP,
    "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": NAME},
    "spec": {"policyName": NAME, "validationActions": ["Deny"]},
}


def confine(client: Client) -> None:
    """Applies policy and binding, which say the same each time. Raises ApiError. Blocks."""
    for item in (POLICY, BINDING):
        client.apply(Where.of(item), item, manager=MANAGER, force=True)
