"""What KWOK may delete, asked of a real API server."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import httpx
import pytest

from lab.kubernetes.access import access, read
from lab.kubernetes.client import Client
from lab.machines.confinement import USER, confine
from tests.lab.network.api import Api, api_server

pytestmark = pytest.mark.lab
POD = ("web", "db-0")
LIMIT_S = 30


def end(api: Api, user: str = "") -> httpx.Response:
    """A kubelet's last word: the pod goes at once, whatever its UID."""
    headers = {"Impersonate-User": user, "Impersonate-Group": "system:masters"} if user else {}
    path = f"/api/v1/namespaces/{POD[0]}/pods/{POD[1]}"
    return api.http.request("DELETE", path, params={"gracePeriodSeconds": "0"}, headers=headers)


def test_a_kubelet_lets_go_what_was_told_to_go_and_not_the_next_pod_of_its_name() -> None:
    with tempfile.TemporaryDirectory(prefix="lab7-") as folder, api_server(Path(folder)) as api:
        api.namespace(POD[0])
        node = api.node("127.17.1.20")
        api.pod(POD, node)
        assert end(api, USER).status_code == 200  # which is what a StatefulSet's next pod died of
        client = Client(access(read(Path(folder) / "kubeconfig")))
        confine(client)
        confine(client)  # as a supervisor that begins anew does

        deadline = time.monotonic() + LIMIT_S  # the API server follows its policies
        api.pod(POD, node)
        while (answer := end(api, USER)).status_code == 200:
            assert time.monotonic() < deadline, "never refused"
            time.sleep(0.2)
            api.pod(POD, node)
        assert answer.status_code == 422 and "not the next one of its name" in answer.text

        api.delete_pod(POD, grace_s=30)
        assert end(api, USER).status_code == 200
        assert end(api, USER).status_code == 404
        api.pod(POD, node)
        assert end(api).status_code == 200, "only kubelets are held to it"
